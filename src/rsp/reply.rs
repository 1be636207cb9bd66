//! The answers, typed by what was asked.
//!
//! A reply that can not be the answer to the request (memory of another
//! length, `OK` to a read) is [`ReplyError::Malformed`]: on this protocol that
//! is a leftover of an earlier exchange, never something to show.

use super::{
    command::{Command, PointKind},
    frame::{hex_digit, unhex},
    thread::ThreadId,
};

/// What the stub answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// `OK`.
    Done,
    /// The kernel runs (`c`, `s`, `C15`, `k`) or kdb took over (`3`): these
    /// are answered by the ack alone.
    Resumed,
    /// The bytes of memory that were asked for, all of them.
    Memory(Vec<u8>),
    /// The raw bytes of `g` in the stub's order.
    Registers(Vec<u8>),
    /// The raw bytes of one register in the guest's order.
    Register(Vec<u8>),
    /// The answer to `?`.
    Stop(StopReply),
    /// The answer to `qC`.
    Thread(ThreadId),
    /// One page of the thread list. Empty: there are no more.
    Threads(Vec<ThreadId>),
    /// Text: the name of a thread (16 bytes, garbage after the first 0), or
    /// the answer to `qSupported`.
    Text(Vec<u8>),
}

/// Why the target stopped, or that it is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReply {
    /// `S05`: the answer to `?`.
    Signal {
        /// Signal number: 5 for breakpoints, steps, panic and sysrq-g, 11 for
        /// an oops, 4 for `BUG`.
        signal: u8,
    },
    /// `T05thread:01f4;`: the kernel stopped by itself.
    Thread {
        /// Signal number, as above.
        signal: u8,
        /// Who was running on the CPU that stopped; `None` when the packet
        /// does not say.
        thread: Option<ThreadId>,
    },
    /// `W01`: the machine is going down. kgdb sends 1 for a restart, 2 for a
    /// halt, 3 for power off (`kgdb_reboot_notify`), and does not wait for an
    /// ack.
    Exited {
        /// The code.
        code: u8,
    },
    /// `X0f`: terminated by a signal. kgdb never sends it.
    Terminated {
        /// Signal number.
        signal: u8,
    },
}

/// An answer that is not the wanted one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// The stub refused, and said why.
    #[error(transparent)]
    Refused(StubError),
    /// The empty answer: this stub does not know the request.
    #[error("{doing}: this stub does not support it")]
    Unsupported {
        /// What was asked.
        doing: String,
    },
    /// Not an answer to this request.
    #[error("{doing}: the stub answered `{got}`, which is no answer to that")]
    Malformed {
        /// What was asked.
        doing: String,
        /// The answer, made printable and cut.
        got: String,
    },
}

/// An `Exx` answer in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{doing}: {why} (E{errno:02})")]
pub struct StubError {
    /// What was asked.
    pub doing: String,
    /// The kernel's errno. kgdb writes it as two **decimal** digits
    /// (`error_packet` in `kernel/debug/gdbstub.c`).
    pub errno: u8,
    /// What it means for this request.
    pub why: &'static str,
}

impl StubError {
    fn new(command: &Command, errno: u8) -> StubError {
        StubError { doing: command.to_string(), errno, why: explain(command, errno) }
    }
}

/// What an errno means depends on the request: kgdb uses few numbers for many
/// things.
fn explain(command: &Command, errno: u8) -> &'static str {
    match (command, errno) {
        // ENODATA: kgdb never says it, a stub made of a record does
        // (`target::replay`).
        (_, 61) => "not in the record",
        (Command::ReadMemory(_), 22 | 14) => "not mapped, or not readable by kgdb",
        (Command::WriteMemory(_) | Command::WriteBinary(_), 14) => {
            "not writable: unmapped, or kernel text or read-only data"
        }
        (Command::WriteMemory(_) | Command::WriteBinary(_), 22) => "the stub could not read it",
        (Command::ReadRegister { .. } | Command::WriteRegister(_), 22) => {
            "no such register, or the thread is not the one of the stopped CPU"
        }
        (Command::Continue | Command::Step, 22) => {
            "only the thread of the stopped CPU can be resumed"
        }
        (Command::SetThread { .. } | Command::ThreadAlive(_) | Command::ThreadExtraInfo(_), 22) => {
            "there is no such thread"
        }
        (Command::Insert(point), _) => explain_insert(point.kind, errno),
        (Command::Remove(_), 2) => "nothing is set there",
        (Command::Remove(_), 16) => {
            "the kernel is patching its text (text_mutex is held), continue and try again"
        }
        (Command::Remove(_), 14) => "not mapped any more",
        (Command::Remove(_), 1) => "no hardware slot is set there",
        (Command::Monitor(_), 1) => "the stub could not read it",
        (_, 22) => "invalid argument",
        (_, 14) => "bad address",
        _ => "the stub refused it",
    }
}

