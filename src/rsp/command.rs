//! The requests. A value of [`Command`] is safe to send to a stopped stub: the
//! operands are checked types, so what would overrun the stub's buffers, or
//! resume the kernel at a wrong address, can not be built.

use std::{fmt, ops::RangeInclusive};

use crate::base::{addr::Addr, memory::PAGE};

use super::{
    frame::{encode, escape, hex},
    thread::ThreadId,
};

/// Most bytes one `m` may ask for.
///
/// `gdb_cmd_memread` in 4.2 and 6.1 does not check: above 511 the hex does not
/// fit the static `remcom_out_buffer[1024]` and kernel memory behind it is
/// overwritten. 504 is the largest multiple of 8 below.
pub const MAX_READ: usize = 504;

/// Longest payload we send. The stub takes at most 1023 bytes (x86 `BUFMAX`
/// less one, `get_packet`) and drops longer packets without an ack.
pub const MAX_PAYLOAD: usize = 1000;

/// Longest text of a monitor command. Up to 6.1 `gdb_cmd_query` converts twice
/// the length it was given, into a buffer of 256 (fixed in 6.12).
pub const MAX_MONITOR: usize = 239;

/// Why a request can not be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Zero bytes, or more than the stub has room for.
    #[error(
        "access of {len} bytes at {addr}: one packet carries {} to {} bytes, split it",
        allowed.start(), allowed.end()
    )]
    Length {
        /// Guest address.
        addr: Addr,
        /// Bytes asked for.
        len: usize,
        /// What one packet can carry.
        allowed: RangeInclusive<usize>,
    },
    /// The access would touch two pages.
    #[error("access of {len} bytes at {addr} crosses a page, split it there")]
    CrossesPage {
        /// Guest address.
        addr: Addr,
        /// Bytes asked for.
        len: usize,
    },
    /// A monitor command that kdb has no room for, or that is empty.
    #[error(
        "monitor command of {len} bytes: 1 to {MAX_MONITOR} bytes without control characters are possible"
    )]
    Monitor {
        /// Its length in bytes.
        len: usize,
    },
    /// A register value of an impossible size.
    #[error("value of {len} bytes for register {number}: 1 to 64 bytes are possible")]
    RegisterSize {
        /// The stub's register number.
        number: u8,
        /// Bytes given.
        len: usize,
    },
}

/// Memory of the guest that one packet may touch: not empty, short enough and
/// within one page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    addr: Addr,
    len: usize,
}

impl Access {
    fn new(addr: Addr, len: usize, most: usize) -> Result<Access, CommandError> {
        if len == 0 || len > most {
            return Err(CommandError::Length { addr, len, allowed: 1..=most });
        }
        if addr.0 % PAGE + len as u64 > PAGE {
            return Err(CommandError::CrossesPage { addr, len });
        }
        Ok(Access { addr, len })
    }

    /// Guest address of the first byte.
    pub fn addr(self) -> Addr {
        self.addr
    }

    /// Number of bytes.
    pub fn len(self) -> usize {
        self.len
    }

    /// Never: an empty access can not be built.
    pub fn is_empty(self) -> bool {
        false
    }
}

/// What `Z` and `z` plant, by its number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PointKind {
    /// Software breakpoint, an instruction in memory.
    Software = 0,
    /// Hardware execution breakpoint.
    Hardware = 1,
    /// Hardware write watchpoint.
    WriteWatch = 2,
    /// Hardware read watchpoint. x86 has none and answers E01.
    ReadWatch = 3,
    /// Hardware read or write watchpoint.
    AccessWatch = 4,
}

impl fmt::Display for PointKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PointKind::Software => "breakpoint",
            PointKind::Hardware => "hardware breakpoint",
            PointKind::WriteWatch => "write watchpoint",
            PointKind::ReadWatch => "read watchpoint",
            PointKind::AccessWatch => "access watchpoint",
        })
    }
}

