//! Ends for other programs: the guest's console in a file and on a local port,
//! and a port where a gdb finds the stopped guest behind our cache.
//!
//! They are faces like the screen: they send requests to the session and hear
//! what it tells, and know nothing of the layers below. They never keep the
//! session alive, and a slow one never makes it wait.
//!
//! Ports are bound to the loopback address unless another one is named, because
//! whoever reaches one has the guest: a root shell on its console, its memory.

mod console;
mod gdb;
mod gdb_run;
mod log;

use crate::session::{
    console::{Heard, LISTENERS},
    request::{Level, Request, WeakHandle},
};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    str::FromStr,
    thread::JoinHandle,
};
use thiserror::Error;
use tokio::sync::broadcast;

/// An address to listen at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAt(pub SocketAddr);

impl ListenAt {
    /// Whether programs of other machines reach it.
    pub fn is_open(self) -> bool {
        !self.0.ip().is_loopback()
    }
}

impl fmt::Display for ListenAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ListenAt {
    type Err = String;

    /// `PORT`, `ADDR:PORT`, `[ADDR]:PORT`. Without an address it is 127.0.0.1.
    fn from_str(text: &str) -> Result<ListenAt, String> {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse() {
            return Ok(ListenAt(SocketAddr::new(local, port)));
        }
        if let Some(port) = text.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
            return Ok(ListenAt(SocketAddr::new(local, port)));
        }
        text.parse().map(ListenAt).map_err(|_| {
            format!("'{text}' is no port; write 4000, or 192.168.1.2:4000 for other machines")
        })
    }
}

/// Which ends are wanted.
#[derive(Clone, Debug, Default)]
pub struct Ports {
    /// A file for the guest's console.
    pub console_log: Option<PathBuf>,
    /// A port for terminals on the guest's console.
    pub console: Option<ListenAt>,
    /// A port for gdb.
    pub gdb: Option<ListenAt>,
}

/// Why an end can't be had.
#[derive(Debug, Error)]
pub enum PortsError {
    /// The port can't be listened at.
    #[error("{option} {at}: {source}; another port may be free")]
    Listen {
        /// The option that wants it.
        option: &'static str,
        /// Where.
        at: ListenAt,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file can't be written.
    #[error("--console-log {}: {source}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// There can be no thread.
    #[error("start a thread for the ports: {0}")]
    Thread(#[from] std::io::Error),
}

/// Ends that are opened, and not served yet.
pub struct Opened {
    log: Option<log::ConsoleLog>,
    console: Option<Bound>,
    gdb: Option<Bound>,
}

/// Opens them.
///
/// # Errors
/// A port is taken, a file can't be written.
pub fn open(ports: &Ports) -> Result<Opened, PortsError> {
    let log = match &ports.console_log {
        Some(path) => {
            let failed = |source| PortsError::Log { path: path.clone(), source };
            Some(log::ConsoleLog::open(path).map_err(failed)?)
        }
        None => None,
    };
    let console = ports.console.map(|at| listen("--console-port", at)).transpose()?;
    let gdb = ports.gdb.map(|at| listen("--gdb-port", at)).transpose()?;
    Ok(Opened { log, console, gdb })
}

impl Opened {
    /// Serves them on a thread of their own, which ends when the session does;
    /// `None` when nothing was wanted.
    ///
    /// # Errors
    /// There can be no thread.
    pub fn serve(
        self,
        session: WeakHandle,
        heard: [broadcast::Receiver<Heard>; LISTENERS],
    ) -> Result<Option<JoinHandle<()>>, PortsError> {
        let Opened { log, console, gdb } = self;
        if log.is_none() && console.is_none() && gdb.is_none() {
            return Ok(None);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("ports".into());
        let thread = thread.spawn(move || {
            runtime.block_on(async move {
                let [first, second, third] = heard;
                let log = log::run(log, first, session.clone());
                let console = console::run(console, second, session.clone());
                let gdb = gdb::run(gdb, third, session);
                tokio::join!(log, console, gdb);
            });
        })?;
        Ok(Some(thread))
    }
}

/// A port that is bound.
struct Bound {
    option: &'static str,
    listener: TcpListener,
}

fn listen(option: &'static str, at: ListenAt) -> Result<Bound, PortsError> {
    let failed = |source| PortsError::Listen { option, at, source };
    let listener = TcpListener::bind(at.0).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(Bound { option, listener })
}

impl Bound {
    /// The listener, once it is told where it is.
    async fn open(self, what: &str, session: &WeakHandle) -> Option<tokio::net::TcpListener> {
        let at = self.listener.local_addr().ok().map(ListenAt);
        let listener = tokio::net::TcpListener::from_std(self.listener);
        match (listener, at) {
            (Ok(listener), Some(at)) => {
                let words = format!("{} {at}: {what}", self.option);
                tell(session, Level::Info, words).await;
                if at.is_open() {
                    let words = format!(
                        "{} {at} is open to other machines: whoever reaches it has the guest",
                        self.option
                    );
                    tell(session, Level::Warning, words).await;
                }
                Some(listener)
            }
            (listener, _) => {
                let why = listener.err().map_or("no address".into(), |error| error.to_string());
                tell(session, Level::Error, format!("{}: {why}", self.option)).await;
                None
            }
        }
    }
}

/// Says something to the user.
async fn tell(session: &WeakHandle, level: Level, text: String) {
    // At the end of the session nobody hears it.
    let _ = session.ask(Request::Tell(level, text)).await;
}

/// What comes next; pieces that were too many are passed over, and their number
/// given. `None` at the end of the session.
async fn next(heard: &mut broadcast::Receiver<Heard>) -> Option<Result<Heard, u64>> {
    match heard.recv().await {
        Ok(heard) => Some(Ok(heard)),
        Err(broadcast::error::RecvError::Lagged(count)) => Some(Err(count)),
        Err(broadcast::error::RecvError::Closed) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_local() {
        for (text, at, open) in [
            ("4000", "127.0.0.1:4000", false),
            (":4000", "127.0.0.1:4000", false),
            ("localhost:4000", "127.0.0.1:4000", false),
            ("[::1]:4000", "[::1]:4000", false),
            ("0.0.0.0:4000", "0.0.0.0:4000", true),
            ("192.168.1.2:4000", "192.168.1.2:4000", true),
        ] {
            let parsed: ListenAt = text.parse().unwrap();
            assert_eq!((parsed.to_string(), parsed.is_open()), (at.to_string(), open));
        }
        for wrong in ["", "host:4000", "70000", "4000x", "1.2.3.4"] {
            assert!(wrong.parse::<ListenAt>().unwrap_err().contains("write 4000"), "{wrong}");
        }
    }
}
