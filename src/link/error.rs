//! Why a line could not be opened, and what to do about it.

use std::{io, path::PathBuf};

use crate::link::endpoint::Endpoint;

/// A line that can not be used.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Nobody listens on the port.
    #[error(
        "nothing listens on {host}:{port}, start the relay: kgdb-tui relay unix:/tmp/com_guest tcp-listen:{port}"
    )]
    Refused {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// The socket file is there, but nobody listens on it.
    #[error(
        "nothing listens on {path}, the program that made this socket is gone, start the guest"
    )]
    SocketDead {
        /// The socket.
        path: PathBuf,
    },
    /// No such file.
    #[error("{path} does not exist, start the guest, or plug the adapter in, or check the name")]
    Absent {
        /// The path.
        path: PathBuf,
    },
    /// Not allowed to open a file.
    #[error("no permission to open {path}, {cure}")]
    Permission {
        /// The path.
        path: PathBuf,
        /// What helps.
        cure: &'static str,
    },
    /// A file of another kind.
    #[error("{path} is {is}, it must be a socket or a tty")]
    WrongKind {
        /// The path.
        path: PathBuf,
        /// What it is.
        is: &'static str,
    },
    /// Another program uses the tty.
    #[error(
        "{path} is in use by {user}, end that first, two readers would each get half of the bytes"
    )]
    Busy {
        /// The device.
        path: PathBuf,
        /// Who, as far as can be told.
        user: String,
    },
    /// The tty can not do the rate.
    #[error("{path} can not be set to {baud} baud, 8N1: {source}")]
    Settings {
        /// The device.
        path: PathBuf,
        /// The rate asked for.
        baud: u32,
        /// What the operating system says.
        source: io::Error,
    },
    /// No address for the name.
    #[error("no address found for `{host}`, check the name: {source}")]
    NameNotFound {
        /// The host.
        host: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// No answer from the host.
    #[error("no answer from {host}:{port} in {seconds} s, check the address and the firewall")]
    TimedOut {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// How long it was tried.
        seconds: u64,
    },
    /// The shell could not be started.
    #[error("can not start `{command}`: {source}")]
    Spawn {
        /// The command.
        command: String,
        /// What the operating system says.
        source: io::Error,
    },
    /// This kind of link has no BREAK.
    #[error(
        "{} can not carry a BREAK, type `echo g > /proc/sysrq-trigger` in the guest, or connect by telnet: or serial:",
        endpoint.describe()
    )]
    NoBreak {
        /// The link.
        endpoint: Endpoint,
    },
    /// The BREAK failed.
    #[error("BREAK on {}: {source}", endpoint.describe())]
    Break {
        /// The link.
        endpoint: Endpoint,
        /// What the operating system says.
        source: io::Error,
    },
    /// A record of a line can not be used.
    #[error("the record {path}: {why}")]
    Record {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Anything else.
    #[error("open {}: {source}", endpoint.describe())]
    Other {
        /// The link.
        endpoint: Endpoint,
        /// What the operating system says.
        source: io::Error,
    },
}

impl LinkError {
    /// Whether it may work by itself after a while: the relay or the guest is
    /// not up yet.
    pub fn is_temporary(&self) -> bool {
        match self {
            LinkError::Refused { .. }
            | LinkError::SocketDead { .. }
            | LinkError::Absent { .. }
            | LinkError::TimedOut { .. } => true,
            LinkError::Other { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::NetworkUnreachable
                    | io::ErrorKind::Interrupted
            ),
            _ => false,
        }
    }
}