fn explain_insert(kind: PointKind, errno: u8) -> &'static str {
    match (kind, errno) {
        (PointKind::Software, 17) => "it is already set",
        (PointKind::Software, 16) => {
            "the kernel is patching its text (text_mutex is held), continue and try again"
        }
        (PointKind::Software, 7) => {
            "the stub's table of 1000 addresses is full, detach and connect again to empty it"
        }
        (PointKind::Software, 14) => "not mapped",
        (PointKind::Software, 34) => "not an address of the kernel",
        (PointKind::Software, 22) => {
            "the kernel does not allow a breakpoint there (entry code, or marked NOKPROBE)"
        }
        (PointKind::ReadWatch, 1) => "this CPU has no read watchpoints, use an access watchpoint",
        (_, 1) => "no free hardware slot, or a length other than 1, 2, 4 or 8",
        _ => "the stub refused it",
    }
}

/// Reads the answer to a request. The payload must have been expanded already.
///
/// # Errors
/// See [`ReplyError`].
pub fn parse(command: &Command, payload: &[u8]) -> Result<Reply, ReplyError> {
    if let Some(errno) = errno(payload) {
        return Err(ReplyError::Refused(StubError::new(command, errno)));
    }
    let parsed = match command {
        Command::NextThreads | Command::FirstThreads => threads(payload),
        _ if payload.is_empty() => {
            return Err(ReplyError::Unsupported { doing: command.to_string() });
        }
        Command::HaltReason => stop(payload).map(Reply::Stop),
        Command::Supported => Some(Reply::Text(payload.to_vec())),
        // i386 has the fewest, 64 bytes; every register has 4 or 8. A bit
        // error can make a `#` in the middle, followed by a good checksum.
        Command::ReadRegisters => unhex(payload)
            .filter(|raw| raw.len() >= 64 && raw.len().is_multiple_of(4))
            .map(Reply::Registers),
        Command::ReadRegister { .. } => {
            unhex(payload).filter(|raw| raw.len() <= 64).map(Reply::Register)
        }
        Command::ReadMemory(access) => {
            unhex(payload).filter(|data| data.len() == access.len()).map(Reply::Memory)
        }
        Command::CurrentThread => {
            payload.strip_prefix(b"QC").and_then(ThreadId::parse).map(Reply::Thread)
        }
        Command::ThreadExtraInfo(_) => unhex(payload).map(Reply::Text),
        _ => (payload == b"OK").then_some(Reply::Done),
    };
    parsed.ok_or_else(|| ReplyError::Malformed {
        doing: command.to_string(),
        got: String::from_utf8_lossy(&payload[..payload.len().min(60)]).escape_debug().to_string(),
    })
}

/// The number of an `Exx` answer. Memory never looks like it: three digits are
/// no whole bytes.
pub fn errno(payload: &[u8]) -> Option<u8> {
    match payload {
        [b'E', tens @ b'0'..=b'9', units @ b'0'..=b'9'] => {
            Some((tens - b'0') * 10 + (units - b'0'))
        }
        _ => None,
    }
}

/// Reads `S`, `T`, `W` or `X`. `None` when it is none of these.
pub fn stop(payload: &[u8]) -> Option<StopReply> {
    let (&letter, rest) = payload.split_first()?;
    let (high, low) = (hex_digit(*rest.first()?)?, hex_digit(*rest.get(1)?)?);
    let value = high << 4 | low;
    let rest = &rest[2..];
    match letter {
        b'S' if rest.is_empty() => Some(StopReply::Signal { signal: value }),
        b'W' if rest.is_empty() || rest.starts_with(b";") => {
            Some(StopReply::Exited { code: value })
        }
        b'X' if rest.is_empty() || rest.starts_with(b";") => {
            Some(StopReply::Terminated { signal: value })
        }
        b'T' => {
            let mut thread = None;
            for pair in rest.split(|&byte| byte == b';').filter(|pair| !pair.is_empty()) {
                let colon = pair.iter().position(|&byte| byte == b':')?;
                if &pair[..colon] == b"thread" {
                    thread = Some(ThreadId::parse(&pair[colon + 1..])?);
                }
            }
            Some(StopReply::Thread { signal: value, thread })
        }
        _ => None,
    }
}

/// The text of an `O` packet; `None` when it is none. `OK` is none: `K` is no
/// hex digit.
pub fn output(payload: &[u8]) -> Option<Vec<u8>> {
    payload.strip_prefix(b"O").filter(|digits| !digits.is_empty()).and_then(unhex)
}

