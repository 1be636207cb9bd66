//! A record of the line in place of the guest.
//!
//! The stub that a record makes sits inside this program, behind the same link
//! and protocol as a guest's, so everything else works on it as it is. What is
//! different is in here: which stop it is at, going to another one, and what
//! happens when the record is asked for something that it does not have.

use super::{
    answer::{Answer, Failure, StopAnswer},
    control::SIGTRAP,
    hits::Hit,
    replay_view::{ReplayAnswer, ReplayStop, ReplayView},
    request::{Goal, Level},
    run::{Session, Waiter},
    slots::Entry,
    view::{State, StopReason},
    wire::WireEvent,
};
use crate::arch::{Registers, x86_64::X86_64};
use crate::base::{
    addr::Addr,
    memory::{Span, Sparse},
};
use crate::link::{
    Link, Peer,
    endpoint::Endpoint,
    error::LinkError,
    record_reader::{Happening, Reader, RecordError},
};
use crate::rsp::{command::Command, frame::unhex, reply::StopReply};
use crate::target::replay::{
    kept::Reach,
    stub::Stub,
    tape::{TapedStop, Taping},
};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// An open record.
#[derive(Clone)]
pub struct Replay {
    stub: Arc<Mutex<Stub>>,
    file: PathBuf,
    trouble: Option<String>,
}

impl Replay {
    /// Reads a record.
    fn open(path: &Path) -> Result<Replay, RecordError> {
        let mut reader = Reader::open(path)?;
        let mut taping = Taping::default();
        for entry in reader.by_ref() {
            match entry.what {
                Happening::Sent(bytes) => taping.sent(entry.at, &bytes),
                Happening::Received(bytes) => taping.received(entry.at, &bytes),
                Happening::Note(text) => taping.noted(&text),
                Happening::Break => {}
            }
        }
        let tape = taping.finish();
        let troubles = reader.trouble().into_iter().chain(tape.full.map(str::to_owned));
        let trouble = troubles.collect::<Vec<_>>().join("; ");
        Ok(Replay {
            stub: Arc::new(Mutex::new(Stub::new(&X86_64, Arc::new(tape)))),
            file: path.to_owned(),
            trouble: Some(trouble).filter(|trouble| !trouble.is_empty()),
        })
    }

    /// Memory as the program that made the record knew it here.
    pub(super) fn kept(&self, reach: Reach) -> Arc<Sparse> {
        self.stub().kept(reach)
    }

    fn stub(&self) -> MutexGuard<'_, Stub> {
        self.stub.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stub's end of a line.
struct Line(Replay);

impl Peer for Line {
    fn take(&mut self, bytes: &[u8]) {
        self.0.stub().take(bytes);
    }

    fn say(&mut self, buffer: &mut [u8]) -> usize {
        self.0.stub().say(buffer)
    }
}

impl Session {
    /// Opens the line to the guest, or to what a record has of one.
    pub(super) async fn open_line(&mut self, endpoint: &Endpoint) -> Result<Link, LinkError> {
        let Endpoint::Replay(path) = endpoint else { return Link::open(endpoint).await };
        if self.replay.is_none() {
            let file = path.clone();
            // A long record takes a while.
            let read = tokio::task::spawn_blocking(move || Replay::open(&file)).await;
            let wrong = |why: String| LinkError::Record { path: path.clone(), why };
            let replay = read.map_err(|error| wrong(error.to_string()))?;
            let replay = replay.map_err(|error| wrong(error.to_string()))?;
            if let Some(trouble) = &replay.trouble {
                self.say(Level::Warning, format!("the record: {trouble}"));
            }
            if replay.stub().count() == 0 {
                let why = "no stop of a guest is in it, so there is nothing to show".to_string();
                return Err(wrong(why));
            }
            self.replay = Some(replay);
        }
        let replay = self.replay.clone().ok_or_else(|| LinkError::Record {
            path: path.clone(),
            why: "it is not open".into(),
        })?;
        Ok(Link::inside(Box::new(Line(replay)), endpoint.clone()))
    }

    /// Where in a record this is.
    pub(super) fn replay_view(&self) -> Option<ReplayView> {
        let replay = self.replay.as_ref()?;
        let stub = replay.stub();
        Some(ReplayView {
            stop: stub.number(),
            stops: stub.count(),
            seconds: stub.stop().map(|stop| stop.at.as_secs_f64()),
        })
    }

