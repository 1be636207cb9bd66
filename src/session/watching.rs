//! Watchpoints as faces ask for them and show them.

use super::request::{BreakKind, When};
use crate::base::addr::Addr;
use crate::rsp::command::PointKind;
use serde::Serialize;

/// Which accesses are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Those that change the value (`watch`).
    Write,
    /// Those that leave it as it is (`rwatch`): x86 can't tell a read from a
    /// write, so that is what is known of one.
    Read,
    /// All (`awatch`).
    Any,
}

impl Access {
    /// gdb's word for such a watchpoint in its list.
    pub fn word(self) -> &'static str {
        match self {
            Access::Write => "hw watchpoint",
            Access::Read => "read watchpoint",
            Access::Any => "acc watchpoint",
        }
    }

    /// The command that sets one.
    pub fn command(self) -> &'static str {
        match self {
            Access::Write => "watch",
            Access::Read => "rwatch",
            Access::Any => "awatch",
        }
    }

    /// What the stub is asked for. x86 has no breakpoint on reads alone
    /// (Intel SDM volume 3, 17.2.4), and kgdb answers E01 to `Z3`.
    pub fn point(self) -> PointKind {
        match self {
            Access::Write => PointKind::WriteWatch,
            Access::Read | Access::Any => PointKind::AccessWatch,
        }
    }

    /// Whether an access after which the value is `changed` or not is one.
    pub fn counts(self, changed: bool) -> bool {
        match self {
            Access::Write => changed,
            Access::Read => !changed,
            Access::Any => true,
        }
    }
}

/// A watchpoint that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watching {
    /// Whether it stays.
    pub kind: BreakKind,
    /// Which accesses.
    pub access: Access,
    /// What, as a C expression.
    pub expression: String,
    /// When it counts.
    pub when: When,
}

/// A watchpoint beside what every breakpoint has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WatchView {
    /// Which accesses stop the guest.
    pub access: Access,
    /// The first byte that is watched.
    pub address: Addr,
    /// How many bytes.
    pub length: u64,
    /// How many debug registers that takes.
    pub registers: usize,
    /// The type of what is watched.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Its value when it was looked at last.
    pub value: String,
    /// The function whose frame it is in, and ends with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame: Option<String>,
}

/// An access that a watchpoint stopped at.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WatchHit {
    /// The watchpoint's number.
    pub number: u32,
    /// What is watched.
    pub expression: String,
    /// `write`, `read` or `any`: what is watched for.
    pub access: Access,
    /// The value before.
    pub old: String,
    /// The value after.
    pub new: String,
    /// The instruction that did it; `None` where it can't be told.
    pub by: Option<Doer>,
}

impl WatchHit {
    /// `hgfs_latency_ms: 2 -> 3`, or what else happened to it.
    pub fn text(&self) -> String {
        let WatchHit { expression, old, new, .. } = self;
        match (self.access, old == new) {
            (Access::Read, _) => format!("{expression} read: {new}"),
            (Access::Any, true) => format!("{expression} accessed, unchanged: {new}"),
            _ => format!("{expression}: {old} -> {new}"),
        }
    }
}

/// The instruction that touched what is watched. The guest stops after it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Doer {
    /// Where it is.
    pub pc: Addr,
    /// The instruction.
    pub instruction: String,
    /// The function it is in.
    pub function: Option<String>,
    /// The file, as DWARF has it.
    pub file: Option<String>,
    /// The line.
    pub line: Option<u32>,
    /// Whether its operands, as the registers are now, are what is watched. If
    /// not, it is the instruction before the pc, which may have changed its own
    /// operand's register.
    pub proven: bool,
}

impl Doer {
    /// `mov %eax,0x38(%rbx)  (request.c:23)`.
    pub fn text(&self) -> String {
        let name = self.file.as_deref().map(|file| file.rsplit('/').next().unwrap_or(file));
        let place = match (name, self.line) {
            (Some(name), Some(line)) => format!("{name}:{line}"),
            _ => self.pc.to_string(),
        };
        let maybe = if self.proven { "" } else { "probably " };
        format!("{maybe}by {} ({place})", self.instruction)
    }
}

/// The debug registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HardwareView {
    /// How many breakpoints and watchpoints have.
    pub used: usize,
    /// How many there are.
    pub slots: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hit_tells_what_happened() {
        let hit = |access, old: &str, new: &str| {
            let (old, new) = (old.to_owned(), new.to_owned());
            WatchHit { number: 1, expression: "x".into(), access, old, new, by: None }.text()
        };
        assert_eq!(hit(Access::Write, "1", "2"), "x: 1 -> 2");
        assert_eq!(hit(Access::Any, "1", "2"), "x: 1 -> 2");
        assert_eq!(hit(Access::Any, "2", "2"), "x accessed, unchanged: 2");
        assert_eq!(hit(Access::Read, "2", "2"), "x read: 2");
        assert!(!Access::Write.counts(false) && !Access::Read.counts(true));
    }
}
