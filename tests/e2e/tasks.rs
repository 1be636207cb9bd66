//! Tasks, CPUs and their stacks against what the guest says of them in /proc
//! just before it is stopped.

use crate::facts::{ENTRY, address, run, setup, start_stopped};
use crate::support::guest::{LockedGuest, boot, built};
use kgdb_tui::{
    demo::{
        build::COMPILED_IN,
        guest::{Boot, Hgfs},
    },
    session::{
        answer::Answer,
        options::Options,
        request::{Request, Update},
        run,
        view::{StopView, View},
        wants::{TaskSort, TaskWant, TasksView, Wants},
    },
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// A task as /proc has it.
#[derive(Debug)]
struct Known {
    comm: String,
    state: char,
    parent: i64,
    tgid: i64,
    /// Function and offset of each frame, the scheduler's left out.
    stack: Vec<(String, u64)>,
}

/// A static x86_64 program that makes two threads, after which all three wait
/// for a signal: ELF header, one segment, and the code below.
fn threads_program() -> Vec<u8> {
    let code: &[&[u8]] = &[
        b"\x41\xbc\x02\x00\x00\x00", // mov $2,%r12d
        b"\xb8\x38\x00\x00\x00",     // again: mov $56,%eax (clone)
        // VM, FS, FILES, SIGHAND, THREAD and SYSVSEM
        b"\xbf\x00\x0f\x05\x00", // mov $0x50f00,%edi
        b"\x48\x89\xe6",         // mov %rsp,%rsi
        b"\x31\xd2",             // xor %edx,%edx
        b"\x45\x31\xd2",         // xor %r10d,%r10d
        b"\x45\x31\xc0",         // xor %r8d,%r8d
        b"\x0f\x05",             // syscall
        b"\x85\xc0",             // test %eax,%eax
        b"\x74\x05",             // jz wait
        b"\x41\xff\xcc",         // dec %r12d
        b"\x75\xe0",             // jnz again
        b"\xb8\x22\x00\x00\x00", // wait: mov $34,%eax (pause)
        b"\x0f\x05",             // syscall
        b"\xeb\xf7",             // jmp wait
    ];
    let code = code.concat();
    let size = 120 + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    for (value, bytes) in [(2, 2), (0x3e, 2), (1, 4), (0x40_0078, 8), (64, 8), (0, 8), (0, 4)] {
        file.extend(&u64::to_le_bytes(value)[..bytes]);
    }
    for value in [64u16, 56, 1, 0, 0, 0] {
        file.extend(value.to_le_bytes());
    }
    for (value, bytes) in
        [(1, 4), (5, 4), (0, 8), (0x40_0000, 8), (0x40_0000, 8), (size, 8), (size, 8), (0x1000, 8)]
    {
        file.extend(&u64::to_le_bytes(value)[..bytes]);
    }
    file.extend(code);
    file
}

/// Puts a file into the guest through its shell.
fn put(guest: &mut LockedGuest, path: &str, bytes: &[u8]) {
    for piece in bytes.chunks(100) {
        let octal = piece.iter().fold(String::new(), |mut out, byte| {
            let _ = write!(out, "\\{byte:03o}");
            out
        });
        run(guest, &format!("printf '{octal}' >> {path}"));
    }
}

/// Runs something in the background; its pid.
fn background(guest: &mut LockedGuest, command: &str) -> i64 {
    run(guest, &format!("{command} & echo $!")).trim().parse().unwrap()
}

/// Waits until a task is in a state.
fn until_state(guest: &mut LockedGuest, pid: i64, state: &str) {
    run(guest, &format!("until grep -q 'State:.{state}' /proc/{pid}/status; do :; done"));
}

/// Every thread that the guest has, but for those that list them.
fn proc_of(guest: &mut LockedGuest) -> BTreeMap<i64, Known> {
    let listing = "for t in /proc/[0-9]*/task/[0-9]*; do echo \"T $t\"; cat $t/stat $t/stack; done 2>/dev/null";
    let text = run(guest, listing);
    let mut tasks = BTreeMap::new();
    for part in text.split("T /proc/").skip(1) {
        let mut lines = part.lines();
        let path = lines.next().unwrap();
        let tgid = path.split('/').next().unwrap().parse().unwrap();
        // Of one that ended in between there is no more.
        let Some(stat) = lines.next() else { continue };
        let (pid, rest) = stat.split_once(" (").unwrap();
        let (comm, rest) = rest.rsplit_once(") ").unwrap();
        let mut words = rest.split(' ');
        let state = words.next().unwrap().chars().next().unwrap();
        let parent = words.next().unwrap().parse().unwrap();
        let frame = |line: &str| {
            let (function, offset) = line.strip_prefix("[<0>] ")?.split_once("+0x")?;
            let offset = u64::from_str_radix(offset.split('/').next()?, 16).ok()?;
            Some((function.to_string(), offset))
        };
        let stack = lines.filter_map(frame).collect();
        let known = Known { comm: comm.to_string(), state, parent, tgid, stack };
        tasks.insert(pid.parse().unwrap(), known);
    }
    tasks
}

/// The letter that /proc has for a state in words.
fn letter(state: &Value) -> char {
    match state.as_str().unwrap() {
        "running" | "new" => 'R',
        "sleeping" => 'S',
        "disk sleep" => 'D',
        "idle" => 'I',
        "parked" => 'P',
        "stopped" => 'T',
        "tracing stop" => 't',
        "zombie" => 'Z',
        "dead" => 'X',
        other => panic!("no state: {other}"),
    }
}

/// A function without what the compiler appends to the names of its copies.
fn plain(function: &str) -> &str {
    function.split('.').next().unwrap()
}

/// What differs between a stack of ours and one of /proc.
fn differs(frames: &[Value], known: &[(String, u64)]) -> Option<String> {
    let called: Vec<_> = frames.iter().filter(|frame| frame["inlined"] == false).collect();
    let name = |frame: &Value| frame["function"].as_str().unwrap_or("??").to_string();
    let is_first = |frame: &&Value| {
        known.first().is_some_and(|(function, _)| plain(function) == plain(&name(frame)))
    };
    let names = || called.iter().map(|frame| name(frame)).collect::<Vec<_>>().join(" ");
    let Some(start) = called.iter().position(is_first) else {
        return Some(format!("{} is not in {}", known.first()?.0, names()));
    };
    if start > 4 || called.len() - start != known.len() {
        return Some(format!("{} is {known:?}", names()));
    }
    for (frame, (function, offset)) in called[start..].iter().zip(known) {
        if [function.as_str(), &name(frame)].iter().all(|name| name.starts_with(ENTRY)) {
            // A label inside, or the whole.
            continue;
        }
        let same_offset = frame["offset"].as_u64().is_none_or(|ours| ours == *offset);
        if plain(function) != plain(&name(frame)) || !same_offset {
            return Some(format!("{frame} is {function}+{offset:#x}"));
        }
    }
    None
}

/// The reads of a recorded session: start and length.
fn reads(record: &Path) -> Vec<(u64, u64)> {
    let bytes = std::fs::read(record).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    let read = |packet: &str| {
        let (start, len) = packet.split('#').next()?.split_once(',')?;
        Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(len, 16).ok()?))
    };
    text.split("$m").skip(1).filter_map(read).collect()
}