    /// Whether this stop was come to in another way than while the record was
    /// made: then nothing that was under way is.
    pub(super) fn came_another_way(&self) -> bool {
        self.replay.as_ref().is_some_and(|replay| replay.stub().came_another_way())
    }

    /// Whether the record has too little of this stop to show it.
    pub(super) fn is_unseen(&self) -> bool {
        self.replay.as_ref().is_some_and(|replay| {
            let stub = replay.stub();
            !stub.is_over() && !stub.has_registers()
        })
    }

    /// Why the guest stayed stopped here when the record was made.
    pub(super) fn recorded_reason(&self) -> Option<StopReason> {
        let stub = self.replay.as_ref()?.stub();
        let shown = stub.stop()?.shown.as_deref()?;
        let (_, words) = shown.split_once(": ").unwrap_or(("", shown));
        // That is said better when it is known where.
        let words = (!words.starts_with("was stopped")).then(|| words.to_string());
        words.map(StopReason::Found)
    }

    /// Shows a stop that nothing here has led to.
    pub(super) async fn take_recorded_stop(&mut self, stop: StopReply) -> Result<(), Failure> {
        self.journey = None;
        self.new_snapshot(&stop);
        self.note_passed_modules();
        let signal = self.snapshot.as_ref().map_or(SIGTRAP, |snapshot| snapshot.signal);
        (self.points.hardware.entry, self.points.hardware.unbegun) = (Entry::Unknown, None);
        let mut pc = Addr(self.register(self.arch().pc).await?);
        let site = pc.back(self.arch().breakpoint_skid);
        if signal == SIGTRAP && self.points.is_planted(site) {
            pc = site;
            self.write_pc(pc).await?;
            self.points.hardware.entry = Entry::Int3;
        }
        let hit = match signal {
            SIGTRAP => self.breakpoint_hit(pc).await?,
            _ => Hit::Nothing,
        };
        let reason = match hit {
            Hit::Stop(reason) => reason,
            Hit::Nothing | Hit::Passed => {
                if let Some(replay) = &self.replay {
                    self.hidden = replay.stub().stop().map_or(0, |stop| stop.outside);
                }
                self.recorded_reason().unwrap_or_else(|| self.foreign_stop(&stop))
            }
        };
        self.settle(reason).await
    }

    /// Notes the unloads on the way to this stop: at each the guest was caught, and
    /// what earlier stops tell of that module counts no more.
    fn note_passed_modules(&mut self) {
        let Some(replay) = &self.replay else { return };
        let argument = self.arch().def(self.arch().first_argument).number as u8;
        let passed = replay.stub().passed(argument);
        let symbols = self.guest_symbols();
        for (pc, argument) in passed {
            self.watch.passed(&symbols, pc, Addr(argument));
        }
    }

    /// Goes from a stop that can't be shown to the next one that can.
    pub(super) async fn replay_on(&mut self) -> Result<(), Failure> {
        let Some(replay) = &self.replay else { return Ok(()) };
        replay.stub().leap();
        self.journey = None;
        self.resume_with(Command::Continue, "the record goes on").await
    }

    /// What is to be said when the last stop of a record is over.
    pub(super) fn end_of_record(&mut self) -> Option<Failure> {
        let stub = self.replay.as_ref()?.stub();
        if !stub.is_over() {
            return None;
        }
        let count = stub.count();
        drop(stub);
        let goes = if count == 1 {
            "replay 1 goes back to its only stop".to_string()
        } else {
            format!("replay 1 to {count} go back to its stops")
        };
        if let State::Running { what, .. } = &mut self.state {
            *what = "end of the record".into();
        }
        self.touch_now();
        Some(Failure::Other(format!("the record ends here, the guest ran on; {goes}")))
    }

    /// Goes to a stop of the record.
    pub(super) async fn replay_to(&mut self, goal: Goal, reply: Waiter) {
        let result = self.go_to_stop(goal).await;
        let stop = self.stop.as_ref().filter(|_| self.state.is_stopped());
        let answer = stop.map(|stop| Answer::Stop { stop: Box::new(StopAnswer::of(stop)) });
        let _ = reply.send(result.and_then(|()| answer.ok_or(Failure::Running)));
    }

