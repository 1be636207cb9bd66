//! What the session answers, in the shape of the JSON contract (design: the
//! `result` object of each batch command). Text for people is made from these
//! by [`crate::command::render`].

use super::view::{
    BreakpointView, CpuView, FrameView, LinkView, ModuleView, StopView, TargetView, VariableView,
};
use crate::base::addr::Addr;
use serde::Serialize;
use std::path::PathBuf;
use thiserror::Error;

/// Why a request was not done. The text says what failed, on what, and what to do.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum Failure {
    /// The guest runs, and this needs a stopped one.
    #[error("the guest is running; stop it first (interrupt)")]
    Running,
    /// The guest is stopped already.
    #[error("the guest is stopped already")]
    Stopped,
    /// There is no guest.
    #[error("no target: {0}")]
    NoTarget(String),
    /// A newer request or the user ended it.
    #[error("cancelled")]
    Cancelled,
    /// Nothing stopped in time; the guest runs on.
    #[error("no stop within {0:?}; the guest is running")]
    Timeout(std::time::Duration),
    /// Anything else, in words.
    #[error("{0}")]
    Other(String),
}

impl Failure {
    /// Whether the exit status is 3 (no target, or the link is lost).
    pub fn is_no_target(&self) -> bool {
        matches!(self, Failure::NoTarget(_))
    }
}

/// The answer to a request.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// Done; nothing to show.
    Done {},
    /// Where the guest stopped.
    Stop {
        /// The stop.
        stop: StopAnswer,
    },
    /// A stack.
    Frames {
        /// Innermost first.
        frames: Vec<FrameView>,
        /// Whether it reaches the bottom of the kernel stack.
        complete: bool,
        /// How it ends, in words.
        end: String,
    },
    /// One frame.
    Frame {
        /// The frame.
        frame: FrameView,
    },
    /// Register values by name, in gdb's order; null where unknown.
    Registers {
        /// The values.
        #[serde(serialize_with = "as_map")]
        registers: Vec<(String, Option<Addr>)>,
    },
    /// Arguments or locals.
    Variables {
        /// In the order of declaration.
        variables: Vec<VariableView>,
    },
    /// Breakpoints.
    Breakpoints {
        /// In the order of their numbers.
        breakpoints: Vec<BreakpointView>,
    },
    /// Modules.
    Modules {
        /// As the guest lists them.
        modules: Vec<ModuleView>,
    },
    /// CPUs.
    Cpus {
        /// By number.
        cpus: Vec<CpuView>,
    },
    /// The target's identity.
    Target(Box<TargetView>),
    /// The link's figures.
    Link(LinkView),
    /// Source lines.
    Source {
        /// The file as DWARF has it.
        file: String,
        /// Where it was found on this machine.
        path: Option<PathBuf>,
        /// The lines, with the first one's number.
        first: u32,
        /// Their text.
        lines: Vec<String>,
        /// The line in question.
        line: u32,
    },
    /// A line and its addresses.
    Line {
        /// The file as DWARF has it.
        file: Option<String>,
        /// The line that has code.
        line: Option<u32>,
        /// Where its code starts.
        addresses: Vec<Addr>,
        /// The function there.
        function: Option<String>,
    },
    /// Instructions.
    Code {
        /// The instructions.
        instructions: Vec<InsnAnswer>,
    },
    /// Memory.
    Memory {
        /// The first byte's address.
        address: Addr,
        /// Unit size in bytes.
        unit: u32,
        /// The units as text in the asked format.
        values: Vec<String>,
        /// The whole as text.
        text: String,
    },
    /// Names: functions or files.
    Names {
        /// The names.
        names: Vec<String>,
        /// Whether there are more than are listed.
        truncated: bool,
    },
    /// A type.
    Type(Box<TypeAnswer>),
    /// Plain text.
    Text {
        /// The text.
        text: String,
    },
    /// What kdb printed.
    Output {
        /// As kdb wrote it.
        output: String,
    },
}

/// A stop as batch reports it.
#[derive(Clone, Debug, Serialize)]
pub struct StopAnswer {
    /// One word: `breakpoint`, `step`, `finish`, `interrupt`, `signal`, `panic`, `location`, …
    pub reason: String,
    /// Number of the breakpoint that was hit.
    pub breakpoint: Option<u32>,
    /// The stub's signal number.
    pub signal: Option<u8>,
    /// The CPU that stopped.
    pub cpu: Option<u32>,
    /// The task's pid.
    pub pid: Option<i64>,
    /// The task's name.
    pub comm: Option<String>,
    /// Where.
    pub pc: Option<Addr>,
    /// The function there (inlined ones count).
    pub function: Option<String>,
    /// The file as DWARF has it.
    pub file: Option<String>,
    /// The line.
    pub line: Option<u32>,
    /// What the finished function returned.
    pub value: Option<String>,
}

impl StopAnswer {
    /// The answer a stop gives.
    pub fn of(stop: &StopView) -> StopAnswer {
        let top = stop.frames.first();
        StopAnswer {
            reason: stop.reason.word().to_string(),
            breakpoint: stop.reason.breakpoint(),
            signal: stop.signal,
            cpu: stop.cpu,
            pid: stop.pid,
            comm: stop.comm.clone(),
            pc: stop.registers.pc(),
            function: top.and_then(|f| f.function.clone()),
            file: top.and_then(|f| f.file.clone()),
            line: top.and_then(|f| f.line),
            value: stop.returned.clone(),
        }
    }
}

/// One instruction as batch reports it.
#[derive(Clone, Debug, Serialize)]
pub struct InsnAnswer {
    /// Where.
    pub address: Addr,
    /// `function+0x10`.
    pub symbol: Option<String>,
    /// Its bytes in hexadecimal.
    pub bytes: String,
    /// Its text.
    pub text: String,
    /// Whether the selected frame's pc is here.
    pub current: bool,
}

/// A type as batch reports it.
#[derive(Clone, Debug, Serialize)]
pub struct TypeAnswer {
    /// Its name as C writes it.
    #[serde(rename = "type")]
    pub name: String,
    /// It as gdb's `ptype` or `whatis` prints it.
    pub text: String,
    /// Bytes of a value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Of a struct or union: what it is made of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<MemberAnswer>,
    /// Of a struct or union, with offsets: its figures in pahole's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// One member of a struct or union as batch reports it.
#[derive(Clone, Debug, Serialize)]
pub struct MemberAnswer {
    /// Its name; empty for an anonymous struct or union.
    pub name: String,
    /// The byte it starts in.
    pub offset: u64,
    /// Bytes of its type.
    pub size: u64,
    /// Of a bit field: the first bit in that byte.
    pub bit: Option<u32>,
    /// Of a bit field: how many bits.
    pub bits: Option<u32>,
    /// Its type as C writes it.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Unused bytes and bits after it.
    pub hole: Option<HoleAnswer>,
}

/// Unused space in a struct as batch reports it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct HoleAnswer {
    /// Whole bytes.
    pub bytes: u64,
    /// Bits besides them.
    pub bits: u32,
}

fn as_map<S: serde::Serializer>(
    values: &[(String, Option<Addr>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(values.iter().map(|(name, value)| (name, value)))
}