#[test]
fn every_task_is_listed_as_proc_has_it_and_has_its_stack() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, ..Boot::default() });
    put(&mut guest, "/tmp/threads", &threads_program());
    run(&mut guest, "chmod +x /tmp/threads");
    let threads = background(&mut guest, "/tmp/threads");
    let sleeps = background(&mut guest, "sleep 1000");
    let stopped = background(&mut guest, "sleep 1001");
    run(&mut guest, &format!("kill -STOP {stopped}"));
    let parent = background(&mut guest, "(sleep 0.1 & exec sleep 1002)");
    let waits = background(&mut guest, "echo wait > /proc/hgfs");
    until_state(&mut guest, stopped, "T");
    until_state(&mut guest, waits, "S");
    run(&mut guest, "sleep 0.3");
    run(&mut guest, &format!("until [ $(ls /proc/{threads}/task | wc -l) = 3 ]; do :; done"));
    let known = proc_of(&mut guest);

    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("record.txt");
    let commands = [
        "info tasks 99999999",
        "info tasks",
        "info tasks -c",
        "info tasks HGFS",
        "info stacks",
        "info stacks hgfs",
        "info cpus",
    ];
    let setup = setup(&guest).arg("--record").arg(&record);
    let mut batch = start_stopped(&mut guest, setup, &commands);

    // The list alone: three reads a task, and four to begin with.
    let list = batch.next();
    assert_eq!(list.ok()["tasks"].as_array().unwrap().len(), 0);
    let total = list.ok()["total"].as_u64().unwrap();
    let packets = list.wire["packets"].as_u64().unwrap();
    println!(
        "{total} tasks: {packets} reads, {} bytes to read, {} back",
        list.wire["tx"], list.wire["rx"]
    );
    assert!(packets <= 3 * total + 4, "{packets} reads for {total} tasks");
    let full = batch.next();
    let packets = full.wire["packets"].as_u64().unwrap();
    println!("where they wait: {packets} reads, {} bytes back", full.wire["rx"]);
    assert!(packets <= 2 * total + total / 4, "{packets} reads for {total} tasks");
    let full = full.ok();
    assert_eq!(full["complete"], true);
    assert_eq!(full["troubles"], Value::Null, "{}", full["troubles"]);
    let ours = full["tasks"].as_array().unwrap();
    assert_eq!(ours.len() as u64, total);

    // Each one that /proc has, but for what the shell ran to list them.
    let by_pid: BTreeMap<i64, &Value> =
        ours.iter().map(|task| (task["pid"].as_i64().unwrap(), task)).collect();
    let mut same = 0;
    for (pid, known) in known.iter().filter(|(_, known)| known.comm != "cat") {
        let ours = by_pid.get(pid).unwrap_or_else(|| panic!("no {pid} {known:?}"));
        let comm = ours["comm"].as_str().unwrap();
        // /proc adds what a kworker works on (`wq_worker_comm`), and a kernel
        // thread's whole name, where it is too long for comm.
        assert!(known.comm.starts_with(comm), "{pid}: {comm} is {}", known.comm);
        assert_eq!(ours["parent"], known.parent, "{pid} {known:?}");
        assert_eq!(ours["tgid"], known.tgid, "{pid} {known:?}");
        assert_eq!(ours["thread"], *pid != known.tgid, "{pid}");
        let kernel = ours["kernel"] == true;
        assert_eq!(kernel, *pid == 2 || known.parent == 2, "{pid} {known:?}");
        if letter(&ours["state"]) == known.state {
            same += 1;
        } else {
            // Those that do something all the time, and the shell.
            let busy = kernel || comm == "sh";
            assert!(busy, "{pid} {known:?}: {}", ours["state"]);
        }
    }
    println!("state, name, parent, group as in /proc: {same} of {}", known.len());
    assert!(same + 4 >= known.len(), "{same} of {}", known.len());
    for (pid, task) in &by_pid {
        let comm = task["comm"].as_str().unwrap();
        assert!(known.contains_key(pid) || comm.starts_with("kworker"), "{pid} {comm} is new");
    }
    let state = |pid: i64| by_pid[&pid]["state"].as_str().unwrap();
    assert_eq!((state(sleeps), state(stopped)), ("sleeping", "stopped"));
    let zombies: Vec<_> = ours.iter().filter(|task| task["state"] == "zombie").collect();
    assert_eq!(zombies.len(), 1, "{zombies:?}");
    assert_eq!(zombies[0]["parent"], parent);
    let group: Vec<_> = ours.iter().filter(|task| task["tgid"] == threads).collect();
    assert_eq!(group.len(), 3, "{group:?}");
    let first = ours.iter().position(|task| task["pid"] == threads).unwrap();
    assert_eq!(ours[first]["thread"], false);
    assert!(ours[first + 1]["thread"] == true && ours[first + 2]["thread"] == true);
    assert_eq!(by_pid[&sleeps]["wait"], "hrtimer_nanosleep");
    assert_eq!(by_pid[&2]["wait"], "kthreadd");
    assert_eq!(by_pid[&waits]["wait"], "HgfsProcWrite");
    let named = batch.ok("info tasks -c");
    let words = |pid: i64| {
        let task = named["tasks"].as_array().unwrap().iter().find(|task| task["pid"] == pid);
        task.unwrap()["cmdline"].as_str().map(str::to_string)
    };
    assert_eq!(words(sleeps).as_deref(), Some("sleep 1000"));
    assert_eq!(words(threads).as_deref(), Some("/tmp/threads"));
    assert_eq!(words(2), None);
    // By name and by where it waits.
    let found = batch.ok("info tasks HGFS");
    let found: Vec<_> = found["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| task["pid"].as_i64().unwrap())
        .collect();
    assert!(found.contains(&waits) && found.len() == 2, "{found:?}");

    // Stacks: all end properly, and those of tasks that still sleep are equal.
    let line = batch.next();
    let packets = line.wire["packets"].as_u64().unwrap();
    println!("all stacks after that: {packets} reads, {} bytes back", line.wire["rx"]);
    let stacks = line.ok();
    assert_eq!(stacks["complete"], true);
    let without: Vec<_> = stacks["without"].as_array().unwrap().iter().collect();
    assert_eq!(without.len(), 1, "{without:?}");
    assert_eq!(without[0]["pid"], zombies[0]["pid"], "only the zombie has none");
    let mut stack_of = BTreeMap::new();
    for stack in stacks["stacks"].as_array().unwrap() {
        assert_eq!(stack["complete"], true, "{stack}");
        let tasks = stack["tasks"].as_array().unwrap();
        assert_eq!(stack["count"], tasks.len());
        for task in tasks.iter().filter(|task| task["pid"] != 0) {
            stack_of.insert(task["pid"].as_i64().unwrap(), stack["frames"].as_array().unwrap());
        }
    }
    assert_eq!(stack_of.len(), ours.len() - 1, "one for each task");
    let (mut equal, mut others) = (0, Vec::new());
    for (pid, known) in &known {
        let Some(frames) = stack_of.get(pid).filter(|_| !known.stack.is_empty()) else { continue };
        match differs(frames, &known.stack) {
            None => equal += 1,
            Some(why) => {
                let kernel = by_pid[pid]["kernel"] == true || known.comm == "sh";
                assert!(kernel, "{pid} {}: {why}", known.comm);
                others.push(format!("{} ({pid}): {why}", known.comm));
            }
        }
    }
    println!("stacks as in /proc/PID/stack: {equal}; moved since: {others:#?}");
    assert!(equal >= 25 && others.len() <= 4, "{equal} equal, {others:#?}");
    let found = batch.ok("info stacks hgfs");
    let found = found["stacks"].as_array().unwrap().iter().flat_map(|stack| {
        stack["tasks"].as_array().unwrap().iter().map(|task| task["pid"].as_i64().unwrap())
    });
    assert!(found.into_iter().any(|pid| pid == waits));

    let cpus = batch.ok("info cpus");
    let cpus = cpus["cpus"].as_array().unwrap();
    assert_eq!(cpus.len(), 2);
    for cpu in cpus {
        assert_eq!(cpu["stopped"], true);
        assert_eq!(cpu["registers"]["rip"], cpu["pc"]);
        assert_eq!(cpu["registers"]["rsp"], cpu["sp"]);
        assert!(address(&cpu["pc"]) > 0xffff_ffff_8000_0000, "{cpu}");
    }
    let doing =
        |current: bool| &cpus.iter().find(|cpu| cpu["current"] == current).unwrap()["doing"];
    assert_eq!((doing(true), doing(false)), (&"kernel".into(), &"idle".into()));
    batch.end().all_good();

    // Nothing was read twice.
    let mut reads = reads(&record);
    reads.sort_unstable();
    assert!(reads.len() as u64 > 5 * total);
    for pair in reads.windows(2) {
        assert!(pair[0].0 + pair[0].1 <= pair[1].0, "read twice: {pair:x?}");
    }
}