/// A place for `Z` and `z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Point {
    /// What is planted.
    pub kind: PointKind,
    /// Guest address.
    pub addr: Addr,
    /// Bytes watched; ignored by kgdb for software breakpoints.
    pub len: u8,
}

/// Which thread `H` chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadUse {
    /// `Hg`: whose registers `g` and `p` read.
    Registers,
    /// `Hc`: who is resumed. kgdb refuses `c` and `s` for any thread but the
    /// one of the stopped CPU.
    Resume,
}

/// One request to the stub. The constructors are named after what they do; the
/// letter on the wire is in each variant's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `?` Why is the target stopped. **The stub removes all its breakpoints**
    /// (`gdb_cmd_status`): only for finding out what listens.
    HaltReason,
    /// `qSupported` What the stub can do. kgdb on x86 answers with nothing; an
    /// answer means another stub. Safe at a kdb prompt.
    Supported,
    /// `g` All registers of the chosen thread.
    ReadRegisters,
    /// `p` One register, by the stub's number.
    ReadRegister {
        /// The stub's number.
        number: u8,
    },
    /// `P` Write one register of the stopped CPU.
    WriteRegister(RegisterValue),
    /// `m` Read memory.
    ReadMemory(Access),
    /// `M` Write memory, data in hex.
    WriteMemory(Bytes),
    /// `X` Write memory, data in binary.
    WriteBinary(Bytes),
    /// `c` Resume.
    Continue,
    /// `s` Execute one instruction of the current task.
    Step,
    /// `C15` Remove all breakpoints, disconnect and hand the exception to the
    /// kernel's own handler. Every other signal makes kgdb resume at the
    /// signal number as an address (`gdb_cmd_exception_pass`).
    PassException,
    /// `D` Remove all breakpoints, disconnect and resume.
    Detach,
    /// `k` The same without a reply.
    Kill,
    /// `R0` Restart the machine at once.
    Restart,
    /// `H` Choose a thread.
    SetThread {
        /// For what.
        usage: ThreadUse,
        /// Which.
        id: ThreadId,
    },
    /// `T` Is there such a thread.
    ThreadAlive(ThreadId),
    /// `qC` The current thread of the stopped CPU.
    CurrentThread,
    /// `qfThreadInfo` The CPUs and the first 17 tasks.
    FirstThreads,
    /// `qsThreadInfo` The next 17; nothing at the end.
    NextThreads,
    /// `qThreadExtraInfo` Name of a thread.
    ThreadExtraInfo(ThreadId),
    /// `qRcmd` A kdb command.
    Monitor(MonitorText),
    /// `Z` Plant a breakpoint or watchpoint.
    Insert(Point),
    /// `z` Take it out.
    Remove(Point),
    /// `3` Go to the kdb prompt. All breakpoints are removed.
    LeaveToKdb,
}

/// A register and the bytes to write to it, in the guest's byte order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterValue {
    number: u8,
    bytes: Vec<u8>,
}

/// A access and the bytes to write to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bytes {
    access: Access,
    data: Vec<u8>,
}

/// A monitor command that fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorText(String);

impl RegisterValue {
    /// The stub's number of the register.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// The value, as it is sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Bytes {
    /// What is written.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The request that reads the same bytes, when one can.
    pub fn read_back(&self) -> Option<Command> {
        Command::read_memory(self.access.addr, self.access.len).ok()
    }
}

impl Command {
    /// `m`: at most [`MAX_READ`] bytes within one page.
    ///
    /// # Errors
    /// When the access is empty, too long or crosses a page.
    pub fn read_memory(addr: Addr, len: usize) -> Result<Command, CommandError> {
        Access::new(addr, len, MAX_READ).map(Command::ReadMemory)
    }

    /// `M`: the payload with its hex data must fit [`MAX_PAYLOAD`].
    ///
    /// # Errors
    /// When the access is empty, too long or crosses a page.
    pub fn write_memory(addr: Addr, data: &[u8]) -> Result<Command, CommandError> {
        let most = (MAX_PAYLOAD - write_head('M', addr, data.len()).len()) / 2;
        let access = Access::new(addr, data.len(), most)?;
        Ok(Command::WriteMemory(Bytes { access, data: data.to_vec() }))
    }

