//! Requests about breakpoints.

use super::{
    answer::{Answer, Failure},
    breakpoints::Wish,
    request::{BreakKind, Catch},
    run::Session,
    view::BreakpointView,
};

impl Session {
    pub(super) async fn set_breakpoint(
        &mut self,
        kind: BreakKind,
        location: &str,
    ) -> Result<Answer, Failure> {
        let location = match location.trim() {
            "" => format!("*{}", self.selected_pc()?),
            text => self.lasting(text)?,
        };
        self.points.add(kind, location);
        self.resolve_pending();
        let number = self.points.wishes.last().map_or(0, |wish| wish.number);
        // A function that is nowhere may come with a module; a file and line
        // as well. An address that makes no sense never will, and nothing
        // comes where there is no guest.
        let offline = self.is_offline();
        let wish = self.points.wishes.last();
        if let Some(Wish { location, pending: Some(why), .. }) = wish
            && (location.starts_with('*') || offline)
        {
            let why = why.clone();
            self.points.delete(&[number]);
            return Err(Failure::Other(why));
        }
        self.plant().await?;
        self.breakpoints_answer(&[number])
    }

    /// `catch load`, `catch unload`.
    pub(super) async fn set_catch(
        &mut self,
        kind: BreakKind,
        catch: Catch,
    ) -> Result<Answer, Failure> {
        let location = catch.module.clone().unwrap_or_else(|| "any module".into());
        let wish = self.points.add(kind, location);
        wish.catch = Some(catch);
        let number = wish.number;
        self.plant().await?;
        self.breakpoints_answer(&[number])
    }

    pub(super) async fn toggle(&mut self, location: &str) -> Result<Answer, Failure> {
        let (places, _) = self.resolve_sites(location).map_err(Failure::Other)?;
        let there: Vec<u32> = self
            .points
            .wishes
            .iter()
            .filter(|wish| wish.sites.iter().any(|s| places.iter().any(|p| p.addr == s.addr)))
            .map(|wish| wish.number)
            .collect();
        if there.is_empty() {
            return self.set_breakpoint(BreakKind::Kept, location).await;
        }
        self.points.delete(&there);
        self.changed_breakpoints(&[]).await
    }

    /// Plants and lifts after a change; `unknown` are numbers that do not exist.
    pub(super) async fn changed_breakpoints(&mut self, unknown: &[u32]) -> Result<Answer, Failure> {
        self.plant().await?;
        match unknown {
            [] => Ok(Answer::Breakpoints { breakpoints: self.breakpoints() }),
            _ => {
                let numbers: Vec<_> = unknown.iter().map(u32::to_string).collect();
                Err(Failure::Other(format!("no breakpoint {}", numbers.join(", "))))
            }
        }
    }

    /// Plants now when the guest is stopped; else at the next stop.
    async fn plant(&mut self) -> Result<(), Failure> {
        self.touch();
        if self.need_stopped().is_err() {
            return Ok(());
        }
        // After a step nobody looked whether a module is still there.
        self.look_for_modules_once().await?;
        self.reconcile().await
    }

    /// Every breakpoint as it is shown.
    pub(super) fn breakpoints(&self) -> Vec<BreakpointView> {
        let mut views = self.points.views();
        if self.is_offline() {
            for view in views.iter_mut().filter(|view| view.state == "pending") {
                view.why = Some("there is no guest (offline)".into());
            }
        }
        views
    }

    fn breakpoints_answer(&self, numbers: &[u32]) -> Result<Answer, Failure> {
        let views = self.breakpoints().into_iter().filter(|b| numbers.contains(&b.number));
        Ok(Answer::Breakpoints { breakpoints: views.collect() })
    }
}
