//! What tells a program without a screen to end.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that do; from now on they do not end it by themselves.
#[derive(Debug)]
pub struct Orders {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Orders {
    /// Takes them over. Needs tokio's runtime.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn new() -> io::Result<Orders> {
        Ok(Orders {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The name of the next one.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hang_up.recv() => "SIGHUP",
        }
    }
}
