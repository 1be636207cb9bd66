//! What the kernel's own text on the line says about the debugger.
//!
//! The same line carries the console, so anybody can print anything there.
//! A [`Sign`] is a reason to look, never a fact.

use std::fmt;

use crate::base::addr::Addr;

/// The longest line that is looked at as a whole.
const LONGEST: usize = 1024;

/// How kgdb gets a line, in words.
const NEW_LINE: &str =
    "type there as root: echo ttyS0,115200 > /sys/module/kgdboc/parameters/kgdboc";

/// What ends kdb's paged text, and nothing else (`vkdb_printf` in
/// `kernel/debug/kdb/kdb_io.c`). The prompt comes next.
pub const PAGER_QUIT: &[u8] = b"q";

/// What kdb says when it takes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KdbEntry {
    /// The CPU. `None` on a kernel for one CPU.
    pub cpu: Option<u32>,
    /// The pid of the current task.
    pub pid: Option<i32>,
    /// Why, in the kernel's words: `Keyboard Entry`, `NonMaskable Interrupt @
    /// 0x…`, `Breakpoint @ 0x…`.
    pub reason: String,
}

/// One thing the kernel said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    /// `Entering kdb (current=0x…, pid 1) on processor 0 due to …`
    KdbEntered(KdbEntry),
    /// `[0]kdb> ` with nothing behind: kdb waits for a command, and takes a
    /// packet.
    KdbPrompt {
        /// The CPU. `None` on a kernel for one CPU.
        cpu: Option<u32>,
    },
    /// `more> `: kdb shows a long text by pages (an oops is longer than one) and
    /// takes nothing but an answer to this; [`PAGER_QUIT`] ends it.
    KdbPager,
    /// kgdb waits for a packet.
    Waiting,
    /// sysrq refused the key.
    SysrqDisabled,
    /// sysrq took the `g`, but kgdb has no line.
    NoKgdbLine,
    /// Lockdown does not let debuggers read or write the kernel.
    LockedDown,
    /// sysrq knows no `g`: it printed its help.
    SysrqUnknown,
    /// sysrq got another key than `g` after the BREAK.
    SysrqOtherKey,
    /// Other CPUs did not stop in time (`kgdb_cpu_enter`).
    RoundupTimeout,
    /// A breakpoint stays in memory (`dbg_deactivate_sw_breakpoints`), see
    /// there: it must be repaired before the kernel is resumed.
    RemoveFailed {
        /// Where.
        addr: Addr,
    },
    /// The debugger hit its own breakpoint (`kgdb_reenter_check`): the list of
    /// breakpoints is void.
    BreakpointsLost,
    /// A step left the kernel: it runs.
    SteppedToUser,
    /// The other end is no kernel at all.
    Stranger(&'static str),
}

impl Sign {
    /// Whether it says that sysrq `g` does not stop this kernel, or did not
    /// this time.
    pub fn refuses_sysrq(&self) -> bool {
        matches!(
            self,
            Sign::SysrqDisabled
                | Sign::SysrqUnknown
                | Sign::SysrqOtherKey
                | Sign::NoKgdbLine
                | Sign::LockedDown
        )
    }

    /// Whether it says that no sysrq `g` at all stops this kernel now, however
    /// it is given.
    pub fn is_hopeless(&self) -> bool {
        matches!(self, Sign::SysrqUnknown | Sign::NoKgdbLine | Sign::LockedDown)
    }

    /// Whether the kernel has stopped, if the text is true.
    pub fn is_stop(&self) -> bool {
        matches!(
            self,
            Sign::KdbEntered(_) | Sign::KdbPrompt { .. } | Sign::KdbPager | Sign::Waiting
        )
    }
}

