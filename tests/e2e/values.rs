//! Values at a stop of the real guest: as gdb prints them there, and what is
//! in the kernel's lists and trees against what the guest says itself.

use crate::facts::{line_of, run, start_stopped};
use crate::gdb::Gdb;
use crate::support::{
    batch::Setup,
    guest::{LockedGuest, boot},
};
use kgdb_tui::demo::guest::{Boot, Hgfs, Link};
use regex::Regex;
use serde_json::Value;
use std::path::PathBuf;

/// What is printed at a stop in HgfsSendRequest.
const EXPRESSIONS: &[&str] = &[
    "*req",
    "req->name",
    "req->payload",
    "req->args",
    "req->op",
    "req->sender",
    "&req->list",
    "hgfs_transport",
    "init_task",
    "init_task.comm",
    "init_task.thread",
    "*init_task.cred",
    "*init_task.sched_class",
    "init_mm",
    "modules",
    "*req->sender->files",
    "*req->sender->signal",
    "*req->sender->mm",
    "init_nsproxy",
    "*init_nsproxy.uts_ns",
    "super_blocks",
    "system_state",
    "linux_banner",
    "(char *)linux_banner",
    "&linux_banner[6]",
    "vfs_read",
    "&init_task",
    "kmalloc_caches",
    "x86_cap_flags",
    "boot_cpu_data",
    "proc_root",
    "seq_read",
    "inet_family_ops",
    "cpu_bit_bitmap",
    "init_pid_ns",
];

const FORMATS: &[&str] = &["x", "d", "c", "t"];

fn socket(guest: &LockedGuest) -> PathBuf {
    guest.address().strip_prefix("unix:").unwrap().into()
}

/// What gdb's text has and ours leaves out on purpose.
fn without_strange(text: &str) -> String {
    // User space is not read; kgdb would refuse.
    let refused = Regex::new(r" <error: Cannot access memory at address 0x[0-9a-f]+>").unwrap();
    // A small number is no address of a per-CPU variable.
    let per_cpu = Regex::new(r"(0x[0-9a-f]{1,5}) <[^>]*>").unwrap();
    per_cpu.replace_all(&refused.replace_all(text, ""), "$1").into_owned()
}

/// Names of one address may be several.
fn without_names(text: &str) -> String {
    Regex::new(r" <[^>]*>").unwrap().replace_all(text, "").into_owned()
}

/// What two debuggers agreed on.
#[derive(Default)]
struct Agreement {
    equal: usize,
    /// Equal but for the choice among several names of an address.
    names: usize,
    differences: Vec<String>,
}

impl Agreement {
    fn compare(&mut self, what: &str, ours: &str, gdbs: &str) {
        let gdbs = without_strange(gdbs);
        if ours == gdbs {
            self.equal += 1;
        } else if without_names(ours) == without_names(&gdbs) {
            self.names += 1;
        } else {
            let at = ours.bytes().zip(gdbs.bytes()).take_while(|(a, b)| a == b).count();
            let around = |text: &str| {
                text.get(at.saturating_sub(60)..)
                    .unwrap_or(text)
                    .chars()
                    .take(160)
                    .collect::<String>()
            };
            self.differences.push(format!("{what}: …{} is …{}", around(ours), around(&gdbs)));
        }
    }
}

/// The value in what gdb's `print` says.
fn printed(text: &str) -> &str {
    text.split_once(" = ").map_or(text, |(_, value)| value)
}

#[test]
fn values_are_printed_as_by_gdb() {
    let mut guest =
        boot(&Boot { kaslr: false, hgfs: Hgfs::Busy, link: Link::Unix, ..Boot::default() });
    let listing =
        "cd /sys/module/hgfs/sections; for f in .*; do [ -f $f ] && echo $f $(cat $f); done; cd /";
    let sections = run(&mut guest, listing);
    let mut gdb = Gdb::start(&sections);
    let line = line_of("hgfs/request.c", "wake_up(&transport->wait);");
    let place = format!("tbreak hgfs/request.c:{line}");
    let mut prints: Vec<String> = EXPRESSIONS.iter().map(|e| format!("print {e}")).collect();
    for format in FORMATS {
        prints.extend(["*req", "hgfs_transport"].map(|e| format!("print/{format} {e}")));
    }
    let commands = [place.as_str(), "continue", "bt"];
    let begin = Setup::new(guest.address()).arg("--leave-stopped");
    let ended = start_stopped(&mut guest, begin, &commands).end().all_good();
    let frames = ended.ok("bt")["frames"].as_array().unwrap().len().min(12);
    let level = |name: &str| {
        let frames = ended.ok("bt")["frames"].as_array().unwrap().clone();
        frames.iter().position(|frame| frame["function"] == name).unwrap()
    };
    let frame = format!("frame {}", level("HgfsSendRequest"));
    // One session for all: every one of them knocks again.
    let mut asked: Vec<&str> = vec![&frame];
    asked.extend(prints.iter().map(String::as_str));
    let selects: Vec<String> = (0..frames).map(|level| format!("frame {level}")).collect();
    for select in &selects {
        asked.extend([select.as_str(), "info args", "info locals"]);
    }
    let setup = Setup::new(guest.address()).arg("--leave-stopped").ex("wait 30").exs(&asked);
    let ours = setup.run();
    let target = format!("target remote {}", socket(&guest).display());
    let list = serde_json::to_string(&asked).unwrap();
    let gdbs = gdb.ask(&[&target, &format!("python texts({list})"), "disconnect"]);
    assert_eq!(gdbs.len(), asked.len());
    let mut agreement = Agreement::default();
    let mut variables = Agreement::default();
    let mut lost = 0;
    let mut at = "";
    for ((command, line), gdbs) in asked.iter().zip(&ours.lines[1..]).zip(&gdbs) {
        let gdbs = gdbs.as_str().unwrap();
        if command.starts_with("print") {
            let text = line.result["value"].as_str();
            let text = text.map_or_else(|| format!("error: {:?}", line.error), str::to_owned);
            agreement.compare(command, &text, printed(gdbs));
        } else if let Some(list) = line.result["variables"].as_array() {
            let mut rows: Vec<(&str, &str)> =
                gdbs.lines().filter_map(|line| line.split_once(" = ")).collect();
            for ours in list {
                let name = ours["name"].as_str().unwrap();
                let Some(row) = rows.iter().position(|row| row.0 == name) else {
                    variables.differences.push(format!("{at} {command}: gdb has no {name}"));
                    continue;
                };
                let (_, gdbs) = rows.remove(row);
                match ours["value"].as_str() {
                    Some(text) if gdbs != "<optimized out>" => {
                        variables.compare(&format!("{at} {command} {name}"), text, gdbs);
                    }
                    None if gdbs.contains("<optimized out>") => lost += 1,
                    // The caller's note says more than gdb's (DW_OP_GNU_parameter_ref).
                    Some(_) => variables.names += 1,
                    None => variables.differences.push(format!("{at} {command}: {ours} is {gdbs}")),
                }
            }
            // Variables of macros that left no code are lost to gdb, too.
            for (name, value) in rows.into_iter().filter(|row| row.1 != "<optimized out>") {
                variables.differences.push(format!("{at} {command}: no {name}, gdb has {value}"));
            }
        } else {
            at = command;
        }
    }
    for (what, agreement) in [("printed", &agreement), ("variables", &variables)] {
        eprintln!(
            "{what}: {} equal to gdb's, {} but for a name, {} differences, {lost} variables lost to both",
            agreement.equal,
            agreement.names,
            agreement.differences.len()
        );
    }
    let differences: Vec<_> = agreement.differences.iter().chain(&variables.differences).collect();
    assert!(differences.is_empty(), "{differences:#?}");
    assert!(agreement.equal > 30 && variables.equal > 20);
}

