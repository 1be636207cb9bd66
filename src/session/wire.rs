//! The pump between the link's bytes and the protocol's state machine: the
//! only place that waits for the wire.

use super::{
    asked::{AllAsked, Asked},
    packets::Packets,
    request::{Level, Update},
    typed::Typed,
    view::Cost,
};
use crate::link::{Link, error::LinkError, record::Recorder};
use crate::rsp::{
    client::{Client, Event, Mode, RequestError, SendError},
    command::{Command, MAX_READ},
    reply::{Reply, ReplyError, StopReply, StubError},
    timing::{Pace, Timing},
};
use crate::target::reads::{READ_IN_NOISE, spares_bytes, worth_merging};
use futures_util::FutureExt;
use std::{
    collections::VecDeque,
    io,
    time::{Duration, Instant},
};
use thiserror::Error;
use tokio::sync::mpsc::UnboundedSender;

/// What happens on the line without being asked for.
#[derive(Debug)]
pub enum WireEvent {
    /// The guest stopped.
    Stop(StopReply),
    /// The guest goes down (1 restart, 2 halt, 3 power off).
    Exited(u8),
    /// Text of the guest.
    Console(Vec<u8>),
    /// The stub did not do the `c` or `s` it had acknowledged.
    ResumeRefused(StubError),
    /// Something like a stop packet, damaged.
    DamagedStop,
    /// A stop that the stub does not repeat.
    StopLost,
    /// The other end closed the link, or it broke.
    Closed(String),
}

/// Why a request has no answer.
#[derive(Debug, Error)]
pub enum WireError {
    /// The stub refused it, or does not know it.
    #[error(transparent)]
    Reply(#[from] ReplyError),
    /// No answer came.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// It could not be sent now.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The link is gone.
    #[error("the link is lost: {0}")]
    Closed(String),
}

impl WireError {
    /// The stub's error number, when the stub refused.
    pub fn errno(&self) -> Option<u8> {
        match self {
            WireError::Reply(ReplyError::Refused(error)) => Some(error.errno),
            _ => None,
        }
    }
}

/// A link with the protocol's client on it.
pub struct Wire {
    link: Option<Link>,
    client: Client,
    events: VecDeque<WireEvent>,
    output: Vec<u8>,
    /// Bytes of text among the events.
    kept_text: usize,
    text_left_out: bool,
    /// Who is told that an answer is long in coming.
    tell: Option<UnboundedSender<Update>>,
    /// Time spent waiting for answers.
    waited: Duration,
    /// Bytes received while waiting for answers, for the rate.
    answered: u64,
    /// What exchanges took on this link.
    pace: Pace,
    log: Packets,
    asked: AllAsked,
    typed: Typed,
}

impl Wire {
    /// No link yet.
    pub fn new() -> Wire {
        Wire {
            link: None,
            client: Client::new(Timing::default()),
            events: VecDeque::new(),
            output: Vec::new(),
            kept_text: 0,
            text_left_out: false,
            tell: None,
            waited: Duration::ZERO,
            answered: 0,
            pace: Pace::default(),
            log: Packets::default(),
            asked: AllAsked::default(),
            typed: Typed::default(),
        }
    }

    /// Takes a link just opened.
    pub fn attach(&mut self, link: Link) {
        self.client.reconnected();
        // Only a tty tells its rate; behind a socket it is nearly always this.
        self.client.set_timing(link.baud().map_or_else(Timing::default, Timing::for_baud));
        self.events.clear();
        self.pace = Pace::default();
        self.typed = Typed::new(link.baud());
        self.link = Some(link);
    }

    /// Closes the link. The record of the line comes back, to go on with on
    /// the next one.
    pub fn close(&mut self) -> Option<Recorder> {
        self.link.take().and_then(|mut link| link.take_recorder())
    }

    /// What was asked at this stop besides memory.
    pub fn kept(&self) -> &[Asked] {
        self.asked.all()
    }

    /// The record of the line, for notes in it.
    pub fn recorder(&mut self) -> Option<&mut Recorder> {
        self.link.as_mut().and_then(Link::recorder)
    }

    /// Whether there is a link.
    pub fn is_open(&self) -> bool {
        self.link.is_some()
    }

