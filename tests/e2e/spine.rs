//! The spine: break in, break, look, step, leave; over every kind of link,
//! with the kernel at its own address and at a random one.

use crate::facts::{
    READ_STACK, address, alive, frame, functions, line_of, number, reaches_the_entry, run, setup,
    slide, start_stopped, type_line, values, variable,
};
use crate::support::guest::{LockedGuest, boot, built};
use kgdb_tui::demo::guest::{Boot, Hgfs, Link, Mode};
use object::{Object, ObjectSection, ObjectSymbol};
use serde_json::Value;

const REQUEST: &str = "/build/linux-kgdbtui/hgfs/request.c";
const MAIN: &str = "/build/linux-kgdbtui/hgfs/main.c";

/// Reads /proc/hgfs in the guest's background.
const READ: &str = "cat /proc/hgfs > /dev/null &";

/// The bytes a function has in its file.
fn bytes_in_file(file: &std::path::Path, function: &str, len: usize) -> Vec<u64> {
    let data = std::fs::read(file).unwrap();
    let object = object::File::parse(&*data).unwrap();
    let symbol = object.symbols().find(|symbol| symbol.name() == Ok(function)).unwrap();
    let section = object.section_by_index(symbol.section_index().unwrap()).unwrap();
    let at = (symbol.address() - section.address()) as usize;
    section.data().unwrap()[at..at + len].iter().map(|byte| u64::from(*byte)).collect()
}

/// That the places where breakpoints were hold the kernel's own code again.
fn nothing_planted(guest: &mut LockedGuest) {
    let commands = ["x/16bx HgfsSendRequest", "x/16bx ksys_write", "info breakpoints", "detach"];
    let setup = setup(guest);
    let mut batch = start_stopped(guest, setup, &commands);
    // The kernel turns `call __fentry__`, five bytes, into a NOP; what follows
    // is as it was compiled.
    let module = values(&batch.ok(commands[0]));
    let kernel = values(&batch.ok(commands[1]));
    let nop = [0x0f, 0x1f, 0x44, 0x00, 0x00];
    assert_eq!(module[..5], nop);
    assert_eq!(kernel[..5], nop);
    let file = bytes_in_file(&built().modules.join("hgfs.ko"), "HgfsSendRequest", 9);
    assert_eq!(module[5..9], file[5..]);
    assert_eq!(kernel[5..], bytes_in_file(&built().vmlinux, "ksys_write", 16)[5..]);
    assert_eq!(batch.ok(commands[2])["breakpoints"], Value::Array(vec![]));
    assert_eq!(batch.end().all_good().lines.len(), 1);
    alive(guest);
}

/// That a stack is the one of a read of /proc/hgfs, to its end and no further.
#[track_caller]
fn is_read_stack(bt: &Value) {
    assert_eq!(functions(bt), READ_STACK);
    reaches_the_entry(bt);
    for (name, file, text) in [
        ("HgfsSendOpenRequest", "hgfs/request.c", "ret = HgfsSendRequest(req);"),
        ("HgfsOpenFile", "hgfs/main.c", "ret = HgfsSendOpenRequest(name, 0444, handle);"),
        ("HgfsProcShow", "hgfs/main.c", "ret = HgfsOpenFile(HGFS_ROOT, &root);"),
    ] {
        let frame = frame(bt, name);
        assert_eq!(frame["line"], line_of(file, text), "{frame}");
        assert_eq!(frame["module"], "hgfs");
        let path = frame["path"].as_str().unwrap();
        assert_eq!(std::path::Path::new(path), built().source.join(file));
    }
    let read = frame(bt, "ksys_read");
    assert!(read["file"].as_str().unwrap().ends_with("fs/read_write.c"), "{read}");
    assert_eq!((&read["module"], &read["kind"]), (&Value::Null, &"normal".into()));
    // The compiler says what is lost; what is there has a value.
    let args = frame(bt, "HgfsSendOpenRequest")["args"].as_array().unwrap();
    assert_eq!((&args[1]["name"], &args[1]["value"]), (&"mode".into(), &"292".into()));
    for frame in bt["frames"].as_array().unwrap() {
        for arg in frame["args"].as_array().unwrap() {
            let lost = arg["optimized_out"] == true;
            assert!(lost == arg["value"].is_null(), "{arg} of {}", frame["function"]);
        }
    }
}

