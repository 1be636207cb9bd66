//! The relay at work: one loop around both ends.

use std::{
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::{
    error::RelayError,
    listen::{Client, Listen, Listener},
    seen::{Seen, Use},
    show::Show,
};
use crate::{
    base::{orders::Orders, text::bytes},
    link::{Link, endpoint::Endpoint, record::Recorder},
};

/// How often the guest's end is tried.
const RETRY: Duration = Duration::from_millis(500);

/// How often the line of the state is made anew.
const TICK: Duration = Duration::from_millis(250);

/// A client that takes nothing for so long is sent away: the guest's end would
/// stand still behind it.
const CLIENT_PATIENCE: Duration = Duration::from_secs(10);

/// What to do.
#[derive(Debug)]
pub struct Options {
    /// The guest's end.
    pub from: Endpoint,
    /// Where clients come.
    pub to: Listen,
    /// A file for every byte.
    pub record: Option<PathBuf>,
}

/// Runs until it is told to end (SIGINT, SIGTERM, SIGHUP).
///
/// # Errors
/// When it can not listen, or the guest's end can never be opened.
pub async fn run(options: Options, show: &mut Show) -> Result<(), RelayError> {
    let recorder =
        match &options.record {
            Some(path) => Some(Recorder::create(path).map_err(|source| RelayError::Record {
                path: path.display().to_string(),
                source,
            })?),
            None => None,
        };
    let mut relay = Relay {
        options,
        show,
        seen: Seen::default(),
        orders: Orders::new()?,
        recorder,
        totals: Totals::default(),
        rate: Rate::default(),
        client: None,
    };
    let result = relay.run().await;
    let text = relay.seen.idle();
    relay.show.text(&text);
    relay.show.end();
    let Totals { to_guest, from_guest } = relay.totals;
    relay.show.say(&format!(
        "{} to the guest, {} from it, {} packets",
        bytes(to_guest),
        bytes(from_guest),
        relay.seen.packets
    ));
    result
}

struct Relay<'a> {
    options: Options,
    show: &'a mut Show,
    seen: Seen,
    orders: Orders,
    recorder: Option<Recorder>,
    totals: Totals,
    rate: Rate,
    client: Option<(Client, String)>,
}

#[derive(Debug, Default)]
struct Totals {
    to_guest: u64,
    from_guest: u64,
}

/// Why the guest's end is not served any more.
enum End {
    Ordered,
    Guest(String),
}

/// What happens next.
enum Next {
    Order(&'static str),
    Guest(io::Result<usize>),
    Client(io::Result<usize>),
    Came(io::Result<(Client, String)>),
    Tick,
}

impl Relay<'_> {
    async fn run(&mut self) -> Result<(), RelayError> {
        let mut to = self.options.to.clone();
        // At once, for the user to know.
        let mut reserved = to.reserve()?;
        loop {
            let Some(mut guest) = self.open_guest().await? else { return Ok(()) };
            let listener = reserved.listen()?;
            if let (Listen::Tcp(at), Some(port)) = (&mut to, listener.port()) {
                // The same again after a break.
                at.set_port(port);
            }
            self.show.say(&format!(
                "{} is open; listening on {}",
                self.options.from.describe(),
                listener.describe()
            ));
            if to.is_open_to_others() {
                self.show.say(
                    "WARNING: other machines can connect here, and who does reads and writes the kernel's memory; tcp-listen:PORT is for this machine alone",
                );
            }
            let end = self.serve(&mut guest, &listener).await;
            self.recorder = guest.take_recorder();
            self.client = None;
            match end {
                End::Ordered => return Ok(()),
                End::Guest(why) => {
                    self.show.flush_text();
                    let from = self.options.from.describe();
                    self.show.say(&format!("{from} is gone ({why}); waiting for it to come back"));
                    drop(listener);
                    reserved = to.reserve()?;
                }
            }
        }
    }

    /// Opens the guest's end, as soon as that works. `None` when told to end.
    async fn open_guest(&mut self) -> Result<Option<Link>, RelayError> {
        let mut said = String::new();
        loop {
            let opened = tokio::select! {
                opened = Link::open(&self.options.from) => opened,
                _ = self.orders.next() => return Ok(None),
            };
            match opened {
                Ok(mut link) => {
                    if let Some(recorder) = self.recorder.take() {
                        link.record(recorder);
                    }
                    self.seen.new_line();
                    return Ok(Some(link));
                }
                Err(error) if error.is_temporary() => {
                    let why = error.to_string();
                    if why != said {
                        self.show.say(&format!("{why}; trying again until it is there"));
                        said = why;
                    }
                    self.show.status(format!("{} │ waiting", self.options.from.describe()));
                }
                Err(error) => return Err(error.into()),
            }
            tokio::select! {
                () = sleep(RETRY) => {}
                _ = self.orders.next() => return Ok(None),
            }
        }
    }

