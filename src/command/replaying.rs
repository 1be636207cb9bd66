//! Commands about a record of the line that takes the guest's place.

use super::{
    Parsed,
    table::{CommandDef, NOTHING, ask},
};
use crate::base::text::{bytes, printable};
use crate::session::{
    replay_view::{ReplayAnswer, ReplayStop},
    request::Request,
    saving::{Depth, SnapshotAnswer, SnapshotAsk},
};

/// These commands.
pub(super) const COMMANDS: &[CommandDef] = &[
    CommandDef {
        name: "replay",
        aliases: &[],
        usage: "replay [next | previous | NUMBER]",
        help: "In a record (--replay): go to its next stop, the one before, or the one with this number, back or on; info replay lists them.",
        cost: NOTHING,
        completes: None,
        make: replay,
    },
    CommandDef {
        name: "info replay",
        aliases: &[],
        usage: "info replay",
        help: "The record that is replayed: what made it, and its stops with what was asked at each.",
        cost: NOTHING,
        completes: None,
        make: |args| match args {
            "" => ask(Request::Replay),
            _ => Err(format!("'{args}' is too much")),
        },
    },
    CommandDef {
        name: "snapshot",
        aliases: &[],
        usage: "snapshot [-f] [--quick | --full] FILE",
        help: "Read CPUs, stacks, variables, modules, tasks and dmesg, and save all that is known of this stop to FILE, for --replay; -f replaces a file. It has the guest's memory in it.",
        cost: "from some 300 reads (--quick: CPUs and modules alone) to some 2,000 (--full: the whole log, command lines)",
        completes: None,
        make: snapshot,
    },
];

fn snapshot(args: &str) -> Result<Parsed, String> {
    let (mut depth, mut over, mut rest) = (Depth::default(), false, args.trim());
    while rest.starts_with('-') {
        let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        match word {
            "-f" => over = true,
            "--quick" => depth = Depth::Quick,
            "--full" => depth = Depth::Full,
            _ => return Err(format!("'{word}' is none of -f, --quick and --full")),
        }
        rest = after.trim_start();
    }
    if rest.is_empty() {
        return Err("the name of a file is missing".into());
    }
    ask(Request::Snapshot(SnapshotAsk { file: rest.into(), depth, over }))
}

/// What a snapshot came to.
pub(super) fn saved(saved: &SnapshotAnswer) -> String {
    let part = if saved.complete { "" } else { ", interrupted: only a part was read" };
    let mut text = format!(
        "{} of memory are in {} ({}, {}){part}; look at it with --replay {}",
        bytes(saved.memory),
        saved.file.display(),
        saved.depth,
        bytes(saved.size),
        saved.file.display(),
    );
    for trouble in &saved.troubles {
        text.push_str(&format!("\nnot in it: {}", printable(trouble)));
    }
    text
}

fn replay(args: &str) -> Result<Parsed, String> {
    use crate::session::request::Goal;
    ask(Request::ReplayTo(match args {
        "" | "next" => Goal::By(1),
        "previous" | "prev" => Goal::By(-1),
        number => match number.parse() {
            Ok(number @ 1..) => Goal::Number(number),
            _ => return Err(format!("'{number}' is no number of a stop")),
        },
    }))
}

/// A record in lines.
pub(super) fn record(record: &ReplayAnswer) -> String {
    let mut lines = vec![format!("record {}", record.file.display())];
    lines.extend(record.notes.iter().map(|note| format!("  {}", printable(note))));
    lines.extend(record.trouble.iter().map(|trouble| format!("  trouble: {trouble}")));
    lines.extend(record.stops.iter().map(|stop| line(stop, record.stop == Some(stop.number))));
    if record.stop.is_none() {
        lines.push("> the record ends; the guest ran on".into());
    }
    lines.join("\n")
}

fn line(stop: &ReplayStop, is_here: bool) -> String {
    let mark = if is_here { '>' } else { ' ' };
    let pc = stop.pc.map(|pc| pc.to_string());
    let place = stop.function.as_deref().map(printable).or(pc).unwrap_or_default();
    let reason = stop.reason.as_deref().map(printable).unwrap_or_default();
    let asked = match stop.asked.len() {
        0 => String::new(),
        _ => format!("  [{}]", printable(&clip(&stop.asked.join("; ")))),
    };
    format!("{mark}{:>4} {:>9.1} s  {place}  {reason}{asked}", stop.number, stop.seconds)
}

/// What was asked can be long.
fn clip(text: &str) -> String {
    const MOST: usize = 100;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::addr::Addr;
    use crate::command::{parse::parse, request};
    use crate::session::request::Goal;

    #[test]
    fn stops_are_gone_to() {
        assert_eq!(request("replay"), Request::ReplayTo(Goal::By(1)));
        assert_eq!(request("replay previous"), Request::ReplayTo(Goal::By(-1)));
        assert_eq!(request("replay 3"), Request::ReplayTo(Goal::Number(3)));
        assert_eq!(request("info replay"), Request::Replay);
        assert!(parse("replay 0").is_err() && parse("replay x").is_err());
    }

    #[test]
    fn snapshots_have_a_depth_and_a_file() {
        let asked = |file: &str, depth, over| {
            Request::Snapshot(SnapshotAsk { file: file.into(), depth, over })
        };
        assert_eq!(request("snapshot a b.rec"), asked("a b.rec", Depth::Normal, false));
        assert_eq!(request("snapshot -f --full b"), asked("b", Depth::Full, true));
        assert_eq!(request("snapshot --quick b"), asked("b", Depth::Quick, false));
        assert!(parse("snapshot").is_err() && parse("snapshot --deep x").is_err());
    }

    #[test]
    fn a_record_is_listed() {
        let stop = |number, asked: &[&str]| ReplayStop {
            number,
            seconds: 1.26,
            reason: Some("breakpoint 1".into()),
            pc: Some(Addr(0xffff_ffff_8100_0000)),
            function: Some("vfs_read".into()),
            asked: asked.iter().map(|asked| asked.to_string()).collect(),
        };
        let answer = ReplayAnswer {
            file: "bug.rec".into(),
            notes: vec!["program kgdb-tui 0.1.0".into()],
            stop: Some(2),
            stops: vec![stop(1, &["bt", "continue"]), stop(2, &[])],
            trouble: Some("it is cut off".into()),
        };
        assert_eq!(
            record(&answer),
            "record bug.rec\n  program kgdb-tui 0.1.0\n  trouble: it is cut off\n    \
             1       1.3 s  vfs_read  breakpoint 1  [bt; continue]\n>   \
             2       1.3 s  vfs_read  breakpoint 1"
        );
    }
}
