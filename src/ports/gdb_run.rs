//! How a gdb lets the guest run: its `c`, `s` and breakpoints are requests to the
//! session like those of the screen, which alone knows how to get off a site, how to
//! stay with a task, and what must not be planted.
//!
//! gdb takes its breakpoints out whenever the guest stops, and puts them in again
//! when it goes on; here they stay until gdb goes on without them.

use crate::base::addr::Addr;
use crate::session::{
    answer::{Answer, Failure, StopAnswer},
    request::{BreakKind, Breaking, Means, Request, Step, WeakHandle, When},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::sync::oneshot;

/// A breakpoint of gdb's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    /// Whether it is one of a debug register.
    pub hardware: bool,
    /// Where.
    pub addr: u64,
}

/// What comes from the session for a request that takes long.
type Awaited = oneshot::Receiver<Result<Answer, Failure>>;

/// An answer to what gdb waits for, or to its Ctrl-C; `None` at the end of the
/// session.
pub(super) enum Arrived {
    Resumed(Option<Result<Answer, Failure>>),
    Interrupted(Option<Result<Answer, Failure>>),
}

/// What happened while gdb waited.
pub(super) enum Came {
    /// The guest stopped.
    Stop(Box<StopAnswer>),
    /// It did not run, or no longer does, and gdb is to be told why.
    Failed(String),
    /// Nothing but words for the user.
    Words(String),
    /// There is no guest to be seen.
    Gone,
    /// The session is over.
    Over,
}

/// What of the guest's running is gdb's doing.
#[derive(Default)]
pub(super) struct Running {
    /// The stop that gdb knows.
    pub generation: u64,
    /// Breakpoints that gdb wants, as far as it said.
    wanted: BTreeSet<Point>,
    /// The session's numbers of those that it has.
    set: BTreeMap<Point, u32>,
    resumed: Option<Awaited>,
    interrupted: Option<Awaited>,
}

impl Running {
    /// Whether gdb waits for a stop.
    pub fn is_under_way(&self) -> bool {
        self.resumed.is_some()
    }

    /// Whether gdb has a breakpoint there.
    pub fn point_at(&self, addr: Addr) -> Option<Point> {
        self.set.keys().find(|point| point.addr == addr.0).copied()
    }

    /// Notes which stop the guest is at. False when it is at none; `None` at the end
    /// of the session.
    pub async fn look(&mut self, session: &WeakHandle) -> Option<bool> {
        let now = generation(session).await?;
        self.generation = now.unwrap_or_default();
        Some(now.is_some())
    }

    /// Whether the guest is at another stop than the one that gdb knows, or at none.
    pub async fn is_past(&self, session: &WeakHandle) -> Option<bool> {
        Some(generation(session).await? != Some(self.generation))
    }

    /// `Z`. Says why there can't be one.
    pub async fn insert(
        &mut self,
        session: &WeakHandle,
        point: Point,
    ) -> Option<Result<(), String>> {
        self.wanted.insert(point);
        if self.set.contains_key(&point) {
            return Some(Ok(()));
        }
        let means = if point.hardware { Means::Hardware } else { Means::Software };
        let asked = Request::Break(Breaking {
            kind: BreakKind::Kept,
            means,
            location: format!("*{:#x}", point.addr),
            when: When::default(),
            forced: false,
        });
        let breakpoints = match session.ask(asked).await? {
            Ok(Answer::Breakpoints { breakpoints, .. }) => breakpoints,
            // gdb can't be asked; the user can be told.
            Ok(Answer::Confirm { effect, allow }) => {
                let how = allow.map(|(name, value)| format!(" ('set {name} {value}' allows it)"));
                return Some(Err(format!("{effect}{}", how.unwrap_or_default())));
            }
            Ok(_) => Vec::new(),
            Err(failure) => return Some(Err(failure.to_string())),
        };
        let Some(made) = breakpoints.last() else {
            return Some(Err("the breakpoint was not made".into()));
        };
        if made.state == "refused" {
            session.ask(Request::Delete(vec![made.number])).await?.ok();
            return Some(Err(made.why.clone().unwrap_or_else(|| "it is refused".into())));
        }
        self.set.insert(point, made.number);
        Some(Ok(()))
    }

    /// `z`.
    pub fn remove(&mut self, point: Point) {
        self.wanted.remove(&point);
    }

    /// `c` and `s`.
    pub async fn resume(&mut self, session: &WeakHandle, single: bool) -> Option<()> {
        let unwanted: Vec<Point> =
            self.set.keys().filter(|point| !self.wanted.contains(point)).copied().collect();
        self.delete(session, &unwanted).await?;
        let request = match single {
            true => Request::Step(Step::Instruction, 1),
            false => Request::Continue,
        };
        self.resumed = Some(session.send(request)?);
        Some(())
    }

    /// Ctrl-C.
    pub fn interrupt(&mut self, session: &WeakHandle) -> Option<()> {
        if self.is_under_way() {
            self.interrupted = Some(session.send(Request::BreakIn)?);
        }
        Some(())
    }

    /// Waits for what comes next; for ever when gdb waits for nothing. Nothing is lost
    /// when that is given up.
    pub async fn next(&mut self) -> Arrived {
        tokio::select! {
            biased;
            answer = arrives(&mut self.resumed) => Arrived::Resumed(answer),
            answer = arrives(&mut self.interrupted) => Arrived::Interrupted(answer),
        }
    }

    /// What that means.
    pub async fn came(&mut self, arrived: Arrived, session: &WeakHandle) -> Came {
        let answer = match arrived {
            Arrived::Resumed(answer) => answer,
            Arrived::Interrupted(Some(Err(failure))) => return Came::Words(failure.to_string()),
            Arrived::Interrupted(Some(Ok(_))) => return Came::Words(String::new()),
            Arrived::Interrupted(None) => return Came::Over,
        };
        self.interrupted = None;
        match answer {
            None => Came::Over,
            Some(Ok(Answer::Stop { stop })) => {
                self.generation = stop.generation;
                Came::Stop(stop)
            }
            Some(Ok(_)) => Came::Gone,
            Some(Err(failure)) => match generation(session).await {
                None => Came::Over,
                Some(Some(now)) => {
                    self.generation = now;
                    Came::Failed(failure.to_string())
                }
                Some(None) => Came::Gone,
            },
        }
    }

    /// gdb is gone: nothing of it stays.
    pub async fn leave(&mut self, session: &WeakHandle) {
        let all: Vec<Point> = self.set.keys().copied().collect();
        let _ = self.delete(session, &all).await;
    }

    async fn delete(&mut self, session: &WeakHandle, points: &[Point]) -> Option<()> {
        let numbers: Vec<u32> = points.iter().filter_map(|point| self.set.remove(point)).collect();
        // None would mean all of them.
        if !numbers.is_empty() {
            // The user may have deleted them.
            session.ask(Request::Delete(numbers)).await?.ok();
        }
        Some(())
    }
}

/// What comes for a request, which is over then.
async fn arrives(awaited: &mut Option<Awaited>) -> Option<Result<Answer, Failure>> {
    match awaited {
        Some(answer) => {
            let came = answer.await.ok();
            *awaited = None;
            came
        }
        None => std::future::pending().await,
    }
}

/// Which stop the guest is at now; `None` inside when it is at none.
async fn generation(session: &WeakHandle) -> Option<Option<u64>> {
    Some(match session.ask(Request::Wait(Duration::ZERO)).await? {
        Ok(Answer::Stop { stop }) => Some(stop.generation),
        _ => None,
    })
}
