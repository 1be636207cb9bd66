//! Going on at another place (`jump`).

use super::{answer::Failure, run::Session};
use crate::base::addr::Addr;

impl Session {
    /// What a jump means, before it is made.
    pub(super) async fn jump_effect(&mut self, location: &str) -> Result<String, Failure> {
        let to = self.jump_target(location).await?;
        let from = self.pc()?;
        let symbols = self.guest_symbols();
        let (here, there) = (symbols.function_at(from), symbols.function_at(to));
        let line = |addr: Addr| symbols.row_at(addr).map_or(0, |row| row.line);
        let name = |function: &Option<_>| -> String {
            let function: &Option<crate::symbols::answer::Function> = function;
            function.as_ref().map_or_else(|| "no function".into(), |f| f.name.clone())
        };
        let same = here.as_ref().map(|f| f.entry) == there.as_ref().map(|f| f.entry);
        if !same {
            return Ok(format!(
                "go on in another function: from {} to {} at {to}, with a stack and registers that are not made for it; the kernel may crash",
                name(&here),
                name(&there)
            ));
        }
        let (now, then) = (line(from), line(to));
        let skipped = match now.cmp(&then) {
            std::cmp::Ordering::Less => format!("lines {now} to {} are not done", then - 1),
            std::cmp::Ordering::Equal => "in the same line".to_string(),
            std::cmp::Ordering::Greater => {
                format!("lines {then} to {now} are done again, with the values of now")
            }
        };
        Ok(format!("go on at {} line {then} ({to}): {skipped}", name(&there)))
    }

    /// `jump`: sets the pc, and continues.
    pub(super) async fn jump(&mut self, location: &str) -> Result<(), Failure> {
        let to = self.jump_target(location).await?;
        self.write_pc(to).await?;
        // A breakpoint there is passed, as by gdb.
        self.go_on().await
    }

    async fn jump_target(&mut self, location: &str) -> Result<Addr, Failure> {
        self.need_stopped()?;
        self.need_own_subject()?;
        // The location may be told by them.
        self.know_registers().await?;
        let (sites, _) = self.resolve_sites(location).map_err(Failure::Other)?;
        match &sites[..] {
            [site] => Ok(site.addr),
            sites => Err(Failure::Other(format!(
                "{location} is {} places; name one by *ADDRESS (info line {location})",
                sites.len()
            ))),
        }
    }
}
