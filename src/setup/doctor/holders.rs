//! Who has a port, a socket or a device, as far as `/proc` tells: the processes
//! of other users are seen by root only.

use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its pid.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// Its arguments, the program first.
    pub args: Vec<String>,
}

impl std::fmt::Display for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

impl Process {
    /// Whether one of its arguments has a text.
    pub fn mentions(&self, text: &str) -> bool {
        self.args.iter().skip(1).any(|arg| arg.contains(text))
    }
}

/// A TCP socket of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// This end.
    pub local: (IpAddr, u16),
    /// The other end.
    pub remote: (IpAddr, u16),
    /// Whether it waits for connections.
    pub listens: bool,
    /// Whether it is a connection that stands.
    pub connected: bool,
    /// Its number, by which processes have it; 0 when nobody has.
    pub inode: u64,
}

/// A line of `/proc/net/tcp` or `tcp6` (`get_tcp4_sock` in net/ipv4/tcp_ipv4.c).
fn tcp(line: &str) -> Option<Tcp> {
    let mut words = line.split_whitespace().skip(1);
    let (local, remote) = (end(words.next()?)?, end(words.next()?)?);
    let state = u8::from_str_radix(words.next()?, 16).ok()?;
    let inode = words.nth(5)?.parse().ok()?;
    Some(Tcp { local, remote, listens: state == 10, connected: state == 1, inode })
}

/// An address and a port. The address is in words of the machine's byte order.
fn end(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let word = u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    match address.len() {
        8 => Some((IpAddr::V4(Ipv4Addr::from(word(0)?)), port)),
        32 => {
            let mut bytes = [0; 16];
            for at in 0..4 {
                bytes[at * 4..at * 4 + 4].copy_from_slice(&word(at)?);
            }
            Some((Ipv6Addr::from(bytes).to_canonical(), port))
        }
        _ => None,
    }
}

/// The TCP sockets of this machine.
pub fn tcp_sockets() -> Vec<Tcp> {
    let files = ["/proc/net/tcp", "/proc/net/tcp6"];
    let text: Vec<String> = files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
    text.iter().flat_map(|text| text.lines().filter_map(tcp)).collect()
}

/// A unix socket with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unix {
    /// Its name in the file system.
    pub path: PathBuf,
    /// Whether it waits for connections; else it is the server's end of one.
    pub listens: bool,
    /// Its number, by which processes have it.
    pub inode: u64,
}

/// A line of `/proc/net/unix` (`unix_seq_show` in net/unix/af_unix.c).
fn unix(line: &str) -> Option<Unix> {
    /// `__SO_ACCEPTON` in include/uapi/linux/net.h.
    const ACCEPTS: u32 = 1 << 16;
    let mut rest = line;
    let mut words = Vec::new();
    for _ in 0..7 {
        let (word, after) = rest.trim_start().split_once(' ')?;
        words.push(word);
        rest = after;
    }
    let flags = u32::from_str_radix(words[3], 16).ok()?;
    let inode = words[6].parse().ok()?;
    let path = rest.strip_prefix(' ').unwrap_or(rest);
    (path.starts_with('/')).then(|| Unix {
        path: path.into(),
        listens: flags & ACCEPTS != 0,
        inode,
    })
}

/// The named unix sockets of this machine.
pub fn unix_sockets() -> Vec<Unix> {
    let text = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    text.lines().filter_map(unix).collect()
}

/// All processes and what they have open, looked through once.
#[derive(Debug, Default)]
pub struct Processes {
    by_socket: HashMap<u64, Process>,
    by_file: HashMap<PathBuf, Vec<Process>>,
    all: Vec<Process>,
}

impl Processes {
    /// Looks at all but this one.
    pub fn read() -> Processes {
        let mut found = Processes::default();
        let own = std::process::id();
        let dirs = fs::read_dir("/proc").into_iter().flatten().flatten();
        for dir in dirs {
            let name = dir.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            if pid == own {
                continue;
            }
            found.add(pid, &dir.path());
        }
        found
    }

    fn add(&mut self, pid: u32, dir: &Path) {
        let name = fs::read_to_string(dir.join("comm")).unwrap_or_default().trim().to_owned();
        let args = fs::read(dir.join("cmdline")).unwrap_or_default();
        let args = String::from_utf8_lossy(&args);
        let args = args.split('\0').filter(|arg| !arg.is_empty()).map(str::to_owned).collect();
        let process = Process { pid, name, args };
        let files = fs::read_dir(dir.join("fd")).into_iter().flatten().flatten();
        for file in files.filter_map(|file| fs::read_link(file.path()).ok()) {
            match socket_number(&file) {
                Some(inode) => {
                    self.by_socket.insert(inode, process.clone());
                }
                None if file.is_absolute() => {
                    let users = self.by_file.entry(file).or_default();
                    if users.last() != Some(&process) {
                        users.push(process.clone());
                    }
                }
                None => {}
            }
        }
        self.all.push(process);
    }

    /// Who has a socket.
    pub fn of_socket(&self, inode: u64) -> Option<&Process> {
        self.by_socket.get(&inode)
    }

    /// Who has a file open.
    pub fn of_file(&self, path: &Path) -> &[Process] {
        self.by_file.get(path).map_or(&[], Vec::as_slice)
    }

    /// All of them.
    pub fn all(&self) -> &[Process] {
        &self.all
    }
}

/// `socket:[12345]`.
fn socket_number(link: &Path) -> Option<u64> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The user and the mode of a file, as `ls -l` has them.
pub fn owner(path: &Path) -> Option<String> {
    let data = fs::metadata(path).ok()?;
    Some(format!("uid {}, mode {:03o}", data.uid(), data.mode() & 0o777))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::TcpListener, os::unix::net::UnixListener};

    #[test]
    fn lines_of_the_kernel_are_read() {
        let line = "   0: 0100007F:270F 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 77777 1 0000 100 0 0 10 0";
        let found = tcp(line).unwrap();
        assert_eq!(found.local, (IpAddr::V4(Ipv4Addr::LOCALHOST), 9999));
        assert_eq!((found.listens, found.connected, found.inode), (true, false, 77777));
        let line = "   1: 0000000000000000FFFF00000100007F:270F 0000000000000000FFFF00000100007F:A000 01 00000000:00000000 00:00000000 00000000  1000        0 5 1";
        let found = tcp(line).unwrap();
        assert_eq!(found.remote, (IpAddr::V4(Ipv4Addr::LOCALHOST), 0xa000));
        assert!(found.connected);
        let line = "ffff8880: 00000002 00000000 00010000 0001 01 31337 /tmp/com guest";
        let found = unix(line).unwrap();
        assert_eq!(found, Unix { path: "/tmp/com guest".into(), listens: true, inode: 31337 });
        for junk in ["", "  sl  local_address rem_address", "Num RefCount Protocol", "0: x:y z"] {
            assert!(tcp(junk).is_none() && unix(junk).is_none(), "{junk}");
        }
    }

    #[test]
    fn sockets_of_this_machine_are_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(tcp_sockets().iter().any(|s| s.local.1 == port && s.listens && s.inode != 0));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a socket");
        let _listener = UnixListener::bind(&path).unwrap();
        assert!(unix_sockets().iter().any(|s| s.path == path && s.listens));
    }
}
