//! Crashes of the guest: each kind explained as the kernel itself reports it,
//! skipped, passed, caught.

use crate::facts::{alive, functions, line_of, run, setup, start_stopped, type_line};
use crate::support::guest::{LockedGuest, boot};
use kgdb_tui::demo::guest::Boot;
use std::time::Duration;

const FILE: &str = "hgfs/hgfs-crash.c";

/// Its printing may take long without a CPU of its own.
const REPORT: Duration = Duration::from_secs(120);

/// A kind of mistake of the demo module: its name, the function that makes it,
/// the source line, the reason with `LINE` for the number of that.
struct Mistake {
    kind: &'static str,
    function: &'static str,
    source: &'static str,
    reason: &'static str,
    instruction: &'static str,
}

const MISTAKES: &[Mistake] = &[
    Mistake {
        kind: "null",
        function: "CrashNull",
        source: "crash_result = file->handle;",
        reason: "NULL pointer: CrashNull reads 4 bytes at 0x38: member `handle` of a NULL \
                 `struct CrashFile *` (`file`, in rax)",
        instruction: "mov 0x38(%rax),%eax",
    },
    Mistake {
        kind: "copy",
        function: "strlen",
        source: "crash_result = strlen(file->name);",
        reason: "NULL pointer: strlen, called by CrashCopy at hgfs-crash.c:LINE, reads 1 byte at \
                 0x10: `s` (const char *, in rdi) is 0x10",
        instruction: "cmpb $0x0,(%rdi)",
    },
    Mistake {
        kind: "error",
        function: "CrashError",
        source: "file->opened++;",
        reason: "error pointer: CrashError changes 4 bytes at 0x3a: member `opened` of a \
                 `struct CrashFile *` that is ERR_PTR(-ENOENT) (`file`, in rax)",
        instruction: "addl $0x1,0x3c(%rax)",
    },
    Mistake {
        kind: "wild",
        function: "CrashWild",
        source: "",
        reason: "bad pointer: CrashWild reads 4 bytes at 0x68736172637367a0: no address; it looks \
                 like the text \"hgscrash\"; member `handle` of `file` (struct CrashFile *, in rax)",
        instruction: "mov 0x38(%rax),%eax",
    },
    Mistake {
        kind: "user",
        function: "CrashUser",
        source: "crash_result = *text;",
        reason: "user-space pointer: CrashUser reads 8 bytes at 0x7f0000001000: in user space, not \
                 by copy_from_user or copy_to_user; nothing is there; `text` (const u64 *, in rax)",
        instruction: "mov (%rax),%rax",
    },
    Mistake {
        kind: "divide",
        function: "CrashDivide",
        source: "crash_result = files / open;",
        reason: "divide error: CrashDivide divides by ecx, which is 0",
        instruction: "div %ecx",
    },
];

fn loaded(boot_with: &Boot) -> LockedGuest {
    let mut guest = boot(boot_with);
    run(&mut guest, "insmod /lib/modules/hgfs-crash.ko");
    guest
}

/// Makes a mistake from a shell of its own, which may not survive it.
fn make(guest: &mut LockedGuest, kind: &str) {
    type_line(guest, &format!("(echo {kind} > /proc/hgfs-crash); echo after-$?"));
}

/// What the guest's log has now, when it answers.
fn log_line(guest: &mut LockedGuest, text: &str) -> String {
    // Without its time: lines of the kernel's are taken for what it prints meanwhile.
    let found = run(guest, &format!("dmesg | grep '{text}' | tail -n 1 | sed 's/^.[^]]*. //'"));
    assert!(
        found.contains(text),
        "no {text:?} in the log: {found:?}, but {}",
        run(guest, "dmesg | tail -n 60")
    );
    found.trim_end().to_owned()
}

#[test]
fn each_exception_is_explained_and_can_be_skipped() {
    let mut guest = loaded(&Boot::default());
    // The first `continue` is refused; what follows the skip may run.
    let commands = ["wait 120", "info crash", "bt 1", "continue", "skip", "detach"];
    for mistake in MISTAKES {
        let mut batch = setup(&guest).exs(&commands).start();
        make(&mut guest, mistake.kind);
        let stop = batch.stop("wait 120");
        let line = match mistake.source {
            "" => stop["line"].as_u64().unwrap(),
            source => line_of(FILE, source),
        };
        let reason = mistake.reason.replace("LINE", &line.to_string());
        assert_eq!(stop["crash"]["reason"], reason.as_str(), "{stop}");
        assert_eq!(
            (&stop["reason"], &stop["function"]),
            (&"signal".into(), &mistake.function.into())
        );
        let answer = batch.ok("info crash");
        let crash = &answer["crash"];
        assert_eq!(crash["instruction"], mistake.instruction, "{crash}");
        assert_eq!(crash["pc"], stop["pc"]);
        let bt = batch.ok("bt 1");
        assert_eq!(functions(&bt)[0].0, mistake.function);
        let refused = batch.next();
        let why = refused.error.as_ref().unwrap();
        assert!(why.contains("same exception again") && why.contains("skip"), "{why}");
        let skipped = batch.ok("skip")["text"].as_str().unwrap().to_owned();
        assert!(skipped.starts_with(&format!("skipped: {}", mistake.instruction)), "{skipped}");
        batch.ok("detach");
        assert_eq!(batch.end().status, Some(1), "a continue was refused");
        guest.shell().unwrap().expect("after-0", REPORT).unwrap();
        if matches!(mistake.kind, "null" | "copy" | "user") {
            // The kernel's own words: it prints a page fault before it stops.
            let address = log_line(&mut guest, "address: ");
            let address = address.rsplit(' ').next().unwrap().trim_start_matches('0').to_owned();
            let said = crash["address"].as_str().unwrap();
            assert_eq!(said, format!("0x{address}"), "{}", mistake.kind);
            log_line(&mut guest, &format!("RIP: 0010:{}+", mistake.function));
        }
    }
    alive(&mut guest);
}

