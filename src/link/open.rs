//! Opening each kind of link.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use serial2_tokio::SerialPort;
use tokio::net::{TcpStream, UnixStream, lookup_host};

use crate::link::{
    Stream,
    child::Child,
    endpoint::{DEFAULT_BAUD, Endpoint, HostPort},
    error::LinkError,
    quick_acks,
    telnet::Telnet,
};

/// How long to wait for a host.
const CONNECT: Duration = Duration::from_secs(5);

/// Opens the link. Gives the endpoint too: a bare path has become a socket or
/// a tty.
pub(super) async fn open(endpoint: &Endpoint) -> Result<(Stream, Endpoint), LinkError> {
    let stream = match endpoint {
        Endpoint::Tcp(at) => Stream::Tcp(tcp(endpoint, at).await?),
        Endpoint::Telnet(at) => Stream::Telnet(tcp(endpoint, at).await?, Telnet::default()),
        Endpoint::Unix(path) => Stream::Unix(unix(endpoint, path).await?),
        Endpoint::Serial { path, baud } => Stream::Serial(serial(endpoint, path, *baud)?, *baud),
        Endpoint::Exec(command) => Stream::Child(Child::spawn(command)?),
        Endpoint::Replay(path) => {
            let why = "it is the record of a line, not one; give it with --replay".to_owned();
            return Err(LinkError::Record { path: path.clone(), why });
        }
        Endpoint::Path(path) => {
            let found = by_kind(endpoint, path)?;
            return Box::pin(open(&found)).await;
        }
    };
    Ok((stream, endpoint.clone()))
}

async fn tcp(endpoint: &Endpoint, at: &HostPort) -> Result<TcpStream, LinkError> {
    let HostPort { host, port } = at.clone();
    let connect = async {
        let addresses: Vec<_> = match lookup_host((host.as_str(), port)).await {
            Ok(addresses) => addresses.collect(),
            Err(source) => return Err(LinkError::NameNotFound { host: host.clone(), source }),
        };
        TcpStream::connect(&addresses[..]).await.map_err(|source| match source.kind() {
            io::ErrorKind::ConnectionRefused => LinkError::Refused { host: host.clone(), port },
            _ => LinkError::Other { endpoint: endpoint.clone(), source },
        })
    };
    let timed_out = |_| {
        let HostPort { host, port } = at.clone();
        LinkError::TimedOut { host, port, seconds: CONNECT.as_secs() }
    };
    let tcp = tokio::time::timeout(CONNECT, connect).await.map_err(timed_out)??;
    // Requests are single small writes, each waits for its answer.
    tcp.set_nodelay(true)
        .map_err(|source| LinkError::Other { endpoint: endpoint.clone(), source })?;
    quick_acks(&tcp);
    keep_alive(&tcp);
    Ok(tcp)
}

/// Notices a peer that is gone without a word (a machine without power, a
/// network without a route): in 20 seconds when nothing is sent, in 15 when what
/// was sent is not acknowledged. A debugger sends nothing for hours while the
/// guest runs, so without this it would never know. It is only a convenience,
/// hence no error.
pub fn keep_alive(tcp: &TcpStream) {
    use rustix::net::sockopt;
    let _ = sockopt::set_socket_keepalive(tcp, true);
    #[cfg(target_os = "linux")]
    {
        let _ = sockopt::set_tcp_keepidle(tcp, Duration::from_secs(15));
        let _ = sockopt::set_tcp_keepintvl(tcp, Duration::from_secs(5));
        let _ = sockopt::set_tcp_keepcnt(tcp, 3);
        // Bytes that are not acknowledged would be tried for a quarter of an
        // hour; in milliseconds. The peer's kernel acknowledges them whatever the
        // relay and the guest do, so a suspended guest does not end here.
        let _ = sockopt::set_tcp_user_timeout(tcp, 15_000);
    }
}

async fn unix(endpoint: &Endpoint, path: &Path) -> Result<UnixStream, LinkError> {
    match UnixStream::connect(path).await {
        Ok(unix) => Ok(unix),
        Err(source) => Err(match source.kind() {
            // Connecting to a plain file is refused too.
            io::ErrorKind::ConnectionRefused => match kind(path) {
                Ok(Kind::Socket) => LinkError::SocketDead { path: path.to_owned() },
                Ok(other) => LinkError::WrongKind { path: path.to_owned(), is: other.name() },
                Err(source) => file_error(endpoint, path, source),
            },
            _ => file_error(endpoint, path, source),
        }),
    }
}

