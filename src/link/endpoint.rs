//! Where the line is, as the user writes it.

use std::{fmt, path::PathBuf, str::FromStr};

/// The rate when none is given: what kgdb is nearly always set to.
pub const DEFAULT_BAUD: u32 = 115_200;

/// The words before the first colon that mean something else than a host.
const SCHEMES: [&str; 7] = ["tcp", "unix", "telnet", "serial", "exec", "rfc2217", "replay"];

/// An address of `--connect`. `Display` gives a text that parses to the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `host:port` or `tcp:host:port`.
    Tcp(HostPort),
    /// `telnet:host:port`: TCP with telnet's escapes, which can carry BREAK.
    Telnet(HostPort),
    /// `unix:PATH`: a socket in the file system, as VMware and QEMU make it.
    Unix(PathBuf),
    /// `serial:PATH,BAUD`: a tty, raw, 8N1.
    Serial {
        /// The device.
        path: PathBuf,
        /// Bits a second.
        baud: u32,
    },
    /// `exec:COMMAND`: the standard input and output of a shell command.
    Exec(String),
    /// A path with a `/`: a socket or a tty, by what it is when it is opened.
    Path(PathBuf),
    /// `replay:FILE`: no line at all, a record of one.
    Replay(PathBuf),
}

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// A name or address; IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Why an address can not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Nothing there.
    #[error(
        "the address is empty, give host:port, unix:PATH, telnet:host:port, serial:/dev/ttyUSB0,115200 or exec:COMMAND"
    )]
    Empty,
    /// No port.
    #[error("`{text}` has no port, write for example {text}:9999, or ./{text} for a file")]
    NoPort {
        /// What was given.
        text: String,
    },
    /// The part after the last colon is no port.
    #[error("`{port}` in `{text}` is not a port, ports are 1 to 65535")]
    BadPort {
        /// What was given.
        text: String,
        /// The part that is wrong.
        port: String,
    },
    /// White space in the host.
    #[error("`{host}` is not a host name, it holds a blank")]
    BadHost {
        /// The part before the port.
        host: String,
    },
    /// Telnet with RFC 2217's options, which are not spoken here.
    #[error(
        "rfc2217 is not spoken here; its servers take telnet, with BREAK: telnet:{rest} (set the rate at the server)"
    )]
    Rfc2217 {
        /// What was given after the colon.
        rest: String,
    },
    /// An IPv6 address without brackets.
    #[error("`{text}` looks like an IPv6 address, write it in brackets: [::1]:9999")]
    Brackets {
        /// What was given.
        text: String,
    },
    /// Nothing after the colon of `unix:`, `serial:`, `exec:` or `replay:`.
    #[error("`{scheme}:` needs {what} after the colon")]
    Missing {
        /// The word before the colon.
        scheme: &'static str,
        /// What is missing.
        what: &'static str,
    },
    /// The part after the comma is no rate.
    #[error("`{baud}` is not a baud rate, write for example serial:/dev/ttyUSB0,115200")]
    BadBaud {
        /// What was given.
        baud: String,
    },
}

