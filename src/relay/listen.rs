//! Where the relay listens, and who comes.

use std::{
    fmt, fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream},
};

use super::error::RelayError;
use crate::link::{keep_alive, quick_acks};

/// Clients that may wait to be told that the line is taken.
const BACKLOG: u32 = 8;

/// Where to listen, as the user writes it, with socat's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// `tcp-listen:PORT` on this machine alone, `tcp-listen:ADDR:PORT` on an
    /// address of it.
    Tcp(SocketAddr),
    /// `unix-listen:PATH`: a socket that only this user may open.
    Unix(PathBuf),
}

/// Why a text is no place to listen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// Another word before the colon, or none.
    #[error(
        "`{text}` is no place to listen, write tcp-listen:9999, tcp-listen:ADDR:9999 or unix-listen:PATH"
    )]
    Kind {
        /// What was given.
        text: String,
    },
    /// No port.
    #[error("`{port}` is not a port, write for example tcp-listen:9999")]
    Port {
        /// What was given in its place.
        port: String,
    },
    /// No address.
    #[error(
        "`{host}` is not an address of this machine, write for example tcp-listen:0.0.0.0:9999"
    )]
    Address {
        /// What was given in its place.
        host: String,
    },
}

impl Listen {
    /// Whether other machines can come.
    pub fn is_open_to_others(&self) -> bool {
        matches!(self, Listen::Tcp(at) if !at.ip().is_loopback())
    }
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Listen, ListenError> {
        let kind = || ListenError::Kind { text: text.to_owned() };
        match text.trim().split_once(':').ok_or_else(kind)? {
            ("tcp-listen" | "TCP-LISTEN", rest) => {
                let (host, port) = rest.rsplit_once(':').unwrap_or(("localhost", rest));
                let port: u16 =
                    port.parse().map_err(|_| ListenError::Port { port: port.to_owned() })?;
                let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
                let ip = match host {
                    "localhost" | "" => IpAddr::V4(Ipv4Addr::LOCALHOST),
                    host => (bare.unwrap_or(host).parse())
                        .map_err(|_| ListenError::Address { host: host.to_owned() })?,
                };
                Ok(Listen::Tcp(SocketAddr::new(ip, port)))
            }
            ("unix-listen" | "UNIX-LISTEN", path) if !path.is_empty() => {
                Ok(Listen::Unix(path.into()))
            }
            _ => Err(kind()),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Tcp(at) => write!(f, "tcp-listen:{at}"),
            Listen::Unix(path) => write!(f, "unix-listen:{}", path.display()),
        }
    }
}

/// A place that is ours, at which nobody is let in yet.
#[derive(Debug)]
pub enum Reserved {
    /// A port.
    Tcp(TcpSocket),
    /// A path; nothing is made there before it is listened on.
    Unix(PathBuf),
}

/// A place that is listened on.
#[derive(Debug)]
pub enum Listener {
    /// A port.
    Tcp(TcpListener),
    /// A socket, removed when this is dropped.
    Unix(UnixListener, PathBuf),
}

/// Who came.
#[derive(Debug)]
pub enum Client {
    /// By TCP.
    Tcp(TcpStream),
    /// By the socket.
    Unix(UnixStream),
}

impl Listen {
    /// Takes the place. Nothing listens there until [`Reserved::listen`].
    ///
    /// # Errors
    /// Another program has it, or it is not ours to take.
    pub fn reserve(&self) -> Result<Reserved, RelayError> {
        let refused = |why| RelayError::Listen { what: self.to_string(), why };
        match self {
            Listen::Tcp(at) => {
                let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
                let socket = socket?;
                // Connections of a relay that just ended do not keep its port.
                socket.set_reuseaddr(true)?;
                socket.bind(*at).map_err(|error| refused(in_words(&error)))?;
                Ok(Reserved::Tcp(socket))
            }
            Listen::Unix(path) => {
                make_way(path).map_err(refused)?;
                Ok(Reserved::Unix(path.clone()))
            }
        }
    }
}

impl Reserved {
    /// Lets clients in.
    ///
    /// # Errors
    /// The place was taken meanwhile, or the directory is not there.
    pub fn listen(self) -> Result<Listener, RelayError> {
        match self {
            Reserved::Tcp(socket) => {
                let what =
                    socket.local_addr().map_or_else(|_| "the port".into(), |a| a.to_string());
                let refused = |error| RelayError::Listen { what, why: in_words(&error) };
                Ok(Listener::Tcp(socket.listen(BACKLOG).map_err(refused)?))
            }
            Reserved::Unix(path) => {
                let what = Listen::Unix(path.clone()).to_string();
                let refused = |error| RelayError::Listen { what, why: in_words(&error) };
                let listener = UnixListener::bind(&path).map_err(refused)?;
                // Whoever can open it reads and writes the kernel.
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
                Ok(Listener::Unix(listener, path))
            }
        }
    }
}