    /// `X`: the payload with its escaped data must fit [`MAX_PAYLOAD`].
    ///
    /// # Errors
    /// When the access is empty, too long or crosses a page.
    pub fn write_binary(addr: Addr, data: &[u8]) -> Result<Command, CommandError> {
        let room = MAX_PAYLOAD - write_head('X', addr, data.len()).len();
        let extra = escape(data).len() - data.len();
        let access = Access::new(addr, data.len(), room.saturating_sub(extra))?;
        Ok(Command::WriteBinary(Bytes { access, data: data.to_vec() }))
    }

    /// `P`: bytes in the guest's order.
    ///
    /// # Errors
    /// When there are none, or more than any register has.
    pub fn write_register(number: u8, bytes: &[u8]) -> Result<Command, CommandError> {
        if bytes.is_empty() || bytes.len() > 64 {
            return Err(CommandError::RegisterSize { number, len: bytes.len() });
        }
        Ok(Command::WriteRegister(RegisterValue { number, bytes: bytes.to_vec() }))
    }

    /// `qRcmd`: one line for kdb.
    ///
    /// # Errors
    /// When it is empty, longer than [`MAX_MONITOR`] or holds control
    /// characters.
    pub fn monitor(text: &str) -> Result<Command, CommandError> {
        if text.is_empty() || text.len() > MAX_MONITOR || text.chars().any(char::is_control) {
            return Err(CommandError::Monitor { len: text.len() });
        }
        Ok(Command::Monitor(MonitorText(text.to_owned())))
    }

    /// The payload, without `$` and checksum.
    pub fn payload(&self) -> Vec<u8> {
        let text = match self {
            Command::HaltReason => "?".to_owned(),
            Command::Supported => "qSupported".to_owned(),
            Command::ReadRegisters => "g".to_owned(),
            Command::ReadRegister { number } => format!("p{number:x}"),
            Command::WriteRegister(RegisterValue { number, bytes }) => {
                format!("P{number:x}={}", hex(bytes))
            }
            Command::ReadMemory(access) => format!("m{:x},{:x}", access.addr.0, access.len),
            Command::WriteMemory(Bytes { access, data }) => {
                write_head('M', access.addr, access.len) + &hex(data)
            }
            Command::WriteBinary(Bytes { access, data }) => {
                let mut payload = write_head('X', access.addr, access.len).into_bytes();
                payload.extend(escape(data));
                return payload;
            }
            Command::Continue => "c".to_owned(),
            Command::Step => "s".to_owned(),
            Command::PassException => "C15".to_owned(),
            Command::Detach => "D".to_owned(),
            Command::Kill => "k".to_owned(),
            Command::Restart => "R0".to_owned(),
            Command::SetThread { usage: ThreadUse::Registers, id } => format!("Hg{}", id.encode()),
            Command::SetThread { usage: ThreadUse::Resume, id } => format!("Hc{}", id.encode()),
            Command::ThreadAlive(id) => format!("T{}", id.encode()),
            Command::CurrentThread => "qC".to_owned(),
            Command::FirstThreads => "qfThreadInfo".to_owned(),
            Command::NextThreads => "qsThreadInfo".to_owned(),
            Command::ThreadExtraInfo(id) => format!("qThreadExtraInfo,{}", id.encode()),
            Command::Monitor(MonitorText(text)) => format!("qRcmd,{}", hex(text.as_bytes())),
            Command::Insert(point) => point_payload('Z', point),
            Command::Remove(point) => point_payload('z', point),
            Command::LeaveToKdb => "3".to_owned(),
        };
        text.into_bytes()
    }

    /// The whole packet.
    pub fn encode(&self) -> Vec<u8> {
        encode(&self.payload())
    }

