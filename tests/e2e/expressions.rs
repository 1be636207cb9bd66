//! C expressions at a stop: the values gdb has at the same stop, what gdb has
//! no words for, and what they change in the guest.

use crate::facts::{address, alive, run, start_stopped};
use crate::gdb::Gdb;
use crate::support::{
    batch::{Ended, Setup},
    guest::{LockedGuest, boot},
};
use kgdb_tui::demo::guest::{Boot, Hgfs, Link};
use serde_json::Value;

/// At the entry of HgfsSendRequest, in the demo's task.
const EXPRESSIONS: &[&str] = &[
    "req",
    "*req",
    "req->id",
    "req->op",
    "req->state",
    "req->priority",
    "req->urgent + 1",
    "req->attempts",
    "req->name",
    "req->name[0]",
    "&req->name[1]",
    "req->args",
    "req->args.open.mode",
    "req->args.read.offset",
    "req->payload",
    "sizeof(*req)",
    "sizeof(req->payload)",
    "&req->list",
    "req->list.next",
    "*req->list.next",
    "req->list.next == &req->list",
    "req->kref.refcount.refs.counter",
    "(long)req & 7",
    "req->op == HGFS_OP_OPEN",
    "req->state == HGFS_REQ_PACKED ? 1 : 2",
    "(char)req->name[0]",
    "*(unsigned long *)req",
    "{unsigned int}&req->id",
    "*req->name@4",
    "hgfs_transport",
    "hgfs_transport.pending",
    "hgfs_transport.worker->comm",
    "hgfs_transport.worker->pid",
    "hgfs_transport.in_flight.counter",
    "&hgfs_transport",
    "hgfs_latency_ms",
    "hgfs_files",
    "*(struct HgfsFile *)hgfs_files.next",
    "((struct HgfsFile *)hgfs_files.next)->name",
    "((struct HgfsFile *)hgfs_files.next)->content",
    "HgfsSendRequest",
    "*HgfsSendRequest",
    "&HgfsSendRequest",
    "HgfsSendRequest + 1",
    "'request.c'::hgfs_transport.next_id",
    "init_task.comm",
    "init_task.pid",
    "init_task.tasks",
    "init_task.thread",
    "init_task.cred",
    "&init_task",
    "&init_task.tasks",
    "init_task.stack",
    "init_task.prio",
    "init_task.sched_class",
    "*init_task.sched_class",
    "init_task.files",
    "*init_task.files",
    "init_task.nsproxy->uts_ns->name",
    "init_uts_ns.name.release",
    "init_uts_ns.name",
    "linux_banner",
    "modules",
    "modules.next",
    "((struct module *)((char *)modules.next - 8))->name",
    "init_mm.pgd",
    "init_mm",
    "kgdb_active",
    "kgdb_info[0].enter_kgdb",
    "&kgdb_info[1]",
    "nr_cpu_ids",
    "__per_cpu_offset[0]",
    "__per_cpu_offset[1]",
    "__cpu_online_mask",
    "sysctl_sched_features",
    "panic_timeout",
    "tainted_mask",
    "vfs_read",
    "$rip",
    "$pc",
    "$rsp",
    "$sp",
    "$rdi",
    "$rdi == (long)req",
    "$rax",
    "$cs",
    "*(unsigned long *)$sp",
    "(struct HgfsReq *)$rdi",
    "((struct HgfsReq *)$rdi)->op",
    "&((struct page *)0)->lru",
    "sizeof(struct task_struct)",
    "MODULE_STATE_GOING",
    "(enum module_state)1",
    "sizeof(struct page) == 64",
    "proc_root",
    "chrdevs[1]",
    "softirq_vec",
    "super_blocks",
    "file_systems->name",
    "*file_systems",
];

fn guest() -> LockedGuest {
    boot(&Boot { kaslr: false, hgfs: Hgfs::Busy, link: Link::Unix, ..Boot::default() })
}

fn print(guest: &LockedGuest, commands: &[String]) -> Ended {
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    Setup::new(guest.address()).arg("--leave-stopped").ex("wait 30").exs(&commands).run()
}

/// Whether two texts tell the same, but for what is known and meant.
fn same(ours: &str, gdbs: &str) -> bool {
    // To gdb a small number is the offset of a per-CPU variable; and it has not
    // read the section of the module in which its `struct module` is.
    let without = |text: &str, name: &str| {
        let mark = format!(" <{name}");
        let mut parts = text.split(&mark);
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            out.push_str(part.split_once('>').map_or(part, |(_, rest)| rest));
        }
        out
    };
    let plain = |text: &str| {
        let text = without(&without(text, "fixed_percpu_data"), "__this_module");
        text.replace("(void)", "()").replace(" * const", " *const")
    };
    plain(ours) == plain(gdbs)
}

