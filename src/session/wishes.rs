//! Requests about breakpoints.

use super::{
    answer::{Answer, Failure},
    request::{BreakKind, Breaking, Catch, Means},
    run::Session,
    view::BreakpointView,
    wish::Wish,
};

impl Session {
    pub(super) async fn set_breakpoint(&mut self, asked: Breaking) -> Result<Answer, Failure> {
        self.set_point(asked, None).await
    }

    /// The same; with a `log` it prints that instead of stopping the guest.
    pub(super) async fn set_point(
        &mut self,
        asked: Breaking,
        log: Option<String>,
    ) -> Result<Answer, Failure> {
        let location = match asked.location.trim() {
            "" => format!("*{}", self.selected_pc()?),
            text => self.lasting(text)?,
        };
        let Breaking { kind, means, when, forced, .. } = asked;
        if means == Means::Hardware
            && let Some(question) = self.cure_question().await?
        {
            return Ok(question);
        }
        self.drop_restored(&location, &when);
        let wish = self.points.add(kind, location);
        (wish.means, wish.when, wish.forced) = (means, when, forced);
        wish.conduct.log = log;
        let number = wish.number;
        self.resolve_pending();
        if let Err(wrong) = self.check_point(number) {
            self.points.take_back(number);
            return Err(wrong);
        }
        // A function that is nowhere may come with a module; a file and line
        // as well. An address that makes no sense never will, and nothing
        // comes where there is no guest.
        let offline = self.is_offline();
        let wish = self.points.wish(number);
        if let Some(Wish { location, pending: Some(why), .. }) = wish
            && (location.starts_with('*') || offline)
        {
            let why = why.clone();
            self.points.take_back(number);
            return Err(Failure::Other(why));
        }
        if let Err(full) = self.need_debug_registers() {
            self.points.delete(&[number]);
            return Err(full);
        }
        self.plant_new(number).await
    }

    /// Plants what was just wished, and shows it.
    pub(super) async fn plant_new(&mut self, number: u32) -> Result<Answer, Failure> {
        self.plant().await?;
        self.breakpoints_answer(&[number])
    }

    /// That what a breakpoint depends on and prints makes sense where it is.
    pub(super) fn check_point(&mut self, number: u32) -> Result<(), Failure> {
        let Some(wish) = self.points.wish(number) else { return Ok(()) };
        let sites: Vec<_> = wish.sites.iter().map(|site| (site.addr, site.line)).collect();
        let (condition, log) = (wish.when.condition.clone(), wish.conduct.log.clone());
        if let Some(condition) = condition {
            self.check_condition(&condition, &sites)?;
        }
        log.map_or(Ok(()), |log| self.check_log(&log, &sites))
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
            return self.set_breakpoint(Breaking::at(BreakKind::Kept, location)).await;
        }
        self.points.delete(&there);
        self.changed_breakpoints(&[]).await
    }

    /// Plants and lifts after a change; `unknown` are numbers that do not exist.
    pub(super) async fn changed_breakpoints(&mut self, unknown: &[u32]) -> Result<Answer, Failure> {
        self.plant().await?;
        match unknown {
            [] => Ok(self.breakpoints_answer_all()),
            _ => {
                let numbers: Vec<_> = unknown.iter().map(u32::to_string).collect();
                Err(Failure::Other(format!("no breakpoint {}", numbers.join(", "))))
            }
        }
    }

    /// Plants now when the guest is stopped; else at the next stop.
    pub(super) async fn plant(&mut self) -> Result<(), Failure> {
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

    pub(super) fn breakpoints_answer(&self, numbers: &[u32]) -> Result<Answer, Failure> {
        let views = self.breakpoints().into_iter().filter(|b| numbers.contains(&b.number));
        Ok(Answer::Breakpoints { breakpoints: views.collect(), hardware: self.points.registers() })
    }

    /// All of them.
    pub(super) fn breakpoints_answer_all(&self) -> Answer {
        let (breakpoints, hardware) = (self.breakpoints(), self.points.registers());
        Answer::Breakpoints { breakpoints, hardware }
    }
}