/// Where there is no code, the way back is to the caller; a list entry that was
/// deleted; memory that is read-only; what BUG() is.
#[test]
fn bad_calls_return_and_a_bug_is_passed() {
    let mut guest = loaded(&Boot::default());
    let returns = |guest: &mut LockedGuest, kind: &str, line: u64, reason: &str| {
        let commands = ["wait 120", "bt 2", "skip", "detach"];
        let mut batch = setup(guest).exs(&commands).start();
        make(guest, kind);
        let stop = batch.stop("wait 120");
        let said = stop["crash"]["reason"].as_str().unwrap();
        assert!(said.starts_with(reason), "{said}");
        assert!(said.ends_with(&format!("at hgfs-crash.c:{line}")), "{said}");
        let bt = batch.ok("bt 2");
        assert!(functions(&bt)[1].0.starts_with("CrashCall"), "{bt}");
        assert!(batch.ok("skip")["text"].as_str().unwrap().contains("taken for returned"));
        batch.ok("detach");
        batch.end().all_good();
        guest.shell().unwrap().expect("after-0", REPORT).unwrap();
    };
    let called = "call of NULL: there is nothing at 0x0; it was called by CrashCallNull";
    returns(&mut guest, "callnull", line_of(FILE, "file->close(file);"), called);
    returns(&mut guest, "calldata", line_of(FILE, "\tclose();"), "call of what is no code: 0x");

    let mut batch = setup(&guest).exs(&["wait 120", "detach"]).start();
    make(&mut guest, "list");
    let stop = batch.stop("wait 120");
    let said = stop["crash"]["reason"].as_str().unwrap();
    let poison = "deleted list entry: __list_del, inlined in CrashList, writes 8 bytes at \
                  0xdead000000000108: LIST_POISON1 + 0x8: ";
    assert!(said.starts_with(poison), "{said}");
    // Leaving lets the kernel kill the task: that takes its report, and a second
    // stop for it, of which nothing is left.
    batch.ok("detach");
    batch.end().all_good();
    guest.shell().unwrap().expect("after-", REPORT).unwrap();

    let mut batch =
        setup(&guest).exs(&["wait 120", "skip", "bt 2", "pass", "wait 1", "detach"]).start();
    make(&mut guest, "bug");
    let stop = batch.stop("wait 120");
    let line = line_of(FILE, "BUG_ON(handle < 100);");
    assert_eq!(
        stop["crash"]["reason"],
        format!(
            "BUG in CrashCheckHandle, inlined in CrashBug at hgfs-crash.c:{line}: \
             BUG_ON(handle < 100);"
        )
    );
    let refused = batch.next();
    assert!(refused.error.as_ref().unwrap().contains("BUG()"), "{refused:?}");
    let bt = batch.ok("bt 2");
    assert_eq!(functions(&bt), [("CrashCheckHandle", true), ("CrashBug", false)]);
    batch.ok("pass");
    guest.shell().unwrap().expect("after-", REPORT).unwrap();
    batch.next();
    batch.ok("detach");
    batch.end();
    alive(&mut guest);
}

