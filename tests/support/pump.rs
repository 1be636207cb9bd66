//! The least that joins a client and a link.

use std::time::{Duration, Instant};

use kgdb_tui::{
    link::Link,
    rsp::{
        client::{Client, Event},
        command::Command,
        reply::Reply,
        timing::Timing,
    },
    target::knock::{Knock, Step, Verdict},
};
use tokio::time::{sleep_until, timeout};

/// A client on a link.
pub struct Pump {
    pub client: Client,
    pub link: Link,
    /// Events nobody waited for.
    pub other: Vec<Event>,
}

impl Pump {
    pub fn new(link: Link) -> Pump {
        Pump { client: Client::new(Timing::default()), link, other: Vec::new() }
    }

    /// The next event, or `None` at the given time.
    async fn event(&mut self, until: Option<Instant>) -> Option<Event> {
        let mut buffer = [0; 4096];
        loop {
            let bytes: Vec<u8> =
                std::iter::from_fn(|| self.client.poll_transmit()).flatten().collect();
            if !bytes.is_empty() {
                self.link.write_all(&bytes).await.expect("the link is up");
            }
            if let Some(event) = self.client.poll() {
                return Some(event);
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                return None;
            }
            let far = Instant::now() + Duration::from_secs(60);
            let wake = [until, self.client.poll_timeout()].into_iter().flatten().min();
            tokio::select! {
                count = self.link.read(&mut buffer) => {
                    let count = count.expect("the link is up");
                    assert!(count > 0, "the link was closed");
                    self.client.receive(&buffer[..count], Instant::now());
                }
                () = sleep_until(wake.unwrap_or(far).into()) => self.client.timeout(Instant::now()),
            }
        }
    }

    /// The first event that is wanted.
    pub async fn wait(&mut self, what: impl Fn(&Event) -> bool) -> Event {
        let wanted = async {
            loop {
                let event = self.event(None).await.expect("there is no time limit");
                if what(&event) {
                    return event;
                }
                self.other.push(event);
            }
        };
        match timeout(Duration::from_secs(30), wanted).await {
            Ok(event) => event,
            Err(_) => panic!("not within 30 s; came instead: {}", self.text()),
        }
    }

    /// Waits until the console has printed something, and gives all it printed.
    pub async fn wait_text(&mut self, text: &str) -> String {
        self.other.clear();
        while !self.text().contains(text) {
            let event = self.wait(|event| matches!(event, Event::Console(_))).await;
            self.other.push(event);
        }
        self.text()
    }

    /// All console text among the events nobody waited for.
    pub fn text(&self) -> String {
        let text = |event: &Event| match event {
            Event::Console(text) => text.clone(),
            _ => Vec::new(),
        };
        String::from_utf8_lossy(&self.other.iter().flat_map(text).collect::<Vec<u8>>()).into_owned()
    }

    /// Asks and gives the good answer.
    pub async fn ask(&mut self, command: Command) -> Reply {
        let id = self.client.send(command, Instant::now()).expect("taken");
        let about = |event: &Event| match event {
            Event::Reply { id: about, .. } | Event::Failed { id: about, .. } => *about == id,
            _ => false,
        };
        match self.wait(about).await {
            Event::Reply { reply: Ok(reply), .. } => reply,
            event => panic!("{event:?}"),
        }
    }

    /// Finds out what listens.
    pub async fn knock(&mut self, mut knock: Knock) -> Verdict {
        loop {
            let until = match knock.step(Instant::now()) {
                Step::Done(verdict) => return verdict,
                Step::Send(command) => {
                    self.client.send(command, Instant::now()).expect("taken");
                    None
                }
                Step::Type(bytes) => {
                    self.link.write_all(bytes).await.expect("the link is up");
                    continue;
                }
                Step::ListenUntil(until) => Some(until),
                Step::Wait => None,
            };
            if let Some(event) = self.event(until).await {
                knock.observe(&event, Instant::now());
            }
        }
    }
}