    /// Whether doing it twice is the same as doing it once, so that it may be
    /// sent again when nobody knows whether it arrived.
    ///
    /// `Z` and `z` count: the second time they fail with "already set" or
    /// "not set" and nothing changes. `qsThreadInfo` does not, the stub moves
    /// on with each; nor does a monitor command, which may do anything.
    pub fn is_idempotent(&self) -> bool {
        !matches!(
            self,
            Command::NextThreads | Command::Monitor(_) | Command::Restart | Command::Detach
        ) && !self.ends_with_ack()
    }

    /// Whether the stub's `+` is all that comes: the kernel runs, or kdb has
    /// taken over.
    pub fn ends_with_ack(&self) -> bool {
        matches!(
            self,
            Command::Continue
                | Command::Step
                | Command::PassException
                | Command::Kill
                | Command::LeaveToKdb
        )
    }

    /// Whether the kernel runs afterwards.
    pub fn resumes(&self) -> bool {
        matches!(
            self,
            Command::Continue
                | Command::Step
                | Command::PassException
                | Command::Kill
                | Command::Detach
                | Command::Restart
        )
    }

    /// The most bytes of payload that the answer can have, for time limits.
    pub fn reply_size(&self) -> usize {
        match self {
            Command::ReadMemory(access) => access.len * 2,
            // 788 bytes on arm64, the longest of all architectures.
            Command::ReadRegisters => 1576,
            Command::FirstThreads
            | Command::NextThreads
            | Command::Monitor(_)
            | Command::Supported => 1024,
            _ => 40,
        }
    }
}

impl fmt::Display for Command {
    /// What is being done, for messages: `read 64 bytes at 0xffff…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::HaltReason => f.write_str("ask for the stop reason"),
            Command::Supported => f.write_str("ask what the stub supports"),
            Command::ReadRegisters => f.write_str("read the registers"),
            Command::ReadRegister { number } => write!(f, "read register {number}"),
            Command::WriteRegister(value) => write!(f, "write register {}", value.number),
            Command::ReadMemory(Access { addr, len }) => write!(f, "read {len} bytes at {addr}"),
            Command::WriteMemory(Bytes { access, .. })
            | Command::WriteBinary(Bytes { access, .. }) => {
                write!(f, "write {} bytes at {}", access.len, access.addr)
            }
            Command::Continue => f.write_str("continue"),
            Command::Step => f.write_str("step one instruction"),
            Command::PassException => f.write_str("pass the exception to the kernel"),
            Command::Detach => f.write_str("detach"),
            Command::Kill => f.write_str("disconnect"),
            Command::Restart => f.write_str("restart the machine"),
            Command::SetThread { id, .. } => write!(f, "choose thread {}", id.0),
            Command::ThreadAlive(id) => write!(f, "ask for thread {}", id.0),
            Command::CurrentThread => f.write_str("ask for the current thread"),
            Command::FirstThreads | Command::NextThreads => f.write_str("list the threads"),
            Command::ThreadExtraInfo(id) => write!(f, "ask for the name of thread {}", id.0),
            Command::Monitor(MonitorText(text)) => write!(f, "monitor {text}"),
            Command::Insert(point) => write!(f, "set {} at {}", point.kind, point.addr),
            Command::Remove(point) => write!(f, "remove {} at {}", point.kind, point.addr),
            Command::LeaveToKdb => f.write_str("go to the kdb prompt"),
        }
    }
}

fn write_head(letter: char, addr: Addr, len: usize) -> String {
    format!("{letter}{:x},{len:x}:", addr.0)
}

