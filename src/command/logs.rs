//! Commands about what was written down: the kernel's log, the packets.

use super::{
    Parsed,
    table::{CommandDef, NOTHING, ask},
};
use crate::base::text::printable;
use crate::session::{
    dmesg::DmesgAsk,
    packets::{PacketView, PacketsAsk, Way},
    request::Request,
    wants::DmesgLine,
};

/// These commands.
pub(super) const COMMANDS: &[CommandDef] = &[
    CommandDef {
        name: "info packets",
        aliases: &[],
        usage: "info packets [-n COUNT] [TEXT]",
        help: "The last COUNT packets on the line (50) with what they mean and what they were for, or those with a text in any of these.",
        cost: NOTHING,
        completes: None,
        make: packets_asked,
    },
    CommandDef {
        name: "info dmesg",
        aliases: &["dmesg"],
        usage: "info dmesg [-n COUNT] [LEVEL|TEXT]",
        help: "The newest COUNT lines of the kernel's log (50), or those of them of a level (err, warn, …) or worse, or with a text.",
        cost: "about 250 bytes a line that is not known yet; known lines stay known",
        completes: None,
        make: dmesg,
    },
];

fn packets_asked(args: &str) -> Result<Parsed, String> {
    let (count, filter) = counted(args)?;
    ask(Request::Packets(PacketsAsk { count, filter: filter.to_string() }))
}

/// One packet a line.
pub(super) fn packets(packets: &[PacketView]) -> String {
    if packets.is_empty() {
        return "no packet fits".into();
    }
    let line = |packet: &PacketView| {
        let raw = clip(&packet.raw, 48);
        match packet.way {
            Way::Mark => format!("{:>10.3} == {}", packet.time, printable(&packet.words)),
            way => {
                let sign = if way == Way::Sent { "->" } else { "<-" };
                let purpose = if packet.purpose.is_empty() { "" } else { packet.purpose };
                let words = printable(&packet.words);
                format!("{:>10.3} {sign} {purpose:<12} {words}  [{raw}]", packet.time)
            }
        }
    };
    packets.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The beginning of a long packet.
fn clip(raw: &str, most: usize) -> String {
    match raw.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &raw[..at]),
        None => raw.to_string(),
    }
}

/// `[-n COUNT] REST`.
fn counted(args: &str) -> Result<(Option<usize>, &str), String> {
    let Some(rest) = args.strip_prefix("-n").filter(|rest| rest.starts_with([' ', '\t'])) else {
        return Ok((None, args));
    };
    let rest = rest.trim_start();
    let (count, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let number = count.parse().ok().filter(|count| *count > 0);
    let number = number.ok_or_else(|| format!("'{count}' is no count; try -n 100"))?;
    Ok((Some(number), rest.trim()))
}

fn dmesg(args: &str) -> Result<Parsed, String> {
    let (count, filter) = counted(args)?;
    ask(Request::Dmesg(DmesgAsk { count, filter: filter.to_string() }))
}

/// The lines as `dmesg` prints them.
pub(super) fn lines(records: &[DmesgLine]) -> String {
    if records.is_empty() {
        return "no such line among the newest; -n COUNT looks further back".into();
    }
    let mut out = Vec::new();
    for record in records {
        for text in record.text.split('\n') {
            out.push(format!("[{:>12.6}] {}", record.time, printable(text)));
        }
    }
    out.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{parse::parse, request};

    #[test]
    fn dmesg_takes_a_count_and_a_filter() {
        let asked = |count, filter: &str| Request::Dmesg(DmesgAsk { count, filter: filter.into() });
        assert_eq!(request("dmesg"), asked(None, ""));
        assert_eq!(request("info dmesg -n 200 vfs: mount"), asked(Some(200), "vfs: mount"));
        assert_eq!(request("dmesg err"), asked(None, "err"));
        assert!(parse("dmesg -n zork").is_err());
        assert_eq!(request("dmesg -nork"), asked(None, "-nork"));
    }

    #[test]
    fn packets_are_listed_one_a_line() {
        let asked = Request::Packets(PacketsAsk { count: Some(9), filter: "stack".into() });
        assert_eq!(request("info packets -n 9 stack"), asked);
        let packet = PacketView {
            number: 1,
            time: 1.25,
            way: Way::Sent,
            raw: "mffff888000001000,4".into(),
            words: "read 4 bytes at 0xffff888000001000".into(),
            purpose: "stack",
            trouble: false,
        };
        let mark = PacketView { way: Way::Mark, words: "stop 2".into(), ..packet.clone() };
        assert_eq!(
            packets(&[packet, mark]),
            "     1.250 -> stack        read 4 bytes at 0xffff888000001000  [mffff888000001000,4]\n     1.250 == stop 2"
        );
    }

    #[test]
    fn lines_look_as_dmesg_prints_them() {
        let record =
            |time, text: &str| DmesgLine { time, text: text.into(), ..DmesgLine::default() };
        let text = lines(&[record(1.5, "one\ntwo"), record(12345.000001, "\u{1b}[31mred")]);
        assert_eq!(text, "[    1.500000] one\n[    1.500000] two\n[12345.000001] ·[31mred");
    }
}
