//! Code and source as text, in gdb's words.

use crate::arch::jumps;
use crate::session::symbol_answer::{
    CodeAnswer, InsnAnswer, LineRange, MatchAnswer, SourceAnswer, SourceRun,
};
use crate::session::view::{BreakpointView, PlaceView};
use std::fmt::Write;

/// Places of a breakpoint that are listed.
const MOST_PLACES: usize = 20;

/// Columns of arrows beside a listing.
const MOST_ARROWS: usize = 8;

/// What may stand before an operation.
const PREFIXES: [&str; 8] = ["lock", "rep", "repe", "repz", "repne", "repnz", "notrack", "bnd"];

/// Source lines with their numbers.
pub fn source(source: &SourceAnswer) -> String {
    let mut out: Vec<String> = source.heading.iter().cloned().collect();
    let lines = source.lines.iter().zip(source.first..);
    out.extend(lines.map(|(text, number)| format!("{number}\t{text}")));
    if !source.others.is_empty() {
        out.push(format!("there is also {}", source.others.join(", ")));
    }
    out.join("\n")
}

/// `info line`: one sentence for each piece of code.
pub fn line(ranges: &[LineRange]) -> String {
    let named = |address: &dyn std::fmt::Display, symbol: &Option<String>| match symbol {
        Some(symbol) => format!("{address} <{}>", decimal(symbol)),
        None => address.to_string(),
    };
    let one = |range: &LineRange| {
        let start = named(&range.start, &range.start_symbol);
        match (&range.file, range.line) {
            (Some(_), Some(line)) if range.end > range.start => {
                let file = &range.short;
                let end = named(&range.end, &range.end_symbol);
                format!("Line {line} of \"{file}\" starts at address {start} and ends at {end}.")
            }
            (Some(_), Some(line)) => {
                let file = &range.short;
                let whose = match &range.code_of {
                    Some(place) => format!(" but the code there is of {place}."),
                    None => " but contains no code.".to_owned(),
                };
                format!("Line {line} of \"{file}\" is at address {start}{whose}")
            }
            _ => format!("No line number information available for address {start}"),
        }
    };
    ranges.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// One place of a breakpoint: `0x… in vfs_read, fs/read_write.c:451`.
pub fn place(place: &PlaceView) -> String {
    let mut out = place.address.to_string();
    if let Some(function) = &place.function {
        let _ = write!(out, " in {function}");
    }
    if let (Some(file), Some(line)) = (&place.file, place.line) {
        let _ = write!(out, ", {file}:{line}");
    }
    if let Some(module) = &place.module {
        let _ = write!(out, " [{module}]");
    }
    if let Some(outer) = &place.inlined_into {
        let _ = write!(out, ", inlined in {outer}");
    }
    if place.refused.is_some() {
        out.push_str(" (refused)");
    }
    out
}

/// The places of a breakpoint that has several, numbered as gdb does; those
/// that can be named with the words for it.
pub fn places(breakpoint: &BreakpointView) -> String {
    let number = breakpoint.number;
    let shown = breakpoint.places.iter().take(MOST_PLACES).zip(1..);
    let mut out: Vec<String> = shown
        .map(|(one, index)| {
            let choose = match one.choose.starts_with('*') {
                true => String::new(),
                false => format!("  (break {})", one.choose),
            };
            format!("{:<7} {}{choose}", format!("{number}.{index}"), place(one))
        })
        .collect();
    let hidden = breakpoint.places.len().saturating_sub(MOST_PLACES);
    if hidden > 0 {
        out.push(format!("… and {hidden} more"));
    }
    out.join("\n")
}

/// Names that were searched, one a line.
pub fn matches(matches: &[MatchAnswer]) -> String {
    if matches.is_empty() {
        return "nothing has these letters in this order".into();
    }
    let one = |found: &MatchAnswer| {
        let name = found.choose.as_ref().unwrap_or(&found.name);
        let mut out = format!("{:<10} {name}", found.kind);
        // A file's name is its place.
        if let Some(file) = found.file.as_ref().filter(|_| found.kind != "file") {
            let line = found.line.map_or(String::new(), |line| format!(":{line}"));
            let _ = write!(out, "  {file}{line}");
        }
        if let Some(module) = &found.module {
            let _ = write!(out, " [{module}]");
        }
        out
    };
    matches.iter().map(one).collect::<Vec<_>>().join("\n")
}

/// A listing of instructions. Of a function: in its parts, by the distance
/// from its start; otherwise each by its symbol.
pub fn code(code: &CodeAnswer) -> String {
    let mut out = Vec::new();
    match (&code.function, &code.ranges[..]) {
        (Some(function), _) => out.push(format!("Dump of assembler code for function {function}:")),
        (None, [range]) => {
            out.push(format!("Dump of assembler code from {} to {}:", range.start, range.end));
        }
        (None, _) => {}
    }
    let rows: Vec<jumps::Row> = code.instructions.iter().map(|i| (i.address, i.jump)).collect();
    let arrows = match code.arrows {
        true => jumps::arrows(&rows, MOST_ARROWS),
        false => vec![String::new(); rows.len()],
    };
    let mut last_range = None;
    let mut runs = code.source.iter().peekable();
    for (index, (insn, arrow)) in code.instructions.iter().zip(&arrows).enumerate() {
        let holds = |r: &&crate::session::symbol_answer::CodeRange| {
            (r.start..r.end).contains(&insn.address)
        };
        let range = code.ranges.iter().find(holds);
        let new_range = range.is_some() && range != last_range;
        if let Some(range) = range.filter(|_| new_range && code.ranges.len() > 1) {
            out.push(format!("Address range {} to {}:", range.start, range.end));
        }
        last_range = range;
        while let Some(run) = runs.next_if(|run| run.before <= index) {
            out.extend(source_run(run, new_range));
        }
        let start = code.function.as_ref().and(code.ranges.first()).map(|range| range.start);
        let place = match (start, &insn.symbol) {
            (Some(start), _) => format!(" <{:+}>", insn.address.since(start) as i64),
            (None, Some(symbol)) if code.ranges.is_empty() => format!(" <{}>", decimal(symbol)),
            (None, Some(symbol)) => format!(" <{}>", with_distance(symbol)),
            (None, None) => String::new(),
        };
        out.push(instruction(insn, &place, arrow, code.bytes));
    }
    out.extend(code.note.clone());
    if code.function.is_some() || !code.ranges.is_empty() {
        out.push("End of assembler dump.".into());
    }
    out.join("\n")
}

fn instruction(insn: &InsnAnswer, place: &str, arrow: &str, bytes: bool) -> String {
    let mark = if insn.current { "=>" } else { "  " };
    let mut out = format!("{arrow}{mark} 0x{:016x}{place}:\t", insn.address.0);
    if bytes {
        let pairs = insn.bytes.as_bytes().chunks(2).map(String::from_utf8_lossy);
        let _ = write!(out, "{:<19}\t", pairs.collect::<Vec<_>>().join(" "));
    }
    let (operation, operands) = insn.text.split_once(' ').unwrap_or((&insn.text, ""));
    // The address of pc-relative data stands apart.
    let operands = decimal(operands).replacen(" # 0x", "        # 0x", 1);
    match operands.is_empty() {
        true => out.push_str(operation),
        // After a prefix comes the operation, not an operand.
        false if PREFIXES.contains(&operation) => {
            let _ = write!(out, "{operation} {operands}");
        }
        false => {
            let _ = write!(out, "{operation:<6} {operands}");
        }
    }
    out
}

/// Source lines before an instruction; a blank line parts them from the
/// instructions above.
fn source_run(run: &SourceRun, first: bool) -> Vec<String> {
    let mut out = Vec::new();
    if !first {
        out.push(String::new());
    }
    if run.new_file {
        out.push(format!("{}:", run.short));
    }
    out.extend(run.lines.iter().zip(run.first..).map(|(text, number)| match text {
        Some(text) => format!("{number}\t{text}"),
        None => format!("{number}\tin {}", run.short),
    }));
    out
}

/// A distance at the end of a name in decimal, as gdb has it:
/// `vfs_read+0x10` is `vfs_read+16`.
fn decimal(text: &str) -> String {
    let convert = || {
        let (head, tail) = text.rsplit_once("+0x")?;
        let digits = tail.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(tail.len());
        let after = &tail[digits..];
        let ends = after.is_empty() || after.starts_with('>') || after.starts_with(" [");
        let value = u64::from_str_radix(&tail[..digits], 16).ok().filter(|_| ends)?;
        Some(format!("{head}+{value}{after}"))
    };
    convert().unwrap_or_else(|| text.to_owned())
}

/// The same, with `+0` where there is no distance.
fn with_distance(symbol: &str) -> String {
    let (name, module) = symbol.split_once(" [").unwrap_or((symbol, ""));
    let distance = if name.contains("+0x") { "" } else { "+0" };
    let module = if module.is_empty() { String::new() } else { format!(" [{module}") };
    format!("{}{distance}{module}", decimal(name))
}

/// Bytes as a hex dump without addresses; `--` where nothing can be read.
pub(super) fn bytes(bytes: &[Option<u8>]) -> String {
    let digits = |byte: &Option<u8>| byte.map_or("--".into(), |byte| format!("{byte:02x}"));
    let row = |row: &[Option<u8>]| row.iter().map(digits).collect::<Vec<_>>().join(" ");
    bytes.chunks(16).map(row).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::addr::Addr;
    use crate::session::symbol_answer::CodeRange;

    #[test]
    fn distances_are_decimal_as_in_gdb() {
        assert_eq!(decimal("vfs_read+0x10"), "vfs_read+16");
        assert_eq!(decimal("0x10 <vfs_read+0xff>"), "0x10 <vfs_read+255>");
        assert_eq!(decimal("0x10 <f+0x10 [hgfs]>"), "0x10 <f+16 [hgfs]>");
        assert_eq!(decimal("$0x10,%rax"), "$0x10,%rax");
        assert_eq!(decimal("[rip+0x10],1"), "[rip+0x10],1");
        assert_eq!(with_distance("f [hgfs]"), "f+0 [hgfs]");
        assert_eq!(with_distance("f+0x1f"), "f+31");
    }

    fn insn(address: u64, text: &str, jump: Option<u64>) -> InsnAnswer {
        InsnAnswer {
            address: Addr(address),
            symbol: Some(format!("f+0x{:x}", address - 0x1000)),
            bytes: "4889e5".into(),
            text: text.into(),
            current: address == 0x1002,
            jump: jump.map(Addr),
            ..InsnAnswer::default()
        }
    }

    #[test]
    fn a_function_in_two_parts_reads_as_gdbs() {
        let range = |start, end| CodeRange { start: Addr(start), end: Addr(end) };
        let run = |before, new_file, first, lines: &[Option<&str>]| SourceRun {
            before,
            file: "/b/a.c".into(),
            short: "a.c".into(),
            new_file,
            first,
            lines: lines.iter().map(|line| line.map(str::to_owned)).collect(),
        };
        let shown = CodeAnswer {
            function: Some("f".into()),
            ranges: vec![range(0x1000, 0x1010), range(0x2000, 0x2002)],
            instructions: vec![
                insn(0x1000, "je 0x1002 <f+0x2>", Some(0x1002)),
                insn(0x1002, "mov 0x8(%rip),%rax # 0x1010 <x+0x10>", None),
                insn(0x2000, "ret", None),
            ],
            source: vec![
                run(0, true, 1, &[Some("{"), None]),
                run(1, false, 4, &[Some("x")]),
                run(2, true, 9, &[Some("cold")]),
            ],
            bytes: true,
            ..CodeAnswer::default()
        };
        let want = "\
Dump of assembler code for function f:
Address range 0x1000 to 0x1010:
a.c:
1\t{
2\tin a.c
   0x0000000000001000 <+0>:\t48 89 e5           \tje     0x1002 <f+2>

4\tx
=> 0x0000000000001002 <+2>:\t48 89 e5           \tmov    0x8(%rip),%rax        # 0x1010 <x+16>
Address range 0x2000 to 0x2002:
a.c:
9\tcold
   0x0000000000002000 <+4096>:\t48 89 e5           \tret
End of assembler dump.";
        assert_eq!(code(&shown), want);
        let shown = CodeAnswer { arrows: true, bytes: false, source: Vec::new(), ..shown };
        let first = code(&shown).lines().nth(2).map(str::to_owned);
        assert_eq!(first.as_deref(), Some("╭─    0x0000000000001000 <+0>:\tje     0x1002 <f+2>"));
    }
}