/// Everything on one stop, and on what can be reached from it.
fn a_session(link: Link, kaslr: bool) {
    let mut guest = boot(&Boot { link, kaslr, hgfs: Hgfs::Loaded, ..Boot::default() });
    let slide = slide(&mut guest);
    assert!(kaslr || slide == 0);
    let text = number(run(&mut guest, "cat /sys/module/hgfs/sections/.text").trim());
    let open_line = line_of("hgfs/main.c", "ret = HgfsSendOpenRequest(name, 0444, handle);");
    let by_line = format!("hgfs/main.c:{open_line}");
    let break_by_line = format!("break {by_line}");

    let setup = setup(&guest);
    let mut batch = start_stopped(
        &mut guest,
        setup,
        &[
            "info target",
            "info modules",
            "bt",
            "tbreak ksys_write",
            "continue",
            "info breakpoints",
            "bt 2",
            "break HgfsSendRequest",
            &break_by_line,
            "continue",
            "list",
            "continue",
            "bt",
            "info args",
            "info locals",
            "info registers",
            "p $rip",
            "info cpus",
            "frame 2",
            "info args",
            "list",
            "up",
            "down",
            "info registers rip rsp",
            "finish",
            "list HgfsOpenFile",
            "disassemble",
            "x/s linux_banner",
            "x/2gx $rsp",
            "x/3i $rip",
            "info symbol $rip",
            "info line HgfsOpenFile",
            "info functions HgfsSend",
            "info sources",
            "monitor lsmod",
            "disable 2",
            "enable 2",
            "delete 2",
            "disable 3",
            "info breakpoints",
            "info link",
            "detach",
        ],
    );
    let target = batch.ok("info target");
    assert_eq!(target["release"], "6.1.192-kgdbtui");
    assert_eq!(target["matches"], "match");
    assert_eq!(target["build_id"], target["vmlinux_build_id"]);
    assert_eq!(address(&target["slide"]), slide);
    assert_eq!(target["cpus"], 2);
    let modules = batch.ok("info modules");
    let module = &modules["modules"][0];
    assert_eq!((&module["name"], &module["symbols"]), (&"hgfs".into(), &"loaded".into()));
    assert_eq!(address(&module["base"]), text);
    let bt = batch.ok("bt");
    reaches_the_entry(&bt);
    frame(&bt, "write_sysrq_trigger");

    let breaks = batch.ok("tbreak ksys_write");
    assert_eq!(breaks["breakpoints"][0]["state"], "armed");
    let stop = batch.stop("continue");
    assert_eq!((&stop["reason"], &stop["function"]), (&"breakpoint".into(), &"ksys_write".into()));
    assert_eq!(stop["pc"], breaks["breakpoints"][0]["sites"][0]);
    assert_eq!(stop["line"], line_of("linux-6.1/fs/read_write.c", "ssize_t ksys_write(") + 1);
    assert_eq!(batch.ok("info breakpoints")["breakpoints"], Value::Array(vec![]));
    let bt = batch.ok("bt 2");
    assert_eq!((bt["frames"].as_array().unwrap().len(), &bt["complete"]), (2, &false.into()));

    let breaks = batch.ok("break HgfsSendRequest");
    let site = address(&breaks["breakpoints"][0]["sites"][0]);
    assert_eq!(breaks["breakpoints"][0]["state"], "armed");
    assert!((text..text + 0x1000).contains(&site));
    let breaks = batch.ok(&break_by_line);
    assert_eq!(
        (&breaks["breakpoints"][0]["line"], &breaks["breakpoints"][0]["function"]),
        (&open_line.into(), &"HgfsOpenFile".into())
    );
    type_line(&mut guest, READ);
    let stop = batch.stop("continue");
    assert_eq!((&stop["breakpoint"], &stop["function"]), (&3.into(), &"HgfsOpenFile".into()));
    assert_eq!((&stop["file"], &stop["line"]), (&MAIN.into(), &open_line.into()));
    assert_eq!(stop["comm"], "cat");
    let list = batch.ok("list");
    assert_eq!(list["line"], open_line);
    let lines = list["lines"].as_array().unwrap();
    let first = list["first"].as_u64().unwrap();
    assert!(lines[(open_line - first) as usize].as_str().unwrap().contains("HgfsSendOpenRequest"));
    let stop = batch.stop("continue");
    assert_eq!((&stop["breakpoint"], address(&stop["pc"])), (&2.into(), site));
    assert_eq!((&stop["file"], &stop["function"]), (&REQUEST.into(), &"HgfsSendRequest".into()));

    let bt = batch.ok("bt");
    is_read_stack(&bt);
    let args = batch.ok("info args");
    let req = address(&variable(&args["variables"], "req")["value"]);
    assert_eq!(variable(&args["variables"], "req")["type"], "struct HgfsReq *");
    let locals = batch.ok("info locals");
    assert_eq!(variable(&locals["variables"], "ret")["optimized_out"], true);
    let registers = batch.ok("info registers");
    assert_eq!(address(&registers["registers"]["rdi"]), req);
    assert_eq!(address(&registers["registers"]["rip"]), site);
    assert_eq!(address(&batch.ok("p $rip")["registers"]["rip"]), site);
    let cpus = batch.ok("info cpus");
    let cpus = cpus["cpus"].as_array().unwrap();
    assert_eq!(cpus.len(), 2);
    let current: Vec<_> = cpus.iter().filter(|cpu| cpu["current"] == true).collect();
    assert_eq!((current.len(), &current[0]["comm"]), (1, &"cat".into()));
    assert_eq!(current[0]["cpu"], stop["cpu"]);

    let outer = batch.ok("frame 2");
    assert_eq!(outer["frame"]["function"], "HgfsOpenFile");
    let args = batch.ok("info args");
    let name = variable(&args["variables"], "name");
    assert!(name["value"].as_str().unwrap().ends_with("\"/\""), "{name}");
    assert_eq!(batch.ok("list")["line"], outer["frame"]["line"]);
    assert_eq!(batch.ok("up")["frame"]["function"], "HgfsProcShow");
    assert_eq!(batch.ok("down")["frame"]["function"], "HgfsOpenFile");
    let registers = batch.ok("info registers rip rsp");
    assert_eq!(registers["registers"]["rip"], outer["frame"]["pc"]);

    // Of the selected frame, so two functions are left at once.
    let stop = batch.stop("finish");
    assert_eq!((&stop["reason"], &stop["function"]), (&"finish".into(), &"HgfsProcShow".into()));
    assert_eq!(stop["value"], "0");
    assert_eq!(stop["comm"], "cat");

    let list = batch.ok("list HgfsOpenFile");
    assert_eq!(list["line"], open_line - 5);
    let code = batch.ok("disassemble");
    let code = code["instructions"].as_array().unwrap();
    assert_eq!(code.iter().filter(|insn| insn["current"] == true).count(), 1);
    assert!(code[0]["symbol"].as_str().unwrap().contains("HgfsProcShow"), "{}", code[0]);
    let banner = batch.ok("x/s linux_banner");
    let banner = banner["values"][0].as_str().unwrap();
    assert_eq!(Some(banner.trim_end()), target["banner"].as_str());
    assert_eq!(values(&batch.ok("x/2gx $rsp")).len(), 2);
    let code = batch.ok("x/3i $rip");
    assert_eq!(code["instructions"].as_array().unwrap().len(), 3, "{code}");
    assert_eq!(code["instructions"][0]["address"], stop["pc"]);
    let symbol = batch.ok("info symbol $rip");
    assert!(symbol["text"].as_str().unwrap().starts_with("HgfsProcShow + "), "{symbol}");
    assert_eq!((&symbol["symbol"], &symbol["module"]), (&"HgfsProcShow".into(), &"hgfs".into()));
    let line = batch.ok("info line HgfsOpenFile");
    assert_eq!((&line["file"], &line["line"]), (&MAIN.into(), &(open_line - 5).into()));
    let names = batch.ok("info functions HgfsSend");
    assert_eq!(names["names"].as_array().unwrap().len(), 3, "{names}");
    let files = batch.ok("info sources");
    let files = files["names"].as_array().unwrap();
    for file in [REQUEST, MAIN] {
        assert!(files.iter().any(|name| name == file), "{file}");
    }
    assert!(files.iter().any(|name| name.as_str().unwrap().ends_with("fs/read_write.c")));
    assert!(batch.ok("monitor lsmod")["output"].as_str().unwrap().contains("hgfs"));

    assert_eq!(batch.ok("disable 2")["breakpoints"][0]["state"], "disabled");
    assert_eq!(batch.ok("enable 2")["breakpoints"][0]["state"], "armed");
    let left = batch.ok("delete 2");
    assert_eq!(left["breakpoints"].as_array().unwrap().len(), 1);
    batch.ok("disable 3");
    let breaks = batch.ok("info breakpoints");
    assert_eq!(
        (&breaks["breakpoints"][0]["state"], &breaks["breakpoints"][0]["hits"]),
        (&"disabled".into(), &1.into())
    );
    let link = batch.ok("info link");
    assert_eq!((&link["bad_checksums"], &link["resends"]), (&0.into(), &0.into()), "{link}");
    batch.ok("detach");
    assert!(batch.end().all_good().lines.is_empty());
    alive(&mut guest);
    nothing_planted(&mut guest);
}