fn point_payload(letter: char, point: &Point) -> String {
    format!("{letter}{},{:x},{:x}", point.kind as u8, point.addr.0, point.len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rsp::frame::{expand, unhex};
    use proptest::prelude::*;

    fn wire(command: &Command) -> String {
        String::from_utf8(command.encode()).unwrap()
    }

    #[test]
    fn packets_as_the_stub_reads_them() {
        assert_eq!(wire(&Command::HaltReason), "$?#3f");
        assert_eq!(wire(&Command::Detach), "$D#44");
        assert_eq!(wire(&Command::LeaveToKdb), "$3#33");
        assert_eq!(Command::PassException.payload(), b"C15");
        assert_eq!(
            Command::read_memory(Addr(0xffff_ffff_8100_0000), 64).unwrap().payload(),
            b"mffffffff81000000,40"
        );
        assert_eq!(Command::write_register(0x10, &[1, 0, 0xff]).unwrap().payload(), b"P10=0100ff");
        assert_eq!(
            Command::write_memory(Addr(0x1000), b"\x00\xcc").unwrap().payload(),
            b"M1000,2:00cc"
        );
        assert_eq!(
            Command::write_binary(Addr(0x1000), b"a#}").unwrap().payload(),
            b"X1000,3:a}\x03}]"
        );
        let point = Point { kind: PointKind::WriteWatch, addr: Addr(0xabc), len: 4 };
        assert_eq!(Command::Insert(point).payload(), b"Z2,abc,4");
        assert_eq!(Command::Remove(point).payload(), b"z2,abc,4");
        let thread = Command::SetThread { usage: ThreadUse::Registers, id: ThreadId(-2) };
        assert_eq!(thread.payload(), b"Hgfffffffe");
        assert_eq!(Command::monitor("ps A").unwrap().payload(), b"qRcmd,70732041");
    }

    #[test]
    fn what_could_overrun_the_stub_is_refused() {
        assert!(Command::read_memory(Addr(0x1000), MAX_READ).is_ok());
        assert!(Command::read_memory(Addr(0x1000), MAX_READ + 1).is_err());
        assert!(Command::read_memory(Addr(0x1000), 0).is_err());
        assert!(Command::read_memory(Addr(0x1ffc), 4).is_ok());
        assert_eq!(
            Command::read_memory(Addr(0x1ffc), 5),
            Err(CommandError::CrossesPage { addr: Addr(0x1ffc), len: 5 })
        );
        assert!(Command::read_memory(Addr(u64::MAX), 1).is_ok());
        assert!(Command::read_memory(Addr(u64::MAX), 2).is_err());
        assert!(Command::monitor(&"x".repeat(MAX_MONITOR)).is_ok());
        for text in [String::new(), "x".repeat(MAX_MONITOR + 1), "a\nb".to_owned()] {
            assert!(Command::monitor(&text).is_err());
        }
        assert!(Command::write_register(1, &[]).is_err());
        assert!(Command::write_register(1, &[0; 65]).is_err());
    }

    #[test]
    fn resuming_commands_are_never_idempotent() {
        for command in [
            Command::Continue,
            Command::Step,
            Command::PassException,
            Command::Detach,
            Command::Kill,
            Command::Restart,
        ] {
            assert!(command.resumes() && !command.is_idempotent(), "{command}");
        }
    }

    proptest! {
        #[test]
        fn payload_stays_within_the_limit(
            addr in any::<u64>(), data in proptest::collection::vec(any::<u8>(), 0..1100)
        ) {
            let built = [
                Command::read_memory(Addr(addr), data.len()),
                Command::write_memory(Addr(addr), &data),
                Command::write_binary(Addr(addr), &data),
            ];
            for command in built.into_iter().flatten() {
                    prop_assert!(command.payload().len() <= MAX_PAYLOAD);
                    let last = addr + (data.len() as u64 - 1);
                    prop_assert_eq!(addr / PAGE, last / PAGE);
            }
        }

        #[test]
        fn written_data_is_what_the_stub_decodes(
            data in proptest::collection::vec(any::<u8>(), 1..400)
        ) {
            let payload = Command::write_memory(Addr(0x1000), &data).unwrap().payload();
            let colon = payload.iter().position(|&byte| byte == b':').unwrap();
            prop_assert_eq!(unhex(&payload[colon + 1..]), Some(data.clone()));
            let payload = Command::write_binary(Addr(0x1000), &data).unwrap().payload();
            let colon = payload.iter().position(|&byte| byte == b':').unwrap();
            prop_assert_eq!(expand(&payload[colon + 1..]), Some(data));
        }
    }
}