impl fmt::Display for Sign {
    /// What it means and what to do, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sign::KdbEntered(KdbEntry { cpu: Some(cpu), reason, .. }) => {
                write!(f, "stopped in kdb on CPU {cpu}: {reason}")
            }
            Sign::KdbEntered(entry) => write!(f, "stopped in kdb: {}", entry.reason),
            Sign::KdbPrompt { cpu: Some(cpu) } => {
                write!(f, "kdb waits for a command on CPU {cpu}")
            }
            Sign::KdbPrompt { cpu: None } => f.write_str("kdb waits for a command"),
            Sign::KdbPager => f.write_str("kdb waits at the end of a page of text"),
            Sign::Waiting => f.write_str("kgdb waits for the debugger"),
            Sign::SysrqDisabled => f.write_str(
                "the guest does not allow sysrq g by BREAK, type there as root: sysctl kernel.sysrq=1 (or boot it with sysrq_always_enabled)",
            ),
            // The key is registered with the first I/O driver of kgdb's
            // (`kgdb_register_callbacks`).
            Sign::SysrqUnknown => write!(
                f,
                "the guest's kernel knows no sysrq g: kgdb has no line, {NEW_LINE}; where that file is missing, the kernel has no KGDB_SERIAL_CONSOLE",
            ),
            Sign::NoKgdbLine => write!(f, "the guest's kgdb has no line, {NEW_LINE}"),
            Sign::LockedDown => f.write_str(
                "the guest's kernel is locked down, which closes kgdb: boot it with Secure Boot off, or without lockdown=",
            ),
            Sign::SysrqOtherKey => {
                f.write_str("another key than g came after the BREAK, break in again")
            }
            Sign::RoundupTimeout => f.write_str("some CPUs did not stop, their registers are unknown"),
            Sign::RemoveFailed { addr } => {
                write!(f, "the kernel could not take out the breakpoint at {addr}")
            }
            Sign::BreakpointsLost => {
                f.write_str("the kernel removed breakpoints because the debugger itself hit one")
            }
            Sign::SteppedToUser => f.write_str("the step left the kernel, which runs on"),
            Sign::Stranger(what) => write!(f, "this is {what}, not a kernel's serial line"),
        }
    }
}

/// Reads console text as it comes, in pieces of any size.
#[derive(Debug, Default)]
pub struct Watcher {
    line: Vec<u8>,
    /// The unfinished line was already seen to be a prompt.
    prompted: bool,
    /// kdb said that it takes over, and showed no prompt yet.
    entered: bool,
}

impl Watcher {
    /// Adds text and gives what it says.
    pub fn feed(&mut self, text: &[u8]) -> Vec<Sign> {
        let mut signs = Vec::new();
        for &byte in text {
            if matches!(byte, b'\n' | b'\r') {
                let sign = sign(&String::from_utf8_lossy(&self.line));
                self.entered |= matches!(sign, Some(Sign::KdbEntered(_)));
                signs.extend(sign);
                self.line.clear();
                self.prompted = false;
            } else if self.line.len() < LONGEST {
                self.line.push(byte);
            }
        }
        // What was typed while the kernel ran stands behind kdb's first prompt.
        let first = || dirty_prompt(&self.line).filter(|_| self.entered);
        if !self.prompted
            && let Some(prompt) = prompt(&self.line).or_else(first)
        {
            self.prompted = true;
            self.entered = false;
            signs.push(prompt);
        }
        signs
    }

    /// Forgets an unfinished line.
    pub fn clear(&mut self) {
        *self = Watcher::default();
    }
}

/// kdb's prompts. `more> ` is a line of its own (the default of `MOREPROMPT`).
///
/// `[0]kdb> ` is at the end of the text; before it there may be the rest of a line
/// that was cut off. A kernel for one CPU has `kdb> ` alone (the default of
/// `PROMPT` in `kernel/debug/kdb/kdb_main.c`).
///
/// A question that was sent while the kernel booted can have lost its first
/// bytes; kdb then shows the rest behind its prompt and waits for more.
fn prompt(line: &[u8]) -> Option<Sign> {
    const QUESTION: &[u8] = b"$?#3f";
    if line == b"more> " {
        return Some(Sign::KdbPager);
    }
    let rests = (0..=QUESTION.len()).map(|from| &QUESTION[from..]);
    let line =
        rests.filter_map(|rest| line.strip_suffix(rest)).find(|line| line.ends_with(b"> "))?;
    let line = line.strip_suffix(b"kdb> ")?;
    if line.is_empty() {
        return Some(Sign::KdbPrompt { cpu: None });
    }
    let line = line.strip_suffix(b"]")?;
    let start = line.iter().rposition(|&byte| byte == b'[')?;
    let cpu = std::str::from_utf8(&line[start + 1..]).ok()?.parse().ok()?;
    Some(Sign::KdbPrompt { cpu: Some(cpu) })
}

