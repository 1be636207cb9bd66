//! Finding out what listens.
//!
//! A line just opened may lead to a kernel that waits at a kdb prompt, one
//! whose stop packet has waited for its ack since yesterday, a running one
//! whose shell echoes what it gets, nothing, or a web server. The knock
//! listens first, then asks `?` once. `?` removes all breakpoints in the stub,
//! and on a running kernel it lands on the console, so it is sent once for each
//! time the user asks to connect, and again only when a kdb prompt shows that
//! it is welcome.
//!
//! It stands above [`Client`](crate::rsp::client::Client): tell it every event
//! with [`Knock::observe`], do what [`Knock::step`] says.

use std::time::{Duration, Instant};

use crate::{
    rsp::{
        client::{Event, RequestError},
        command::Command,
        reply::{Reply, ReplyError, StopReply},
        thread::ThreadId,
        timing::Timing,
    },
    target::console::{KdbEntry, PAGER_QUIT, Sign, Watcher, stranger},
};

/// How long the line must be silent before the question.
const LISTEN: Duration = Duration::from_millis(150);

/// How long a talkative line is listened to.
const LISTEN_LONGEST: Duration = Duration::from_secs(2);

/// How often `?` is sent, however many prompts there are.
const MOST_QUESTIONS: u8 = 3;

/// How much text is kept to judge the line.
const KEPT: usize = 512;

/// Erases the question where a shell or login echoed it, and leaves what was
/// half typed there before: one DEL (`VERASE`) for each byte of `$?#3f`.
pub const ERASE_QUESTION: &[u8] = b"\x7f\x7f\x7f\x7f\x7f";

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Wait for events, but not longer than this.
    ListenUntil(Instant),
    /// Send this request.
    Send(Command),
    /// Send these bytes as they are: an answer to kdb.
    Type(&'static [u8]),
    /// Wait for the answer: the client has the time limit.
    Wait,
    /// It is known.
    Done(Verdict),
}

/// What listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A stopped kernel answered at once. Its breakpoints are gone.
    Stopped {
        /// Signal number, 5 for most.
        signal: u8,
    },
    /// A stopped kernel at a kdb prompt, which gave way to us. Its breakpoints
    /// are gone.
    StoppedByKdb {
        /// Signal number.
        signal: u8,
        /// What kdb said when it took over, when we saw it.
        entry: Option<KdbEntry>,
    },
    /// A stopped kernel whose stop packet was waiting for an ack.
    PendingStop {
        /// Signal number.
        signal: u8,
        /// Who was running.
        thread: Option<ThreadId>,
        /// Whether `?` was sent, so that its breakpoints are gone. If not,
        /// those of an earlier connection are still planted.
        wiped: bool,
    },
    /// A running kernel, or nobody: break in, or wait for it to stop.
    Running(Evidence),
    /// Bytes come, but they are not text: the rate is wrong.
    WrongBaud,
    /// A stub of something else: QEMU's own, gdbserver.
    OtherStub {
        /// What it said.
        answer: String,
    },
    /// A stopped kernel that lets no debugger at itself. Whether it is in kdb,
    /// which keeps it stopped.
    LockedDown {
        /// Whether a kdb prompt was seen.
        kdb: bool,
    },
    /// Something that is no stub at all.
    NotAStub {
        /// What it is.
        what: &'static str,
    },
}

/// Why the kernel is believed to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// Nothing came. A kernel whose tty nobody has open keeps the question and
    /// answers it when it stops.
    Silence,
    /// Console text came, but no answer.
    Console,
    /// The question came back: a shell or login has the line. Do not ask
    /// again by yourself, every question is a line of junk there.
    Echo,
}

impl Verdict {
    /// Whether requests can be sent now.
    pub fn is_stopped(&self) -> bool {
        matches!(
            self,
            Verdict::Stopped { .. } | Verdict::StoppedByKdb { .. } | Verdict::PendingStop { .. }
        )
    }
}

impl std::fmt::Display for Verdict {
    /// What was found and what to do.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Verdict::Stopped { .. } => "the kernel is stopped",
            Verdict::StoppedByKdb { .. } => "the kernel is stopped, kdb gave the line to us",
            Verdict::PendingStop { .. } => "the kernel is stopped and was waiting for a debugger",
            Verdict::Running(Evidence::Silence) => {
                "no answer: the kernel runs, or the guest is off, or the rate is wrong; break in or wait"
            }
            Verdict::Running(Evidence::Console) => {
                "the kernel runs, this is its console; break in or wait"
            }
            Verdict::Running(Evidence::Echo) => {
                "the kernel runs, a shell or login has the line; break in or wait"
            }
            Verdict::WrongBaud => "bytes come, but no text: the baud rate is wrong",
            Verdict::OtherStub { answer } => {
                return write!(
                    f,
                    "a debug stub answers, but not kgdb's (`{answer}`): QEMU's or gdbserver's?"
                );
            }
            Verdict::LockedDown { .. } => return Sign::LockedDown.fmt(f),
            Verdict::NotAStub { what } => {
                return write!(f, "this is {what}, not a kernel's serial line, check the address");
            }
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    Listening,
    Ask(Command),
    Waiting,
    Done(Verdict),
}