    /// The protocol's state.
    pub fn mode(&self) -> Mode {
        self.client.mode()
    }

    /// Direct access for the knock, which speaks before the mode is known.
    pub fn client(&mut self) -> &mut Client {
        &mut self.client
    }

    /// The log of what went over it.
    pub fn log(&mut self) -> &mut Packets {
        self.take_traffic();
        &mut self.log
    }

    fn take_traffic(&mut self) {
        while let Some(traffic) = self.client.poll_traffic() {
            self.log.traffic(traffic);
        }
    }

    /// What the link cost so far.
    pub fn cost(&self) -> Cost {
        let meter = self.client.meter();
        Cost { tx: meter.tx, rx: meter.rx, packets: meter.packets_sent, time: self.waited }
    }

    /// Whether damage was seen lately.
    pub fn is_noisy(&self) -> bool {
        self.client.is_noisy()
    }

    /// What an exchange takes beside its bytes, as far as that is known.
    pub fn latency(&self) -> Option<Duration> {
        self.pace.latency()
    }

    /// How many bytes are cheaper to read along than to ask once more for.
    pub fn worth_merging(&self) -> u64 {
        worth_merging(self.pace.latency_in_bytes())
    }

    /// Whether bytes are dearer than requests on this line.
    pub fn spares_bytes(&self) -> bool {
        spares_bytes(self.pace.latency_in_bytes())
    }

    /// How many bytes one read had better ask for.
    pub fn most_at_once(&self) -> usize {
        if self.is_noisy() { READ_IN_NOISE } else { MAX_READ }
    }

    /// Requests sent again, and packets with a wrong checksum.
    pub fn troubles(&self) -> (u64, u64) {
        let meter = self.client.meter();
        (meter.resends, meter.bad_checksums)
    }

    /// Received bytes a second while answers were under way.
    pub fn rate(&self) -> u64 {
        let seconds = self.waited.as_secs_f64();
        if seconds > 0.0 { (self.answered as f64 / seconds) as u64 } else { 0 }
    }

    /// Sends one request and waits for its answer. What else happens on the
    /// line meanwhile is kept for [`Wire::event`].
    pub async fn ask(&mut self, command: Command) -> Result<Reply, WireError> {
        let began = Instant::now();
        let before = self.client.meter();
        // A `c` is over before the guest has done anything.
        let has_reply = !command.ends_with_ack();
        let result = self.exchange(command).await;
        let took = began.elapsed();
        let cost = self.client.meter() - before;
        self.waited += took;
        self.answered += cost.rx;
        if result.is_ok() && has_reply && cost.resends == 0 {
            self.pace.add(cost.tx + cost.rx, took);
        }
        result
    }

    async fn exchange(&mut self, command: Command) -> Result<Reply, WireError> {
        let printed = self.output.len();
        let doing = command.to_string();
        let wanted = self.client.send(command.clone(), Instant::now())?;
        let mut silence = Silence::new(&self.client);
        loop {
            while let Some(event) = self.client.poll() {
                match event {
                    Event::Reply { id, reply, resent } if id == wanted => {
                        self.flush().await.map_err(WireError::Closed)?;
                        let printed = self.output.get(printed..).unwrap_or_default();
                        self.asked.add(&command, printed, &reply);
                        return match reply {
                            // Sent twice, done twice: it is as wanted.
                            Err(ReplyError::Refused(error))
                                if resent && [EEXIST, ENOENT].contains(&error.errno) =>
                            {
                                Ok(Reply::Done)
                            }
                            reply => Ok(reply?),
                        };
                    }
                    Event::Failed { id, error } if id == wanted => return Err(error.into()),
                    other => self.keep(other),
                }
            }
            self.pump(silence.told_at()).await.map_err(WireError::Closed)?;
            if silence.is_long(&self.client)
                && let Some(tell) = &self.tell
            {
                let seconds = LONG_SILENCE.as_secs();
                let words = format!(
                    "{doing}: nothing came for {seconds} s; asking again, then finding out what the guest does"
                );
                let _ = tell.send(Update::Message(Level::Warning, words));
            }
        }
    }

    /// Who is to be told that an answer is long in coming, while it is awaited.
    pub fn tell(&mut self, whom: UnboundedSender<Update>) {
        self.tell = Some(whom);
    }

