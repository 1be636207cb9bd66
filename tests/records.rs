//! Records that earlier programs wrote: a later one reads them, and answers as it was
//! answered then. The files are of the demo guest, made by `e2e replay_stops`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use flate2::{Compression, write::GzEncoder};
use kgdb_tui::link::record_reader::{Happening, Reader};
use serde_json::Value;
use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/records").join(name)
}

/// The commands of then with their answers.
fn answers() -> Vec<Value> {
    let text = std::fs::read_to_string(fixture("raw.json")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The record as the text that it is.
fn text() -> String {
    let mut text = String::new();
    let packed = std::fs::File::open(fixture("raw.rec")).unwrap();
    flate2::read::MultiGzDecoder::new(packed).read_to_string(&mut text).unwrap();
    text
}

/// What the program answers on a record, command by command.
fn replayed(record: &Path, commands: &[String]) -> Vec<Value> {
    let state = tempfile::tempdir().unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_kgdb-tui"));
    program.args(["--batch", "--json", "--replay"]).arg(record);
    for command in commands {
        program.arg("-ex").arg(command);
    }
    program.env("XDG_STATE_HOME", state.path()).env("XDG_CONFIG_HOME", state.path());
    let output = program.stdin(Stdio::null()).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), commands.len(), "{said}");
    lines
}

#[track_caller]
fn answers_as_then(record: &Path) {
    let then = answers();
    let commands: Vec<String> =
        then.iter().map(|answer| answer["command"].as_str().unwrap().to_owned()).collect();
    for (then, now) in then.iter().zip(replayed(record, &commands)) {
        for field in ["command", "error", "result"] {
            assert_eq!(now[field], then[field], "{}: {field}", then["command"]);
        }
    }
}

#[test]
fn a_record_of_version_2_is_answered_as_it_was() {
    answers_as_then(&fixture("raw.rec"));
}

/// Version 1 had the same lines, but no notes, and was text.
#[test]
fn a_record_of_version_1_has_the_same_packets() {
    let text = text();
    let (_, lines) = text.split_once('\n').unwrap();
    let old: Vec<&str> = lines.lines().filter(|line| !line.contains(" note ")).collect();
    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("old.txt");
    std::fs::write(&record, format!("# kgdb-tui line record 1\n{}\n", old.join("\n"))).unwrap();
    answers_as_then(&record);
}

/// What the entries are, one by one.
#[test]
fn every_line_of_a_record_means_what_it_meant() {
    let file = fixture("raw.rec");
    let mut reader = Reader::open(&file).unwrap();
    let entries: Vec<_> = reader.by_ref().collect();
    assert_eq!(reader.trouble(), None);
    let text = text();
    let (header, lines) = text.split_once('\n').unwrap();
    assert_eq!(header, "# kgdb-tui line record 2");
    assert_eq!(entries.len(), lines.lines().count());
    let (mut notes, mut packets) = (Vec::new(), 0);
    for (entry, line) in entries.iter().zip(lines.lines()) {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default();
        assert_eq!(format!("{}.{:06}", entry.at.as_secs(), entry.at.subsec_micros()), word());
        let (kind, rest) = (word(), word());
        match &entry.what {
            Happening::Note(text) => {
                let escaped = text.as_bytes().escape_ascii().to_string();
                assert_eq!((kind, rest), ("note", escaped.as_str()));
                notes.push(text.split(' ').next().unwrap());
            }
            Happening::Sent(bytes) => {
                assert_eq!((kind, rest), ("tx", bytes.escape_ascii().to_string().as_str()));
                packets += usize::from(bytes.starts_with(b"$"));
            }
            Happening::Received(bytes) => {
                assert_eq!((kind, rest), ("rx", bytes.escape_ascii().to_string().as_str()));
            }
            Happening::Break => assert_eq!(kind, "break"),
        }
    }
    for about in ["program", "began", "link", "asked", "stop"] {
        assert!(notes.contains(&about), "no note on {about}");
    }
    assert!(packets > 20, "{packets}");
}

/// What was damaged on the line was not an answer then, and is none now.
#[test]
fn an_answer_with_a_wrong_sum_is_none() {
    let text = text();
    // A digit of the answer to the first `g`, which has a sum.
    let at = text.find("tx $g#67").unwrap();
    let at = at + text[at..].find("rx $").unwrap() + "rx $".len();
    let mut changed = text.into_bytes();
    changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("changed.rec");
    let mut packed = GzEncoder::new(std::fs::File::create(&record).unwrap(), Compression::fast());
    packed.write_all(&changed).unwrap();
    packed.finish().unwrap();
    let then = answers();
    let registers = |answers: &[Value]| {
        let found = answers.iter().find(|answer| answer["command"] == "info registers");
        found.unwrap()["result"].clone()
    };
    let now = replayed(&record, &["wait 60".into(), "info registers".into()]);
    // The answer is no packet any more; what it had is not made up.
    assert_ne!(registers(&now), Value::Null);
    assert_ne!(registers(&now), registers(&then), "another stop is the first that can be shown");
}