#[test]
fn another_stack_can_be_shown_but_only_the_stopped_one_stepped() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Busy, ..Boot::default() });
    let sleeps = background(&mut guest, "sleep 1000");
    until_state(&mut guest, sleeps, "S");
    let task = format!("task {sleeps}");
    let commands = [
        "cpu",
        "info cpus",
        "cpu 0",
        "cpu 1",
        task.as_str(),
        "bt",
        "info registers",
        "frame 3",
        "next",
        "finish",
        "task 0",
        "task 99999",
        "cpu 9",
        "break HgfsSendRequest",
        "continue",
        "task",
        "next",
    ];
    let setup = setup(&guest);
    let mut batch = start_stopped(&mut guest, setup, &commands);
    let here = batch.ok("cpu")["subject"].clone();
    assert_eq!((&here["stopped_here"], &here["comm"]), (&true.into(), &"sh".into()));
    let own = here["cpu"].as_i64().unwrap();
    batch.ok("info cpus");
    for cpu in 0..2 {
        let shown = batch.ok(&format!("cpu {cpu}"));
        let subject = &shown["subject"];
        assert_eq!(subject["cpu"], cpu);
        assert_eq!(subject["stopped_here"], cpu == own, "{shown}");
        if cpu != own {
            assert_eq!(subject["doing"], format!("idle on CPU {cpu}"));
            assert_eq!(subject["pid"], 0);
        }
    }
    let shown = batch.ok(&task);
    assert_eq!(shown["subject"]["doing"], "sleeping");
    assert_eq!(shown["subject"]["comm"], "sleep");
    let bt = batch.ok("bt");
    assert_eq!(bt["complete"], true, "{bt}");
    assert_eq!(bt["end"], "system call from user space");
    let frames = bt["frames"].as_array().unwrap();
    assert!(frames.iter().any(|frame| frame["function"] == "hrtimer_nanosleep"), "{bt}");
    let registers = batch.ok("info registers")["registers"].clone();
    assert_eq!(registers["rip"], frames[0]["pc"]);
    assert!(registers["rbp"].is_string() && registers["rax"].is_null(), "{registers}");
    let frame = batch.ok("frame 3");
    assert_eq!(frame["frame"]["pc"], frames[3]["pc"]);
    for command in ["next", "finish"] {
        let error = batch.next().error.unwrap();
        let back = format!("go back to that with 'cpu {own}'");
        assert!(error.contains("sleep is shown") && error.contains(&back), "{command}: {error}");
    }
    assert!(batch.next().error.unwrap().contains("'cpu NUMBER'"));
    assert_eq!(batch.next().error.unwrap(), "there is no task with pid 99999");
    assert_eq!(batch.next().error.unwrap(), "CPU 9 is not online; those are 0, 1");
    batch.ok("break HgfsSendRequest");
    // A new stop shows what it is about, and can be stepped.
    let stop = batch.stop("continue");
    assert_eq!((&stop["comm"], &stop["reason"]), (&"cat".into(), &"breakpoint".into()));
    let here = batch.ok("task")["subject"].clone();
    assert_eq!((&here["stopped_here"], &here["pid"]), (&true.into(), &stop["pid"]));
    assert_eq!(batch.stop("next")["reason"], "step");
    let ended = batch.end();
    assert_eq!(ended.status, Some(1), "{}", ended.said);
}