    /// What `monitor` printed since the last call.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Waits for something that was not asked for. May be dropped at any time.
    pub async fn event(&mut self) -> WireEvent {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            self.kept_text = 0;
            self.text_left_out = false;
            // The bytes of the last answer may have brought more than it: the
            // stop of a short step comes in one piece with the `+` for its `s`.
            while let Some(event) = self.client.poll() {
                self.keep(event);
            }
            if !self.events.is_empty() {
                continue;
            }
            if self.link.is_none() {
                return std::future::pending().await;
            }
            if let Err(why) = self.pump(None).await {
                return WireEvent::Closed(why);
            }
        }
    }

    fn keep(&mut self, event: Event) {
        let event = match event {
            Event::Stop(stop) => WireEvent::Stop(stop),
            Event::Exited { code } => WireEvent::Exited(code),
            Event::Console(text) => match self.room_for(text) {
                Some(text) => WireEvent::Console(text),
                None => return,
            },
            Event::ResumeRefused(error) => WireEvent::ResumeRefused(error),
            Event::DamagedStop(_) => WireEvent::DamagedStop,
            Event::StopLost => WireEvent::StopLost,
            Event::Output(text) if self.client.mode() == Mode::Running => WireEvent::Console(text),
            Event::Output(text) => return self.output.extend(text),
            // An answer to a request that was given up.
            Event::Reply { .. } | Event::Failed { .. } => return,
        };
        self.events.push_back(event);
    }

    /// Text that comes while an answer is awaited is kept, but not without a
    /// limit.
    fn room_for(&mut self, text: Vec<u8>) -> Option<Vec<u8>> {
        let had_room = self.kept_text < MOST_TEXT;
        self.kept_text = self.kept_text.saturating_add(text.len());
        if had_room {
            return Some(text);
        }
        let first = !std::mem::replace(&mut self.text_left_out, true);
        first.then(|| TOO_MUCH_TEXT.into())
    }

    /// Puts an event back, to be seen next.
    pub fn push_front(&mut self, event: WireEvent) {
        self.events.push_front(event);
    }

    /// One round for the knock: waits for something to happen, at most until
    /// `deadline`, and gives every event as the protocol has it.
    pub async fn round(&mut self, deadline: Option<Instant>) -> Result<Vec<Event>, String> {
        self.pump(deadline).await?;
        Ok(std::iter::from_fn(|| self.client.poll()).collect())
    }

    /// Sends what is to be sent, then waits for bytes or for time to pass.
    async fn pump(&mut self, deadline: Option<Instant>) -> Result<(), String> {
        self.flush().await?;
        self.send_typed().await?;
        let typing = self.typed.due().filter(|_| self.mode() == Mode::Running);
        let due = [self.client.poll_timeout(), deadline, typing].into_iter().flatten().min();
        let Some(link) = &mut self.link else { return Err("there is no link".into()) };
        let mut buffer = [0; 4096];
        let sleep = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            read = link.read(&mut buffer) => match read {
                Ok(0) => {
                    let words = link.last_words().await;
                    return Err(match words {
                        Some(words) => format!("the other end closed it: {words}"),
                        None => "the other end closed it".into(),
                    });
                }
                Ok(count) => {
                    self.client.receive(&buffer[..count], Instant::now());
                    self.take_traffic();
                }
                Err(error) => return Err(why_lost(&error)),
            },
            () = sleep => self.client.timeout(Instant::now()),
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), String> {
        self.take_traffic();
        while let Some(bytes) = self.client.poll_transmit() {
            let Some(link) = &mut self.link else { return Err("there is no link".into()) };
            link.write_all(&bytes).await.map_err(|error| why_lost(&error))?;
        }
        Ok(())
    }

    /// Stays a moment after the last answer: when noise hit our ack of it, the
    /// stub says it again and waits, and the guest with it.
    pub async fn linger(&mut self) {
        let until = Instant::now() + self.client.timing().settle() * 3;
        while Instant::now() < until && self.pump(Some(until)).await.is_ok() {}
    }

    /// Has bytes typed into the console of the running kernel, in pieces, as the
    /// line takes them.
    ///
    /// # Errors
    /// How many bytes wait already, when these are too many.
    pub fn type_ahead(&mut self, bytes: &[u8]) -> Result<(), usize> {
        self.typed.add(bytes)
    }

