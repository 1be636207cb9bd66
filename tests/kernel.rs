//! The kernel, unwinder and variables on a real stopped guest, read with
//! plain packets, with gdb as the oracle for stacks.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod live;

use kgdb_tui::{
    base::memory::Memory,
    eval::{
        location::Context,
        value::Value,
        variables::{arguments, locals},
    },
    kernel::{cpus, modules, percpu, proof, slide, version},
    symbols::{
        image::DebugImage,
        placed::{Placement, Symbols},
    },
    unwind::{Bottom, End, FrameKind, Stack, shown::expand, walk::unwind},
};
use live::{Guest, guest_dir};
use std::{path::Path, process::Command, sync::atomic::AtomicBool};

/// vmlinux of the guest with its DWARF, at its link address.
fn vmlinux() -> Symbols {
    let image = DebugImage::open(&guest_dir().join("vmlinux")).unwrap();
    image.load_dwarf(&|_| (), &AtomicBool::new(false)).unwrap();
    let mut symbols = Symbols::new();
    symbols.place("vmlinux", image, Placement::Slide(0));
    symbols
}

#[test]
fn the_slide_is_found_and_the_kernel_proven() {
    let mut symbols = vmlinux();
    let mut guest = Guest::boot("hgfs.load");
    guest.break_in();
    let pc = guest.registers().pc();
    let found = slide::find(&symbols, &guest, pc).unwrap();
    println!("{found:x?}, {:?}", guest.cost());
    assert_eq!(found.by, slide::How::Idt);
    assert_eq!(slide::find(&symbols, &guest, None).unwrap(), found);
    symbols.set_slide(found.value);
    assert_eq!(slide::find(&symbols, &guest, None).unwrap(), found, "placement does not matter");
    let at = pc.and_then(|pc| symbols.symbol_at(pc)).unwrap();
    assert_eq!(at.name, "kgdb_breakpoint");
    let proof = proof::prove(&symbols, &guest).unwrap();
    println!("{proof:?}, {:?}", guest.cost());
    assert!(proof.holds(), "{proof:?}");
    symbols.set_slide(found.value + slide::ALIGN);
    assert!(matches!(proof::prove(&symbols, &guest).unwrap(), proof::Proof::Unknown { .. }));
}

/// The functions of the stopped task's stack as the kernel's own unwinder
/// sees them (kdb's `bt`), from the code that hit the breakpoint on.
fn stack_by_kernel(guest: &Guest) -> Vec<String> {
    let text = guest.monitor("bt");
    let after = text.split_once("asm_exc_int3+").expect("kdb shows the breakpoint").1;
    let function = |line: &str| {
        let line = line.trim().strip_prefix("RIP: 0010:").unwrap_or(line.trim());
        let (name, offsets) = line.split_once("+0x")?;
        (offsets.contains("/0x") && !name.contains([' ', '?'])).then(|| name.to_string())
    };
    after.lines().skip(1).filter_map(function).collect()
}

/// The same as we see them: by symbol, without inlined functions.
fn stack_by_symbol(symbols: &Symbols, stack: &Stack) -> Vec<String> {
    let name = |frame: &kgdb_tui::unwind::Frame| symbols.symbol_at(frame.lookup).map(|at| at.name);
    stack.frames.iter().map(|frame| name(frame).unwrap_or_else(|| frame.pc.to_string())).collect()
}

fn gdb(guest: &Guest, commands: &[&str]) -> String {
    guest.lend_line(|socket: &Path| {
        let mut gdb = Command::new("gdb");
        gdb.args(["-nx", "-batch", "-ex", "set print frame-arguments all"]);
        gdb.args(["-ex", &format!("target remote {}", socket.display())]);
        for command in commands {
            gdb.args(["-ex", command]);
        }
        gdb.args(["-ex", "disconnect"]).arg(guest_dir().join("vmlinux"));
        let output = gdb.output().expect("gdb is installed");
        String::from_utf8_lossy(&output.stdout).into_owned()
    })
}

