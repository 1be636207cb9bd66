//! The headless face: commands in, text or one JSON object a line out. For
//! scripts and tests.

pub mod snapshot;

use crate::base::{addr::parse_number, orders::Orders};
use crate::command::{FaceCommand, Parsed, help, parse::parse, render, script, script::Step};
use crate::session::{
    answer::{Answer, Failure},
    conduct::LogLine,
    request::{Handle, Leave, Level, Request, Update},
    run::Started,
    view::{State, SymbolsView, View},
};
use serde::Serialize;
use std::{
    collections::VecDeque,
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::UnboundedReceiver;

/// How a batch runs.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The commands, in order.
    pub commands: Vec<Step>,
    /// One JSON object a command instead of text.
    pub json: bool,
    /// How long to wait for a connection, and for each stop.
    pub timeout: Duration,
    /// Leave the guest stopped at the end instead of letting it run.
    pub leave_stopped: bool,
}

/// How a batch went; the program's exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Every command was done.
    Good = 0,
    /// A command failed.
    Failed = 1,
    /// There is no target, or the link was lost.
    NoTarget = 3,
}

/// One line of JSON output.
#[derive(Serialize)]
struct Line<'a> {
    command: &'a str,
    ok: bool,
    error: Option<String>,
    seconds: f64,
    wire: Wire,
    result: Option<Answer>,
}

/// What a log point printed, on a line of its own among the answers.
#[derive(Serialize)]
struct LogObject<'a> {
    log: &'a LogLine,
}

#[derive(Clone, Copy, Default, Serialize)]
struct Wire {
    tx: u64,
    rx: u64,
    packets: u64,
}

/// Runs the commands against a session and ends it. `out` gets the results;
/// messages go to standard error.
pub async fn run(batch: &Batch, started: Started, out: &mut dyn Write) -> std::io::Result<Status> {
    let Started { handle, mut updates, .. } = started;
    let mut status = Status::Good;
    let mut orders = Orders::new()?;
    let ready = tokio::select! {
        ready = wait_until_ready(batch, &mut updates) => ready,
        order = orders.next() => Err(format!("ended by {order}")),
    };
    if let Err(why) = ready {
        eprintln!("kgdb-tui: {why}");
        status = Status::NoTarget;
    } else {
        let mut runner = Runner {
            batch,
            handle: &handle,
            updates: &mut updates,
            wire: Wire::default(),
            done_at: 0,
            out,
        };
        runner.wire = runner.spent().await;
        let mut steps = VecDeque::from(batch.commands.clone());
        while let Some(step) = steps.pop_front() {
            let outcome = tokio::select! {
                outcome = runner.one(&step) => outcome?,
                order = orders.next() => {
                    eprintln!("kgdb-tui: ended by {order} during: {}", step.text);
                    status = status.max(Status::Failed);
                    break;
                }
            };
            match outcome {
                Outcome::Next(outcome) => {
                    status = status.max(outcome);
                    if outcome != Status::Good && step.place.is_some() {
                        script::end_file(&mut steps);
                    }
                }
                Outcome::Source(status_of_it, more) => {
                    status = status.max(status_of_it);
                    more.into_iter().rev().for_each(|s| steps.push_front(s));
                }
                Outcome::Quit => break,
            }
        }
    }
    let how = if batch.leave_stopped { Leave::Stopped } else { Leave::Detach };
    let mut left = handle.send(Request::Leave(how));
    loop {
        tokio::select! {
            // A receiver without an answer means that `detach` ended the session.
            left = &mut left => {
                if let Ok(Err(failure)) = left {
                    eprintln!("kgdb-tui: leaving the guest: {failure}");
                    status = status.max(status_of(&failure));
                }
                break;
            },
            Some(update) = updates.recv() => print_message(&update),
            // Someone is impatient.
            order = orders.next() => {
                eprintln!("kgdb-tui: {order} while leaving the guest, which is left as it is");
                status = status.max(Status::Failed);
                break;
            }
        }
    }
    while let Ok(update) = updates.try_recv() {
        print_message(&update);
    }
    Ok(status)
}

enum Outcome {
    Next(Status),
    /// These come next.
    Source(Status, Vec<Step>),
    Quit,
}

struct Runner<'a> {
    batch: &'a Batch,
    handle: &'a Handle,
    updates: &'a mut UnboundedReceiver<Update>,
    wire: Wire,
    /// The stop whose breakpoint's commands were done last.
    done_at: u64,
    out: &'a mut dyn Write,
}