#[test]
fn expressions_have_the_values_that_gdb_prints() {
    let mut guest = guest();
    let listing =
        "cd /sys/module/hgfs/sections; for f in .*; do [ -f $f ] && echo $f $(cat $f); done; cd /";
    let sections = run(&mut guest, listing);
    let mut gdb = Gdb::start(&sections);
    // One request at least has been sent when the next one is.
    run(&mut guest, "cat /proc/hgfs");
    let begin = Setup::new(guest.address()).arg("--leave-stopped");
    let commands = ["tbreak HgfsSendRequest", "continue"];
    start_stopped(&mut guest, begin, &commands).end().all_good();

    let prints: Vec<String> = EXPRESSIONS.iter().map(|text| format!("print {text}")).collect();
    let ended = print(&guest, &prints);
    let target = format!("target remote {}", guest.address().strip_prefix("unix:").unwrap());
    let asked = format!("python values({})", serde_json::to_string(EXPRESSIONS).unwrap());
    let gdbs = gdb.ask(&[&target, &asked, "disconnect"]);
    assert_eq!(gdbs.len(), EXPRESSIONS.len());
    let (mut equal, mut different) = (0, Vec::new());
    for ((text, line), gdbs) in EXPRESSIONS.iter().zip(&ended.lines[1..]).zip(&gdbs) {
        let gdbs = gdbs.as_str().unwrap();
        let ours = match (&line.error, line.result["value"].as_str()) {
            (None, Some(value)) => value.to_owned(),
            (error, _) => format!("error: {error:?}"),
        };
        match () {
            () if same(&ours, gdbs) => equal += 1,
            // It is declared without a size; gdb finds the definition once it
            // has read that file for something else.
            () if *text == "linux_banner" && ours.ends_with(gdbs) => equal += 1,
            // It has a flexible array of `u8`, which is not read as text.
            () if *text == "init_task.thread" && same(&ours, &gdbs.replace("> \"\"}", ">}")) => {
                equal += 1;
            }
            () => different.push(format!("{text}\n  gdb:  {gdbs}\n  ours: {ours}")),
        }
    }
    eprintln!("{equal} of {} expressions as gdb", EXPRESSIONS.len());
    assert!(different.is_empty(), "{}", different.join("\n"));
    writes(&mut guest, &mut gdb, &target);
}

/// The value of a command's answer.
#[track_caller]
fn value<'a>(ended: &'a Ended, command: &str) -> &'a str {
    let answer = ended.ok(command);
    answer["value"].as_str().unwrap_or_else(|| panic!("{command}: {answer}"))
}