/// One page of threads. kgdb ends the list with an empty packet, where RSP
/// says `l` (`gdb_cmd_query`).
fn threads(payload: &[u8]) -> Option<Reply> {
    match payload {
        b"" | b"l" => Some(Reply::Threads(Vec::new())),
        _ => {
            let list = payload.strip_prefix(b"m")?;
            let ids = list.split(|&byte| byte == b',').filter(|id| !id.is_empty());
            ids.map(ThreadId::parse).collect::<Option<_>>().map(Reply::Threads)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::addr::Addr, rsp::command::Point};
    use proptest::prelude::*;

    fn read(len: usize) -> Command {
        Command::read_memory(Addr(0x1000), len).unwrap()
    }

    #[test]
    fn answers_by_request() {
        assert_eq!(parse(&read(2), b"12ff"), Ok(Reply::Memory(vec![0x12, 0xff])));
        assert_eq!(parse(&Command::Detach, b"OK"), Ok(Reply::Done));
        assert_eq!(
            parse(&Command::HaltReason, b"S05"),
            Ok(Reply::Stop(StopReply::Signal { signal: 5 }))
        );
        assert_eq!(parse(&Command::CurrentThread, b"QC01f4"), Ok(Reply::Thread(ThreadId(500))));
        assert_eq!(
            parse(&Command::FirstThreads, b"mfffffffe,fffffffd,01,02"),
            Ok(Reply::Threads([-2, -3, 1, 2].map(ThreadId).to_vec()))
        );
        for end in [&b""[..], b"l"] {
            assert_eq!(parse(&Command::NextThreads, end), Ok(Reply::Threads(vec![])));
        }
    }

    #[test]
    fn an_answer_to_something_else_is_malformed() {
        for (command, payload) in [
            (read(2), &b"12"[..]),
            (read(2), b"OK"),
            (Command::Detach, b"S05"),
            (Command::HaltReason, b"OK"),
            (Command::HaltReason, b"?"),
            (Command::ReadRegisters, b"g"),
            (Command::ReadRegisters, b"0011223344556677"),
            (Command::CurrentThread, b"QC"),
            (Command::FirstThreads, b"m01,xx"),
        ] {
            let answer = parse(&command, payload);
            assert!(matches!(answer, Err(ReplyError::Malformed { .. })), "{command}: {answer:?}");
        }
        assert!(matches!(parse(&Command::HaltReason, b""), Err(ReplyError::Unsupported { .. })));
    }

    #[test]
    fn errors_in_words_by_request() {
        let error = parse(&read(8), b"E22").unwrap_err();
        assert_eq!(
            error.to_string(),
            "read 8 bytes at 0x1000: not mapped, or not readable by kgdb (E22)"
        );
        let point = |kind| Command::Insert(Point { kind, addr: Addr(0x10), len: 1 });
        for (command, payload, words) in [
            (point(PointKind::Software), "E17", "already set"),
            (point(PointKind::Software), "E07", "table of 1000"),
            (point(PointKind::Software), "E16", "text_mutex"),
            (point(PointKind::Software), "E22", "NOKPROBE"),
            (point(PointKind::ReadWatch), "E01", "access watchpoint"),
            (point(PointKind::WriteWatch), "E01", "no free hardware slot"),
            (Command::Step, "E22", "stopped CPU"),
            (Command::ThreadAlive(ThreadId(9)), "E22", "no such thread"),
        ] {
            let message = parse(&command, payload.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn stops() {
        assert_eq!(
            stop(b"T05thread:fffffffe;"),
            Some(StopReply::Thread { signal: 5, thread: Some(ThreadId(-2)) })
        );
        assert_eq!(
            stop(b"T0b06:00ff;thread:01;core:1;"),
            Some(StopReply::Thread { signal: 11, thread: Some(ThreadId(1)) })
        );
        assert_eq!(stop(b"W01"), Some(StopReply::Exited { code: 1 }));
        assert_eq!(stop(b"X0f"), Some(StopReply::Terminated { signal: 15 }));
        for broken in [&b""[..], b"S", b"S5", b"S05x", b"T05thread", b"T05thread:;", b"OK"] {
            assert_eq!(stop(broken), None);
        }
        assert_eq!(output(b"O6869"), Some(b"hi".to_vec()));
        assert_eq!(output(b"OK"), None);
        assert_eq!(output(b"O"), None);
    }

    proptest! {
        #[test]
        fn parsers_take_anything(payload in "[STWXOEQCm0-9a-f:;,thread]{0,40}") {
            for command in [read(4), Command::HaltReason, Command::FirstThreads,
                Command::CurrentThread, Command::ReadRegisters, Command::Detach] {
                let _ = parse(&command, payload.as_bytes());
            }
            let _ = (stop(payload.as_bytes()), output(payload.as_bytes()));
        }
    }
}
