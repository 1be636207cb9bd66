//! Which serial port of a virtual machine is for kgdb, and the lines that make
//! it one.
//!
//! VMware's `serial0` to `serial3` are COM1 to COM4, which Linux calls `ttyS0`
//! to `ttyS3` whichever of them are there: their I/O addresses are fixed.

use super::vmx::{Vmx, VmxError};
use std::path::Path;
use thiserror::Error;

/// Ports of one virtual machine (VMware's limit).
pub const PORTS: u32 = 4;

/// What makes a port one for kgdb; the name of its socket comes besides.
const WANTED: [(&str, &str); 5] = [
    ("present", "TRUE"),
    // A named pipe; on a Linux host that is a unix socket.
    ("fileType", "pipe"),
    // The virtual machine makes the socket, and others connect: "This end is the
    // server", "The other end is an application".
    ("pipe.endPoint", "server"),
    // VMware keeps what the guest has not taken yet (noRxLoss of
    // VirtualSerialPortPipeBackingInfo in VMware's API): a UART has room for 16
    // bytes, and one byte lost is a packet to be sent again.
    ("tryNoRxLoss", "TRUE"),
    // "Yield CPU on poll": a kernel that is stopped does nothing but look at the
    // port (`gdbstub_read_wait` in kernel/debug/gdbstub.c), and would keep a whole
    // CPU of this machine busy.
    ("yieldOnMsrRead", "TRUE"),
];

/// A serial port as the file has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// Its number, which is that of the guest's ttyS.
    pub number: u32,
    /// Whether the virtual machine has it.
    pub present: bool,
    /// What it is connected to: `pipe`, `file`, `device`, `network`,
    /// `thinprint`; in lower case, empty when nothing is said.
    pub kind: String,
    /// The file, device or socket.
    pub file: String,
}

impl Port {
    fn read(vmx: &Vmx, number: u32) -> Port {
        let get = |name: &str| vmx.get(&format!("serial{number}.{name}")).unwrap_or_default();
        Port {
            number,
            present: vmx.is_true(&format!("serial{number}.present")),
            kind: get("fileType").to_ascii_lowercase(),
            file: get("fileName"),
        }
    }

    /// Whether it leads to a socket of this machine. Windows has its pipes in a
    /// space of their own (`\\.\pipe\…`).
    pub fn is_socket(&self) -> bool {
        self.present && self.kind == "pipe" && !self.file.starts_with('\\')
    }

    /// Whether it is the virtual printer, which VMware puts first.
    pub fn is_printer(&self) -> bool {
        self.present && self.kind == "thinprint"
    }

    /// In words.
    pub fn describe(&self) -> String {
        let Port { number, kind, file, .. } = self;
        match (kind.as_str(), file.as_str()) {
            ("thinprint", _) => format!("serial{number} is the virtual printer (thinprint)"),
            ("", _) => format!("serial{number} is a real port of the host"),
            (_, "") => format!("serial{number} is a {kind}"),
            _ => format!("serial{number} is a {kind}, {file}"),
        }
    }
}

/// The ports of a virtual machine, those that are not there included.
pub fn ports(vmx: &Vmx) -> Vec<Port> {
    (0..PORTS).map(|number| Port::read(vmx, number)).collect()
}

/// Values of a port for kgdb that are not as they should be: the key, what it
/// should be, what it is.
pub fn lacks(vmx: &Vmx, number: u32) -> Vec<(String, &'static str, Option<String>)> {
    let wanted = WANTED.iter().map(|(name, value)| (format!("serial{number}.{name}"), *value));
    let is_so = |(key, value): &(String, &str)| {
        vmx.get(key).is_some_and(|now| now.eq_ignore_ascii_case(value))
    };
    let mut lacking: Vec<_> = wanted
        .filter(|one| !is_so(one))
        .map(|(key, value)| {
            let now = vmx.get(&key);
            (key, value, now)
        })
        .collect();
    // Without it a port is connected when the machine starts.
    let start = format!("serial{number}.startConnected");
    let now = vmx.get(&start).filter(|now| !now.eq_ignore_ascii_case("true"));
    if now.is_some() {
        lacking.push((start, "TRUE", now));
    }
    lacking
}

