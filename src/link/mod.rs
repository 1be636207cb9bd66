//! The byte pipe to the guest's serial line.
//!
//! [`endpoint::Endpoint`] says where, [`Link::open`] opens it, and from there
//! on a TCP socket, a unix socket, a tty, a telnet server and a child process
//! are the same thing: bytes in, bytes out, perhaps a BREAK. [`record`] keeps
//! a log of them.
//!
//! The layer promises that nothing is sent that was not asked for (telnet's
//! answers to option offers aside), and that every way to fail has its own
//! sentence that says what to do ([`error::LinkError`]).
//!
//! What it does not do: know packets, wait for a guest, open a link again.

mod child;
pub mod endpoint;
pub mod error;
mod open;
pub mod record;
pub mod record_reader;
mod telnet;

use std::{fmt, io, time::Duration};

use serial2_tokio::SerialPort;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

pub use open::keep_alive;

use crate::link::{
    child::Child, endpoint::Endpoint, error::LinkError, record::Recorder, telnet::Telnet,
};

/// How long a BREAK lasts on a tty. `tcsendbreak` holds it for 0.25 to 0.5 s;
/// the receiver needs longer than one character, 1 ms even at 9600 baud.
const BREAK: Duration = Duration::from_millis(250);

/// An open line.
#[derive(Debug)]
pub struct Link {
    stream: Stream,
    endpoint: Endpoint,
    recorder: Option<Recorder>,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Telnet(TcpStream, Telnet),
    Unix(UnixStream),
    Serial(SerialPort, u32),
    Child(Child),
    Inside(Inside),
}

/// The other end of a line that leads nowhere outside this program.
pub trait Peer: Send {
    /// Takes bytes that were sent to it.
    fn take(&mut self, bytes: &[u8]);

    /// Puts bytes that it has to say into the buffer and tells how many; 0 when
    /// it has nothing to say before it is sent something.
    fn say(&mut self, buffer: &mut [u8]) -> usize;
}

struct Inside(Box<dyn Peer>);

impl fmt::Debug for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inside")
    }
}

impl Link {
    /// Opens the line. TCP and telnet give up after 5 seconds.
    ///
    /// # Errors
    /// See [`LinkError`]; [`LinkError::is_temporary`] tells whether trying
    /// again later makes sense.
    pub async fn open(endpoint: &Endpoint) -> Result<Link, LinkError> {
        let (stream, endpoint) = open::open(endpoint).await?;
        Ok(Link { stream, endpoint, recorder: None })
    }

    /// A line to something inside this program.
    pub fn inside(peer: Box<dyn Peer>, endpoint: Endpoint) -> Link {
        Link { stream: Stream::Inside(Inside(peer)), endpoint, recorder: None }
    }

    /// Logs every byte from now on.
    pub fn record(&mut self, recorder: Recorder) {
        self.recorder = Some(recorder);
    }

    /// The log, for notes in it.
    pub fn recorder(&mut self) -> Option<&mut Recorder> {
        self.recorder.as_mut()
    }

    /// Gives the log back, to continue it on another link.
    pub fn take_recorder(&mut self) -> Option<Recorder> {
        self.recorder.take()
    }