#[test]
fn over_socat_at_a_random_address() {
    a_session(Link::SocatTcp, true);
}

#[test]
fn over_socat_where_it_was_linked() {
    a_session(Link::SocatTcp, false);
}

#[test]
fn over_a_unix_socket_at_a_random_address() {
    a_session(Link::Unix, true);
}

/// One port for log, shell and kgdb; BREAK stops it.
#[test]
fn over_telnet_with_break() {
    let mut guest =
        boot(&Boot { mode: Mode::Shared, link: Link::Telnet, hgfs: Hgfs::Busy, ..Boot::default() });
    let commands = [
        "interrupt",
        "info target",
        "break HgfsSendRequest",
        "continue",
        "bt",
        "finish",
        "continue",
        "delete",
        "continue",
    ];
    // The guest is still booting when we connect; so the break-in may be early.
    let mut batch = setup(&guest).ex("wait 8").arg("--timeout").arg("30").exs(&commands).start();
    assert!(batch.next().error.unwrap().contains("running"), "nothing stopped it yet");
    let stop = batch.stop("interrupt");
    assert_eq!(stop["reason"], "interrupt", "{stop}");
    let target = batch.ok("info target");
    assert_eq!(target["matches"], "match");
    batch.ok("break HgfsSendRequest");
    assert_eq!(batch.stop("continue")["function"], "HgfsSendRequest");
    is_read_stack(&batch.ok("bt"));
    assert_eq!(batch.stop("finish")["function"], "HgfsSendOpenRequest");
    assert_eq!(batch.stop("continue")["function"], "HgfsSendRequest");
    batch.ok("delete");
    // Nothing is left that could stop it.
    let line = batch.next();
    assert!(line.error.as_ref().unwrap().contains("the guest is running"), "{line:?}");
    let ended = batch.end();
    assert_eq!((ended.status, ended.lines.len()), (Some(1), 0), "{}", ended.said);
    // It runs: it stops again when asked, with no trace of the breakpoint.
    let again = ["interrupt", "x/5bx HgfsSendRequest", "detach"];
    let ended = setup(&guest).exs(&again).run().all_good();
    assert_eq!(values(ended.ok(again[1])), [0x0f, 0x1f, 0x44, 0x00, 0x00]);
    assert!(guest.is_running());
}