/// A prompt that begins the line, with anything behind it. kdb then gives way to
/// `$?#3f` as well (`kdb_read` in `kernel/debug/kdb/kdb_io.c`).
fn dirty_prompt(line: &[u8]) -> Option<Sign> {
    const END: &[u8] = b"kdb> ";
    let end = line.windows(END.len()).position(|part| part == END)? + END.len();
    let starts = matches!(line.first(), Some(b'[' | b'k'));
    prompt(&line[..end]).filter(|_| starts)
}

/// What one whole line says. The texts are of `kernel/debug/debug_core.c`,
/// `kernel/debug/kdb/kdb_main.c`, `drivers/tty/sysrq.c` and
/// `arch/x86/kernel/kgdb.c`.
fn sign(line: &str) -> Option<Sign> {
    if let Some(at) = line.find("Entering kdb (") {
        return Some(Sign::KdbEntered(kdb_entry(&line[at..])));
    }
    if let Some(at) = line.find("KGDB: ") {
        return kgdb_sign(&line[at + "KGDB: ".len()..]);
    }
    if line.contains("This sysrq operation is disabled.") {
        return Some(Sign::SysrqDisabled);
    }
    // `sysrq: HELP : loglevel(0-9) …`, [4.2] `sysrq: SysRq : HELP : …`.
    if line.contains("sysrq: ") && line.contains("HELP : ") {
        let known = line.contains("debug(g)");
        return Some(if known { Sign::SysrqOtherKey } else { Sign::SysrqUnknown });
    }
    // `Lockdown: %s: use of kgdb/kdb to write kernel RAM is restricted; …`.
    if line.contains("use of kgdb/kdb to") && line.contains("is restricted") {
        return Some(Sign::LockedDown);
    }
    stranger(line).map(Sign::Stranger)
}

fn kgdb_sign(text: &str) -> Option<Sign> {
    let starts = |prefix: &str| text.starts_with(prefix);
    if starts("Waiting for") || starts("waiting...") || starts("Entering KGDB") || starts("KGDB or")
    {
        return Some(Sign::Waiting);
    }
    if starts("Timed out waiting for secondary CPUs") {
        return Some(Sign::RoundupTimeout);
    }
    if starts("ERROR: No KGDB I/O module available") || starts("Unregistered I/O driver") {
        return Some(Sign::NoKgdbLine);
    }
    if starts("trap/step from kernel to user space") {
        return Some(Sign::SteppedToUser);
    }
    if starts("re-enter error") {
        return Some(Sign::BreakpointsLost);
    }
    let addr = text.strip_prefix("BP remove failed: ")?.split_whitespace().next()?;
    let addr = u64::from_str_radix(addr.trim_start_matches("0x"), 16).ok()?;
    Some(Sign::RemoveFailed { addr: Addr(addr) })
}

/// `Entering kdb (current=0xffff888003a30000, pid 1) on processor 0 due to …`
/// (`kdb_local` in `kernel/debug/kdb/kdb_main.c`).
fn kdb_entry(line: &str) -> KdbEntry {
    let number = |before: &str| {
        let rest = &line[line.find(before)? + before.len()..];
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(rest.len());
        Some(&rest[..end])
    };
    let reason = line.split_once("due to ").map_or("", |(_, reason)| reason);
    KdbEntry {
        cpu: number("on processor ").and_then(|digits| digits.parse().ok()),
        pid: number(", pid ").and_then(|digits| digits.parse().ok()),
        reason: reason.trim().to_owned(),
    }
}