    /// Waits for bytes and gives how many came; 0 when the other end closed.
    ///
    /// Can be cancelled at any time without losing a byte.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // What a killed program leaves is good up to the last quiet moment.
        let sync_at = self.recorder.as_ref().and_then(Recorder::sync_at);
        let count = match sync_at {
            None => self.stream.read(buffer).await?,
            Some(at) => match tokio::time::timeout_at(at.into(), self.stream.read(buffer)).await {
                Ok(count) => count?,
                Err(_) => {
                    if let Some(recorder) = &mut self.recorder {
                        recorder.sync();
                    }
                    self.stream.read(buffer).await?
                }
            },
        };
        if let Some(recorder) = &mut self.recorder {
            recorder.received(&buffer[..count]);
        }
        Ok(count)
    }

    /// Sends all bytes.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(recorder) = &mut self.recorder {
            recorder.sent(bytes);
        }
        match &mut self.stream {
            Stream::Tcp(tcp) => {
                tcp.write_all(bytes).await?;
                quick_acks(tcp);
                Ok(())
            }
            Stream::Telnet(tcp, telnet) => {
                let coded = telnet.encode(bytes);
                tcp.write_all(&coded).await?;
                quick_acks(tcp);
                Ok(())
            }
            Stream::Unix(unix) => unix.write_all(bytes).await,
            Stream::Serial(port, _) => port.write_all(bytes).await,
            Stream::Child(child) => {
                child.stdin.write_all(bytes).await?;
                child.stdin.flush().await
            }
            Stream::Inside(Inside(peer)) => {
                peer.take(bytes);
                Ok(())
            }
        }
    }

    /// Sends as much as the line takes now, and gives how much that is. Can be
    /// cancelled at any time: then nothing was sent.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = match &mut self.stream {
            Stream::Tcp(tcp) => tcp.write(bytes).await?,
            Stream::Telnet(tcp, telnet) => {
                let plain = telnet.plain(bytes);
                match plain {
                    // A byte that is coded goes whole, and there is room for three.
                    0 if !bytes.is_empty() => {
                        tcp.writable().await?;
                        let coded = telnet.encode(&bytes[..1]);
                        tcp.write_all(&coded).await?;
                        1
                    }
                    plain => tcp.write(&bytes[..plain]).await?,
                }
            }
            Stream::Unix(unix) => unix.write(bytes).await?,
            Stream::Serial(port, _) => port.write(bytes).await?,
            Stream::Child(child) => {
                let count = child.stdin.write(bytes).await?;
                child.stdin.flush().await?;
                count
            }
            Stream::Inside(Inside(peer)) => {
                peer.take(bytes);
                bytes.len()
            }
        };
        if let Some(recorder) = &mut self.recorder {
            recorder.sent(&bytes[..count]);
        }
        Ok(count)
    }

    /// Sends a BREAK.
    ///
    /// # Errors
    /// [`LinkError::NoBreak`] when this kind of link has none, else what the
    /// operating system says.
    pub async fn send_break(&mut self) -> Result<(), LinkError> {
        let failed = |source| LinkError::Break { endpoint: self.endpoint.clone(), source };
        match &mut self.stream {
            Stream::Telnet(tcp, telnet) => {
                let coded = telnet.encode_break();
                tcp.write_all(&coded).await.map_err(failed)?;
            }
            Stream::Serial(port, _) => {
                port.set_break(true).map_err(failed)?;
                tokio::time::sleep(BREAK).await;
                port.set_break(false).map_err(failed)?;
            }
            Stream::Tcp(_) | Stream::Unix(_) | Stream::Child(_) | Stream::Inside(_) => {
                return Err(LinkError::NoBreak { endpoint: self.endpoint.clone() });
            }
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.sent_break();
        }
        Ok(())
    }

    /// Whether a BREAK can go over this link. A pseudo terminal takes one and
    /// drops it (`tty_ioctl` in the kernel: no `break_ctl`).
    pub fn has_break(&self) -> bool {
        match (&self.stream, &self.endpoint) {
            (Stream::Telnet(..), _) => true,
            (Stream::Serial(..), Endpoint::Serial { path, .. }) => !open::is_pseudo(path),
            _ => false,
        }
    }

    /// The rate of a tty. `None` when the rate of the line behind the link is
    /// not known.
    pub fn baud(&self) -> Option<u32> {
        match self.stream {
            Stream::Serial(_, baud) => Some(baud),
            _ => None,
        }
    }

    /// Where the link leads, in words: `TCP localhost:9999`.
    pub fn describe(&self) -> String {
        self.endpoint.describe()
    }

    /// What is known of why the other end closed: the exit status and the last
    /// error lines of a child process. Waits up to a second for them.
    pub async fn last_words(&mut self) -> Option<String> {
        match &mut self.stream {
            Stream::Child(child) => child.last_words().await,
            _ => None,
        }
    }
}

impl Stream {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(match self {
            Stream::Tcp(tcp) => {
                let count = tcp.read(buffer).await?;
                quick_acks(tcp);
                count
            }
            Stream::Telnet(tcp, telnet) => loop {
                let count = tcp.read(buffer).await?;
                quick_acks(tcp);
                let data = telnet.receive(&mut buffer[..count]);
                telnet.answer(tcp);
                if data > 0 || count == 0 {
                    break data;
                }
            },
            Stream::Unix(unix) => unix.read(buffer).await?,
            Stream::Serial(port, _) => match port.read(buffer).await {
                // A tty that went away: the cable was pulled, or the other
                // side of a pty closed.
                Err(error) if error.raw_os_error() == Some(libc::EIO) => 0,
                result => result?,
            },
            Stream::Child(child) => child.stdout.read(buffer).await?,
            Stream::Inside(Inside(peer)) => match peer.say(buffer) {
                // It is on this side of the line: only a write changes that.
                0 => std::future::pending().await,
                count => count,
            },
        })
    }
}

/// Acknowledges what came at once.
///
/// Linux delays acks by 40 ms, and a relay that does not set `TCP_NODELAY`
/// (socat does not) holds the second half of an answer until the ack of the
/// first. The option wears off by itself (tcp(7)), so it is set around each
/// exchange. It only costs time when it fails, hence no error.
pub fn quick_acks(tcp: &TcpStream) {
    #[cfg(target_os = "linux")]
    let _ = rustix::net::sockopt::set_tcp_quickack(tcp, true);
    #[cfg(not(target_os = "linux"))]
    let _ = tcp;
}
