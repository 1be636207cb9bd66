//! Requests as the lines that a user would type: a record of the line has them,
//! so that whoever reads it can follow.

use super::{
    request::{BreakKind, Leave, Listing, Means, Part, Request, Step, Towards},
    run::Session,
};

/// More is cut from a line of a record.
const LONGEST: usize = 300;

impl Session {
    /// Writes down in the record of the line what was asked for.
    pub(super) fn note_request(&mut self, request: &Request) {
        if let Some(line) = request.told() {
            self.note(&format!("asked {}", line.chars().take(LONGEST).collect::<String>()));
        }
    }

    /// A note in the record of the line, where one is made.
    pub(super) fn note(&mut self, text: &str) {
        if let Some(recorder) = self.wire.recorder().or(self.recorder.as_mut()) {
            recorder.note(text);
        }
    }
}

impl Request {
    /// The request as a command; `None` for what nobody asked for in words.
    pub(super) fn told(&self) -> Option<String> {
        let counted = |word: &str, count: u32| match count {
            1 => word.to_string(),
            _ => format!("{word} {count}"),
        };
        let with = |word: &str, rest: &str| format!("{word} {rest}").trim_end().to_string();
        Some(match self {
            // A question whether it is stopped.
            Request::Wait(limit) if limit.is_zero() => return None,
            Request::Want(_)
            | Request::Link
            | Request::Packets(_)
            | Request::Search(_)
            | Request::Tell(..)
            | Request::Bytes(..)
            | Request::StopRegisters => {
                return None;
            }
            Request::Continue => "continue".into(),
            Request::Step(step, count) => counted(
                match step {
                    Step::Instruction => "stepi",
                    Step::InstructionOver => "nexti",
                    Step::Line => "step",
                    Step::LineOver => "next",
                    Step::Out => "finish",
                    Step::Onward => "until",
                },
                *count,
            ),
            Request::RunTo(place, Towards::Advance) => with("advance", place),
            Request::RunTo(place, Towards::Until) => with("until", place),
            Request::RunTo(place, Towards::Cursor) => format!("run to {place}"),
            Request::Jump { location, .. } => with("jump", location),
            Request::BreakIn => "interrupt".into(),
            Request::Break(asked) => {
                let word = match (asked.kind, asked.means) {
                    (BreakKind::Kept, Means::Software) => "break",
                    (BreakKind::Temporary, Means::Software) => "tbreak",
                    (BreakKind::Kept, Means::Hardware) => "hbreak",
                    (BreakKind::Temporary, Means::Hardware) => "thbreak",
                };
                let condition = asked.when.condition.as_ref();
                let condition = condition.map(|text| format!(" if {text}")).unwrap_or_default();
                format!("{}{condition}", with(word, &asked.location))
            }
            Request::Delete(numbers) => with("delete", &listed(numbers)),
            Request::Enable(true, numbers) => with("enable", &listed(numbers)),
            Request::Enable(false, numbers) => with("disable", &listed(numbers)),
            Request::Toggle(place) => with("break or delete", place),
            Request::Frame(number) => format!("frame {number}"),
            Request::FrameBy(0) => "frame".into(),
            Request::FrameBy(levels @ 1..) => format!("up {levels}"),
            Request::FrameBy(levels) => format!("down {}", levels.unsigned_abs()),
            Request::Backtrace(None) => "bt".into(),
            Request::Backtrace(Some(count)) => format!("bt {count}"),
            Request::Registers(names) => with("info registers", &names.join(" ")),
            Request::Arguments => "info args".into(),
            Request::Locals => "info locals".into(),
            Request::List(Listing::Around(place)) => with("list", place),
            Request::List(_) => "list".into(),
            Request::Disassemble(asked) => match &asked.what {
                Part::Function(place) => with("disassemble", place),
                _ => "disassemble".into(),
            },
            Request::Print(asked) => with("print", &asked.expression),
            Request::Examine(asked) => with("x", &asked.address),
            Request::Monitor(text) => with("monitor", text),
            Request::Set(name, value) => format!("set {name} {value}"),
            Request::Modules => "info modules".into(),
            Request::Module(name) => with("info module", name),
            Request::Cpus => "info cpus".into(),
            Request::Cpu(Some(number)) => format!("cpu {number}"),
            Request::Task(Some(pid)) => format!("task {pid}"),
            Request::Tasks { filter, .. } => with("info tasks", filter),
            Request::Stacks(filter) => with("info stacks", filter),
            Request::Dmesg(_) => "info dmesg".into(),
            Request::Target => "info target".into(),
            Request::Breakpoints => "info breakpoints".into(),
            Request::Crash => "info crash".into(),
            Request::Leave(Leave::Detach) => "detach".into(),
            Request::Leave(_) => "leave the guest as it is".into(),
            // As this program writes it; a reader sees at least what it was.
            other => format!("{other:?}"),
        })
    }
}

fn listed(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::request::Breaking;

    #[test]
    fn requests_are_told_as_they_are_typed() {
        let told = |request: Request| request.told().unwrap();
        assert_eq!(told(Request::Step(Step::LineOver, 1)), "next");
        assert_eq!(told(Request::Step(Step::Instruction, 3)), "stepi 3");
        assert_eq!(
            told(Request::Break(Breaking::at(BreakKind::Temporary, "vfs_read"))),
            "tbreak vfs_read"
        );
        assert_eq!(told(Request::Delete(vec![1, 2])), "delete 1 2");
        assert_eq!(told(Request::Delete(Vec::new())), "delete");
        assert_eq!(told(Request::Stacks(String::new())), "info stacks");
        assert_eq!(Request::Link.told(), None, "a batch asks that by itself");
    }
}
