//! The same stops seen by gdb: registers, stacks, arguments, and where steps
//! land.

use crate::facts::{ENTRY, address, line_of, run, start_stopped};
use crate::gdb::Gdb;
use crate::support::{
    batch::Setup,
    guest::{LockedGuest, boot},
};
use kgdb_tui::demo::guest::{Boot, Hgfs, Link};
use serde_json::Value;
use std::path::PathBuf;

/// A guest that reads /proc/hgfs every second, where gdb can find it.
fn guest() -> LockedGuest {
    boot(&Boot { kaslr: false, hgfs: Hgfs::Busy, link: Link::Unix, ..Boot::default() })
}

fn gdb(guest: &mut LockedGuest) -> Gdb {
    let listing =
        "cd /sys/module/hgfs/sections; for f in .*; do [ -f $f ] && echo $f $(cat $f); done; cd /";
    let sections = run(guest, listing);
    Gdb::start(&sections)
}

fn socket(guest: &LockedGuest) -> PathBuf {
    guest.address().strip_prefix("unix:").unwrap().into()
}

/// What two debuggers agreed on, and where they differ.
#[derive(Default)]
struct Agreement {
    registers: usize,
    frames: usize,
    values: usize,
    lost: usize,
    /// Values that gdb shows in a caller only.
    found: usize,
    differences: Vec<String>,
}

impl Agreement {
    fn stop(&mut self, name: &str, ours: (&Value, &Value), gdbs: &Value) {
        let (bt, registers) = ours;
        for (register, value) in gdbs["registers"].as_object().unwrap() {
            let value = value.as_u64().unwrap();
            if address(&registers[register]) == value {
                self.registers += 1;
            } else {
                self.differ(name, format!("{register}: {} is {value:#x}", registers[register]));
            }
        }
        let mut frames = gdbs["frames"].as_array().unwrap().as_slice();
        // At the first instruction of an inlined function, gdb, which has only
        // just come, is in it; we were asked for the line that calls it.
        while frames[0]["inlined"] == true && frames[0]["function"] != bt["frames"][0]["function"] {
            frames = &frames[1..];
        }
        for (level, frame) in frames.iter().enumerate() {
            let function = frame["function"].as_str().unwrap_or("??");
            let ours = &bt["frames"][level];
            // Beyond assembly that has no unwind data gdb invents frames.
            if function.starts_with(ENTRY) || function.starts_with("asm_") || function == "??" {
                let name_of_ours = ours["function"].as_str().unwrap_or("none");
                if function != "??" && !name_of_ours.starts_with(function) {
                    self.differ(name, format!("#{level} {function}: {name_of_ours}"));
                }
                break;
            }
            self.frame(&format!("{name} #{level} {function}"), ours, frame, &frames[level..]);
        }
    }

    fn frame(&mut self, name: &str, ours: &Value, gdbs: &Value, outer: &[Value]) {
        for key in ["function", "inlined", "line"] {
            if ours[key] != gdbs[key] {
                return self.differ(name, format!("{key}: {} is {}", ours[key], gdbs[key]));
            }
        }
        let file = gdbs["file"].as_str().unwrap_or_default();
        if !ours["file"].as_str().unwrap_or_default().ends_with(file.trim_start_matches("./")) {
            return self.differ(name, format!("file: {} is {file}", ours["file"]));
        }
        if address(&ours["pc"]) != gdbs["pc"].as_u64().unwrap() {
            return self.differ(name, format!("pc: {} is {}", ours["pc"], gdbs["pc"]));
        }
        self.frames += 1;
        let args = ours["args"].as_array().unwrap();
        for arg in gdbs["args"].as_array().unwrap() {
            let Some(mine) = args.iter().find(|mine| mine["name"] == arg["name"]) else {
                self.differ(name, format!("no argument {}", arg["name"]));
                continue;
            };
            match (mine["value"].as_str(), arg["value"].as_str()) {
                (None, None) => self.lost += 1,
                (Some(mine), Some(gdbs)) if same(mine, gdbs) => self.values += 1,
                // gcc took the argument out of a part of a function, and says
                // what the caller would have passed (DW_OP_GNU_parameter_ref);
                // gdb shows the value there only.
                (Some(mine), None) if passed_on(outer, &arg["name"], mine) => self.found += 1,
                (_, gdbs) => self.differ(name, format!("{mine} is {gdbs:?}")),
            }
        }
    }

    fn differ(&mut self, name: &str, what: String) {
        self.differences.push(format!("{name}: {what}"));
    }
}

/// Whether a caller has an argument of the same name and value.
fn passed_on(outer: &[Value], name: &Value, value: &str) -> bool {
    let mut args = outer.iter().flat_map(|frame| frame["args"].as_array().unwrap());
    args.any(|arg| arg["name"] == *name && arg["value"].as_str().is_some_and(|v| same(value, v)))
}

/// Whether two texts tell the same value: the number, or the word.
fn same(ours: &str, gdbs: &str) -> bool {
    let first = |text: &str| {
        let word = text.split([' ', ',']).next().unwrap_or_default().to_owned();
        let number = match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => word.parse::<i64>().ok().map(|value| value as u64),
        };
        (number, if number.is_some() { String::new() } else { word })
    };
    first(ours) == first(gdbs)
}

