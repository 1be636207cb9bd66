//! Modules as the guest's memory has them, compared with what its /proc and
//! /sys tell, and what that costs on the line.

use crate::facts::{address, alive, number, run, setup, start_stopped, type_line};
use crate::support::{
    batch::Batch,
    guest::{LockedGuest, boot},
};
use kgdb_tui::{
    demo::guest::{Boot, Link},
    link::record_reader::{Happening, read},
};
use serde_json::Value;
use std::{collections::BTreeMap, fs::File, io::BufReader, path::Path};

/// The modules, in the order in which they are loaded, with their parameters.
const LOADED: [(&str, &str); 5] = [
    ("hgfs", "latency_ms=3"),
    ("hgfs-ping", "greeting=hey loud=1 sizes=4,5"),
    ("hgfs-pong", ""),
    ("fuse", "max_user_bgreq=77"),
    ("dummy", "numdummies=2"),
];

/// A line of /proc/modules: size, uses, users, state, base, taints.
#[derive(Debug, PartialEq)]
struct Line {
    size: u64,
    refs: i64,
    users: Vec<String>,
    state: String,
    base: u64,
    taints: String,
}

fn proc_modules(guest: &mut LockedGuest) -> Vec<(String, Line)> {
    let text = run(guest, "cat /proc/modules");
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let users = words[3].split(',').filter(|user| !matches!(*user, "" | "-"));
        let taints = words.get(6).map_or("", |taints| taints.trim_matches(['(', ')']));
        let facts = Line {
            size: words[1].parse().unwrap(),
            refs: words[2].parse().unwrap(),
            users: users.map(str::to_string).collect(),
            state: words[4].to_lowercase(),
            base: number(words[5]),
            taints: taints.to_string(),
        };
        (words[0].to_string(), facts)
    };
    text.lines().map(line).collect()
}

/// The same from our list.
fn ours(modules: &Value) -> Vec<(String, Line)> {
    let text = |value: &Value| value.as_str().unwrap().to_string();
    let line = |module: &Value| {
        let facts = Line {
            size: module["size"].as_u64().unwrap(),
            refs: module["refs"].as_i64().unwrap(),
            users: module["used_by"].as_array().unwrap().iter().map(text).collect(),
            state: text(&module["state"]),
            base: address(&module["base"]),
            taints: text(&module["taints"]),
        };
        (text(&module["name"]), facts)
    };
    modules["modules"].as_array().unwrap().iter().map(line).collect()
}

/// Files of sysfs by their names, each with its line.
fn sysfs(guest: &mut LockedGuest, files: &str) -> BTreeMap<String, String> {
    let text = run(guest, &format!("grep -sH . {files}; true"));
    let pair = |line: &str| {
        let (path, value) = line.split_once(':').unwrap();
        let name = Path::new(path).file_name().unwrap().to_str().unwrap();
        (name.to_string(), value.to_string())
    };
    text.lines().map(pair).collect()
}

/// That `info module` tells the sections and the parameters of sysfs.
#[track_caller]
fn is_as_in_sysfs(found: &Value, guest: &(BTreeMap<String, String>, BTreeMap<String, String>)) {
    let (sections, parameters) = guest;
    let mut ours = BTreeMap::new();
    for section in found["sections"].as_array().unwrap() {
        let name = section["name"].as_str().unwrap();
        let gone = name.starts_with(".init") || matches!(name, ".symtab" | ".strtab");
        let state = match name {
            ".data..percpu" => "per-cpu",
            _ if gone => "gone",
            _ => "loaded",
        };
        assert_eq!(section["state"], state, "{name}");
        if state != "per-cpu" {
            ours.insert(name.to_string(), address(&section["address"]));
        }
    }
    let theirs: BTreeMap<_, _> =
        sections.iter().map(|(name, value)| (name.clone(), number(value))).collect();
    assert_eq!(ours, theirs, "{}", found["name"]);
    let mut told = BTreeMap::new();
    for parameter in found["parameters"].as_array().unwrap() {
        // One without a mode is not in sysfs.
        let shown = parameter["mode"] != "0000";
        if let Some(value) = parameter["value"].as_str().filter(|_| shown) {
            told.insert(parameter["name"].as_str().unwrap().to_string(), value.to_string());
        }
    }
    assert_eq!(told, *parameters, "{}", found["name"]);
}

