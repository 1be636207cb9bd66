//! `kgdb-tui snapshot FILE`: connects, saves one stop, and leaves the guest as
//! it was found.

use super::{Batch, Status, print_message, status_of, wait_until_ready};
use crate::base::orders::Orders;
use crate::command::{Parsed, parse::parse, render, script::Step};
use crate::session::{
    answer::{Answer, Failure},
    request::{Handle, Leave, Level, Request, Update},
    run::Started,
    saving::SnapshotAsk,
    view::State,
};
use std::{
    io::Write,
    time::{Duration, Instant},
};
use tokio::sync::mpsc::UnboundedReceiver;

/// How often it is told how far it is.
const TOLD: Duration = Duration::from_secs(2);

/// How a snapshot is made.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What is saved.
    pub ask: SnapshotAsk,
    /// Commands before that: what they read is in it.
    pub commands: Vec<Step>,
    /// How long to wait for a connection and for the stop.
    pub timeout: Duration,
    /// Whether a running guest is stopped, or waited for.
    pub break_in: bool,
}

/// Makes a snapshot and ends the session. What it came to goes to `out`, what
/// happens meanwhile to standard error.
///
/// # Errors
/// When `out` can't be written.
pub async fn run(
    wanted: &Snapshot,
    started: Started,
    out: &mut dyn Write,
) -> std::io::Result<Status> {
    let Started { handle, mut updates, .. } = started;
    let mut face = Face { updates: &mut updates, told: Instant::now() };
    let mut orders = Orders::new()?;
    let (mut status, mut how) = (Status::Failed, Leave::AsIs);
    tokio::select! {
        prepared = face.prepare(wanted, &handle, out) => {
            (status, how) = prepared?;
            if how != Leave::AsIs {
                status = status.max(face.save(wanted, &handle, &mut orders, out).await?);
            }
        }
        order = orders.next() => eprintln!("kgdb-tui: ended by {order}; nothing is saved"),
    }
    let mut left = handle.send(Request::Leave(how));
    if let Ok(Err(failure)) = face.wait(&mut left).await {
        eprintln!("kgdb-tui: leaving the guest: {failure}");
        return Ok(status.max(status_of(&failure)));
    }
    Ok(status)
}

type Reply = Result<Answer, Failure>;

struct Face<'a> {
    updates: &'a mut UnboundedReceiver<Update>,
    told: Instant,
}

impl Face<'_> {
    /// Sees to it that the guest is stopped, and does what is to be done first.
    /// Also tells how the guest is to be left; as it is when there is no stop.
    async fn prepare(
        &mut self,
        wanted: &Snapshot,
        handle: &Handle,
        out: &mut dyn Write,
    ) -> std::io::Result<(Status, Leave)> {
        let batch = Batch {
            commands: vec![Step::of_line("bt")],
            json: false,
            timeout: wanted.timeout,
            leave_stopped: false,
        };
        let state = match wait_until_ready(&batch, self.updates).await {
            Ok(state) => state,
            Err(why) => {
                eprintln!("kgdb-tui: {why}");
                return Ok((Status::NoTarget, Leave::AsIs));
            }
        };
        // It stays stopped when it was: nobody asked to let it run.
        let how = if state.is_stopped() { Leave::Stopped } else { Leave::Detach };
        if let State::Running { what, .. } = &state {
            let stop = match wanted.break_in {
                true => Request::BreakIn,
                false => {
                    eprintln!(
                        "kgdb-tui: {what}; waiting up to {} s for a stop",
                        wanted.timeout.as_secs()
                    );
                    Request::Wait(wanted.timeout)
                }
            };
            if let Err(failure) = self.ask(handle, stop).await {
                eprintln!("kgdb-tui: {failure}");
                return Ok((status_of(&failure), Leave::AsIs));
            }
        }
        let mut status = Status::Good;
        for step in &wanted.commands {
            let result = match parse(&step.text) {
                Ok(Parsed::Request(request)) => self.ask(handle, request.confirmed()).await,
                Ok(Parsed::Nothing) => continue,
                Ok(Parsed::Face(_)) => Err(Failure::Other("only what asks the guest".into())),
                Err(error) => Err(Failure::Other(error.to_string())),
            };
            match result {
                Ok(answer) => writeln!(out, "{}", render::answer(&answer))?,
                Err(failure) => {
                    eprintln!("kgdb-tui: {}: {failure}", step.text);
                    status = status.max(status_of(&failure));
                }
            }
        }
        Ok((status, how))
    }

    async fn save(
        &mut self,
        wanted: &Snapshot,
        handle: &Handle,
        orders: &mut Orders,
        out: &mut dyn Write,
    ) -> std::io::Result<Status> {
        let mut answer = handle.send(Request::Snapshot(wanted.ask.clone()));
        let early = tokio::select! {
            reply = self.wait(&mut answer) => Some(reply),
            order = orders.next() => {
                eprintln!("kgdb-tui: ended by {order}; what is known is saved");
                None
            }
        };
        let reply = match early {
            Some(reply) => reply,
            None => {
                // It ends the work; the answer is what is known.
                drop(handle.send(Request::BreakIn));
                self.wait(&mut answer).await
            }
        };
        match reply.unwrap_or_else(|_| Err(Failure::NoTarget("the session has ended".into()))) {
            Ok(answer) => {
                writeln!(out, "{}", render::answer(&answer))?;
                let whole = matches!(&answer, Answer::Snapshot(saved) if saved.complete);
                Ok(if whole { Status::Good } else { Status::Failed })
            }
            Err(failure) => {
                eprintln!("kgdb-tui: {failure}");
                Ok(status_of(&failure))
            }
        }
    }

    async fn ask(&mut self, handle: &Handle, request: Request) -> Reply {
        let mut answer = handle.send(request);
        self.wait(&mut answer)
            .await
            .unwrap_or_else(|_| Err(Failure::NoTarget("the session has ended".into())))
    }

    /// Waits for an answer and tells what happens meanwhile.
    async fn wait<T>(
        &mut self,
        answer: &mut tokio::sync::oneshot::Receiver<T>,
    ) -> Result<T, tokio::sync::oneshot::error::RecvError> {
        loop {
            tokio::select! {
                biased;
                Some(update) = self.updates.recv() => self.tell(&update),
                answer = &mut *answer => return answer,
            }
        }
    }

    fn tell(&mut self, update: &Update) {
        match update {
            // What it will cost.
            Update::Message(Level::Info, text) => eprintln!("{text}"),
            Update::View(view) => {
                if let Some(working) = &view.working
                    && self.told.elapsed() >= TOLD
                {
                    self.told = Instant::now();
                    eprintln!("{working}");
                }
            }
            other => print_message(other),
        }
    }
}