/// Removes a socket that a relay left behind when it was killed.
fn make_way(path: &Path) -> Result<(), String> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.to_string()),
        Ok(found) if !found.file_type().is_socket() => {
            Err("there is a file, and it is no socket; choose another path".into())
        }
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Err("another program listens there; end it, or choose another path".into()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                fs::remove_file(path).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        },
    }
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there (socat? a relay?); end it, or choose another port".into()
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address".into(),
        io::ErrorKind::PermissionDenied => {
            "not allowed; ports below 1024 are for root, choose another".into()
        }
        _ => error.to_string(),
    }
}

impl Listener {
    /// The next client, and its name.
    ///
    /// # Errors
    /// What the operating system says; the next call may work.
    pub async fn accept(&self) -> io::Result<(Client, String)> {
        match self {
            Listener::Tcp(listener) => {
                let (tcp, from) = listener.accept().await?;
                tcp.set_nodelay(true)?;
                quick_acks(&tcp);
                // One that is gone without a word would have the line for ever.
                keep_alive(&tcp);
                Ok((Client::Tcp(tcp), from.to_string()))
            }
            Listener::Unix(listener, _) => {
                let (unix, _) = listener.accept().await?;
                let pid = unix.peer_cred().ok().and_then(|who| who.pid());
                let name = pid.map_or_else(|| "a program".into(), |pid| format!("process {pid}"));
                Ok((Client::Unix(unix), name))
            }
        }
    }

    /// Where it listens, with the port that was chosen for port 0.
    pub fn describe(&self) -> String {
        match self {
            Listener::Tcp(listener) => {
                listener.local_addr().map_or_else(|_| "a port".into(), |at| at.to_string())
            }
            Listener::Unix(_, path) => path.display().to_string(),
        }
    }

    /// The port, when it is one.
    pub fn port(&self) -> Option<u16> {
        match self {
            Listener::Tcp(listener) => listener.local_addr().ok().map(|at| at.port()),
            Listener::Unix(..) => None,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = self {
            let _ = fs::remove_file(path);
        }
    }
}

impl Client {
    /// Waits for bytes; 0 when it left. Can be cancelled without losing any.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Client::Tcp(tcp) => {
                let count = tcp.read(buffer).await?;
                quick_acks(tcp);
                Ok(count)
            }
            Client::Unix(unix) => unix.read(buffer).await,
        }
    }

    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Client::Tcp(tcp) => {
                tcp.write_all(bytes).await?;
                quick_acks(tcp);
                Ok(())
            }
            Client::Unix(unix) => unix.write_all(bytes).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_as_they_are_written() {
        for (text, shown) in [
            ("tcp-listen:9999", "tcp-listen:127.0.0.1:9999"),
            ("TCP-LISTEN:localhost:1", "tcp-listen:127.0.0.1:1"),
            ("tcp-listen:0.0.0.0:9999", "tcp-listen:0.0.0.0:9999"),
            ("tcp-listen:[::1]:9999", "tcp-listen:[::1]:9999"),
            ("unix-listen:/tmp/guest", "unix-listen:/tmp/guest"),
        ] {
            let listen: Listen = text.parse().unwrap();
            assert_eq!(listen.to_string(), shown);
            assert_eq!(shown.parse(), Ok(listen));
        }
        let open = |text: &str| text.parse::<Listen>().unwrap().is_open_to_others();
        assert!(open("tcp-listen:0.0.0.0:9999") && open("tcp-listen:[::]:9999"));
        assert!(!open("tcp-listen:9999") && !open("unix-listen:x") && !open("tcp-listen:[::1]:1"));
        for (text, words) in [
            ("9999", "tcp-listen:9999"),
            ("tcp:9999", "tcp-listen:9999"),
            ("unix-listen:", "unix-listen:PATH"),
            ("tcp-listen:", "not a port"),
            ("tcp-listen:99999", "not a port"),
            ("tcp-listen:nowhere.example:9", "0.0.0.0:9999"),
        ] {
            let error = text.parse::<Listen>().unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[tokio::test]
    async fn a_socket_left_behind_makes_way_and_nothing_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("line");
        let listen = Listen::Unix(path.clone());
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let listener = listen.reserve().unwrap().listen().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let error = listen.reserve().unwrap_err().to_string();
        assert!(error.contains("another program"), "{error}");
        drop(listener);
        assert!(!path.exists());
        fs::write(&path, "text").unwrap();
        let error = listen.reserve().unwrap_err().to_string();
        assert!(error.contains("no socket"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    }
}