/// A breakpoint that is planted while the guest runs on must not stay: where
/// the link has no BREAK, the user's own command stops the guest once more.
#[test]
fn a_command_of_the_users_breaks_in() {
    let mut guest = boot(&Boot { hgfs: Hgfs::Loaded, ..Boot::default() });
    // What a user would do by ssh is done here by a file that the test watches.
    let dir = tempfile::tempdir().unwrap();
    let wish = dir.path().join("wish");
    let command = format!("touch {}", wish.display());
    let commands = ["break HgfsSendRequest", "interrupt", "info breakpoints", "continue"];
    let setup = setup(&guest).arg("--break-in").arg(&command).arg("--timeout").arg("20");
    let mut batch = setup.exs(&commands).start();
    let breaks = batch.ok(commands[0]);
    assert_eq!(breaks["breakpoints"][0]["state"], "pending", "{breaks}");
    assert!(breaks["breakpoints"][0]["why"].as_str().unwrap().contains("first stop"), "{breaks}");
    let grant = |guest: &mut LockedGuest| {
        let start = std::time::Instant::now();
        while std::fs::remove_file(&wish).is_err() {
            assert!(start.elapsed().as_secs() < 60, "the command was not run");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        guest.shell().unwrap().break_in().unwrap();
    };
    grant(&mut guest);
    assert_eq!(batch.stop(commands[1])["reason"], "interrupt");
    assert_eq!(batch.ok(commands[2])["breakpoints"][0]["state"], "armed");
    let line = batch.next();
    assert!(line.error.as_ref().unwrap().contains("the guest is running"), "{line:?}");
    // Leaving with a breakpoint planted: the command is run again.
    grant(&mut guest);
    let ended = batch.end();
    assert_eq!(ended.status, Some(1), "{}", ended.said);
    alive(&mut guest);
    nothing_planted(&mut guest);
}