/// Recognises servers that are often behind a mistyped port.
pub fn stranger(text: &str) -> Option<&'static str> {
    const STRANGERS: [(&str, &str); 8] = [
        ("HTTP/1.", "a web server"),
        ("<html", "a web server"),
        ("SSH-2.0", "an ssh server"),
        ("SSH-1.", "an ssh server"),
        ("RFB 00", "a VNC server"),
        ("{\"QMP\":", "QEMU's machine protocol"),
        ("(qemu) ", "QEMU's monitor"),
        ("QEMU Monitor", "QEMU's monitor"),
    ];
    let text = text.trim_start();
    STRANGERS.iter().find(|(start, _)| text.starts_with(start)).map(|&(_, what)| what).or_else(
        || {
            let mail = text.starts_with("220 ") || text.starts_with("220-");
            mail.then_some("a mail or file server")
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KDB: &str = "\r\nEntering kdb (current=0xffff888003a30000, pid 42) on processor 1 due to NonMaskable Interrupt @ 0xffffffff81123456\r\n[1]kdb> ";

    #[test]
    fn kdb_takes_over() {
        let signs = Watcher::default().feed(KDB.as_bytes());
        let entry = KdbEntry {
            cpu: Some(1),
            pid: Some(42),
            reason: "NonMaskable Interrupt @ 0xffffffff81123456".to_owned(),
        };
        assert_eq!(signs, [Sign::KdbEntered(entry), Sign::KdbPrompt { cpu: Some(1) }]);
        assert!(signs.iter().all(Sign::is_stop));
    }

    #[test]
    fn a_prompt_with_the_rest_of_a_question() {
        for rest in ["", "#3f", "?#3f", "f"] {
            let signs = Watcher::default().feed(format!("[1]kdb> {rest}").as_bytes());
            assert_eq!(signs, [Sign::KdbPrompt { cpu: Some(1) }], "{rest}");
        }
        assert_eq!(Watcher::default().feed(b"kdb> "), [Sign::KdbPrompt { cpu: None }]);
        assert_eq!(Watcher::default().feed(b"[1]kdb> md"), []);
    }

    #[test]
    fn a_first_prompt_with_what_was_typed_before() {
        let text = "Entering kdb (current=0xffff8880, pid 1) on processor 0 due to Keyboard Entry\r\n[0]kdb> ls -l";
        let signs = Watcher::default().feed(text.as_bytes());
        assert_eq!(signs.last(), Some(&Sign::KdbPrompt { cpu: Some(0) }));
        let mut watcher = Watcher::default();
        assert_eq!(watcher.feed(KDB.as_bytes()).len(), 2);
        assert_eq!(watcher.feed(b"go\r\n[1]kdb> go"), [], "only the first");
    }

    #[test]
    fn lines_and_what_to_do() {
        for (line, words) in [
            ("[  12.3] sysrq: This sysrq operation is disabled.", "sysctl kernel.sysrq=1"),
            ("[  12.3] sysrq: HELP : loglevel(0-9) reboot(b)", "parameters/kgdboc"),
            ("[  12.3] KGDB: ERROR: No KGDB I/O module available", "parameters/kgdboc"),
            (
                "Lockdown: swapper/0: use of kgdb/kdb to write kernel RAM is restricted; see man kernel_lockdown.7",
                "locked down",
            ),
            ("[  12.3] sysrq: HELP : loglevel(0-9) debug(g)", "another key"),
            ("KGDB: Timed out waiting for secondary CPUs.", "some CPUs"),
            ("KGDB: BP remove failed: ffffffff81000010", "breakpoint at 0xffffffff81000010"),
            ("[ 1.0] KGDB: Waiting for connection from remote gdb...", "waits"),
            ("KGDB: waiting... or $3#33 for KDB", "waits"),
            ("KGDB: re-enter error: breakpoint removed ffffffff8100", "removed breakpoints"),
            ("HTTP/1.1 400 Bad Request", "a web server"),
            ("SSH-2.0-OpenSSH_9.2", "an ssh server"),
        ] {
            let signs = Watcher::default().feed(format!("noise\r\n{line}\r\n").as_bytes());
            assert_eq!(signs.len(), 1, "{line}");
            assert!(signs[0].to_string().contains(words), "{}", signs[0]);
        }
    }

    #[test]
    fn ordinary_text_says_nothing() {
        let text = "login: root\r\n# echo [0]kdb> is a prompt\r\nKGDB: x\r\n";
        assert_eq!(Watcher::default().feed(text.as_bytes()), []);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(cut in 1usize..20) {
            let mut watcher = Watcher::default();
            let signs: Vec<_> =
                KDB.as_bytes().chunks(cut).flat_map(|piece| watcher.feed(piece)).collect();
            prop_assert_eq!(signs.len(), 2);
        }

        #[test]
        fn feed_takes_anything(text in "(Entering kdb \\(|KGDB: |BP remove failed: |, pid |due to |.|\n){0,20}") {
            Watcher::default().feed(text.as_bytes());
        }
    }
}