#[test]
fn warnings_hung_tasks_and_panics_are_caught() {
    let mut guest = loaded(&Boot::default());
    let setup_now = setup(&guest);
    let commands = [
        "catch warn",
        "tcatch hung",
        "catch panic",
        "continue",
        "bt 2",
        "finish",
        "continue",
        "bt 8",
        "info breakpoints",
        "continue",
        "info crash",
        "bt 1",
        "reboot",
        "wait 120",
        "info breakpoints",
        "continue",
        "detach",
    ];
    run(&mut guest, "echo 1 > /proc/sys/kernel/hung_task_check_interval_secs");
    run(&mut guest, "echo 2 > /proc/sys/kernel/hung_task_timeout_secs");
    let mut batch = start_stopped(&mut guest, setup_now, &commands);
    for command in &commands[..3] {
        assert_eq!(batch.ok(command)["breakpoints"][0]["state"], "armed", "{command}");
    }
    make(&mut guest, "warn");
    let stop = batch.stop(commands[3]);
    let line = line_of(FILE, "WARN_ON(opened > 2);");
    assert_eq!((&stop["reason"], &stop["breakpoint"]), (&"warn".into(), &1.into()), "{stop}");
    assert_eq!((&stop["function"], &stop["line"]), (&"CrashWarn".into(), &line.into()));
    let reason = format!("WARN in CrashWarn at hgfs-crash.c:{line}: WARN_ON(opened > 2);");
    assert_eq!(stop["crash"]["reason"], reason.as_str());
    assert_eq!(stop["crash"]["reported_by"][0], "__warn");
    let bt = batch.ok(commands[4]);
    assert_eq!(functions(&bt), [("CrashWarn", false), ("CrashWrite", false)]);
    assert_eq!(batch.stop(commands[5])["function"], "CrashWrite");
    // The hung task: it is shown, not the one that reports it.
    type_line(&mut guest, "(echo hung > /proc/hgfs-crash) &");
    let stop = batch.stop(commands[6]);
    assert_eq!((&stop["reason"], &stop["breakpoint"]), (&"hung".into(), &2.into()), "{stop}");
    assert_eq!(stop["comm"], "khungtaskd");
    let said = stop["crash"]["reason"].as_str().unwrap();
    assert!(
        said.contains(" sh is blocked for more than 2 s (disk sleep), waits in CrashHung"),
        "{said}"
    );
    let bt = batch.ok(commands[7]);
    assert!(functions(&bt).contains(&("CrashHung", false)), "{bt}");
    let breakpoints = batch.ok(commands[8]);
    let kinds: Vec<_> =
        breakpoints["breakpoints"].as_array().unwrap().iter().map(|b| b["kind"].clone()).collect();
    assert_eq!(kinds, ["catch warn", "catch panic"], "a tcatch is gone");
    assert_eq!(breakpoints["breakpoints"][0]["hits"], 1);
    // kgdb stops at a panic by itself; the catch counts it.
    type_line(&mut guest, "echo panic > /proc/hgfs-crash");
    let stop = batch.stop(commands[9]);
    assert_eq!((&stop["reason"], &stop["breakpoint"]), (&"panic".into(), &3.into()), "{stop}");
    assert_eq!(stop["function"], "CrashPanic");
    let line = line_of(FILE, "panic(\"hgfs-crash: %d files lost\", 3);");
    let reason = format!("panic in CrashPanic at hgfs-crash.c:{line}: hgfs-crash: 3 files lost");
    let crash = batch.ok(commands[10])["crash"].clone();
    assert_eq!(
        (&crash["reason"], &crash["message"]),
        (&reason.into(), &"hgfs-crash: 3 files lost".into())
    );
    assert_eq!(functions(&batch.ok(commands[11]))[0].0, "CrashPanic");
    // The machine restarts; what was caught is caught there as well.
    batch.ok(commands[12]);
    guest.shell().unwrap().expect("guest ready", REPORT).unwrap();
    run(&mut guest, "insmod /lib/modules/hgfs-crash.ko");
    guest.shell().unwrap().break_in().unwrap();
    batch.stop(commands[13]);
    let breakpoints = batch.ok(commands[14]);
    assert_eq!(breakpoints["breakpoints"][0]["state"], "armed", "{breakpoints}");
    make(&mut guest, "warntext");
    assert_eq!(batch.stop(commands[15])["function"], "CrashWarnText");
    batch.ok(commands[16]);
    batch.end().all_good();
    alive(&mut guest);
}

/// With `panic=10` kgdb stops at no oops: that is said, a catch stops all the
/// same, and so does the cure, which is taken back.
#[test]
fn a_kernel_that_reboots_on_panic_is_cured() {
    let mut guest = loaded(&Boot { append: "panic=10".into(), ..Boot::default() });
    let commands = [
        "catch oops",
        "continue",
        "bt 1",
        "delete",
        "set crash-stops on",
        "continue",
        "skip",
        "detach",
    ];
    let setup_now = setup(&guest);
    let mut batch = start_stopped(&mut guest, setup_now, &commands);
    let caught = batch.ok(commands[0]);
    assert_eq!(caught["breakpoints"][0]["places"][0]["function"], "oops_enter", "{caught}");
    make(&mut guest, "null");
    let stop = batch.stop(commands[1]);
    assert_eq!(
        (&stop["function"], &stop["breakpoint"]),
        (&"CrashNull".into(), &1.into()),
        "{stop}"
    );
    assert!(stop["crash"]["reason"].as_str().unwrap().starts_with("NULL pointer: CrashNull reads"));
    assert_eq!(functions(&batch.ok(commands[2]))[0].0, "CrashNull");
    batch.ok(commands[3]);
    batch.ok(commands[4]);
    // It goes on: the kernel reports the first one, and stops for that now.
    let stop = batch.stop(commands[5]);
    assert_eq!((&stop["signal"], &stop["function"]), (&11.into(), &"CrashNull".into()), "{stop}");
    batch.ok(commands[6]);
    batch.ok(commands[7]);
    let ended = batch.end().all_good();
    assert!(ended.said.contains("panic_timeout is 10"), "{}", ended.said);
    guest.shell().unwrap().expect("after-0", REPORT).unwrap();
    assert_eq!(run(&mut guest, "cat /proc/sys/kernel/panic"), "10\n", "as it was");
}
