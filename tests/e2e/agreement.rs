//! What two debuggers say of one stop, compared.

use crate::{
    facts::{ENTRY, address, run},
    gdb::Gdb,
    support::guest::{LockedGuest, boot},
};
use kgdb_tui::demo::guest::{Boot, Hgfs, Link};
use serde_json::{Value, json};
use std::path::PathBuf;

/// A guest that reads /proc/hgfs every second, where gdb can find it.
pub fn guest() -> LockedGuest {
    boot(&Boot { kaslr: false, hgfs: Hgfs::Busy, link: Link::Unix, ..Boot::default() })
}

/// gdb with the symbols of that guest's module.
pub fn gdb(guest: &mut LockedGuest) -> Gdb {
    let listing =
        "cd /sys/module/hgfs/sections; for f in .*; do [ -f $f ] && echo $f $(cat $f); done; cd /";
    let sections = run(guest, listing);
    Gdb::start(&sections)
}

/// Where its kgdb is.
pub fn socket(guest: &LockedGuest) -> PathBuf {
    guest.address().strip_prefix("unix:").unwrap().into()
}

/// What two debuggers agreed on, and where they differ.
#[derive(Default)]
pub struct Agreement {
    /// Registers with the same value.
    pub registers: usize,
    /// Frames with the same function, line, inline mark and pc.
    pub frames: usize,
    /// Arguments and locals with the same value.
    pub values: usize,
    /// Those that neither has a value for.
    pub lost: usize,
    /// Values that gdb shows in a caller only.
    pub found: usize,
    /// Values that gdb gets through a function that is not on the stack.
    pub jumped: usize,
    /// Arguments of an inlined function that gdb takes from the wrong frame.
    pub astray: usize,
    /// Values in registers that the ABI gives to the callee, and the callee is
    /// assembly: gdb has no rule for it and takes every register for kept.
    pub assembly: usize,
    /// Values that gdb has and that we say are optimized out, without a reason
    /// that is told apart: none of them is a wrong one.
    pub unfound: Vec<String>,
    /// Everything else.
    pub differences: Vec<String>,
}

impl Agreement {
    /// Compares one stop: our stack and registers with gdb's.
    pub fn stop(&mut self, name: &str, ours: (&Value, &Value), gdbs: &Value) {
        let (bt, registers) = ours;
        for (register, value) in gdbs["registers"].as_object().unwrap() {
            let value = value.as_u64().unwrap();
            if address(&registers[register]) == value {
                self.registers += 1;
            } else {
                self.differ(name, format!("{register}: {} is {value:#x}", registers[register]));
            }
        }
        self.stack(name, bt, gdbs);
    }

    /// Compares a stack, up to the code that gdb can't leave.
    fn stack(&mut self, name: &str, bt: &Value, gdbs: &Value) {
        let mut frames = gdbs["frames"].as_array().unwrap().as_slice();
        // At the first instruction of an inlined function, gdb, which has only
        // just come, is in it; we were asked for the line that calls it.
        while let [first, rest @ ..] = frames
            && first["inlined"] == true
            && first["function"] != bt["frames"][0]["function"]
        {
            frames = rest;
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
            let place = format!("{name} #{level} {function}");
            self.frame(&place, ours, frame, (&frames[..level], &frames[level..]));
            let locals = (&ours["locals"], &frame["locals"]);
            self.locals(&place, locals, (&frames[..level], &frames[level..]));
        }
    }

    /// Compares what is beyond the entry code at `entry`, which is all that
    /// gdb was asked for.
    pub fn beyond(&mut self, entry: usize, bt: &Value, gdbs: &Value) {
        let ours = &bt["frames"].as_array().unwrap()[entry + 1..];
        match gdbs["frames"].as_array().is_none_or(Vec::is_empty) {
            true => self.differ("interrupted", format!("gdb sees nothing of {}", ours[0])),
            false => self.stack("interrupted", &json!({ "frames": ours }), gdbs),
        }
    }