fn serial(endpoint: &Endpoint, path: &Path, baud: u32) -> Result<SerialPort, LinkError> {
    let is = kind(path).map_err(|source| file_error(endpoint, path, source))?;
    if is != Kind::Tty {
        return Err(LinkError::WrongKind { path: path.to_owned(), is: is.name() });
    }
    let failed = |source: io::Error| match source.raw_os_error() {
        Some(libc::EBUSY) => {
            LinkError::Busy { path: path.to_owned(), user: "another program".to_owned() }
        }
        Some(libc::EINVAL) => LinkError::Settings { path: path.to_owned(), baud, source },
        _ => match source.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
                LinkError::Settings { path: path.to_owned(), baud, source }
            }
            _ => file_error(endpoint, path, source),
        },
    };
    let flags = libc::O_NOCTTY | libc::O_NONBLOCK;
    let tty = File::options().read(true).custom_flags(flags).open(path).map_err(failed)?;
    if !rustix::termios::isatty(&tty) {
        return Err(LinkError::WrongKind { path: path.to_owned(), is: "no tty" });
    }
    if let Some(user) = user_of(path) {
        return Err(LinkError::Busy { path: path.to_owned(), user });
    }
    // `set_raw` includes 8 bits, no parity, one stop bit, no flow control.
    let settings = |mut settings: serial2_tokio::Settings| {
        settings.set_raw();
        settings.set_baud_rate(baud)?;
        Ok(settings)
    };
    let port = SerialPort::open(path, settings).map_err(failed)?;
    // Others shall find it busy. The mark is the tty's, not the file's, and
    // lasts until the last file is closed. A tty that can not is as good.
    let _ = rustix::termios::ioctl_tiocexcl(&tty);
    Ok(port)
}

fn by_kind(endpoint: &Endpoint, path: &Path) -> Result<Endpoint, LinkError> {
    match kind(path) {
        Ok(Kind::Socket) => Ok(Endpoint::Unix(path.to_owned())),
        Ok(Kind::Tty) => Ok(Endpoint::Serial { path: path.to_owned(), baud: DEFAULT_BAUD }),
        Ok(other) => Err(LinkError::WrongKind { path: path.to_owned(), is: other.name() }),
        Err(source) => Err(file_error(endpoint, path, source)),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Socket,
    Tty,
    Directory,
    Fifo,
    BlockDevice,
    File,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Socket => "a socket",
            Kind::Tty => "a character device",
            Kind::Directory => "a directory",
            Kind::Fifo => "a one-way pipe",
            Kind::BlockDevice => "a block device",
            Kind::File => "a plain file",
        }
    }
}

fn kind(path: &Path) -> io::Result<Kind> {
    let file_type = std::fs::metadata(path)?.file_type();
    Ok(match () {
        () if file_type.is_socket() => Kind::Socket,
        () if file_type.is_char_device() => Kind::Tty,
        () if file_type.is_dir() => Kind::Directory,
        () if file_type.is_fifo() => Kind::Fifo,
        () if file_type.is_block_device() => Kind::BlockDevice,
        () => Kind::File,
    })
}

fn file_error(endpoint: &Endpoint, path: &Path, source: io::Error) -> LinkError {
    match source.kind() {
        io::ErrorKind::NotFound => LinkError::Absent { path: path.to_owned() },
        io::ErrorKind::PermissionDenied => {
            let cure = match kind(path) {
                Ok(Kind::Tty) => {
                    "join its group: sudo usermod -aG dialout $USER, then log in again"
                }
                _ => "run as the user who started the guest, or change the mode of the file",
            };
            LinkError::Permission { path: path.to_owned(), cure }
        }
        // ENXIO, ENODEV: a device file without a device.
        _ if matches!(source.raw_os_error(), Some(libc::ENXIO | libc::ENODEV)) => {
            LinkError::Absent { path: path.to_owned() }
        }
        _ => LinkError::Other { endpoint: endpoint.clone(), source },
    }
}

/// Whether a tty is one end of a pair that a program made.
pub(super) fn is_pseudo(path: &Path) -> bool {
    std::fs::canonicalize(path).is_ok_and(|path| path.starts_with("/dev/pts"))
}

/// Who has the device open, as far as `/proc` tells: processes of other users
/// stay hidden. A tty does not refuse a second reader by itself. Pseudo
/// terminals are left out: who made one keeps it open.
fn user_of(path: &Path) -> Option<String> {
    let device = std::fs::canonicalize(path).ok().filter(|path| !is_pseudo(path))?;
    let own = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|process| {
        let pid = process.file_name().into_string().ok()?;
        if pid == own || !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let mut files = std::fs::read_dir(process.path().join("fd")).ok()?.flatten();
        files.find(|file| std::fs::read_link(file.path()).is_ok_and(|to| to == device))?;
        Some(format!("{} (pid {pid})", name_of(process.path())))
    })
}

fn name_of(process: PathBuf) -> String {
    std::fs::read_to_string(process.join("comm"))
        .map_or_else(|_| "a process".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_of_a_device_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("device");
        let file = File::create(&path).unwrap();
        assert_eq!(user_of(&path), None, "our own file does not count");
        let mut user = std::process::Command::new("sleep").arg("20").stdin(file).spawn().unwrap();
        let named = format!("sleep (pid {})", user.id());
        let found = (0..100).find_map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            user_of(&path).filter(|found| *found == named)
        });
        user.kill().unwrap();
        user.wait().unwrap();
        assert_eq!(found, Some(named));
    }
}