/// A change of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: String,
    /// Its value before.
    pub before: Option<String>,
    /// Its value after.
    pub after: String,
}

/// What is to become of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The file afterwards.
    pub vmx: Vmx,
    /// The port, and the guest's ttyS.
    pub port: u32,
    /// Its socket.
    pub socket: String,
    /// What differs; nothing when all is as it should be.
    pub changes: Vec<Change>,
    /// What one should know besides.
    pub notes: Vec<String>,
}

/// Why there is no port for kgdb.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// The file can't say it.
    #[error(transparent)]
    Vmx(#[from] VmxError),
    /// All ports are there already, for something else.
    #[error("all four serial ports are taken: {0}; remove one in VMware's settings")]
    Full(String),
    /// A port has two values for one thing.
    #[error(
        "{key} is there {times} times (lines {lines}); delete all but one, VMware reads only one of them"
    )]
    Twice {
        /// The key.
        key: String,
        /// How often.
        times: usize,
        /// Where.
        lines: String,
    },
    /// A path that others could not name.
    #[error("{0} must be an absolute path, such as /tmp/com_guest")]
    Relative(String),
}

/// Works out the port: the one that has this socket already; without a socket
/// given, the first that has any; else the next free one, with a socket named
/// after the machine (`name`).
///
/// # Errors
/// See [`PlanError`].
pub fn plan(vmx: &Vmx, socket: Option<&Path>, name: &str) -> Result<Plan, PlanError> {
    let mut vmx = vmx.clone();
    let twice = vmx.duplicates();
    if let Some(twice) = twice.iter().find(|twice| twice.key.starts_with("serial")) {
        let lines: Vec<String> = twice.lines.iter().map(usize::to_string).collect();
        let (key, times, lines) = (twice.key.clone(), lines.len(), lines.join(", "));
        return Err(PlanError::Twice { key, times, lines });
    }
    let socket = match socket {
        Some(path) if path.is_absolute() => Some(path.to_string_lossy().into_owned()),
        Some(path) => return Err(PlanError::Relative(path.display().to_string())),
        None => None,
    };
    let all = ports(&vmx);
    let fits = |port: &&Port| match &socket {
        Some(socket) => port.kind == "pipe" && port.file == *socket,
        None => port.is_socket() && Path::new(&port.file).is_absolute(),
    };
    let has = all.iter().find(fits);
    let Some(port) = has.or_else(|| all.iter().find(|port| !port.present)) else {
        let taken: Vec<String> = all.iter().map(Port::describe).collect();
        return Err(PlanError::Full(taken.join("; ")));
    };
    let socket = match (socket, has) {
        (Some(socket), _) => socket,
        (None, Some(port)) => port.file.clone(),
        (None, None) => format!("/tmp/com_{}", plain(name)),
    };
    let number = port.number;
    let mut changes = Vec::new();
    for (key, value, before) in lacks(&vmx, number) {
        vmx.set(&key, value)?;
        changes.push(Change { key, before, after: value.to_owned() });
    }
    let key = format!("serial{number}.fileName");
    let before = vmx.get(&key);
    if vmx.set(&key, &socket)? {
        changes.push(Change { key, before, after: socket.clone() });
    }
    let mut notes = Vec::new();
    if let Some(printer) = all.iter().find(|port| port.is_printer()) {
        notes.push(format!(
            "{}, so kgdb's port is ttyS{number} in the guest and not ttyS0; to have ttyS0, remove the printer in VMware's settings and run this again",
            printer.describe()
        ));
    }
    for twice in twice {
        let lines: Vec<String> = twice.lines.iter().map(usize::to_string).collect();
        notes.push(format!("{} is there twice (lines {})", twice.key, lines.join(", ")));
    }
    if let Some(line) = vmx.strange_lines().first() {
        notes.push(format!("line {line} is not of the form key = \"value\"; it is left as it is"));
    }
    Ok(Plan { vmx, port: number, socket, changes, notes })
}