#[test]
fn a_task_that_never_ran_begins_where_a_fork_returns() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Busy, ..Boot::default() });
    let setup = setup(&guest);
    let commands = ["break wake_up_new_task", "continue", "info tasks new", "info stacks new"];
    let mut batch = start_stopped(&mut guest, setup, &commands);
    batch.ok("break wake_up_new_task");
    batch.stop("continue");
    let tasks = batch.ok("info tasks new");
    let tasks = tasks["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    assert_eq!(tasks[0]["state"], "new");
    let stacks = batch.ok("info stacks new");
    let born =
        stacks["stacks"].as_array().unwrap().iter().find(|stack| {
            stack["tasks"].as_array().unwrap().iter().any(|task| task["state"] == "new")
        });
    let born = born.unwrap_or_else(|| panic!("{stacks}"));
    assert_eq!((&born["complete"], &born["count"]), (&true.into(), &1.into()), "{born}");
    let frames = born["frames"].as_array().unwrap();
    assert_eq!(frames[0]["function"], "ret_from_fork", "{born}");
    batch.end().all_good();
}

#[test]
fn a_cpu_that_did_not_answer_is_told_as_such() {
    let mut guest = boot(&Boot { append: "nokgdbroundup".into(), ..Boot::default() });
    let commands = ["info cpus", "cpu 0", "cpu 1", "task 2", "bt"];
    let setup = setup(&guest);
    let mut batch = start_stopped(&mut guest, setup, &commands);
    let cpus = batch.ok("info cpus");
    let cpus = cpus["cpus"].as_array().unwrap();
    let lost = cpus.iter().find(|cpu| cpu["current"] == false).unwrap();
    let words = "did not answer the round-up; its registers are not known";
    assert_eq!((&lost["stopped"], &lost["doing"]), (&false.into(), &words.into()), "{lost}");
    assert!(lost["pc"].is_null() && lost["pid"].is_null(), "{lost}");
    for cpu in 0..2 {
        let line = batch.next();
        match lost["cpu"] == cpu {
            true => assert_eq!(line.error.unwrap(), format!("CPU {cpu}: {words}")),
            false => assert_eq!(line.ok()["subject"]["stopped_here"], true),
        }
    }
    // Who sleeps has its stack all the same.
    batch.ok("task 2");
    assert_eq!(batch.ok("bt")["complete"], true);
    assert_eq!(batch.end().status, Some(1));
}