    fn frame(&mut self, name: &str, ours: &Value, gdbs: &Value, around: Around<'_>) {
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
                (Some(mine), None) if passed_on(around.1, &arg["name"], mine) => self.found += 1,
                (Some(mine), Some(_)) if is_astray(around.1, &arg["name"], mine) => {
                    self.astray += 1;
                }
                (None, Some(gdbs)) if is_lost(mine) => self.unfound(name, mine, gdbs, around),
                (_, gdbs) => self.differ(name, format!("{mine} is {gdbs:?}")),
            }
        }
    }

    /// Compares the locals that both were asked for: numbers by value.
    fn locals(&mut self, name: &str, (ours, gdbs): (&Value, &Value), around: Around<'_>) {
        let (Some(ours), Some(gdbs)) = (ours.as_array(), gdbs.as_array()) else { return };
        for local in gdbs {
            let Some(mine) = ours.iter().find(|mine| mine["name"] == local["name"]) else {
                // Of a macro's block without code: gdb lists it, with no value,
                // unless it is static.
                match local["value"].as_str().filter(|_| local["static"] != true) {
                    None => self.lost += 1,
                    Some(value) => self.differ(name, format!("no {}: {value}", local["name"])),
                }
                continue;
            };
            match (mine["value"].as_str(), local["value"].as_str()) {
                (None, None) => self.lost += 1,
                (Some(mine), Some(gdbs)) if same(mine, gdbs) => self.values += 1,
                (None, Some(gdbs)) if is_lost(mine) => self.unfound(name, mine, gdbs, around),
                (_, gdbs) => self.differ(name, format!("local {mine} is {gdbs:?}")),
            }
        }
    }

    /// A value that we say is lost and gdb has, by the reason for that.
    fn unfound(&mut self, name: &str, mine: &Value, gdbs: &str, (inner, outer): Around<'_>) {
        // Through a function that ended in a jump gdb knows more of what was
        // passed: it has a frame for it.
        if came_by_jump(outer) {
            self.jumped += 1;
        } else if calls_assembly(inner, &outer[0]) {
            self.assembly += 1;
        } else {
            self.unfound.push(format!("{name}: {mine} is {gdbs}"));
        }
    }

    /// That what is there to be found was found, but for one value of a
    /// hundred; shows those.
    pub fn found_enough(&self) {
        eprintln!("{:#?}", self.unfound);
        assert!(self.unfound.len() * 100 <= self.values.max(100), "{:#?}", self.unfound);
    }

    /// What was agreed on, in a line.
    pub fn told(&self, stops: usize) -> String {
        format!(
            "with gdb at {stops} stops: {} registers, {} frames, {} values, {} lost ones, {} found by us, {} astray in gdb, {} through jumps, {} around assembly, {} not found; {} differences",
            self.registers,
            self.frames,
            self.values,
            self.lost,
            self.found,
            self.astray,
            self.jumped,
            self.assembly,
            self.unfound.len(),
            self.differences.len()
        )
    }

    fn differ(&mut self, name: &str, what: String) {
        self.differences.push(format!("{name}: {what}"));
    }
}

/// Whether we say that there is no value.
fn is_lost(variable: &Value) -> bool {
    variable["optimized_out"] == true
}

/// The frames inside of one, innermost first, and that one with its callers.
type Around<'a> = (&'a [Value], &'a [Value]);

/// Whether what a frame called is assembly.
fn calls_assembly(inner: &[Value], frame: &Value) -> bool {
    let callee = inner.iter().rfind(|callee| callee["pc"] != frame["pc"]);
    callee.is_some_and(|callee| callee["file"].as_str().is_some_and(|file| file.ends_with(".S")))
}

/// Whether a function that is not on the stack jumped to one that is.
fn came_by_jump(outer: &[Value]) -> bool {
    outer.iter().any(|frame| frame["jumped"] == true)
}

/// Whether a caller has an argument of the same name and value.
fn passed_on(outer: &[Value], name: &Value, value: &str) -> bool {
    let mut args = outer.iter().flat_map(|frame| frame["args"].as_array().unwrap());
    args.any(|arg| arg["name"] == *name && arg["value"].as_str().is_some_and(|v| same(value, v)))
}

/// Whether gdb has gone astray with an argument of an inlined function:
/// `DW_OP_entry_value` in it is about the function that it is inlined in, whose
/// own argument of that name has our value in gdb too. Seen with `len` of
/// `__mmap_region` in `mmap_region`: gdb 13 shows the value of `addr`.
fn is_astray(frames: &[Value], name: &Value, value: &str) -> bool {
    let Some(whole) = frames.iter().position(|frame| frame["inlined"] != true) else {
        return false;
    };
    whole > 0 && passed_on(&frames[whole..=whole], name, value)
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