/// A machine's name as a part of a file's name.
fn plain(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = name.chars().take(32).map(letter).collect();
    if name.is_empty() { "guest".into() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vmx(lines: &str) -> Vmx {
        Vmx::parse(format!("config.version = \"8\"\n{lines}").as_bytes()).unwrap()
    }

    fn keys(plan: &Plan) -> Vec<&str> {
        plan.changes.iter().map(|change| change.key.as_str()).collect()
    }

    const ALL: [&str; 6] =
        ["present", "fileType", "pipe.endPoint", "tryNoRxLoss", "yieldOnMsrRead", "fileName"];

    #[test]
    fn the_first_free_port_becomes_a_server_pipe_and_the_second_time_nothing_changes() {
        let plan = super::plan(&vmx("memsize = \"512\"\n"), None, "My guest!").unwrap();
        assert_eq!((plan.port, plan.socket.as_str()), (0, "/tmp/com_My_guest_"));
        assert_eq!(keys(&plan), ALL.map(|name| format!("serial0.{name}")));
        assert_eq!(plan.notes, Vec::<String>::new());
        let text = String::from_utf8(plan.vmx.bytes()).unwrap();
        assert!(text.contains("serial0.yieldOnMsrRead = \"TRUE\"\n"), "{text}");
        for socket in [None, Some(Path::new("/tmp/com_My_guest_"))] {
            let again = super::plan(&plan.vmx, socket, "My guest!").unwrap();
            assert_eq!((again.port, again.changes), (0, vec![]));
            assert_eq!(again.vmx, plan.vmx);
        }
    }

    #[test]
    fn the_printer_has_the_first_port() {
        let file = vmx("serial0.present = \"TRUE\"\nserial0.fileType = \"thinprint\"\n");
        let plan = super::plan(&file, Some(Path::new("/tmp/com")), "x").unwrap();
        assert_eq!(plan.port, 1);
        assert!(plan.notes[0].contains("thinprint") && plan.notes[0].contains("ttyS1"));
        // A port that was removed is free.
        let file = vmx("serial0.present = \"FALSE\"\nserial0.fileType = \"thinprint\"\n");
        let plan = super::plan(&file, Some(Path::new("/tmp/com")), "x").unwrap();
        assert_eq!((plan.port, plan.notes.len()), (0, 0));
        assert_eq!(plan.vmx.get("serial0.fileType").as_deref(), Some("pipe"));
    }

    #[test]
    fn a_pipe_that_is_there_is_completed() {
        let lines = "serial1.present = \"TRUE\"\nserial1.fileType = \"Pipe\"\nserial1.fileName = \"/tmp/k\"\nserial1.startConnected = \"FALSE\"\nserial1.tryNoRxLoss = \"true\"\n";
        let plan = super::plan(&vmx(lines), None, "x").unwrap();
        assert_eq!((plan.port, plan.socket.as_str()), (1, "/tmp/k"));
        let want = ["serial1.pipe.endPoint", "serial1.yieldOnMsrRead", "serial1.startConnected"];
        assert_eq!(keys(&plan), want);
        // Another socket is another port.
        let other = super::plan(&vmx(lines), Some(Path::new("/tmp/other")), "x").unwrap();
        assert_eq!(other.port, 0);
    }

    #[test]
    fn no_port_is_taken_away() {
        let lines: String = (0..4)
            .map(|n| format!("serial{n}.present = \"TRUE\"\nserial{n}.fileType = \"file\"\nserial{n}.fileName = \"log{n}\"\n"))
            .collect();
        let why = super::plan(&vmx(&lines), None, "x").unwrap_err().to_string();
        assert!(why.contains("serial3 is a file, log3"), "{why}");
        let why = super::plan(&vmx(""), Some(Path::new("com")), "x").unwrap_err();
        assert_eq!(why, PlanError::Relative("com".into()));
        let twice = "serial0.present = \"TRUE\"\nserial0.present = \"FALSE\"\n";
        let why = super::plan(&vmx(twice), None, "x").unwrap_err().to_string();
        assert!(why.contains("lines 2, 3"), "{why}");
    }
}