    /// What was typed and is not sent yet will not be sent; how much that is.
    pub fn forget_typed(&mut self) -> usize {
        self.typed.forget()
    }

    /// Sends a piece of what was typed, when it is time and the line takes it.
    /// Never waits: a guest that does not read must not keep us from stopping it.
    async fn send_typed(&mut self) -> Result<(), String> {
        let now = Instant::now();
        if self.client.mode() != Mode::Running {
            return Ok(());
        }
        let Some(piece) = self.typed.piece(now) else { return Ok(()) };
        let Some(link) = &mut self.link else { return Ok(()) };
        let sent = match link.write_some(&piece).now_or_never() {
            Some(sent) => sent.map_err(|error| why_lost(&error))?,
            None => 0,
        };
        self.typed.sent(sent, now);
        if sent > 0 {
            self.log().raw(&piece[..sent]);
        }
        Ok(())
    }

    /// Raw bytes, for the knock and for a deliberate break-in only.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.log().raw(bytes);
        let Some(link) = &mut self.link else { return Err("there is no link".into()) };
        link.write_all(bytes).await.map_err(|error| why_lost(&error))
    }

    /// A BREAK on the line, where the link can carry one.
    pub async fn send_break(&mut self) -> Result<(), LinkError> {
        self.log().mark("BREAK".into());
        match &mut self.link {
            Some(link) => link.send_break().await,
            None => Ok(()),
        }
    }

    /// Whether the link can carry a BREAK.
    pub fn has_break(&self) -> bool {
        self.link.as_ref().is_some_and(Link::has_break)
    }

    /// The link in words.
    pub fn describe(&self) -> Option<String> {
        self.link.as_ref().map(Link::describe)
    }
}

/// Why the line broke.
fn why_lost(error: &io::Error) -> String {
    match error.kind() {
        // See `keep_alive` in link/open.rs.
        io::ErrorKind::TimedOut => {
            "nothing is acknowledged any more, the machine at the other end or the network is gone"
                .into()
        }
        _ => error.to_string(),
    }
}

/// The silence in the middle of a request.
struct Silence {
    since: Instant,
    received: u64,
    told: bool,
}

impl Silence {
    fn new(client: &Client) -> Silence {
        Silence { since: Instant::now(), received: client.meter().rx, told: false }
    }

    fn told_at(&self) -> Option<Instant> {
        (!self.told).then(|| self.since + LONG_SILENCE)
    }

    /// Whether it is worth a word now; once.
    fn is_long(&mut self, client: &Client) -> bool {
        let received = client.meter().rx;
        if received != self.received {
            (self.since, self.received) = (Instant::now(), received);
        }
        if self.told || self.since.elapsed() < LONG_SILENCE {
            return false;
        }
        self.told = true;
        true
    }
}

/// A silence that is worth a word: longer than one lost byte takes to be noticed.
const LONG_SILENCE: Duration = Duration::from_secs(4);

/// Bytes of text that are kept while an answer is awaited.
const MOST_TEXT: usize = 1 << 20;

const TOO_MUCH_TEXT: &str = "\r\n[text came faster than it could be shown, some is left out]\r\n";

/// Linux's errno for "exists": a `Z` packet for a site that is set already.
const EEXIST: u8 = 17;

/// Linux's errno for "no such entry": a `z` packet for a site that is not set.
const ENOENT: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::endpoint::Endpoint;

    #[tokio::test]
    async fn a_stop_that_comes_with_the_ack_of_its_step_is_seen() {
        let stub = "head -c 5 >/dev/null; printf '+$S05#b8'; head -c 6 >/dev/null; \
                    printf '+$T05thread:59;#14'; cat >/dev/null";
        let link = Link::open(&Endpoint::Exec(stub.into())).await.unwrap();
        let mut wire = Wire::new();
        wire.attach(link);
        wire.ask(Command::HaltReason).await.unwrap();
        wire.ask(Command::Step).await.unwrap();
        let event = tokio::time::timeout(Duration::from_secs(5), wire.event()).await;
        assert!(matches!(event, Ok(WireEvent::Stop(StopReply::Thread { signal: 5, .. }))));
    }
}