#[test]
fn a_system_call_is_unwound_as_the_kernel_and_gdb_do() {
    let symbols = vmlinux();
    let mut guest = Guest::boot("hgfs.demo nokaslr");
    guest.break_in();
    for function in ["proc_reg_read", "do_filp_open", "mutex_unlock"] {
        guest.run_to(symbols.symbol_addr(function).unwrap());
        let registers = guest.registers();
        let stack = unwind(&symbols, &guest, &registers, None, 64);
        println!("{function}: {:?}, {} frames, {:?}", stack.end, stack.frames.len(), guest.cost());
        assert_eq!(stack_by_symbol(&symbols, &stack), stack_by_kernel(&guest));
        let last = stack.frames.last().unwrap().kind;
        assert_eq!((stack.end, last), (End::Complete(Bottom::Syscall), FrameKind::Syscall));
    }
    guest.run_to(symbols.symbol_addr("proc_reg_read").unwrap());
    let stack = unwind(&symbols, &guest, &guest.registers(), None, 64);
    let shown = expand(&symbols, &stack);
    let ours: Vec<String> = shown.iter().map(|f| f.function.clone().unwrap()).collect();
    let text = gdb(
        &guest,
        &[
            "bt 20",
            "info args",
            "frame 1",
            "info args",
            "info locals",
            "frame 2",
            "info args",
            "info locals",
        ],
    );
    println!("{text}");
    for frame in &shown {
        println!("{frame:?}");
    }
    let theirs: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with('#'))
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let at = if words.get(2) == Some(&"in") { 3 } else { 1 };
            words.get(at).map(|word| word.to_string())
        })
        .take(ours.len())
        .collect();
    assert_eq!(ours, theirs);
    let registers = guest.registers();
    for (level, frame) in stack.frames.iter().enumerate().take(3) {
        let context = Context {
            symbols: &symbols,
            memory: &guest,
            registers: &frame.registers,
            cfa: frame.cfa,
            lookup: frame.lookup,
        };
        for variable in arguments(&context, 0).iter().chain(&locals(&context, 0)) {
            println!("#{level} {} {} = {}", variable.type_name, variable.name, variable.value);
            if let Value::Known { text: value, .. } = &variable.value {
                let line = format!("{} = {value}", variable.name);
                assert!(text.contains(&line), "gdb does not say {line:?}");
            }
        }
    }
    assert!(registers.pc().is_some());
}

#[test]
fn an_interrupt_is_unwound_through_its_stack() {
    let symbols = vmlinux();
    let mut guest = Guest::boot("hgfs.demo nokaslr");
    guest.break_in();
    let mut interrupted_kernel = 0;
    for _ in 0..6 {
        guest.run_to(symbols.symbol_addr("update_process_times").unwrap());
        let cpu = cpus::active(&symbols, &guest).unwrap();
        for hint in [Some(cpu), None] {
            let stack = unwind(&symbols, &guest, &guest.registers(), hint, 64);
            println!("{:?} {:?}", stack.end, guest.cost());
            let kernel = stack_by_kernel(&guest);
            assert_eq!(stack_by_symbol(&symbols, &stack), kernel);
            assert!(matches!(stack.end, End::Complete(_)), "{:?} {kernel:?}", stack.end);
            let entry = stack.frames.iter().position(|f| f.kind == FrameKind::Interrupt).unwrap();
            if let Some(frame) = stack.frames.get(entry + 1) {
                assert_eq!(frame.pc, frame.lookup, "interrupted code is looked up exactly");
                interrupted_kernel += 1;
            }
        }
    }
    assert!(interrupted_kernel > 0, "no interrupt hit the kernel");
}