    async fn go_to_stop(&mut self, goal: Goal) -> Result<(), Failure> {
        let Some(replay) = self.replay.clone() else { return Err(no_record()) };
        let (at, count, is_over) = {
            let stub = replay.stub();
            (stub.number(), stub.count(), stub.is_over())
        };
        let number = match goal {
            Goal::Number(number) => number,
            // Behind the last stop is the end.
            Goal::By(by) => (at + usize::from(is_over)).saturating_add_signed(by as isize),
        };
        if !(1..=count).contains(&number) {
            return Err(Failure::Other(format!(
                "there is no stop {number}, the record has {count}; info replay lists them"
            )));
        }
        if number <= at || is_over {
            // The stops come in their order, as they did then: what was read at
            // an earlier one is known at a later one.
            self.fail_waiters(&Failure::Cancelled);
            self.start_over().await;
            replay.stub().rewind();
            self.connect().await;
        }
        while replay.stub().number() < number {
            self.need_stopped()?;
            self.journey = None;
            replay.stub().leap();
            self.resume_with(Command::Continue, "replay").await?;
            loop {
                match self.wire.event().await {
                    WireEvent::Stop(stop) => {
                        self.take_recorded_stop(stop).await?;
                        break;
                    }
                    WireEvent::Console(text) => self.show_console(text),
                    WireEvent::Closed(why) => return Err(Failure::NoTarget(why)),
                    WireEvent::Exited(_)
                    | WireEvent::ResumeRefused(_)
                    | WireEvent::DamagedStop
                    | WireEvent::StopLost => {}
                }
            }
            while self.state.is_stopped() && self.has_modules_to_place() {
                self.module_round().await;
            }
        }
        self.need_stopped()
    }

    /// The stops of the record (`info replay`).
    pub(super) fn replay_answer(&self) -> Result<Answer, Failure> {
        let Some(replay) = &self.replay else { return Err(no_record()) };
        let symbols = self.guest_symbols();
        let stub = replay.stub();
        let stops = stub.stops().enumerate().map(|(index, stop)| {
            let pc = pc_of(stop);
            ReplayStop {
                number: index + 1,
                seconds: stop.at.as_secs_f64(),
                reason: stop.shown.as_deref().map(|shown| {
                    shown.split_once(": ").map_or(shown, |(_, words)| words).to_string()
                }),
                pc,
                function: pc.and_then(|pc| symbols.describe(pc)),
                asked: stop.asked.clone(),
            }
        });
        let stops = stops.collect();
        Ok(Answer::Replay(Box::new(ReplayAnswer {
            file: replay.file.clone(),
            notes: stub.tape().notes.clone(),
            stop: (!stub.is_over()).then(|| stub.number()),
            stops,
            trouble: replay.trouble.clone(),
        })))
    }

    /// Reads those bytes of a span that the record has, and notes that the
    /// others can't be had. False when the span is a guest's to refuse.
    pub(super) async fn read_recorded(&mut self, span: Span) -> Result<bool, Failure> {
        let Some(replay) = self.replay.clone() else { return Ok(false) };
        let Some(known) = replay.stub().known_in(span) else { return Ok(false) };
        let mut at = span.start;
        let end = span.start.offset(span.len);
        for part in known.into_iter().chain([Span::new(end, 0)]) {
            let lacking = Span::new(at, part.start.since(at));
            if let Some(snapshot) = &mut self.snapshot {
                snapshot.memory.insert_unrecorded(lacking);
            }
            at = part.start.offset(part.len);
            if part.len > 0
                && let Some(bytes) = self.read(part).await?
            {
                self.remember(part.start, &bytes);
            }
        }
        Ok(true)
    }
}

/// The answer to what is about a record when there is none.
fn no_record() -> Failure {
    Failure::Other("no record is replayed here; start with --replay FILE".into())
}

fn pc_of(stop: &TapedStop) -> Option<Addr> {
    let registers = stop.exchanges.iter().find(|exchange| exchange.request == b"g")?;
    Registers::from_g(&X86_64, &unhex(&registers.reply)?).pc()
}