/// The state of one attempt.
#[derive(Debug)]
pub struct Knock {
    stage: Stage,
    started: Instant,
    ask_at: Instant,
    listen: Duration,
    watcher: Watcher,
    text: Vec<u8>,
    prompt: bool,
    entry: Option<KdbEntry>,
    pending: Option<(u8, Option<ThreadId>)>,
    /// How often `?` was sent.
    questions: u8,
    /// A prompt came after the last question.
    welcome: bool,
    /// kdb waits at the end of a page.
    paged: bool,
}

impl Knock {
    /// The user asked to connect: listens, then asks.
    pub fn new(now: Instant, timing: Timing) -> Knock {
        let listen = LISTEN + timing.latency;
        Knock {
            stage: Stage::Listening,
            started: now,
            ask_at: now + listen,
            listen,
            watcher: Watcher::default(),
            text: Vec::new(),
            prompt: false,
            entry: None,
            pending: None,
            questions: 0,
            welcome: false,
            paged: false,
        }
    }

    /// A kdb prompt, or kgdb's word that it waits, was seen on the console. Also
    /// listens first: a question that was sent while the kernel ran may be
    /// answered by itself now, and two would mix.
    pub fn at_prompt(now: Instant, timing: Timing, entry: Option<KdbEntry>) -> Knock {
        Knock { prompt: true, entry, ..Knock::new(now, timing) }
    }

    /// What to do now.
    pub fn step(&mut self, now: Instant) -> Step {
        if std::mem::take(&mut self.paged) {
            return Step::Type(PAGER_QUIT);
        }
        if self.stage == Stage::Listening {
            if let Some((signal, thread)) = self.pending {
                self.done(Verdict::PendingStop { signal, thread, wiped: false });
            } else if now >= self.ask_at {
                self.stage = Stage::Ask(Command::HaltReason);
            }
        }
        match &self.stage {
            Stage::Listening => Step::ListenUntil(self.ask_at),
            Stage::Ask(command) => {
                let command = command.clone();
                self.questions += u8::from(command == Command::HaltReason);
                self.welcome = false;
                self.stage = Stage::Waiting;
                Step::Send(command)
            }
            Stage::Waiting => Step::Wait,
            Stage::Done(verdict) => Step::Done(verdict.clone()),
        }
    }