/// The reads in a record, those of each stop apart.
fn reads(record: &Path) -> Vec<Vec<(u64, u64)>> {
    let mut stops = vec![Vec::new()];
    for entry in read(BufReader::new(File::open(record).unwrap())).unwrap() {
        let Happening::Sent(bytes) = entry.what else { continue };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for packet in text.split('$').skip(1) {
            let payload = packet.split('#').next().unwrap();
            if payload == "c" {
                stops.push(Vec::new());
            } else if let Some(span) = payload.strip_prefix('m') {
                let (at, len) = span.split_once(',').unwrap();
                stops.last_mut().unwrap().push((number(at), number(len)));
            }
        }
    }
    stops
}

/// The packets with output of kdb in a record: each waits for an ack.
fn outputs(record: &Path) -> usize {
    let entries = read(BufReader::new(File::open(record).unwrap())).unwrap();
    let received = entries.into_iter().filter_map(|entry| match entry.what {
        Happening::Received(bytes) => Some(bytes),
        _ => None,
    });
    let bytes: Vec<u8> = received.flatten().collect();
    bytes.windows(2).filter(|pair| pair == b"$O").count()
}

/// Packets and bytes of a stop with nothing but a look at the modules.
fn cost_of_a_visit(guest: &mut LockedGuest) -> (u64, u64) {
    let setup = setup(guest);
    let mut batch = start_stopped(guest, setup, &["info link"]);
    let link = batch.ok("info link");
    batch.end().all_good();
    let figure = |name: &str| link[name].as_u64().unwrap();
    (figure("packets"), figure("tx") + figure("rx"))
}

fn packets(batch: &mut Batch, command: &str) -> (Value, u64) {
    let line = batch.next();
    assert_eq!(line.command, command);
    (line.ok().clone(), line.wire["packets"].as_u64().unwrap())
}

#[test]
fn modules_are_what_proc_and_sys_tell() {
    let mut guest = boot(&Boot { link: Link::SocatTcp, kaslr: true, ..Boot::default() });
    let without = cost_of_a_visit(&mut guest);
    for (name, parameters) in LOADED {
        run(&mut guest, &format!("insmod /lib/modules/{name}.ko {parameters}"));
    }
    let with = cost_of_a_visit(&mut guest);
    let count = LOADED.len() as u64;
    let each = ((with.0 - without.0) as f64 / count as f64, (with.1 - without.1) / count);
    println!("first sight of a module: {} packets, {} bytes", each.0, each.1);
    assert!(each.0 <= 10.0, "{each:?}");

    let wanted = proc_modules(&mut guest);
    let mut in_sysfs = BTreeMap::new();
    for (name, _) in LOADED {
        let name = name.replace('-', "_");
        let dir = format!("/sys/module/{name}");
        let sections = sysfs(&mut guest, &format!("{dir}/sections/.[a-z]* {dir}/sections/_*"));
        let parameters = sysfs(&mut guest, &format!("{dir}/parameters/*"));
        assert!(sections.len() > 9, "{sections:?}");
        in_sysfs.insert(name, (sections, parameters));
    }

    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("record");
    let mut commands =
        vec!["p &mod_tree.root.seq".to_string(), "info modules".into(), "info modules".into()];
    commands.extend(LOADED.map(|(name, _)| format!("info module {name}")));
    let stop = ["tbreak ksys_write", "continue"];
    commands.extend([stop, stop].concat().into_iter().map(str::to_string));
    commands.extend(["monitor lsmod", "info module zork", "detach"].map(str::to_string));
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    let setup = setup(&guest).arg("--record").arg(&record);
    let mut batch = start_stopped(&mut guest, setup, &commands);
    let mark = batch.ok("p &mod_tree.root.seq")["value"].as_str().unwrap().to_string();
    let mark = number(mark.split("0x").nth(1).unwrap().split(' ').next().unwrap());

    let (modules, spent) = packets(&mut batch, "info modules");
    assert_eq!(ours(&modules), wanted);
    println!("info modules, how they are used: {spent} packets");
    let (_, again) = packets(&mut batch, "info modules");
    assert_eq!(again, 0, "all of it is known");
    for (name, _) in LOADED {
        let (found, spent) = packets(&mut batch, &format!("info module {name}"));
        println!("info module {name}: {spent} packets");
        is_as_in_sysfs(&found, &in_sysfs[&name.replace('-', "_")]);
        let listed = modules["modules"].as_array().unwrap();
        let listed = listed.iter().find(|module| module["name"] == found["name"]).unwrap();
        // The sections that its symbols are placed by were worked out.
        for section in listed["sections"].as_array().unwrap() {
            let all = found["sections"].as_array().unwrap();
            let same = all.iter().find(|other| other["name"] == section[0]);
            let same = same.unwrap_or_else(|| panic!("no {section} in {found}"));
            assert_eq!(same["address"], section[1]);
        }
        match name {
            "hgfs-ping" => {
                assert_eq!(found["version"], "1.2");
                assert_eq!(found["init"]["name"], "PingInit");
                assert_eq!(
                    (&found["init"]["gone"], &found["exit"]["gone"]),
                    (&true.into(), &false.into())
                );
                assert_eq!(found["exit"]["name"], "PingExit");
                let open = &found["parameters"][0];
                assert_eq!(
                    (&open["name"], &open["why"]),
                    (&"open".into(), &"set by PingOpen".into())
                );
                assert_eq!(found["parameters"][1]["type"], "array of ushort");
            }
            "hgfs-pong" => assert_eq!(found["uses"], serde_json::json!(["hgfs_ping"])),
            _ => {}
        }
    }
    for _ in 0..2 {
        batch.ok("tbreak ksys_write");
        type_line(&mut guest, "");
        batch.stop("continue");
    }
    let lsmod = batch.next();
    println!("monitor lsmod: {}, {} packets of output", lsmod.wire, outputs(&record));
    assert!(lsmod.ok()["output"].as_str().unwrap().contains("hgfs_pong"));
    let unknown = batch.next();
    assert!(unknown.error.as_ref().unwrap().contains("no module zork"), "{unknown:?}");
    let ended = batch.end();
    assert_eq!(ended.said, "", "nothing was wrong with the lists");

    // At each further stop one word tells that no module came or went.
    let stops = reads(&record);
    assert!(stops.len() >= 3, "{}", stops.len());
    let in_module = |at: u64| {
        wanted.iter().any(|(_, module)| (module.base..module.base + module.size).contains(&at))
    };
    for stop in &stops[1..3] {
        let checks = stop.iter().filter(|(at, _)| *at == mark).count();
        let of_modules = stop.iter().filter(|(at, _)| in_module(*at)).count();
        println!(
            "a further stop: {} reads, {checks} for the list, {of_modules} of modules",
            stop.len()
        );
        assert_eq!((checks, of_modules), (1, 0), "{stop:x?}");
    }
    comes_to_life(&mut guest);
    alive(&mut guest);
}

