//! The pump between the link's bytes and the protocol's state machine: the
//! only place that waits for the wire.

use super::view::Cost;
use crate::link::{Link, error::LinkError, record::Recorder};
use crate::rsp::{
    client::{Client, Event, Mode, RequestError, SendError},
    command::Command,
    reply::{Reply, ReplyError, StopReply, StubError},
    timing::Timing,
};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};
use thiserror::Error;

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
    /// Time spent waiting for answers.
    waited: Duration,
    /// Bytes received while waiting for answers, for the rate.
    answered: u64,
}

impl Wire {
    /// No link yet.
    pub fn new() -> Wire {
        Wire {
            link: None,
            client: Client::new(Timing::default()),
            events: VecDeque::new(),
            output: Vec::new(),
            waited: Duration::ZERO,
            answered: 0,
        }
    }

    /// Takes a link just opened.
    pub fn attach(&mut self, link: Link) {
        self.client.reconnected();
        // Only a tty tells its rate; behind a socket it is nearly always this.
        self.client.set_timing(link.baud().map_or_else(Timing::default, Timing::for_baud));
        self.events.clear();
        self.link = Some(link);
    }

    /// Closes the link. The record of the line comes back, to go on with on
    /// the next one.
    pub fn close(&mut self) -> Option<Recorder> {
        self.link.take().and_then(|mut link| link.take_recorder())
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

    /// What the link cost so far.
    pub fn cost(&self) -> Cost {
        let meter = self.client.meter();
        Cost { tx: meter.tx, rx: meter.rx, packets: meter.packets_sent, time: self.waited }
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
        let before = self.client.meter().rx;
        let result = self.exchange(command).await;
        self.waited += began.elapsed();
        self.answered += self.client.meter().rx - before;
        result
    }

    async fn exchange(&mut self, command: Command) -> Result<Reply, WireError> {
        let wanted = self.client.send(command, Instant::now())?;
        loop {
            while let Some(event) = self.client.poll() {
                match event {
                    Event::Reply { id, reply, resent } if id == wanted => {
                        self.flush().await.map_err(WireError::Closed)?;
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
            self.pump(None).await.map_err(WireError::Closed)?;
        }
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
            Event::Console(text) => WireEvent::Console(text),
            Event::ResumeRefused(error) => WireEvent::ResumeRefused(error),
            Event::DamagedStop(_) => WireEvent::DamagedStop,
            Event::Output(text) if self.client.mode() == Mode::Running => WireEvent::Console(text),
            Event::Output(text) => return self.output.extend(text),
            // An answer to a request that was given up.
            Event::Reply { .. } | Event::Failed { .. } => return,
        };
        self.events.push_back(event);
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
        let due = [self.client.poll_timeout(), deadline].into_iter().flatten().min();
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
                Ok(count) => self.client.receive(&buffer[..count], Instant::now()),
                Err(error) => return Err(error.to_string()),
            },
            () = sleep => self.client.timeout(Instant::now()),
        }
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), String> {
        while let Some(bytes) = self.client.poll_transmit() {
            let Some(link) = &mut self.link else { return Err("there is no link".into()) };
            link.write_all(&bytes).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Raw bytes, for the knock and for a deliberate break-in only.
    pub async fn send_raw(&mut self, bytes: &[u8]) -> Result<(), String> {
        let Some(link) = &mut self.link else { return Err("there is no link".into()) };
        link.write_all(bytes).await.map_err(|error| error.to_string())
    }

    /// A BREAK on the line, where the link can carry one.
    pub async fn send_break(&mut self) -> Result<(), LinkError> {
        match &mut self.link {
            Some(link) => link.send_break().await,
            None => Ok(()),
        }
    }

    /// The link in words.
    pub fn describe(&self) -> Option<String> {
        self.link.as_ref().map(Link::describe)
    }
}

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
