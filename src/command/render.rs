//! Answers as text for people, in the shape gdb users know.

use super::crashes;
use super::kernel_facts;
use super::listing;
use super::logs;
use super::modules;
use super::names;
use super::replaying;
use super::tasks;
use crate::base::{addr::Addr, text};
use crate::session::answer::{Answer, StopAnswer, ValueAnswer};
use crate::session::conduct::{ConductView, LogLine};
use crate::session::elements::ElementsAnswer;
use crate::session::view::{BreakpointView, FrameView, LinkView, Match, TargetView, VariableView};
use crate::session::watching::{HardwareView, WatchHit};
use std::fmt::Write;

/// An answer as lines of plain text; empty when there is nothing to say.
pub fn answer(answer: &Answer) -> String {
    match answer {
        Answer::Done {} => String::new(),
        Answer::Stop { stop } | Answer::BrokenIn { stop, .. } => stopped(stop),
        Answer::Tried { .. } | Answer::Typed { .. } => String::new(),
        Answer::Bytes { bytes } => listing::bytes(bytes),
        Answer::Planted { breakpoints, stopped, .. } => {
            let rows = lines(breakpoints.iter().map(breakpoint));
            format!("the guest was stopped for {:.0} ms\n{rows}", stopped * 1e3)
        }
        Answer::Frames { frames, complete, end } => {
            let mut out = lines(frames.iter().map(frame));
            let mark = if *complete { "" } else { "(incomplete) " };
            if !end.is_empty() {
                let _ = write!(out, "\n{mark}{end}");
            }
            out
        }
        Answer::Frame { frame: shown } => frame(shown),
        Answer::Registers { registers } => {
            lines(registers.iter().map(|(name, value)| match value {
                Some(value) => register(name, *value),
                None => format!("{name:<8} <unknown in this frame>"),
            }))
        }
        Answer::Variables { variables } if variables.is_empty() => "none".into(),
        Answer::Variables { variables } => lines(variables.iter().map(variable)),
        Answer::Breakpoints { breakpoints, .. } if breakpoints.is_empty() => {
            "no breakpoints".into()
        }
        Answer::Breakpoints { breakpoints, hardware } => breaks(breakpoints, *hardware),
        Answer::Modules { modules } if modules.is_empty() => "no modules".into(),
        Answer::Modules { modules } => modules::modules(modules),
        Answer::Module(found) => modules::module(found),
        Answer::Cpus { cpus } => lines(cpus.iter().map(tasks::cpu)),
        Answer::Subject { subject, frame } => tasks::subject(subject, frame),
        Answer::Tasks(answer) => tasks::tasks(answer),
        Answer::Stacks(answer) => tasks::stacks(answer),
        Answer::Packets { packets } => logs::packets(packets),
        Answer::Dmesg { records } => logs::lines(records),
        Answer::Target(view) => target(view),
        Answer::Kgdb(found) => kernel_facts::kgdb(found),
        Answer::Config(found) => kernel_facts::config(found),
        Answer::Link(view) => link(view),
        Answer::Replay(found) => replaying::record(found),
        Answer::Snapshot(saved) => replaying::saved(saved),
        Answer::Source(source) => listing::source(source),
        Answer::Line { ranges, .. } => listing::line(ranges),
        Answer::Code(code) => listing::code(code),
        Answer::Matches { matches } => listing::matches(matches),
        Answer::Memory { text, .. } | Answer::Text { text } => text.clone(),
        Answer::Elements(found) => elements(found),
        Answer::Value(seen) => value_answer(seen),
        Answer::Crash { crash } => crashes::text(crash),
        Answer::Confirm { effect, allow: None } => format!("this would {effect}"),
        Answer::Confirm { effect, allow: Some((name, value)) } => {
            format!("{effect}; to allow it: set {name} {value}")
        }
        Answer::Type(described) => names::described(described),
        Answer::Listed(found) => names::names(found),
        Answer::Scope(seen) => names::scope(seen),
        Answer::Symbol(found) => found.text.clone(),
        Answer::Names { names, truncated } => {
            let more = if *truncated { "\n… and more; give a longer text" } else { "" };
            format!("{}{more}", names.join("\n"))
        }
        Answer::Output { output } => output.trim_end().to_string(),
    }
}