    /// Something happened. Then ask [`Knock::step`] again.
    pub fn observe(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Stop(StopReply::Thread { signal, thread }) => {
                self.pending = Some((*signal, *thread));
            }
            // The answer to a question that an earlier connection left behind.
            Event::Stop(StopReply::Signal { signal }) => self.answered(*signal),
            Event::Console(text) | Event::Output(text) | Event::DamagedStop(text) => {
                self.console(text, now);
            }
            Event::Reply { reply, .. } => self.reply(reply),
            Event::Failed { error, .. } => self.failed(error, now),
            Event::Stop(_) | Event::Exited { .. } | Event::ResumeRefused(_) | Event::StopLost => {}
        }
    }

    /// The text that came so far, the newest 512 bytes.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    fn done(&mut self, verdict: Verdict) {
        self.stage = Stage::Done(verdict);
    }

    fn console(&mut self, text: &[u8], now: Instant) {
        self.text.extend_from_slice(text);
        self.text.drain(..self.text.len().saturating_sub(KEPT));
        for sign in self.watcher.feed(text) {
            match sign {
                Sign::KdbEntered(entry) => self.entry = Some(entry),
                Sign::KdbPrompt { .. } | Sign::Waiting => {
                    self.prompt = true;
                    self.welcome = true;
                }
                Sign::KdbPager => self.paged = true,
                // It comes when the stub is to be entered, and kdb goes on
                // (`kgdb_cpu_enter` in kernel/debug/debug_core.c).
                Sign::LockedDown => self.done(Verdict::LockedDown { kdb: self.prompt }),
                Sign::Stranger(what) => self.done(Verdict::NotAStub { what }),
                _ => {}
            }
        }
        self.ask_at = (now + self.listen).min(self.started + LISTEN_LONGEST).max(self.ask_at);
    }

    fn answered(&mut self, signal: u8) {
        let entry = self.entry.take();
        self.done(match self.pending {
            Some((signal, thread)) => Verdict::PendingStop { signal, thread, wiped: true },
            None if self.prompt || entry.is_some() => Verdict::StoppedByKdb { signal, entry },
            None => Verdict::Stopped { signal },
        });
    }

    fn reply(&mut self, reply: &Result<Reply, ReplyError>) {
        match reply {
            Ok(Reply::Stop(StopReply::Signal { signal })) => {
                self.answered(*signal);
            }
            // kgdb answers `?` with `S`, never with `T` (`gdb_cmd_status`).
            Ok(Reply::Stop(StopReply::Thread { .. })) => {
                self.stage = Stage::Ask(Command::Supported);
            }
            Ok(Reply::Text(features)) => {
                let features = String::from_utf8_lossy(features);
                let answer = features.chars().take(60).collect();
                self.done(Verdict::OtherStub { answer });
            }
            Ok(reply) => {
                let answer = format!("{reply:?}").chars().take(60).collect();
                self.done(Verdict::OtherStub { answer });
            }
            Err(error) => self.done(Verdict::OtherStub { answer: error.to_string() }),
        }
    }

    fn failed(&mut self, error: &RequestError, now: Instant) {
        // The kernel stopped just when it was asked.
        if self.welcome && self.questions < MOST_QUESTIONS {
            self.ask_at = now + self.listen;
            self.stage = Stage::Listening;
            return;
        }
        let verdict = match (error, self.pending) {
            (RequestError::Echoed { .. }, _) => Verdict::Running(Evidence::Echo),
            (_, Some((signal, thread))) => {
                Verdict::PendingStop { signal, thread, wiped: self.questions > 0 }
            }
            _ => self.judge_text(),
        };
        self.done(verdict);
    }

    fn judge_text(&self) -> Verdict {
        let text = String::from_utf8_lossy(&self.text);
        if let Some(what) = text.lines().find_map(stranger) {
            return Verdict::NotAStub { what };
        }
        let odd = |byte: &&u8| !matches!(byte, b' '..=b'~' | b'\r' | b'\n' | b'\t' | 0x1b | 8 | 7);
        let (odd, all) = (self.text.iter().filter(odd).count(), self.text.len());
        match all {
            0 => Verdict::Running(Evidence::Silence),
            4.. if odd * 3 > all => Verdict::WrongBaud,
            _ if text.contains("$?#") => Verdict::Running(Evidence::Echo),
            _ => Verdict::Running(Evidence::Console),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rsp::{client::Client, frame::encode};

    /// The guest's end: gives what comes back for what is sent.
    fn knock(before: &[u8], mut answer: impl FnMut(&[u8]) -> Vec<u8>) -> (Verdict, Vec<u8>) {
        let timing = Timing::default();
        let mut now = Instant::now();
        let mut client = Client::new(timing);
        let mut knock = Knock::new(now, timing);
        let mut sent = Vec::new();
        client.receive(before, now);
        for _ in 0..1000 {
            while let Some(event) = client.poll() {
                knock.observe(&event, now);
            }
            let until = match knock.step(now) {
                Step::Done(verdict) => {
                    sent.extend(std::iter::from_fn(|| client.poll_transmit()).flatten());
                    return (verdict, sent);
                }
                Step::Send(command) => {
                    client.send(command, now).unwrap();
                    None
                }
                Step::Type(bytes) => {
                    sent.extend(bytes);
                    client.receive(&answer(bytes), now);
                    continue;
                }
                Step::ListenUntil(until) => Some(until),
                Step::Wait => None,
            };
            let mut came = Vec::new();
            while let Some(bytes) = client.poll_transmit() {
                came.extend(answer(&bytes));
                sent.extend(bytes);
            }
            if came.is_empty() {
                now = [until, client.poll_timeout()].into_iter().flatten().min().unwrap();
                client.timeout(now);
            } else {
                client.receive(&came, now);
            }
        }
        panic!("the knock does not end");
    }

    fn to_question(reply: &'static [u8]) -> impl FnMut(&[u8]) -> Vec<u8> {
        move |sent| if sent == b"$?#3f" { reply.to_vec() } else { Vec::new() }
    }

    #[test]
    fn a_stopped_kernel() {
        let (verdict, sent) = knock(b"", to_question(b"+$S05#b8"));
        assert_eq!(verdict, Verdict::Stopped { signal: 5 });
        assert_eq!(sent, b"$?#3f+");
    }

    #[test]
    fn a_kdb_prompt() {
        let banner = b"\r\nEntering kdb (current=0xffff8880, pid 1) on processor 0 due to Keyboard Entry\r\n[0]kdb> ";
        let (verdict, _) = knock(banner, to_question(b"+$S05#b8"));
        let Verdict::StoppedByKdb { signal: 5, entry: Some(entry) } = verdict else {
            panic!("{verdict:?}")
        };
        assert_eq!(entry.reason, "Keyboard Entry");
    }

    #[test]
    fn a_kernel_that_is_locked_down() {
        let banner =
            b"Entering kdb (current=0x1, pid 1) on processor 0 due to Keyboard Entry\r\n[0]kdb> ";
        let (verdict, _) = knock(banner, |sent| {
            match sent {
            b"$?#3f" => b"Lockdown: sh: use of kgdb/kdb to write kernel RAM is restricted; see man kernel_lockdown.7\r\n[0]kdb> ".to_vec(),
            _ => Vec::new(),
        }
        });
        assert_eq!(verdict, Verdict::LockedDown { kdb: true });
    }

    #[test]
    fn kdb_at_the_end_of_a_page() {
        let page = b"Call Trace:\r\nHgfsForgetFile+0x25\r\nmore> ";
        let (verdict, sent) = knock(page, |sent| match sent {
            b"q" => b"\r\n[1]kdb> ".to_vec(),
            b"$?#3f" => b"+$S0b#e5".to_vec(),
            _ => Vec::new(),
        });
        assert_eq!(verdict, Verdict::StoppedByKdb { signal: 11, entry: None });
        assert_eq!(sent, b"q$?#3f+");
    }

    #[test]
    fn a_stop_packet_that_comes_while_listening() {
        let before = [b"x\r\n".to_vec(), encode(b"T05thread:01f4;")].concat();
        let (verdict, sent) = knock(&before, |_| Vec::new());
        let thread = Some(ThreadId(500));
        assert_eq!(verdict, Verdict::PendingStop { signal: 5, thread, wiped: false });
        assert_eq!(sent, b"+", "acknowledged, and not asked");
    }

    #[test]
    fn a_stop_that_waits_for_its_ack() {
        let mut asked = 0;
        let (verdict, sent) = knock(b"", |sent| match sent {
            b"$?#3f" => {
                asked += 1;
                if asked == 1 { b"-".to_vec() } else { b"+$S05#b8".to_vec() }
            }
            _ => Vec::new(),
        });
        assert_eq!(verdict, Verdict::Stopped { signal: 5 });
        assert_eq!(sent, b"$?#3f$?#3f+");
    }

    #[test]
    fn a_kernel_that_stops_while_it_is_asked() {
        let mut asked = 0;
        let (verdict, sent) = knock(b"", |sent| match sent {
            b"$?#3f" => {
                asked += 1;
                if asked == 1 { b"\r\n[1]kdb> #3f".to_vec() } else { b"$?#3f\r\n+$S05#b8".to_vec() }
            }
            _ => Vec::new(),
        });
        assert_eq!(verdict, Verdict::StoppedByKdb { signal: 5, entry: None });
        assert_eq!(sent, b"$?#3f$?#3f+");
    }

    #[test]
    fn running_kernels_are_asked_once() {
        for (reply, evidence) in [
            (&b""[..], Evidence::Silence),
            (b"$?#3f", Evidence::Echo),
            (b"\x1b[6n$?#3\x08 f", Evidence::Echo),
            (b"[ 12.0] eth0: link up\r\n", Evidence::Console),
        ] {
            let (verdict, sent) = knock(b"", to_question(reply));
            assert_eq!(verdict, Verdict::Running(evidence));
            assert_eq!(sent, b"$?#3f", "{}", reply.escape_ascii());
        }
    }

    #[test]
    fn things_that_are_no_kgdb() {
        let (verdict, _) = knock(b"", to_question(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        assert_eq!(verdict, Verdict::NotAStub { what: "a web server" });
        let (verdict, sent) = knock(b"SSH-2.0-OpenSSH_9.2p1\r\n", |_| Vec::new());
        assert_eq!((verdict, &sent[..]), (Verdict::NotAStub { what: "an ssh server" }, &b""[..]));
        let (verdict, _) = knock(b"", to_question(b"\xf0\x00\x8f\xe0\x80\xff"));
        assert_eq!(verdict, Verdict::WrongBaud);
        let (verdict, _) = knock(b"", |sent| match sent {
            b"$?#3f" => [b"+".to_vec(), encode(b"T05thread:01;")].concat(),
            b"$qSupported#37" => [b"+".to_vec(), encode(b"PacketSize=1000")].concat(),
            _ => Vec::new(),
        });
        assert!(matches!(verdict, Verdict::OtherStub { answer } if answer == "PacketSize=1000"));
    }

    #[test]
    fn every_verdict_says_something() {
        for evidence in [Evidence::Silence, Evidence::Console, Evidence::Echo] {
            assert!(Verdict::Running(evidence).to_string().contains("break in or wait"));
        }
    }
}