/// At the same stop: what only we have words for, and what is written.
fn writes(guest: &mut LockedGuest, gdb: &mut Gdb, target: &str) {
    let commands = [
        "print current->comm",
        "print current->pid",
        "print current == req->sender",
        "print &per_cpu(runqueues, 0)",
        "print &per_cpu(runqueues, 1)",
        "print per_cpu(runqueues, 0).cpu",
        "print per_cpu(runqueues, 1).cpu",
        "print this_cpu(runqueues).cpu",
        "print per_cpu(runqueues, 7)",
        "print container_of(&req->kref, struct HgfsReq, kref) == req",
        "print container_of(current->tasks.next, struct task_struct, tasks)->pid",
        "print offsetof(struct HgfsReq, args.read.wanted)",
        "print hgfs!HgfsSendRequest == HgfsSendRequest",
        "print hgfs_stats.sent",
        "print per_cpu(hgfs_stats, 0).sent + per_cpu(hgfs_stats, 1).sent > 0",
        "print &per_cpu(hgfs_stats, 1)",
        "print req->idd",
        "print $1 + 1",
        "p $rip",
        "x/2gx &req->list",
        "x/s req->name",
        "list *$rip",
        "info symbol &hgfs_transport.pending",
        "set var req->id = 77",
        "print req->id",
        "print req->id += 1",
        "print req->id++",
        "x/2gx 8",
        "set var req->priority = 2",
        "set var req->name[0] = 'X'",
        "set var hgfs_latency_ms = 5",
        "set var $rax = 0x1234",
        "print $saved = req->op",
        "set var *(char *)vfs_read = 0",
        "set var linux_banner[0] = 'l'",
        "print $rsp = 0",
        "print HgfsSendRequest(req)",
        "info locals",
        "info args",
    ];
    let commands: Vec<String> = commands.iter().map(ToString::to_string).collect();
    let ended = print(guest, &commands);
    assert!(value(&ended, "print current->comm").starts_with("\"cat\""));
    let pid = ended.lines[0].stop()["pid"].to_string();
    assert_eq!(value(&ended, "print current->pid"), pid);
    let [first, second] = [0, 1].map(|cpu| {
        let text = value(&ended, &format!("print &per_cpu(runqueues, {cpu})")).to_owned();
        assert_eq!(value(&ended, &format!("print per_cpu(runqueues, {cpu}).cpu")), cpu.to_string());
        text
    });
    assert!(first.starts_with("(struct rq *) 0xffff") && first != second, "{first} {second}");
    let cpu = ended.lines[0].stop()["cpu"].to_string();
    assert_eq!(value(&ended, "print this_cpu(runqueues).cpu"), cpu);
    let error = |command: &str| ended.line(command).error.clone().unwrap();
    assert!(error("print per_cpu(runqueues, 7)").starts_with("there is no CPU 7; the guest has 2"));
    assert_eq!(value(&ended, "print container_of(&req->kref, struct HgfsReq, kref) == req"), "1");
    assert_eq!(value(&ended, "print offsetof(struct HgfsReq, args.read.wanted)"), "84");
    assert_eq!(value(&ended, "print hgfs!HgfsSendRequest == HgfsSendRequest"), "1");
    // A module's per-CPU variable.
    let sum = "print per_cpu(hgfs_stats, 0).sent + per_cpu(hgfs_stats, 1).sent > 0";
    assert_eq!(value(&ended, sum), "1");
    assert!(value(&ended, "print hgfs_stats.sent").parse::<u64>().is_ok());
    assert!(
        value(&ended, "print &per_cpu(hgfs_stats, 1)").starts_with("(struct HgfsStats *) 0xffff")
    );
    let wrong = error("print req->idd");
    assert_eq!(
        wrong,
        "no member 'idd' in struct HgfsReq; did you mean 'id'?\n  req->idd\n       ^^^"
    );
    let rip = ended.ok("p $rip");
    assert!(address(&rip["registers"]["rip"]) >> 32 == 0xffff_ffff, "{rip}");
    assert_eq!(ended.ok("x/2gx &req->list")["values"].as_array().unwrap().len(), 2);
    assert_eq!(ended.ok("x/s req->name")["values"][0], "/");
    assert_eq!(ended.ok("info symbol &hgfs_transport.pending")["symbol"], "hgfs_transport");

    let wrote = |command: &str| ended.ok(command)["wrote"][0].as_str().unwrap().to_owned();
    assert!(wrote("set var req->id = 77").ends_with(" (req->id): 0 -> 77"));
    assert_eq!(value(&ended, "print req->id"), "77");
    assert!(wrote("print req->id += 1").ends_with(": 77 -> 78"));
    assert!(wrote("print req->id++").ends_with(": 78 -> 79"));
    assert_eq!(value(&ended, "print req->id++"), "78");
    let unread = ended.line("x/2gx 8");
    assert!(unread.result.to_string().contains("can't be read") || unread.error.is_some());
    assert_eq!(unread.wire["packets"], 1, "what can't be read is asked for once: {unread:?}");
    assert!(wrote("set var req->priority = 2").starts_with("wrote 1 byte at "));
    assert_eq!(wrote("set var $rax = 0x1234").split(" -> ").nth(1), Some("4660"));
    let saved = ended.ok("print $saved = req->op");
    assert_eq!((&saved["value"], &saved["wrote"]), (&"HGFS_OP_OPEN".into(), &Value::Null));
    for refused in ["set var *(char *)vfs_read = 0", "set var linux_banner[0] = 'l'"] {
        assert!(error(refused).contains("read-only"), "{}", error(refused));
    }
    assert!(error("print $rsp = 0").contains("kgdb ignores writes to rsp"));
    assert!(
        error("print HgfsSendRequest(req)").starts_with("functions of the guest are not called")
    );

    let ask = [
        "req->id",
        "req->priority",
        "req->urgent",
        "req->attempts",
        "req->name",
        "hgfs_latency_ms",
        "$rax",
        "*(char *)vfs_read",
        "linux_banner",
    ];
    let asked = format!("python values({})", serde_json::to_string(&ask).unwrap());
    let seen = gdb.ask(&[target, &asked, "disconnect"]);
    let text = |at: usize| seen[at].as_str().unwrap();
    assert_eq!((text(0), text(1), text(2), text(3)), ("79", "2", "1", "0"));
    assert!(text(4).starts_with("\"X\""), "{}", text(4));
    assert_eq!((text(5), text(6)), ("5", "4660"));
    assert!(text(8).contains("\"Linux version"), "{}", text(8));

    // And it lives.
    let end = ["set var req->name[0] = '/'", "detach"];
    Setup::new(guest.address()).ex("wait 30").exs(&end).run().all_good();
    alive(guest);
    assert_eq!(run(guest, "cat /sys/module/hgfs/parameters/latency_ms").trim(), "5");
}
