//! Requests that change what a breakpoint does.

use super::{
    answer::{Answer, Failure},
    conduct::{Adjusting, After},
    request::{BreakKind, Breaking, Names, Pattern},
    run::Session,
    script_of,
    wish::Wish,
};
use crate::base::addr::Addr;
use crate::eval::expr::{
    error::ExprError,
    evaluate::{self},
    printf::Printf,
};
use std::{fs, path::Path};

/// More functions than this at once are a slip of the expression.
const MOST_MATCHING: usize = 200;

impl Session {
    pub(super) async fn adjust(&mut self, what: Adjusting) -> Result<Answer, Failure> {
        match what {
            Adjusting::Condition(number, condition) => self.set_condition(number, condition),
            Adjusting::Ignore(number, count) => {
                let [number] = self.known(&[number])?[..] else { return Ok(Answer::Done {}) };
                self.change(&[number], |wish| wish.conduct.ignore = count)
            }
            Adjusting::Enable(after, numbers) => {
                let numbers = match numbers[..] {
                    [] => self.points.wishes.iter().map(|wish| wish.number).collect(),
                    _ => self.known(&numbers)?,
                };
                self.points.enable(true, &numbers);
                let answer = self.change(&numbers, |wish| wish.conduct.after = after)?;
                self.changed_breakpoints(&[]).await?;
                Ok(answer)
            }
            Adjusting::Commands(numbers, commands) => {
                let numbers = self.known(&numbers)?;
                self.change(&numbers, |wish| wish.conduct.commands.clone_from(&commands))
            }
            Adjusting::Log(asked, log) => {
                let location = self.located(&asked.location).await?;
                self.set_point(Breaking { location, ..asked }, Some(log)).await
            }
            Adjusting::Matching(pattern) => self.set_matching(&pattern).await,
            Adjusting::Save(path) => self.save_script(&path),
        }
    }

    /// Numbers that must be those of breakpoints.
    fn known(&mut self, numbers: &[u32]) -> Result<Vec<u32>, Failure> {
        let numbers = self.points.numbered(numbers);
        match numbers.iter().find(|number| self.points.wish(**number).is_none()) {
            Some(0) => Err(Failure::Other("no breakpoint was set yet".into())),
            Some(unknown) => Err(Failure::Other(format!("no breakpoint {unknown}"))),
            None => Ok(numbers),
        }
    }

    fn change(&mut self, numbers: &[u32], change: impl Fn(&mut Wish)) -> Result<Answer, Failure> {
        for number in numbers {
            if let Some(wish) = self.points.wish(*number) {
                change(wish);
            }
        }
        self.touch();
        self.breakpoints_answer(numbers)
    }

    fn set_condition(&mut self, number: u32, condition: Option<String>) -> Result<Answer, Failure> {
        let [number] = self.known(&[number])?[..] else { return Ok(Answer::Done {}) };
        let Some(wish) = self.points.wish(number) else { return Ok(Answer::Done {}) };
        if wish.catch.is_some() {
            return Err(Failure::Other(format!(
                "{number} is no breakpoint but a catch, which has no condition"
            )));
        }
        if let Some(condition) = &condition {
            let sites: Vec<_> = wish.sites.iter().map(|site| (site.addr, site.line)).collect();
            self.check_condition(condition, &sites)?;
        }
        self.change(&[number], |wish| wish.when.condition.clone_from(&condition))
    }

    /// That a condition can be told at one of the sites at least. Without sites
    /// nothing is known yet, and what it names may come with a module.
    pub(super) fn check_condition(
        &self,
        condition: &str,
        sites: &[(Addr, Option<u32>)],
    ) -> Result<(), Failure> {
        let check = |(pc, line): &(Addr, Option<u32>)| {
            self.check_at(*pc, *line, |context, scene| evaluate::check(context, scene, condition))
        };
        self.first_good(condition, sites, check)
    }

    /// The same of what a log point prints.
    pub(super) fn check_log(
        &self,
        log: &str,
        sites: &[(Addr, Option<u32>)],
    ) -> Result<(), Failure> {
        let printf = Printf::parse(log).map_err(|error| self.failed(log, error))?;
        let check = |(pc, line): &(Addr, Option<u32>)| {
            self.check_at(*pc, *line, |context, scene| printf.check(context, scene))
        };
        self.first_good(log, sites, check)
    }

    fn first_good<T>(
        &self,
        text: &str,
        sites: &[T],
        check: impl Fn(&T) -> Result<(), ExprError>,
    ) -> Result<(), Failure> {
        let mut first = None;
        for site in sites {
            match check(site) {
                Ok(()) => return Ok(()),
                Err(error) => first = first.or(Some(error)),
            }
        }
        first.map_or(Ok(()), |error| Err(self.failed(text, error)))
    }

    /// `printf`.
    pub(super) async fn printf(&mut self, text: &str) -> Result<Answer, Failure> {
        let printf = Printf::parse(text).map_err(|error| self.failed(text, error))?;
        let printed = self.see_value(text, |context, scene| printf.text(context, scene)).await?;
        Ok(Answer::Text { text: printed.trim_end_matches('\n').to_owned() })
    }

    /// `rbreak`.
    async fn set_matching(&mut self, pattern: &Pattern) -> Result<Answer, Failure> {
        let limit = pattern.limit.unwrap_or(MOST_MATCHING);
        let found =
            self.names(Names::Functions, &Pattern { limit: Some(limit), ..pattern.clone() });
        let Answer::Listed(found) = found? else { return Ok(Answer::Done {}) };
        if found.names.is_empty() {
            return Err(Failure::Other("no function has a name that fits".into()));
        }
        if found.more > 0 && pattern.limit.is_none() {
            let all = found.names.len() + found.more;
            return Err(Failure::Other(format!(
                "{all} functions fit; at most {MOST_MATCHING} get breakpoints at once (rbreak -n COUNT takes the first)"
            )));
        }
        let mut numbers = Vec::new();
        for name in &found.names {
            let asked = Breaking::at(BreakKind::Kept, name.as_str());
            if let Answer::Breakpoints { breakpoints, .. } = self.set_point(asked, None).await? {
                numbers.extend(breakpoints.iter().map(|b| b.number));
            }
        }
        self.breakpoints_answer(&numbers)
    }

    fn save_script(&mut self, path: &Path) -> Result<Answer, Failure> {
        if self.points.wishes.is_empty() {
            return Err(Failure::Other("there are no breakpoints to save".into()));
        }
        let text = script_of::script(&self.points.wishes);
        fs::write(path, text).map_err(|error| {
            Failure::Other(format!("can't save to {}: {error}", path.display()))
        })?;
        let count = match self.points.wishes.len() {
            1 => "1 breakpoint".to_owned(),
            count => format!("{count} breakpoints"),
        };
        let text = format!("{count} saved to {}; 'source' reads it", path.display());
        Ok(Answer::Text { text })
    }
}

impl After {
    /// What `enable` says, with the counts as they are.
    pub fn words(self) -> Option<String> {
        match self {
            After::Stays => None,
            After::Disabled(1) => Some("disabled after the next stop".into()),
            After::Disabled(count) => Some(format!("disabled after {count} more stops")),
            After::Deleted => Some("deleted after the next stop".into()),
        }
    }
}