/// A session as the screen has it.
struct Screen {
    started: run::Started,
    view: Option<Arc<View>>,
}

impl Screen {
    fn start(address: &str) -> Screen {
        let built = built();
        let options = Options {
            connect: Some(address.parse().unwrap()),
            vmlinux: Some(built.vmlinux.clone()),
            module_paths: vec![built.modules.clone()],
            substitute: vec![(COMPILED_IN.into(), built.source.display().to_string())],
            ..Options::default()
        };
        Screen { started: run::start(options).unwrap(), view: None }
    }

    fn want(&self, tasks: TaskWant) {
        let wants = Wants { tasks: Some(tasks), ..Wants::default() };
        drop(self.started.handle.send(Request::Want(wants)));
    }

    /// Waits for a stop that shows something.
    fn until(&mut self, is_it: impl Fn(&StopView) -> bool) -> Arc<View> {
        let start = Instant::now();
        loop {
            // The newest counts.
            while let Ok(update) = self.started.updates.try_recv() {
                if let Update::View(view) = update {
                    self.view = Some(view);
                }
            }
            if let Some(view) = &self.view
                && let Some(stop) = &view.stop
                && view.state.is_stopped()
                && is_it(stop)
            {
                return Arc::clone(view);
            }
            std::thread::sleep(Duration::from_millis(5));
            assert!(start.elapsed() < Duration::from_secs(60), "it is not shown: {:?}", self.view);
        }
    }