impl Runner<'_> {
    async fn one(&mut self, step: &Step) -> std::io::Result<Outcome> {
        if let Some(excuse) = step.excuse() {
            eprintln!("kgdb-tui: {excuse}");
            return Ok(Outcome::Next(Status::Good));
        }
        let began = Instant::now();
        let mut more = None;
        let result = match parse(&step.text) {
            Ok(Parsed::Nothing) => return Ok(Outcome::Next(Status::Good)),
            Ok(Parsed::Face(FaceCommand::Quit)) => return Ok(Outcome::Quit),
            Ok(Parsed::Face(FaceCommand::Help(topic))) => {
                Ok(Answer::Text { text: help::help(topic.as_deref()) })
            }
            // A script means what it says.
            Ok(Parsed::Face(FaceCommand::Display(expression))) => Err(Failure::Other(format!(
                "display keeps a value on the screen; in a batch: print {expression}, after each stop"
            ))),
            // Scripts made for gdb's TUI have it.
            Ok(Parsed::Face(FaceCommand::Layout(_))) => {
                Ok(Answer::Text { text: "a batch has no screen to lay out".into() })
            }
            Ok(Parsed::Face(FaceCommand::SavePane { .. } | FaceCommand::Edit(_))) => {
                let words = format!("'{}' is for the screen; a batch has none", step.text);
                Err(Failure::Other(words))
            }
            Ok(Parsed::Face(FaceCommand::Pick(_))) => Err(Failure::Other(
                "pick opens a window of the screen; in a batch: search TEXT".into(),
            )),
            Ok(Parsed::Face(FaceCommand::Act(action))) => Err(Failure::Other(format!(
                "'{}' is what a key of the screen does; a batch has no screen",
                action.name()
            ))),
            Ok(Parsed::Face(FaceCommand::Source(path))) => match script::read(&path) {
                Ok(steps) => {
                    let text = format!("{} commands", steps.len());
                    more = Some(steps);
                    Ok(Answer::Text { text })
                }
                Err(error) => Err(Failure::Other(error.to_string())),
            },
            Ok(Parsed::Request(request)) => match self.ask(request.confirmed()).await {
                // Nobody is there to agree.
                Ok(answer @ Answer::Confirm { .. }) => Err(Failure::Other(render::answer(&answer))),
                result => result,
            },
            Err(error) => Err(Failure::Other(error.to_string())),
        };
        let status = result.as_ref().map_or_else(status_of, |_| Status::Good);
        if let Ok(Answer::Stop { stop }) = &result
            && stop.generation > self.done_at
            && !stop.commands.is_empty()
        {
            self.done_at = stop.generation;
            more = Some(script::of_breakpoint(&stop.commands));
        }
        self.print(step, result, began.elapsed()).await?;
        Ok(more.map_or(Outcome::Next(status), |more| Outcome::Source(status, more)))
    }

    async fn ask(&mut self, request: Request) -> Result<Answer, Failure> {
        let limit = match &request {
            // `wait` has a limit of its own.
            Request::Wait(_) => None,
            Request::Continue
            | Request::Step(..)
            | Request::RunTo(..)
            | Request::Jump { .. }
            | Request::BreakIn
            | Request::BreakInByShell
            | Request::Plant => Some(self.batch.timeout),
            _ => None,
        };
        // A break-in that takes too long is given up, and tells what it tried.
        let breaks_in =
            matches!(request, Request::BreakIn | Request::BreakInByShell | Request::Plant);
        let mut answer = self.handle.send(request);
        let late = async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(late);
        let mut given_up = false;
        let result = loop {
            tokio::select! {
                biased;
                answer = &mut answer => {
                    let ended = || Err(Failure::NoTarget("the session has ended".into()));
                    break answer.unwrap_or_else(|_| ended());
                }
                Some(update) = self.updates.recv() => self.tell(&update),
                () = &mut late, if !given_up => {
                    if !breaks_in {
                        break Err(Failure::Timeout(limit.unwrap_or_default()));
                    }
                    // Refused when it stopped just now; the answer comes either way.
                    given_up = true;
                    drop(self.handle.send(Request::CancelBreakIn));
                }
            }
        };
        // What was said before the answer comes before it.
        while let Ok(update) = self.updates.try_recv() {
            self.tell(&update);
        }
        result
    }

    /// Prints what came meanwhile: what a log point says is part of the output.
    fn tell(&mut self, update: &Update) {
        let Update::Log(line) = update else { return print_message(update) };
        let written = match self.batch.json {
            true => match serde_json::to_string(&LogObject { log: line }) {
                Ok(text) => writeln!(self.out, "{text}"),
                Err(error) => Err(error.into()),
            },
            false => writeln!(self.out, "{}", render::log_line(line)),
        };
        // Whoever reads the output is gone; the next answer fails for it.
        if let Err(error) = written.and_then(|()| self.out.flush()) {
            tracing::warn!(%error, "a log point could not be printed");
        }
    }

    /// Bytes and packets since the session began.
    async fn spent(&self) -> Wire {
        match self.handle.send(Request::Link).await {
            Ok(Ok(Answer::Link(link))) => {
                Wire { tx: link.total.tx, rx: link.total.rx, packets: link.total.packets }
            }
            _ => self.wire,
        }
    }

    async fn print(
        &mut self,
        step: &Step,
        result: Result<Answer, Failure>,
        time: Duration,
    ) -> std::io::Result<()> {
        let now = self.spent().await;
        let before = std::mem::replace(&mut self.wire, now);
        if !self.batch.json {
            match &result {
                Ok(answer) if is_silent(answer) => {}
                Ok(answer) => {
                    let text = render::answer(answer);
                    if !text.is_empty() {
                        writeln!(self.out, "{text}")?;
                    }
                }
                Err(failure) => {
                    let words = step.at_place(&format!("{}: {failure}", step.text));
                    eprintln!("kgdb-tui: {words}");
                }
            }
            return self.out.flush();
        }
        let line = Line {
            command: &step.text,
            ok: result.is_ok(),
            error: result.as_ref().err().map(|failure| step.at_place(&failure.to_string())),
            seconds: (time.as_secs_f64() * 1e6).round() / 1e6,
            wire: Wire {
                tx: now.tx.saturating_sub(before.tx),
                rx: now.rx.saturating_sub(before.rx),
                packets: now.packets.saturating_sub(before.packets),
            },
            result: match result {
                Ok(answer) => Some(answer),
                Err(Failure::NotStopped { tried }) => Some(Answer::Tried { tried }),
                Err(_) => None,
            },
        };
        serde_json::to_writer(&mut *self.out, &line)?;
        writeln!(self.out)?;
        self.out.flush()
    }
}