#[test]
fn cpus_tasks_and_release() {
    let symbols = vmlinux();
    let mut guest = Guest::boot("nokaslr");
    guest.shell("echo pid $$");
    guest.shell_until("pid ");
    guest.shell_until("pid ");
    let pid: i32 = guest.shell_until("\n").trim().parse().unwrap();
    guest.break_in();
    assert_eq!(version::release(&symbols, &guest).unwrap(), "6.1.192-kgdbtui");
    assert!(version::version(&symbols, &guest).unwrap().starts_with("#1 SMP"));
    assert!(
        version::banner(&symbols, &guest).unwrap().starts_with("Linux version 6.1.192-kgdbtui ")
    );
    assert_eq!(cpus::online(&symbols, &guest).unwrap(), [0, 1]);
    let active = cpus::active(&symbols, &guest).unwrap();
    let stops = cpus::stops(&symbols, &guest, &[0, 1]).unwrap();
    assert!(stops.iter().all(|stop| stop.held), "{stops:?}");
    let stop = &stops[active as usize];
    let task = cpus::task(&symbols, &guest, stop.task.unwrap()).unwrap();
    assert_eq!((task.pid, task.tgid, task.comm.as_str()), (pid, pid, "sh"));
    let saved = cpus::registers(&symbols, &guest, stop.registers.unwrap()).unwrap();
    assert_eq!(saved, guest.registers());
    let current = percpu::addr(&symbols, &guest, "current_task", active).unwrap();
    assert_eq!(guest.u64(current).unwrap(), task.addr.0);
    let other = &stops[1 - active as usize];
    let registers = cpus::registers(&symbols, &guest, other.registers.unwrap()).unwrap();
    let stack = unwind(&symbols, &guest, &registers, Some(other.cpu), 64);
    println!("{:?} {:?}", stack_by_symbol(&symbols, &stack), stack.end);
    assert!(matches!(stack.end, End::Complete(_)), "{:?}", stack.end);
}

#[test]
fn a_module_is_listed_placed_and_unwound_with_kaslr() {
    let mut symbols = vmlinux();
    let mut guest = Guest::boot("hgfs.demo");
    guest.shell("cd /sys/module/hgfs/sections; for s in .* *; do [ -f $s ] && echo S $s $(cat $s); done; echo done");
    let text = guest.shell_until("\ndone");
    let mut wanted: Vec<(String, u64)> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.strip_prefix("S ")?.split_whitespace();
            let name = words.next()?.to_string();
            Some((name, u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?))
        })
        .filter(|(name, _)| !name.starts_with(".init"))
        .collect();
    wanted.sort();
    assert!(wanted.len() > 5, "{text}");
    guest.break_in();
    let found = slide::find(&symbols, &guest, guest.registers().pc()).unwrap();
    symbols.set_slide(found.value);
    assert!(proof::prove(&symbols, &guest).unwrap().holds());

    let layouts = modules::Layouts::new(&symbols).unwrap();
    let list = modules::list(&symbols, &guest, &layouts);
    println!("{list:x?} {:?}", guest.cost());
    assert_eq!(list.problem, None);
    let hgfs = list.modules.iter().find(|module| module.name == "hgfs").unwrap();
    assert_eq!(hgfs.state, modules::State::Live);
    let sections = modules::sections(&guest, &layouts, hgfs, None).unwrap();
    println!("{sections:x?} {:?}", guest.cost());
    let mut got: Vec<(String, u64)> =
        sections.iter().map(|section| (section.name.clone(), section.addr.0)).collect();
    got.sort();
    assert_eq!(got, wanted);
    assert!(sections.iter().any(|s| s.name == ".text" && Some(s.addr) == hgfs.base));

    let image = DebugImage::open(&guest_dir().join("modules/hgfs.ko")).unwrap();
    image.load_dwarf(&|_| (), &AtomicBool::new(false)).unwrap();
    let placed = sections.into_iter().map(|section| (section.name, section.addr)).collect();
    symbols.place("hgfs", image, Placement::Sections(placed));
    let function =
        symbols.find_functions("HgfsSendRequest").into_iter().find(|f| !f.inlined).unwrap();
    guest.run_to(function.after_prologue);
    let stack = unwind(&symbols, &guest, &guest.registers(), None, 64);
    println!("{:?} {:?}", stack.end, guest.cost());
    assert_eq!(stack_by_symbol(&symbols, &stack), stack_by_kernel(&guest));
    let shown = expand(&symbols, &stack);
    let names: Vec<&str> = shown.iter().filter_map(|frame| frame.function.as_deref()).collect();
    println!("{names:?}");
    let start =
        ["HgfsSendRequest", "HgfsSendOpenRequest", "HgfsOpenFile", "HgfsProcShow", "seq_read_iter"];
    assert_eq!(names[..5], start);
    let frame = &stack.frames[0];
    let context = Context {
        symbols: &symbols,
        memory: &guest,
        registers: &frame.registers,
        cfa: frame.cfa,
        lookup: frame.lookup,
    };
    let args = arguments(&context, 0);
    args.iter().for_each(|a| println!("{} {} = {}", a.type_name, a.name, a.value));
    assert!(matches!(&args[0].value, Value::Known { raw, .. } if raw[7] == 0xff));
}
