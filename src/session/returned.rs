//! What a finished function returned.

use super::{answer::Failure, run::Session, view::ReturnedView};
use crate::base::addr::Addr;
use crate::eval::{
    expr::kept::KeptValue,
    format::Limits,
    location::{Absent, Context},
    variables,
};
use std::sync::Arc;

impl Session {
    /// Reads what the finished function returned, and keeps it in the history.
    pub(super) async fn read_returned(&mut self, function: Addr) -> Result<(), Failure> {
        let symbols = self.guest_symbols();
        let Some(kind) = symbols.function_at(function).and_then(|f| f.return_type) else {
            return Ok(());
        };
        self.know_registers().await?;
        let registers = self.subject_registers()?;
        let found = self
            .compute(move |symbols, memory| {
                let value = variables::returned(symbols, memory, &registers, kind)?;
                let context = Context { symbols, memory, frames: &[], cpu: None };
                let text = context.printed(&value, None, &Limits::default())?;
                Ok::<_, Absent>((value, text))
            })
            .await?;
        let Ok((value, text)) = found else { return Ok(()) };
        let type_name = symbols.type_name(kind);
        let kept = KeptValue { value, home: None };
        let number = Arc::make_mut(&mut self.scratch.kept).push(kept);
        if let Some(stop) = &mut self.stop {
            stop.returned = Some(ReturnedView { type_name, value: text, number });
        }
        Ok(())
    }
}