/// Whether a stop's breakpoint wants no words about it.
fn is_silent(answer: &Answer) -> bool {
    let Answer::Stop { stop } = answer else { return false };
    stop.commands.first().is_some_and(|first| first == script::SILENT)
}

fn status_of(failure: &Failure) -> Status {
    if failure.is_no_target() { Status::NoTarget } else { Status::Failed }
}

/// Waits until symbols are loaded and it is known what listens: the guest's
/// state then.
async fn wait_until_ready(
    batch: &Batch,
    updates: &mut UnboundedReceiver<Update>,
) -> Result<State, String> {
    let deadline = tokio::time::Instant::now() + batch.timeout;
    let mut last: Option<Arc<View>> = None;
    let mut said = String::new();
    // Names take longer to load than addresses.
    let quick = batch.commands.iter().all(|command| is_of_address(&command.text));
    loop {
        match tokio::time::timeout_at(deadline, updates.recv()).await {
            Ok(Some(Update::View(view))) => {
                // A vmlinux that was not given is looked for at a stop.
                let loading = match view.symbols {
                    SymbolsView::Loading(_) => true,
                    SymbolsView::Looking(_) => view.state.is_stopped(),
                    _ => false,
                };
                match &view.state {
                    State::Stopped | State::Running { .. } | State::Offline if !loading => {
                        return Ok(view.state.clone());
                    }
                    State::Offline if quick && view.symbols.answer_addresses() => {
                        return Ok(State::Offline);
                    }
                    State::Connecting { why } if *why != said => {
                        eprintln!("kgdb-tui: waiting: {why}");
                        said.clone_from(why);
                    }
                    State::Lost { why } => return Err(why.clone()),
                    _ => {}
                }
                last = Some(view);
            }
            Ok(Some(Update::Ended(why))) => return Err(why.unwrap_or_else(|| "ended".into())),
            Ok(Some(other)) => print_message(&other),
            Ok(None) => return Err("the session ended".into()),
            Err(_) => {
                let why = match last.as_ref().map(|view| &view.state) {
                    // Only symbols are still awaited, and addresses answer.
                    Some(State::Stopped) => return Ok(State::Stopped),
                    Some(State::Connecting { why }) => why.clone(),
                    _ => "not ready".into(),
                };
                return Err(format!("{why} (waited {} s)", batch.timeout.as_secs()));
            }
        }
    }
}

/// Whether a command needs no more of the symbols than what is at an address.
fn is_of_address(command: &str) -> bool {
    let is_number = |text: &str| {
        let number = text.trim().strip_prefix('*').or(Some(text).filter(|t| t.starts_with("0x")));
        number.is_some_and(|number| parse_number(number.trim()).is_some())
    };
    match parse(command) {
        Ok(Parsed::Request(Request::Line(place) | Request::Symbol(place))) => is_number(&place),
        Ok(Parsed::Request(_)) => false,
        _ => true,
    }
}

fn print_message(update: &Update) {
    match update {
        Update::Message(Level::Warning | Level::Error, text) => eprintln!("kgdb-tui: {text}"),
        Update::Message(Level::Hint, text) => eprintln!("  {text}"),
        Update::Message(Level::Info, text) => tracing::info!("{text}"),
        Update::Console(text) => {
            tracing::info!(target: "console", "{}", String::from_utf8_lossy(text).trim_end());
        }
        Update::Log(line) => tracing::info!("{}", render::log_line(line)),
        Update::View(_) | Update::Ended(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_do_not_wait_for_names() {
        for quick in ["info line *0xffffffff81000000", "info symbol 0x10", "", "help", "quit"] {
            assert!(is_of_address(quick), "{quick}");
        }
        for slow in
            ["info line *vfs_read", "info line vfs_read", "info line 12", "bt", "list *0x10"]
        {
            assert!(!is_of_address(slow), "{slow}");
        }
    }
}