/// `$1 = 7`, and what was written.
fn value_answer(seen: &ValueAnswer) -> String {
    let number = seen.number.map(|number| format!("${number} = "));
    let value = seen.value.as_ref().map(|value| format!("{}{value}", number.unwrap_or_default()));
    lines(value.into_iter().chain(seen.wrote.iter().cloned()))
}

fn lines(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join("\n")
}

fn stopped(stop: &StopAnswer) -> String {
    let mut out = match stop.reason.as_str() {
        "breakpoint" => format!("breakpoint {}", stop.breakpoint.unwrap_or_default()),
        "watchpoint scope" => {
            format!("watchpoint {}: its function has returned", stop.breakpoint.unwrap_or_default())
        }
        "watchpoint" => {
            let seen = |hit: &WatchHit| format!("watchpoint {} {}", hit.number, hit.text());
            let all =
                stop.watch.iter().flat_map(|watch| [&watch.first].into_iter().chain(&watch.also));
            all.map(seen).collect::<Vec<_>>().join("; ")
        }
        reason => reason.to_string(),
    };
    if let Some(cpu) = stop.cpu {
        let _ = write!(out, ", CPU {cpu}");
    }
    if let Some(pid) = stop.pid {
        let _ = write!(out, ", pid {pid}");
    }
    if let Some(comm) = &stop.comm {
        let _ = write!(out, " {}", text::printable(comm));
    }
    let _ = write!(out, "\n{}", place(stop.function.as_deref(), stop.pc, &stop.file, stop.line));
    if let Some(doer) = stop.watch.as_ref().and_then(|watch| watch.first.by.as_ref()) {
        let _ = write!(out, "\n{}", doer.text());
    }
    if let (Some(value), Some(kind), Some(number)) =
        (&stop.value, &stop.value_type, stop.value_number)
    {
        let _ = write!(out, "\nValue returned is ${number} = ({kind}) {value}");
    }
    if let Some(crash) = &stop.crash {
        let _ = write!(out, "\n{}", crash.reason);
    }
    if let Some(error) = &stop.condition_error {
        let _ = write!(out, "\n{error}");
    }
    out
}

fn place(
    function: Option<&str>,
    pc: Option<Addr>,
    file: &Option<String>,
    line: Option<u32>,
) -> String {
    let mut out = function.unwrap_or("??").to_string();
    match (file, line) {
        (Some(file), Some(line)) => {
            let _ = write!(out, " at {file}:{line}");
        }
        _ => {
            let _ =
                write!(out, " at {}", pc.map_or("an unknown place".into(), |pc| pc.to_string()));
        }
    }
    out
}

/// What a log point printed: `[  12.345] CPU1 812 cat: text`.
pub fn log_line(line: &LogLine) -> String {
    let cpu = line.cpu.map(|cpu| format!("CPU{cpu} ")).unwrap_or_default();
    let pid = line.pid.map(|pid| format!("{pid} ")).unwrap_or_default();
    let comm = line.comm.as_deref().unwrap_or("?");
    let text = line.text.trim_end_matches('\n');
    format!("[{:>8.3}] {cpu}{pid}{comm}: {text}", line.seconds.as_secs_f64())
}

/// One frame in one line: `#1  0xffff… in vfs_read (file=…) at fs/read_write.c:470`.
pub fn frame(frame: &FrameView) -> String {
    let mut out = format!("#{:<2} ", frame.level);
    if !frame.inlined {
        let _ = write!(out, "{} in ", frame.pc);
    }
    out.push_str(frame.function.as_deref().unwrap_or("??"));
    match &frame.args {
        Some(args) => {
            let args: Vec<_> = args.iter().map(|a| format!("{}={}", a.name, value(a))).collect();
            let _ = write!(out, " ({})", args.join(", "));
        }
        None => out.push_str(" (…)"),
    }
    if let (Some(file), Some(line)) = (&frame.file, frame.line) {
        let _ = write!(out, " at {file}:{line}");
    }
    if let Some(module) = &frame.module {
        let _ = write!(out, " [{module}]");
    }
    if frame.inlined {
        out.push_str(" (inlined)");
    }
    if frame.kind != "normal" {
        let _ = write!(out, " <{}>", frame.kind);
    }
    if let Some(registers) = frame.saved.as_ref().and_then(|saved| saved.registers.as_ref()) {
        let number = frame.saved.as_ref().and_then(|saved| saved.orig_ax);
        if let Some(number) = number.filter(|_| frame.kind == "syscall") {
            let _ = write!(out, " nr {number}");
        }
        // The privilege level in the selector; a kernel's pc is the next frame's.
        let user = registers.get("cs").is_some_and(|cs| cs.0 & 3 != 0);
        if let Some(pc) = registers.get("rip").filter(|_| user) {
            let _ = write!(out, " (user rip {pc})");
        }
    }
    out
}