    /// Passes bytes until the guest's end is gone or an order comes.
    async fn serve(&mut self, guest: &mut Link, listener: &Listener) -> End {
        let (mut from_guest, mut from_client) = ([0; 4096], [0; 4096]);
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let client = &mut self.client;
            let client_bytes = async {
                match client {
                    Some((client, _)) => client.read(&mut from_client).await,
                    None => std::future::pending().await,
                }
            };
            let next = tokio::select! {
                order = self.orders.next() => Next::Order(order),
                count = guest.read(&mut from_guest) => Next::Guest(count),
                count = client_bytes => Next::Client(count),
                came = listener.accept() => Next::Came(came),
                _ = ticks.tick() => Next::Tick,
            };
            match next {
                Next::Order(order) => {
                    self.show.say(&format!("ended by {order}"));
                    return End::Ordered;
                }
                Next::Guest(Ok(count @ 1..)) => self.guest_sent(&from_guest[..count]).await,
                Next::Guest(Ok(_)) => {
                    let words = guest.last_words().await;
                    return End::Guest(words.unwrap_or_else(|| "the other end closed it".into()));
                }
                Next::Guest(Err(error)) => return End::Guest(error.to_string()),
                Next::Client(Ok(count @ 1..)) => {
                    let bytes = &from_client[..count];
                    self.totals.to_guest += count as u64;
                    self.seen.to_guest(bytes);
                    if let Err(error) = guest.write_all(bytes).await {
                        return End::Guest(error.to_string());
                    }
                }
                Next::Client(Ok(_)) => self.client_left("has left"),
                Next::Client(Err(error)) => self.client_left(&format!("is lost: {error}")),
                Next::Came(Ok((client, name))) => self.client_came(client, name).await,
                Next::Came(Err(error)) => {
                    self.show.say(&format!("a client could not come in: {error}"));
                }
                Next::Tick => self.tick(),
            }
        }
    }

    async fn guest_sent(&mut self, bytes: &[u8]) {
        self.totals.from_guest += bytes.len() as u64;
        self.rate.arrived(bytes.len(), Instant::now());
        let before = self.seen.now();
        let text = self.seen.from_guest(bytes);
        self.show.text(&text);
        let now = self.seen.now();
        if now != before && self.client.is_none() && matches!(now, Use::Kdb | Use::Waiting) {
            self.show.say(&format!("the guest is stopped ({}); connect a debugger", now.words()));
        }
        let Some((client, _)) = &mut self.client else { return };
        match timeout(CLIENT_PATIENCE, client.write_all(bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.client_left(&format!("is lost: {error}")),
            Err(_) => self.client_left("takes nothing any more and is sent away"),
        }
    }

    fn client_left(&mut self, how: &str) {
        if let Some((_, name)) = self.client.take() {
            self.show.say(&format!("{name} {how}; waiting for the next"));
        }
    }

    async fn client_came(&mut self, mut client: Client, name: String) {
        let Some((_, first)) = &self.client else {
            self.show.say(&format!("{name} is connected"));
            self.client = Some((client, name));
            return;
        };
        self.show.say(&format!("{name} was turned away: {first} has the line"));
        // For a person with telnet; a debugger shows it as text of the line.
        let words = format!(
            "kgdb-tui relay: {first} has this line; a serial line is for one at a time, end that first\r\n"
        );
        let _ = timeout(Duration::from_secs(1), client.write_all(words.as_bytes())).await;
    }

    fn tick(&mut self) {
        if self.rate.is_quiet(Instant::now()) {
            let text = self.seen.idle();
            self.show.text(&text);
            self.show.flush_text();
        }
        let Totals { to_guest, from_guest } = self.totals;
        let client = self.client.as_ref().map_or("no client", |(_, name)| name);
        let damaged = match self.seen.damaged {
            0 => String::new(),
            count => format!(" │ {count} damaged"),
        };
        self.show.status(format!(
            "{} │ {client} │ ↑ {} ↓ {} │ {}/s │ {}{damaged}",
            self.options.from.describe(),
            bytes(to_guest),
            bytes(from_guest),
            bytes(self.rate.of_last_second(Instant::now())),
            self.seen.now().words(),
        ));
    }
}

/// Bytes of the last second.
#[derive(Debug, Default)]
struct Rate {
    /// When a second began, and what came in it and in the one before.
    second: Option<Instant>,
    now: u64,
    before: u64,
    last: Option<Instant>,
}

impl Rate {
    fn roll(&mut self, now: Instant) {
        let second = *self.second.get_or_insert(now);
        let passed = now.saturating_duration_since(second);
        if passed >= Duration::from_secs(1) {
            let only_one = passed < Duration::from_secs(2);
            self.before = if only_one { self.now } else { 0 };
            self.now = 0;
            self.second = Some(now);
        }
    }

    fn arrived(&mut self, count: usize, now: Instant) {
        self.roll(now);
        self.now += count as u64;
        self.last = Some(now);
    }

    fn of_last_second(&mut self, now: Instant) -> u64 {
        self.roll(now);
        self.before
    }

    fn is_quiet(&self, now: Instant) -> bool {
        self.last.is_none_or(|last| now.saturating_duration_since(last) > Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_whole_second() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut rate = Rate::default();
        rate.arrived(100, at(0));
        rate.arrived(100, at(900));
        assert_eq!(rate.of_last_second(at(999)), 0);
        assert_eq!(rate.of_last_second(at(1100)), 200);
        assert_eq!(rate.of_last_second(at(2200)), 0);
        assert!(!rate.is_quiet(at(1800)) && rate.is_quiet(at(2000)));
    }
}
