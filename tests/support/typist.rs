//! Somebody who types on the guest's shared line while no debugger is there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![allow(dead_code, reason = "each test program uses a part of it")]

use kgdb_tui::link::Link;
use std::time::Duration;
use tokio::{runtime::Runtime, time::timeout};

/// Longer than a boot, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A connection to the line. It takes one at a time.
pub struct Typist {
    runtime: Runtime,
    link: Link,
    heard: String,
}

impl Typist {
    /// Connects, as soon as the one before is gone.
    pub fn new(address: &str) -> Typist {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let endpoint = address.parse().unwrap();
        let link = runtime.block_on(async {
            for _ in 0..600 {
                match Link::open(&endpoint).await {
                    Ok(link) => return link,
                    Err(error) if error.is_temporary() => {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    Err(error) => panic!("{address}: {error}"),
                }
            }
            panic!("nobody listens at {address}")
        });
        Typist { runtime, link, heard: String::new() }
    }

    /// Types text as it is.
    pub fn types(&mut self, text: &str) {
        self.runtime.block_on(self.link.write_all(text.as_bytes())).unwrap();
    }

    /// Waits for a text that comes from now on; gives what came up to it.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> String {
        self.expect_within(text, PATIENCE)
            .unwrap_or_else(|| panic!("no {text:?} in {:?}", self.heard))
    }

    /// Types a line until a text comes for it: a shell that is just about to ask
    /// the terminal something can lose what is typed.
    #[track_caller]
    pub fn types_until(&mut self, line: &str, text: &str) {
        for _ in 0..60 {
            self.types(&format!("{line}\r"));
            if self.expect_within(text, Duration::from_secs(1)).is_some() {
                return;
            }
        }
        panic!("no {text:?} for {line:?} in {:?}", self.heard);
    }

    fn expect_within(&mut self, text: &str, patience: Duration) -> Option<String> {
        let Typist { runtime, link, heard } = self;
        let mut bytes = [0; 1024];
        let wait = async {
            loop {
                if let Some(at) = heard.find(text) {
                    return heard.drain(..at + text.len()).collect();
                }
                let count = link.read(&mut bytes).await.unwrap();
                assert_ne!(count, 0, "the line was closed");
                heard.push_str(&String::from_utf8_lossy(&bytes[..count]));
            }
        };
        runtime.block_on(async { timeout(patience, wait).await.ok() })
    }

    /// Waits until the shell answers: the guest has booted, or runs again.
    #[track_caller]
    pub fn ready(&mut self) {
        for _ in 0..120 {
            self.types("\x15echo re''ady\r");
            if self.expect_within("ready\r\n", Duration::from_secs(1)).is_some() {
                self.expect("# ");
                return;
            }
        }
        panic!("no shell answers: {:?}", self.heard);
    }

    /// Runs a command in the shell; gives what it printed.
    #[track_caller]
    pub fn run(&mut self, command: &str) -> String {
        self.types(&format!("\x15{command}; echo do''ne\r"));
        let text = self.expect("done\r\n").replace("done\r\n", "");
        // The echo of the line comes first; a message of the kernel may be in it.
        text.split_once("'ne\r\n").map_or(text.clone(), |(_, printed)| printed.to_string())
    }
}