/// A module that is being set up has init memory; when it is live it has none,
/// though the list is as it was.
fn comes_to_life(guest: &mut LockedGuest) {
    run(guest, "rmmod dummy");
    let setup = setup(guest);
    let commands = [
        "tbreak do_init_module",
        "continue",
        "info modules",
        "info module dummy",
        "tbreak ksys_write",
        "continue",
        "info modules",
        "info module dummy",
        "detach",
    ];
    let mut batch = start_stopped(guest, setup, &commands);
    batch.ok(commands[0]);
    type_line(guest, "insmod /lib/modules/dummy.ko numdummies=1; echo loaded");
    batch.stop(commands[1]);
    let states = |modules: &Value| {
        let module = &modules["modules"][0];
        let init = |section: &&Value| section[0].as_str().unwrap().starts_with(".init");
        let sections = module["sections"].as_array().unwrap();
        let state = (module["name"].as_str().unwrap().to_string(), module["state"].clone());
        (state, sections.iter().filter(init).count())
    };
    let coming = batch.ok(commands[2]);
    assert_eq!(states(&coming), (("dummy".into(), "coming".into()), 2), "{coming}");
    let found = batch.ok(commands[3]);
    let memory = found["memory"].as_array().unwrap();
    assert_eq!((memory.len(), &memory[1]["what"]), (2, &"init".into()));
    assert_eq!(
        (&found["init"]["name"], &found["init"]["gone"]),
        (&"dummy_init_module".into(), &false.into())
    );
    let all = found["sections"].as_array().unwrap();
    assert!(all.iter().all(|section| section["state"] == "loaded"), "{found}");
    batch.ok(commands[4]);
    batch.stop(commands[5]);
    let live = batch.ok(commands[6]);
    assert_eq!(states(&live), (("dummy".into(), "live".into()), 0), "{live}");
    let found = batch.ok(commands[7]);
    assert_eq!(found["memory"].as_array().unwrap().len(), 1);
    assert_eq!(found["init"]["gone"], true);
    let ended = batch.end().all_good();
    assert_eq!(ended.said, "");
}