/// What read-only memory has is taken from the files, of the kernel and of a
/// module; `x` reads the guest, and finds the same.
#[test]
fn constant_texts_cost_nothing_and_are_what_the_guest_has() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Busy, link: Link::Unix, ..Boot::default() });
    let commands = [
        "tbreak HgfsOpenFile",
        "continue",
        "print name",
        "print (char *)linux_banner",
        "x/s name",
        "x/s linux_banner",
    ];
    let begin = Setup::new(guest.address());
    let ended = start_stopped(&mut guest, begin, &commands).end().all_good();
    let [name, banner] = [commands[2], commands[3]].map(|printed| {
        let line = ended.line(printed);
        // The argument is in a register, and that was read.
        let most = if printed == "print name" { 1 } else { 0 };
        assert!(line.wire["packets"].as_u64().unwrap() <= most, "{line:?}");
        line.result["value"].as_str().unwrap().split_once(" \"").unwrap().1.to_owned()
    });
    assert!(banner.starts_with("Linux version 6.1"), "{banner}");
    for (examined, text) in [(commands[4], name), (commands[5], banner)] {
        let line = ended.line(examined);
        assert!(line.wire["packets"].as_u64().unwrap() > 0, "{line:?}");
        let all = line.result.to_string();
        let text = text.trim_end_matches('.').trim_end_matches('"').replace("\\n", "");
        assert!(all.contains(&text), "{all} has no {text}");
    }
}

fn names(answer: &Value) -> usize {
    answer["elements"].as_array().unwrap().len()
}

#[test]
fn collections_have_what_the_guest_says() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, link: Link::Unix, ..Boot::default() });
    let modules = run(&mut guest, "cat /proc/modules | wc -l");
    let mounted = run(&mut guest, "cat /proc/mounts | wc -l");
    let commands = [
        "info list modules",
        "info list super_blocks",
        "info list &init_task.children",
        "info list &init_task.nsproxy->mnt_ns->list",
        "info list &init_pid_ns.idr",
        "info list &init_task.nsproxy->mnt_ns->list struct mount mnt_list",
        "info list &hgfs_transport.pending struct HgfsReq list",
        "info list init_task.pid",
        "info list modules struct module nothing",
        "detach",
    ];
    let begin = Setup::new(guest.address());
    let mut batch = start_stopped(&mut guest, begin, &commands);
    let found = batch.ok(commands[0]);
    assert_eq!(names(&found).to_string(), modules.trim());
    assert!(found["elements"][0]["value"].as_str().unwrap().contains("hgfs"), "{found}");
    assert!(names(&batch.ok(commands[1])) >= 3);
    let children = batch.ok(commands[2]);
    assert_eq!((names(&children), &children["type"]), (2, &"struct task_struct".into()));
    let mounts = names(&batch.ok(commands[3]));
    assert!(mounts >= mounted.trim().parse().unwrap(), "{mounts} of {mounted}");
    // Every pid of the guest has a number in the idr.
    assert!(names(&batch.ok(commands[4])) > 10);
    assert_eq!(names(&batch.ok(commands[5])), mounts);
    assert_eq!(names(&batch.ok(commands[6])), 0);
    let ended = batch.end();
    let why = |command: &str| ended.line(command).error.clone().unwrap();
    assert!(why(commands[7]).contains("is no list_head"), "{}", why(commands[7]));
    assert!(why(commands[8]).contains("no member named nothing"), "{}", why(commands[8]));
}