fn value(variable: &VariableView) -> String {
    match (&variable.value, &variable.unavailable) {
        (Some(value), _) => value.clone(),
        (None, _) if variable.optimized_out => "<optimized out>".into(),
        (None, Some(why)) => format!("<{why}>"),
        (None, None) => "…".into(),
    }
}

/// One variable in one line: `type name = value`.
pub fn variable(variable: &VariableView) -> String {
    let text = format!("{} = {}", variable.name, value(variable));
    match &variable.note {
        Some(note) => format!("{text} ({note})"),
        None => text,
    }
}

/// Elements, one a line, and what is wrong with the collection.
fn elements(found: &ElementsAnswer) -> String {
    let mut out = String::new();
    for element in &found.elements {
        let at =
            element.address.map_or(String::new(), |at| format!("({} *) {at}  ", found.type_name));
        let _ = writeln!(out, "[{}] {at}{}", element.index, element.value);
    }
    let count = found.elements.len();
    match (&found.trouble, found.more) {
        (Some(trouble), _) => {
            let _ = write!(out, "after {count}: {trouble}");
        }
        (None, true) => {
            let _ = write!(out, "{count} shown, there are more: info list/COUNT");
        }
        (None, false) if count == 0 => out.push_str("empty"),
        (None, false) => out.truncate(out.trim_end().len()),
    }
    out
}

fn register(name: &str, value: Addr) -> String {
    let words = match name {
        "eflags" => format!("[{}]", crate::arch::x86_64::flags_text(value.0)),
        _ => (value.0 as i64).to_string(),
    };
    format!("{name:<8} {:<18}  {words}", value.to_string())
}

/// Breakpoints, and how many debug registers they take where some do.
fn breaks(breakpoints: &[BreakpointView], hardware: HardwareView) -> String {
    let HardwareView { used, slots } = hardware;
    let registers = (used > 0 && breakpoints.len() > 1)
        .then(|| format!("{used} of {slots} debug registers are in use"));
    lines(breakpoints.iter().map(breakpoint).chain(registers))
}

fn breakpoint(b: &BreakpointView) -> String {
    let mut out = format!("{:<3} {:<10} {:<8} {}", b.number, b.kind, b.state, b.location);
    match &b.places[..] {
        [] => {}
        [one] => {
            let _ = write!(out, "  at {}", listing::place(one));
        }
        several => {
            let _ = write!(out, "  at {} places", several.len());
        }
    }
    if let Some(watch) = &b.watch {
        let _ = write!(out, "  {} bytes at {}, now {}", watch.length, watch.address, watch.value);
    }
    if b.hits > 0 {
        let _ = write!(out, "  hit {}", times(b.hits));
    }
    for words in b.why.iter().chain(&b.note) {
        let _ = write!(out, "\n    {words}");
    }
    for words in conduct(&b.conduct) {
        let _ = write!(out, "\n    {words}");
    }
    if b.places.len() > 1 {
        let _ = write!(out, "\n{}", listing::places(b));
    }
    out
}

/// When a breakpoint counts and what it does, a line each, in gdb's words
/// where it has them.
fn conduct(c: &ConductView) -> Vec<String> {
    let mut lines = Vec::new();
    let scope = c.scope.words();
    if !scope.is_empty() {
        lines.push(format!("stop only for {scope}"));
    }
    lines.extend(c.condition.as_ref().map(|condition| format!("stop only if {condition}")));
    if c.ignore > 0 {
        lines.push(format!("ignore next {} hits", c.ignore));
    }
    lines.extend(c.after.clone());
    lines.extend(c.log.as_ref().map(|log| format!("print {log} and go on")));
    if c.passed > 0 {
        lines.push(format!("passed {}", times(c.passed)));
    }
    lines.extend(c.commands.iter().map(|command| format!("    {command}")));
    lines
}