impl Endpoint {
    /// In words, for messages and the status bar.
    pub fn describe(&self) -> String {
        match self {
            Endpoint::Tcp(at) => format!("TCP {at}"),
            Endpoint::Telnet(at) => format!("telnet {at}"),
            Endpoint::Unix(path) => format!("unix socket {}", path.display()),
            Endpoint::Serial { path, baud } => format!("tty {} at {baud} baud", path.display()),
            Endpoint::Exec(command) => format!("command `{command}`"),
            Endpoint::Path(path) => path.display().to_string(),
            Endpoint::Replay(path) => format!("record {}", path.display()),
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        let text = text.trim();
        let path = |rest: &str, scheme, what| match rest {
            "" => Err(EndpointError::Missing { scheme, what }),
            _ => Ok(PathBuf::from(rest)),
        };
        match text.split_once(':') {
            _ if text.is_empty() => Err(EndpointError::Empty),
            Some(("tcp", rest)) => host_port(rest).map(Endpoint::Tcp),
            Some(("telnet", rest)) => host_port(rest).map(Endpoint::Telnet),
            // Its servers speak telnet, whose BREAK they pass on; the rate is
            // set there.
            Some(("rfc2217", rest)) => {
                Err(EndpointError::Rfc2217 { rest: rest.trim_start_matches('/').to_owned() })
            }
            Some(("unix", rest)) => path(rest, "unix", "a path").map(Endpoint::Unix),
            Some(("replay", rest)) => path(rest, "replay", "a file").map(Endpoint::Replay),
            Some(("serial", rest)) => serial(rest),
            Some(("exec", "")) => Err(EndpointError::Missing { scheme: "exec", what: "a command" }),
            Some(("exec", command)) => Ok(Endpoint::Exec(command.to_owned())),
            _ if text.contains('/') => Ok(Endpoint::Path(text.into())),
            _ => host_port(text).map(Endpoint::Tcp),
        }
    }
}

fn serial(rest: &str) -> Result<Endpoint, EndpointError> {
    let (path, baud) = match rest.rsplit_once(',') {
        None => (rest, DEFAULT_BAUD),
        Some((path, digits)) => match digits.parse() {
            Ok(baud) if baud > 0 => (path, baud),
            _ => return Err(EndpointError::BadBaud { baud: digits.to_owned() }),
        },
    };
    if path.is_empty() {
        return Err(EndpointError::Missing { scheme: "serial", what: "a device" });
    }
    Ok(Endpoint::Serial { path: path.into(), baud })
}

/// An empty host is this machine, as in gdb's `target remote :9999`.
fn host_port(text: &str) -> Result<HostPort, EndpointError> {
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(EndpointError::NoPort { text: text.to_owned() });
    };
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner)
            if !inner.is_empty()
                && !inner.contains(|c: char| "[]".contains(c) || c.is_whitespace()) =>
        {
            inner
        }
        _ if host.contains([':', '[', ']']) => {
            return Err(EndpointError::Brackets { text: text.to_owned() });
        }
        _ if host.contains(char::is_whitespace) => {
            return Err(EndpointError::BadHost { host: host.to_owned() });
        }
        _ if host.is_empty() => "localhost",
        _ => host,
    };
    match port.parse() {
        Ok(port) if port > 0 => Ok(HostPort { host: host.to_owned(), port }),
        _ => Err(EndpointError::BadPort { text: text.to_owned(), port: port.to_owned() }),
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(at) if SCHEMES.contains(&at.host.as_str()) || at.host.contains('/') => {
                write!(f, "tcp:{at}")
            }
            Endpoint::Tcp(at) => at.fmt(f),
            Endpoint::Telnet(at) => write!(f, "telnet:{at}"),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
            Endpoint::Serial { path, baud } => write!(f, "serial:{},{baud}", path.display()),
            Endpoint::Exec(command) => write!(f, "exec:{command}"),
            Endpoint::Path(path) => path.display().fmt(f),
            Endpoint::Replay(path) => write!(f, "replay:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tcp(host: &str, port: u16) -> Endpoint {
        Endpoint::Tcp(HostPort { host: host.to_owned(), port })
    }

    #[test]
    fn what_users_write() {
        for (text, endpoint) in [
            ("localhost:9999", tcp("localhost", 9999)),
            ("tcp:10.0.0.1:23", tcp("10.0.0.1", 23)),
            (":9999", tcp("localhost", 9999)),
            ("[::1]:9999", tcp("::1", 9999)),
            ("tcp:unix:1", tcp("unix", 1)),
            ("unix:/tmp/com_guest", Endpoint::Unix("/tmp/com_guest".into())),
            ("/tmp/com_guest", Endpoint::Path("/tmp/com_guest".into())),
            ("./a:b", Endpoint::Path("./a:b".into())),
            (
                "exec:ssh host socat - /dev/ttyS0",
                Endpoint::Exec("ssh host socat - /dev/ttyS0".into()),
            ),
            (
                "serial:/dev/ttyUSB0,9600",
                Endpoint::Serial { path: "/dev/ttyUSB0".into(), baud: 9600 },
            ),
            (
                "serial:/dev/ttyUSB0",
                Endpoint::Serial { path: "/dev/ttyUSB0".into(), baud: DEFAULT_BAUD },
            ),
        ] {
            assert_eq!(text.parse(), Ok(endpoint), "{text}");
        }
    }

    #[test]
    fn mistakes_say_what_is_wrong() {
        for (text, words) in [
            ("", "empty"),
            ("localhost", "localhost:9999"),
            ("localhost:", "not a port"),
            ("localhost:99999", "not a port"),
            ("localhost:0", "not a port"),
            ("::1:9999", "brackets"),
            ("unix:", "needs a path"),
            ("serial:,9600", "needs a device"),
            ("serial:/dev/ttyS0,fast", "not a baud rate"),
            ("exec:", "needs a command"),
            ("telnet:guest", "no port"),
            ("rfc2217://host:4000", "telnet:host:4000"),
            ("the guest:9999", "holds a blank"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn parse_undoes_display(text in "((tcp|unix|telnet|serial|exec|rfc2217):)?[a-z\\[\\]/.,: ]{0,12}:?[0-9]{0,6}") {
            if let Ok(endpoint) = text.parse::<Endpoint>() {
                prop_assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
            }
        }

        #[test]
        fn parse_takes_anything(text in ".{0,40}") {
            if let Ok(endpoint) = text.parse::<Endpoint>() {
                prop_assert_eq!(endpoint.to_string().parse(), Ok(endpoint));
            }
        }
    }
}
