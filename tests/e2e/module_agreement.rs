//! Modules seen by gdb as well, which is given all their section addresses by
//! hand, on a kernel that KASLR moved: lines, stacks, arguments, locals, and
//! variables of every section.

use crate::agreement::{Agreement, socket};
use crate::facts::{run, slide, start_stopped, type_line};
use crate::gdb::Gdb;
use crate::support::{batch::Setup, guest::boot};
use kgdb_tui::demo::guest::{Boot, Hgfs, Link};

/// Where it stops, how often it goes to the next line there, and what is
/// printed: variables in `.data`, `.bss`, `.data..read_mostly`, of both modules
/// by the same name, parameters.
const STOPS: &[(&str, usize, &[&str])] = &[
    ("hgfs_ping!HgfsOpenFile", 0, PING),
    ("hgfs_ping!HgfsOpenFile", 3, PING),
    // In `.text.unlikely`.
    ("PingTooLong", 0, PING),
    ("hgfs!HgfsOpenFile", 0, HGFS),
    ("HgfsSendRequest", 1, HGFS),
    ("HgfsProcShow", 2, HGFS),
    ("HgfsAnswerRequest", 2, HGFS),
    ("HgfsPing", 1, PING),
    // Of a module that calls another.
    ("hgfs_ping!HgfsOpenFile", 2, PING),
];

const PING: &[&str] = &[
    "hgfs_wakeups",
    "&hgfs_wakeups",
    "ping_last",
    "ping_limit",
    "&ping_limit",
    "greeting",
    "loud",
    "sizes",
    "sizes_count",
    "fail",
];

const HGFS: &[&str] = &[
    "hgfs_transport.next_id",
    "&hgfs_transport",
    "hgfs_latency_ms",
    "&hgfs_latency_ms",
    "hgfs_files.next",
];

/// What the guest is made to do again and again.
const ACTIVITY: &str = "while :; do echo hello; echo a-name-that-is-far-too-long; done | \
    while read name; do echo $name > /sys/module/hgfs_ping/parameters/open; \
    insmod /lib/modules/hgfs-pong.ko; rmmod hgfs_pong; usleep 50000; done 2>/dev/null &";

#[test]
fn modules_look_as_in_gdb() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Busy, link: Link::Unix, ..Boot::default() });
    // What the kernel prints must not be among what is asked.
    run(&mut guest, "dmesg -n 1; insmod /lib/modules/hgfs-ping.ko");
    let slide = slide(&mut guest);
    assert_ne!(slide, 0, "KASLR is on");
    let mut sections = |name: &str| {
        // Those of init are gone, and the kernel made the symbol table anew.
        let listing = format!(
            "cd /sys/module/{name}/sections; for f in .* *; do case $f in \
             .init*|.symtab|.strtab) ;; *) [ -f $f ] && echo $f $(cat $f);; esac; done; cd /"
        );
        run(&mut guest, &listing)
    };
    let (hgfs, ping) = (sections("hgfs"), sections("hgfs_ping"));
    assert!(ping.contains(".text.unlikely") && ping.contains(".data..read_mostly"), "{ping}");
    let mut gdb = Gdb::start_at(slide, &[("hgfs.ko", &hgfs), ("hgfs-ping.ko", &ping)]);
    type_line(&mut guest, ACTIVITY);
    let begin = Setup::new(guest.address()).arg("--leave-stopped");
    start_stopped(&mut guest, begin, &[]).end().all_good();

    let mut agreement = Agreement::default();
    let (mut values, mut differences) = (0, Vec::new());
    for (place, nexts, variables) in STOPS {
        let tbreak = format!("tbreak {place}");
        let prints: Vec<String> = variables.iter().map(|name| format!("print {name}")).collect();
        let mut commands = vec!["wait 30", tbreak.as_str(), "continue"];
        commands.resize(commands.len() + nexts, "next");
        commands.extend(["bt", "info registers", "info locals"]);
        commands.extend(prints.iter().map(String::as_str));
        let setup = Setup::new(guest.address()).arg("--leave-stopped").exs(&commands);
        let ended = setup.run().all_good();
        assert_eq!(ended.line("continue").stop()["reason"], "breakpoint", "{place}");
        let mut bt = ended.ok("bt").clone();
        bt["frames"][0]["locals"] = ended.ok("info locals")["variables"].clone();
        let name = format!("{place} +{nexts}");
        let gdbs = gdb.look_by(&socket(&guest), "dump(True)").expect("no task ends there");
        agreement.stop(&name, (&bt, &ended.ok("info registers")["registers"]), &gdbs);

        let list = serde_json::to_string(variables).unwrap();
        let target = format!("target remote {}", socket(&guest).display());
        let ask = format!("python values({list})");
        let gdbs = gdb.ask(&[&target, &ask, "disconnect"]);
        assert_eq!(gdbs.len(), variables.len());
        for (print, gdbs) in prints.iter().zip(&gdbs) {
            let ours = ended.ok(print)["value"].as_str().unwrap().to_owned();
            // gdb says the type of what it takes the address of.
            let gdbs = gdbs.as_str().unwrap().rsplit(") ").next().unwrap();
            match ours.rsplit(") ").next() == Some(gdbs) {
                true => values += 1,
                false => differences.push(format!("{name}: {print}: {ours} is {gdbs}")),
            }
        }
    }
    eprintln!("{}; {values} variables of modules", agreement.told(STOPS.len()));
    assert!(agreement.differences.is_empty(), "{:#?}", agreement.differences);
    assert!(differences.is_empty(), "{differences:#?}");
    agreement.found_enough();
    assert!(agreement.frames > 50 && values > 60);
}