    fn tasks(&mut self, is_it: impl Fn(&TasksView) -> bool) -> (TasksView, u64) {
        let view = self.until(|stop| stop.supplied.tasks.as_ref().is_some_and(&is_it));
        (view.stop.as_ref().unwrap().supplied.tasks.clone().unwrap(), view.link.total.packets)
    }
}

#[test]
fn a_pane_reads_the_rows_it_shows() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, ..Boot::default() });
    guest.shell().unwrap().break_in().unwrap();
    let mut screen = Screen::start(guest.address());
    screen.until(|stop| stop.frames.first().is_some_and(|frame| frame.function.is_some()));
    std::thread::sleep(Duration::from_millis(500));
    let before = screen.until(|_| true).link.total.packets;
    // Six rows: six tasks and one more, where each waits, and command lines.
    let rows = TaskWant { first: 0, rows: 6, ..TaskWant::default() };
    screen.want(rows.clone());
    let waits = |view: &TasksView, rows: std::ops::Range<usize>| {
        view.rows
            .get(rows)
            .is_some_and(|rows| rows.iter().all(|row| row.wait.is_some() || row.state == "running"))
    };
    let (_, _) = screen.tasks(|tasks| waits(tasks, 0..6));
    let quiet = |screen: &mut Screen| {
        std::thread::sleep(Duration::from_millis(500));
        screen.tasks(|_| true)
    };
    let (first, packets) = quiet(&mut screen);
    let spent = packets - before;
    let processes = first.rows.iter().filter(|row| row.cmdline.is_some()).count() as u64;
    println!("six rows, {processes} of processes: {spent} reads, {:?} tasks", first.total);
    assert!(!first.complete && first.rows.len() == 7, "{first:?}");
    let words = first.rows[0].cmdline.as_deref().unwrap();
    assert!(words.starts_with("/bin/sh /init"), "{words}");
    assert!(first.rows[6].wait.is_none());
    assert!(spent <= 7 * 3 + 6 * 2 + processes * 9 + 4, "{spent} reads");
    // Further down, then a filter, then an order: what is known is not read again.
    screen.want(TaskWant { first: 10, rows: 6, ..TaskWant::default() });
    let (_, _) = screen.tasks(|tasks| waits(tasks, 10..16));
    let filter = TaskWant { filter: "worker_thread".into(), sure: true, ..rows.clone() };
    screen.want(filter);
    let (found, _) = screen.tasks(|tasks| tasks.complete);
    assert!(found.rows.len() >= 4, "{found:?}");
    for row in &found.rows {
        assert!(row.comm.starts_with("kworker") && row.wait.as_deref() == Some("worker_thread"));
    }
    screen.want(TaskWant { sort: TaskSort::Name, sure: true, ..rows.clone() });
    let (all, after) = screen.tasks(|tasks| {
        tasks.complete && tasks.rows.len() == tasks.total.unwrap() as usize && waits(tasks, 0..6)
    });
    let names: Vec<_> = all.rows.iter().map(|row| row.comm.to_lowercase()).collect();
    assert!(names.is_sorted(), "{names:?}");
    assert_eq!(all.trouble, None);
    let (_, packets) = quiet(&mut screen);
    // Long work goes on between other requests, and an interrupt ends it.
    let handle = &screen.started.handle;
    let tasks = Request::Tasks { filter: String::new(), cmdlines: false };
    let (whole, registers) = (handle.send(tasks), handle.send(Request::Registers(vec![])));
    assert!(matches!(whole.blocking_recv(), Ok(Ok(Answer::Tasks(tasks))) if tasks.complete));
    assert!(matches!(registers.blocking_recv(), Ok(Ok(Answer::Registers { .. }))));
    let stacks = handle.send(Request::Stacks(String::new()));
    let interrupt = handle.send(Request::BreakIn);
    assert!(matches!(stacks.blocking_recv(), Ok(Ok(Answer::Stacks(stacks))) if !stacks.complete));
    assert!(matches!(interrupt.blocking_recv(), Ok(Ok(Answer::Done {}))));
    println!("sorted by name after everything was filtered: {} reads", packets - after);
}