#[test]
fn stops_look_as_in_gdb() {
    let mut guest = guest();
    let mut gdb = gdb(&mut guest);
    let socket = socket(&guest);
    let in_inlined = line_of("hgfs/request.c", "req->id = HgfsNextId(transport);");
    let in_nested = line_of("hgfs/request.c", "transport->next_id = id;");
    let by_line = format!("hgfs/request.c:{in_inlined}");
    let nested = format!("hgfs/request.c:{in_nested}");
    let places = [
        "HgfsSendRequest",
        "HgfsSendOpenRequest",
        "HgfsOpenFile",
        "HgfsProcShow",
        by_line.as_str(),
        nested.as_str(),
        "HgfsAnswerRequest",
        "vfs_read",
        "ksys_write",
        "seq_read_iter",
        "wait_for_completion_killable",
        "do_sys_openat2",
        "kernel_clone",
        "load_elf_binary",
        "handle_mm_fault",
        "update_process_times",
        "do_exit",
        "__wake_up_common",
    ];
    let mut agreement = Agreement::default();
    let begin = Setup::new(guest.address()).arg("--leave-stopped");
    start_stopped(&mut guest, begin, &[]).end().all_good();
    for place in places {
        let command = format!("tbreak {place}");
        let commands = ["wait 30", command.as_str(), "continue", "bt", "info registers"];
        let setup = Setup::new(guest.address()).arg("--leave-stopped").exs(&commands);
        let ended = setup.run().all_good();
        let stop = &ended.ok("continue")["stop"];
        assert_eq!(stop["reason"], "breakpoint", "{place}: {stop}");
        let (bt, registers) = (ended.ok("bt"), &ended.ok("info registers")["registers"]);
        let gdbs = gdb.look(&socket);
        agreement.stop(place, (bt, registers), &gdbs);
    }
    eprintln!(
        "with gdb at {} stops: {} registers, {} frames, {} values, {} lost ones, {} found by us; {} differences",
        places.len(),
        agreement.registers,
        agreement.frames,
        agreement.values,
        agreement.lost,
        agreement.found,
        agreement.differences.len()
    );
    assert!(agreement.differences.is_empty(), "{:#?}", agreement.differences);
    assert!(agreement.frames > 100 && agreement.values > 50);
}

/// The line of each step, with its function.
fn landings(steps: &[Value]) -> Vec<String> {
    let word =
        |step: &Value| format!("{}:{}", step["function"].as_str().unwrap_or("??"), step["line"]);
    steps.iter().map(word).collect()
}

/// Steps of gdb and of ours from the same place, in two reads of the same file.
fn compare_steps(
    guest: &mut LockedGuest,
    gdb: &mut Gdb,
    (from, command, count): (&str, &str, usize),
) -> Option<String> {
    let tbreak = format!("tbreak {from}");
    let mut commands = vec!["wait 30", tbreak.as_str(), "continue"];
    commands.resize(commands.len() + count, command);
    let setup = Setup::new(guest.address()).arg("--leave-stopped").exs(&commands);
    let ended = setup.run().all_good();
    let start = &ended.lines[2].stop()["pc"];
    let ours: Vec<Value> = ended.lines[3..].iter().map(|line| line.stop().clone()).collect();
    let seconds: f64 = ended.lines[3..].iter().map(|line| line.seconds).sum();

    let target = format!("target remote {}", socket(guest).display());
    let to = format!("tbreak *{}", start.as_str().unwrap());
    let steps = format!("python steps({command:?}, {count})");
    let clock = std::time::Instant::now();
    let gdbs = gdb.ask(&[&target, &to, "continue", &steps, "disconnect"]);
    eprintln!(
        "{command} x{count} from {from}: {seconds:.2} s, gdb {:.2} s with the way there",
        clock.elapsed().as_secs_f64()
    );
    let (mine, theirs) = (landings(&ours), landings(&gdbs));
    (mine != theirs).then(|| {
        format!(
            "{command} from {from}: {mine:?} at {:?}; gdb: {theirs:?} at {:x?}",
            ours.iter().map(|step| &step["pc"]).collect::<Vec<_>>(),
            gdbs.iter().map(|step| step["pc"].as_u64()).collect::<Vec<_>>()
        )
    })
}

#[test]
fn steps_land_where_gdbs_do() {
    let mut guest = guest();
    let mut gdb = gdb(&mut guest);
    let begin = Setup::new(guest.address()).arg("--leave-stopped");
    start_stopped(&mut guest, begin, &[]).end().all_good();
    let walks = [
        ("HgfsProcShow", "next", 14),
        ("HgfsSendOpenRequest", "next", 8),
        // The fourth `next` of gdb runs away, into a function that the caller's
        // caller calls much later.
        ("HgfsSendRequest", "next", 3),
        // At the sixth gdb shows the call of another function, with which the
        // compiler merged the end of this one.
        ("HgfsAnswerRequest", "next", 5),
        ("HgfsOpenFile", "next", 6),
        // Then gdb shows the same two inlined calls again, whose code is in
        // pieces; ours goes into the function they call.
        ("HgfsOpenFile", "step", 9),
        ("vfs_read", "next", 8),
    ];
    let differences: Vec<_> =
        walks.into_iter().filter_map(|walk| compare_steps(&mut guest, &mut gdb, walk)).collect();
    assert!(differences.is_empty(), "{differences:#?}");
}