fn times(count: u64) -> String {
    if count == 1 { "once".into() } else { format!("{count} times") }
}

fn target(t: &TargetView) -> String {
    let unknown = || "unknown".to_string();
    let matches = match t.matches {
        Match::Match => "yes, proven by its build-id",
        Match::Mismatch => "NO: this vmlinux is of another build; its symbols would lie",
        Match::Trusted => "no, but trusted because you said so",
        Match::Unknown => "not proven yet",
    };
    let by = t.slide_by.as_ref().map_or(String::new(), |by| format!(" (by {by})"));
    lines(
        [
            ("connected to", t.connect.clone()),
            ("release", t.release.clone().unwrap_or_else(unknown)),
            ("banner", t.banner.clone().unwrap_or_else(unknown)),
            ("vmlinux", t.vmlinux.as_ref().map_or_else(unknown, |p| p.display().to_string())),
            ("guest build-id", t.build_id.clone().unwrap_or_else(unknown)),
            ("file build-id", t.vmlinux_build_id.clone().unwrap_or_else(unknown)),
            ("match", matches.to_string()),
            ("KASLR slide", t.slide.map_or_else(unknown, |slide| format!("{slide}{by}"))),
            ("CPUs", t.cpus.map_or_else(unknown, |cpus| cpus.to_string())),
        ]
        .into_iter()
        .chain(t.looked.iter().map(|place| ("search", place.clone())))
        .map(|(name, value)| format!("{name:<15} {value}")),
    )
}

fn link(l: &LinkView) -> String {
    let latency = l.latency.map_or(String::new(), |ms| format!(", {ms} ms beside the bytes"));
    format!(
        "{}\nsent {}, received {}, {} requests, {} sent again, {} bad checksums, {}/s{latency}",
        l.description,
        text::bytes(l.total.tx),
        text::bytes(l.total.rx),
        l.total.packets,
        l.resends,
        l.bad_checksums,
        text::bytes(l.rate),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::view::SavedView;
    use std::collections::BTreeMap;

    fn plain() -> FrameView {
        FrameView {
            level: 1,
            pc: Addr(0xffff_ffff_8120_0010),
            function: Some("vfs_read".into()),
            offset: Some(0x10),
            file: Some("fs/read_write.c".into()),
            path: None,
            line: Some(470),
            inlined: false,
            module: None,
            kind: "normal",
            saved: None,
            args: Some(vec![VariableView {
                name: "count".into(),
                type_name: "size_t".into(),
                value: None,
                optimized_out: true,
                unavailable: None,
                note: None,
                argument: true,
            }]),
            source_note: String::new(),
            source_guessed: false,
        }
    }

    #[test]
    fn a_frame_reads_like_gdbs() {
        assert_eq!(
            frame(&plain()),
            "#1  0xffffffff81200010 in vfs_read (count=<optimized out>) at fs/read_write.c:470"
        );
    }

    #[test]
    fn entry_code_tells_what_it_was_entered_from() {
        let registers = |cs| BTreeMap::from([("cs", Addr(cs)), ("rip", Addr(0x45_0000))]);
        let saved =
            |cs| SavedView { at: Addr(0x10), registers: Some(registers(cs)), orig_ax: Some(0) };
        let told = |kind, saved| {
            let place = FrameView { kind, saved, ..plain() };
            frame(&place).split_once(" at ").unwrap().1.to_owned()
        };
        assert_eq!(
            told("syscall", Some(saved(0x33))),
            "fs/read_write.c:470 <syscall> nr 0 (user rip 0x450000)"
        );
        assert_eq!(told("interrupt", Some(saved(0x10))), "fs/read_write.c:470 <interrupt>");
        let unread = SavedView { registers: None, orig_ax: None, ..saved(0x33) };
        assert_eq!(told("syscall", Some(unread)), "fs/read_write.c:470 <syscall>");
    }
}
