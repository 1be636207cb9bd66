//! The kernel, unwinder and variables on a real stopped guest, read with
//! plain packets, with gdb as the oracle for stacks.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod live;
mod support {
    pub mod guest;
    pub mod tools;
}

use kgdb_tui::{
    arch::{Registers, x86_64::X86_64},
    base::{
        addr::Addr,
        memory::{Memory, Recorder, Sparse},
    },
    eval::{
        location::{Context, Frame},
        value::Value,
        variables::{Detail, arguments, locals},
    },
    kernel::{cpus, module_sections, modules, percpu, proof, slide, version},
    symbols::{
        image::DebugImage,
        placed::{Placement, Symbols},
    },
    unwind::{
        Bottom, End, FrameKind, Stack,
        shown::{ShownFrame, expand},
        walk::unwind,
    },
};
use live::Guest;
use proptest::prelude::*;
use std::{
    path::Path,
    sync::{OnceLock, atomic::AtomicBool},
    time::Instant,
};
use support::{guest::built, tools::tool};

/// vmlinux of the guest with its DWARF, at its link address.
fn vmlinux() -> Symbols {
    let image = DebugImage::open(&built().vmlinux).unwrap();
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
fn stack_by_kernel(symbols: &Symbols, guest: &Guest) -> Vec<String> {
    let text = guest.monitor("bt");
    let after = text.split_once("asm_exc_int3+").expect("kdb shows the breakpoint").1;
    let function = |line: &str| {
        let line = line.trim().strip_prefix("RIP: 0010:").unwrap_or(line.trim());
        let (name, offsets) = line.split_once("+0x")?;
        // The kernel names the nearest label, we and gdb the function.
        let label = symbols.symbol_addr(name);
        let around = label.and_then(|at| symbols.symbol_at(at).filter(|s| s.start != at));
        let name = around.map_or(name.to_string(), |function| function.name);
        (offsets.contains("/0x") && !name.contains([' ', '?'])).then_some(name)
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
        let mut gdb = tool("gdb");
        gdb.args(["-nx", "-batch", "-ex", "set print frame-arguments all"]);
        gdb.args(["-ex", &format!("target remote {}", socket.display())]);
        for command in commands {
            gdb.args(["-ex", command]);
        }
        gdb.args(["-ex", "disconnect"]).arg(built().vmlinux);
        let output = gdb.output().unwrap();
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
        assert_eq!(stack_by_symbol(&symbols, &stack), stack_by_kernel(&symbols, &guest));
        let last = stack.frames.last().unwrap().kind;
        assert_eq!((stack.end, last), (End::Complete(Bottom::Syscall), FrameKind::Syscall));
    }
    guest.run_to(symbols.symbol_addr("proc_reg_read").unwrap());
    let stack = unwind(&symbols, &guest, &guest.registers(), None, 64);
    let shown = expand(&symbols, &stack);
    let text = gdb(&guest, &["bt 20", "up", "info locals", "up", "info locals"]);
    let ours: Vec<String> = shown.iter().map(|frame| in_words(&symbols, frame)).collect();
    // gdb invents frames below.
    let theirs = frames_of_gdb(&text, ours.len());
    assert_eq!(ours, theirs, "{text}");

    let mut known = 0;
    for frame in &shown[..5] {
        let frames = frames_of(&stack);
        let frames = &frames[frame.physical..];
        let context = Context { symbols: &symbols, memory: &guest, frames, cpu: None };
        let mut variables = arguments(&context, frame.depth, Detail::Whole);
        if (1..3).contains(&frame.level) {
            variables.extend(locals(&context, frame.depth, Detail::Whole));
        }
        for variable in variables {
            println!(
                "#{} {} {} = {}",
                frame.level, variable.type_name, variable.definition.name, variable.value
            );
            if let Value::Known(value) = &variable.value {
                // In the argument list, or in the list of locals.
                let name = &variable.definition.name;
                let (short, long) = (format!("{name}={value}"), format!("{name} = {value}"));
                assert!(
                    text.contains(&short) || text.contains(&long),
                    "gdb does not say {long:?}\n{text}"
                );
                known += 1;
            }
        }
    }
    assert!(known >= 12, "{known} values");
}

fn frames_of(stack: &Stack) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    for frame in &stack.frames {
        let (cfa, pc, lookup) = (frame.cfa, frame.pc, frame.lookup);
        frames.push(Frame { registers: &frame.registers, cfa, pc, lookup });
    }
    frames
}

/// A frame as function, file and line.
fn in_words(symbols: &Symbols, frame: &ShownFrame) -> String {
    let function = frame.function.clone().unwrap_or_else(|| frame.pc.to_string());
    let file = frame.file.as_ref().map(|file| file.name.rsplit('/').next().unwrap_or_default());
    assert_eq!(frame.offset.is_none(), frame.inlined, "{:?}", symbols.describe(frame.pc));
    format!("{function} {}:{}", file.unwrap_or("?"), frame.line.unwrap_or(0))
}

/// The same from gdb's `bt`.
fn frames_of_gdb(text: &str, count: usize) -> Vec<String> {
    let frame = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let function = words[if words[2] == "in" { 3 } else { 1 }];
        let place = line.rsplit(" at ").next().unwrap_or_default();
        format!("{function} {}", place.rsplit('/').next().unwrap_or_default())
    };
    text.lines().filter(|line| line.starts_with('#')).take(count).map(frame).collect()
}

#[test]
fn interrupts_exceptions_and_threads_are_unwound_as_the_kernel_does() {
    let symbols = vmlinux();
    let mut guest = Guest::boot("hgfs.demo nokaslr");
    guest.break_in();
    let mut ends = Vec::new();
    let mut crossed = Vec::new();
    // Whom an interrupt hits is chance: on until each kind was seen.
    for turn in 0.. {
        let seen = [Bottom::User, Bottom::Thread].iter().all(|bottom| ends.contains(bottom))
            && crossed.contains(&FrameKind::Interrupt);
        if turn >= 2 && seen {
            return;
        }
        assert!(turn < 20, "not seen in {turn} turns: {ends:?} {crossed:?}");
        for function in [
            "update_process_times",
            "handle_irq_event",
            "run_timer_softirq",
            "rcu_core",
            "handle_mm_fault",
            "process_one_work",
        ] {
            // Its echo is an interrupt of the serial port.
            guest.shell(":");
            guest.run_to(symbols.symbol_addr(function).unwrap());
            let cpu = cpus::active(&symbols, &guest).unwrap();
            let stack = unwind(&symbols, &guest, &guest.registers(), Some(cpu), 64);
            let frames = stack.frames.len();
            println!("{function}: {:?}, {frames} frames, {:?}", stack.end, guest.cost());
            let by_kernel = stack_by_kernel(&symbols, &guest);
            assert_eq!(stack_by_symbol(&symbols, &stack), by_kernel);
            let without_cpu = unwind(&symbols, &guest, &guest.registers(), None, 64);
            assert_eq!(without_cpu, stack, "without the CPU");
            let End::Complete(bottom) = stack.end else { panic!("{:?} {by_kernel:?}", stack.end) };
            ends.push(bottom);
            for pair in stack.frames.windows(2) {
                if matches!(pair[0].kind, FrameKind::Interrupt | FrameKind::Exception) {
                    assert_eq!(pair[1].pc, pair[1].lookup, "interrupted code is looked up exactly");
                    crossed.push(pair[0].kind);
                }
            }
        }
    }
}

#[test]
fn a_fault_in_the_kernel_is_crossed() {
    let symbols = vmlinux();
    let mut guest = Guest::boot("hgfs.demo nokaslr");
    guest.break_in();
    let in_kernel = |stack: &Stack| {
        let crossed = |frame: &kgdb_tui::unwind::Frame| frame.kind == FrameKind::Exception;
        stack.frames.iter().any(crossed) && stack.end != End::Complete(Bottom::User)
    };
    for turn in 0..400 {
        // A program that starts has pages that the kernel is the first to touch.
        if turn % 8 == 0 {
            guest.run_to(symbols.symbol_addr("load_elf_binary").unwrap());
        }
        guest.run_to(symbols.symbol_addr("handle_mm_fault").unwrap());
        let stack = unwind(&symbols, &guest, &guest.registers(), None, 64);
        if in_kernel(&stack) {
            let by_kernel = stack_by_kernel(&symbols, &guest);
            println!("{by_kernel:?} {:?}", guest.cost());
            assert_eq!(stack_by_symbol(&symbols, &stack), by_kernel);
            assert!(stack.frames.iter().any(|frame| frame.kind == FrameKind::Exception));
            assert!(matches!(stack.end, End::Complete(_)), "{:?}", stack.end);
            return;
        }
    }
    panic!("no fault in the kernel");
}

/// Runs a computation as the session does: again and again, with what it
/// missed fetched between. Gives the result and how many runs missed.
fn by_misses<T>(guest: &Guest, compute: impl Fn(&dyn Memory) -> T) -> (T, usize) {
    let mut known = Sparse::new();
    for rounds in 0..100 {
        let recorder = Recorder::new(&known);
        let result = compute(&recorder);
        let misses = recorder.into_misses();
        if misses.is_empty() {
            return (result, rounds);
        }
        for miss in misses {
            let (mut at, end) = (miss.start, miss.start.offset(miss.len));
            while at < end {
                let len = (4096 - at.0 % 4096).min(end.since(at));
                match guest.bytes(at, len as usize) {
                    Ok(bytes) => known.insert(at, &bytes),
                    Err(_) => known.insert_fault(at),
                }
                at = at.offset(len);
            }
        }
    }
    panic!("no end of misses");
}

#[test]
fn misses_are_few_and_the_result_is_the_same() {
    let symbols = vmlinux();
    let mut guest = Guest::boot("hgfs.demo nokaslr");
    guest.break_in();
    guest.run_to(symbols.symbol_addr("proc_reg_read").unwrap());
    let registers = guest.registers();
    let (stack, rounds) =
        by_misses(&guest, |memory| unwind(&symbols, memory, &registers, None, 64));
    println!("stack: {rounds} rounds, {:?}", guest.cost());
    assert_eq!(stack, unwind(&symbols, &guest, &registers, None, 64));
    assert!(rounds <= stack.frames.len());

    let frames = frames_of(&stack);
    let all_arguments = |memory: &dyn Memory| {
        let shown = expand(&symbols, &stack);
        let of = |frame: &ShownFrame| {
            let frames = &frames[frame.physical..];
            let context = Context { symbols: &symbols, memory, frames, cpu: None };
            arguments(&context, frame.depth, Detail::Brief(100))
        };
        shown.iter().map(of).collect::<Vec<_>>()
    };
    let (values, rounds) = by_misses(&guest, all_arguments);
    println!("arguments: {rounds} rounds, {:?}", guest.cost());
    let start = Instant::now();
    assert_eq!(values, all_arguments(&guest));
    println!("arguments of all frames: {:?}", start.elapsed());
    let start = Instant::now();
    assert_eq!(unwind(&symbols, &guest, &registers, None, 64), stack);
    println!("stack of {} frames: {:?}", stack.frames.len(), start.elapsed());
    assert!(rounds <= 2);

    let layouts = modules::Layouts::new(&symbols).unwrap();
    let attrs = module_sections::Layouts::new(&symbols).unwrap();
    let (list, rounds) = by_misses(&guest, |memory| modules::list(&symbols, memory, &layouts));
    println!("modules: {rounds} rounds, {:?}", guest.cost());
    assert_eq!(list, modules::list(&symbols, &guest, &layouts));
    let (found, rounds) = by_misses(&guest, |memory| {
        module_sections::sections(memory, &attrs, &list.modules[0], None)
    });
    println!("sections: {rounds} rounds, {:?}", guest.cost());
    assert!(found.unwrap().len() > 10 && rounds <= 4);
    let (found, rounds) = by_misses(&guest, |memory| cpus::current(&symbols, memory));
    println!("{found:?}: {rounds} rounds, {:?}", guest.cost());
    assert!(found.is_ok() && rounds <= 3);
    let (proof, rounds) = by_misses(&guest, |memory| proof::prove(&symbols, memory));
    assert!(proof.unwrap().holds() && rounds == 1);
    let (found, rounds) = by_misses(&guest, |memory| slide::search(&symbols, memory));
    assert_eq!((found.unwrap().value, rounds), (0, 1));
}

#[test]
fn an_oops_is_unwound_from_the_fault() {
    let mut symbols = vmlinux();
    let mut guest = Guest::boot("hgfs.load nokaslr maxcpus=1");
    guest.break_in();
    let layouts = modules::Layouts::new(&symbols).unwrap();
    let attrs = module_sections::Layouts::new(&symbols).unwrap();
    let hgfs = modules::list(&symbols, &guest, &layouts).modules.remove(0);
    let image = DebugImage::open(&built().modules.join("hgfs.ko")).unwrap();
    image.load_dwarf(&|_| (), &AtomicBool::new(false)).unwrap();
    let sections = module_sections::sections(&guest, &attrs, &hgfs, None).unwrap();
    let placed = sections.into_iter().map(|section| (section.name, section.addr)).collect();
    symbols.place("hgfs", image, Placement::Sections(placed));
    guest.shell("echo bug > /proc/hgfs");
    let stop = guest.ask("c");
    assert!(stop.starts_with("T0b"), "{stop}");
    guest.forget();
    let stack = unwind(&symbols, &guest, &guest.registers(), None, 64);
    let shown = expand(&symbols, &stack);
    let names: Vec<String> = shown.iter().map(|frame| in_words(&symbols, frame)).collect();
    println!("{names:?} {:?}", stack.end);
    assert!(
        names[0].starts_with("HgfsForgetFile main.c:") || names[0].contains("HgfsForgetFile"),
        "{names:?}"
    );
    assert_eq!(stack.end, End::Complete(Bottom::Syscall));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]
    /// Whatever is on the stack, every frame is code of the kernel and the
    /// walk ends.
    #[test]
    fn no_stack_confuses_the_unwinder(words in prop::collection::vec((0u8..8, any::<u64>()), 64..512), pick in any::<prop::sample::Index>()) {
        static SYMBOLS: OnceLock<Symbols> = OnceLock::new();
        let symbols = SYMBOLS.get_or_init(vmlinux);
        let text = symbols.symbol_addr("_text").unwrap().0..symbols.symbol_addr("_etext").unwrap().0;
        let stack_at = 0xffff_c900_0012_0000u64;
        let mut memory = Sparse::new();
        let code = |random: u64| text.start + random % (text.end - text.start);
        for (i, (kind, random)) in (0u64..).zip(&words) {
            let word = match kind {
                0..5 => code(*random),
                5 => stack_at + random % 4096 / 8 * 8,
                6 => 0x10,
                _ => *random,
            };
            memory.insert(Addr(stack_at + i * 8), &word.to_le_bytes());
        }
        let mut registers = Registers::from_g(&X86_64, &[0; 156]);
        registers.set(X86_64.pc, Some(code(pick.index(usize::MAX) as u64)));
        registers.set(X86_64.sp, Some(stack_at));
        registers.set(X86_64.fp, Some(stack_at + 0x100));
        let stack = unwind(symbols, &memory, &registers, None, 64);
        prop_assert!(stack.frames.len() <= 64);
        prop_assert!(stack.frames.iter().all(|f| symbols.symbol_at(f.lookup).is_some() || f.level == 0 || f.pc.0 >= 0xffff_ffff_8000_0000));
        let frames = frames_of(&stack);
        for shown in expand(symbols, &stack) {
            let context = Context { symbols, memory: &memory, frames: &frames[shown.physical..], cpu: None };
            let _ = (arguments(&context, shown.depth, Detail::Whole), locals(&context, shown.depth, Detail::Brief(60)));
        }
    }
}

/// What kgdbwait sees: no modules, one CPU, and early enough that the slide
/// may have to come from the stop.
#[test]
fn a_guest_that_waits_at_boot_is_understood() {
    let mut symbols = vmlinux();
    let guest = Guest::boot("kgdbwait");
    guest.knock();
    let registers = guest.registers();
    let found = slide::find(&symbols, &guest, registers.pc()).unwrap();
    let stop_only = slide::find(&symbols, &Sparse::new(), None).unwrap_err();
    assert!(stop_only.missing());
    let mut no_idt = Sparse::new();
    no_idt.insert_fault(Addr(0xffff_fe00_0000_0000));
    let by_stop = slide::find(&symbols, &no_idt, registers.pc()).unwrap();
    assert_eq!((by_stop.value, by_stop.by), (found.value, slide::How::StopPc));
    assert_eq!(slide::search(&symbols, &guest).unwrap().value, found.value);
    symbols.set_slide(found.value);
    assert!(proof::prove(&symbols, &guest).unwrap().holds());
    let stack = unwind(&symbols, &guest, &registers, None, 64);
    let by_kernel = stack_by_kernel(&symbols, &guest);
    println!("{found:x?} {by_kernel:?}");
    assert_eq!(stack_by_symbol(&symbols, &stack), by_kernel);
    let layouts = modules::Layouts::new(&symbols).unwrap();
    assert_eq!(modules::list(&symbols, &guest, &layouts), modules::List::default());
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
    assert_eq!(cpus::current(&symbols, &guest).unwrap(), (active, task.clone()));
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
        .filter(|(name, _)| !name.starts_with(".init") && !name.ends_with("tab"))
        .collect();
    wanted.sort();
    assert!(wanted.len() > 5, "{text}");
    guest.break_in();
    let found = slide::find(&symbols, &guest, guest.registers().pc()).unwrap();
    symbols.set_slide(found.value);
    assert!(proof::prove(&symbols, &guest).unwrap().holds());

    let layouts = modules::Layouts::new(&symbols).unwrap();
    let attrs = module_sections::Layouts::new(&symbols).unwrap();
    let list = modules::list(&symbols, &guest, &layouts);
    println!("{list:x?} {:?}", guest.cost());
    assert_eq!(list.problems, []);
    let hgfs = list.modules.iter().find(|module| module.name == "hgfs").unwrap();
    assert_eq!(hgfs.state, modules::State::Live);
    guest.forget();
    let sections = module_sections::sections(&guest, &attrs, hgfs, None).unwrap();
    let with_names = guest.cost();
    println!("{sections:x?} {with_names:?}");
    let mut got: Vec<(String, u64)> =
        sections.iter().map(|section| (section.name.clone(), section.addr.0)).collect();
    got.sort();
    assert_eq!(got, wanted);
    assert!(sections.iter().any(|s| s.name == ".text" && Some(s.addr) == hgfs.base));

    let image = DebugImage::open(&built().modules.join("hgfs.ko")).unwrap();
    guest.forget();
    let expected = module_sections::expected_names(image.image());
    let again = module_sections::sections(&guest, &attrs, hgfs, Some(&expected)).unwrap();
    let without = guest.cost();
    println!("with the headers at hand: {without:?}");
    assert_eq!(again, sections);
    assert!(without.0 * 8 < with_names.0 && without.1 * 8 < with_names.1, "they were read");
    let id = module_sections::build_id(&guest, &sections).unwrap();
    assert_eq!(id.as_deref(), image.image().build_id());
    assert!(id.is_some());

    image.load_dwarf(&|_| (), &AtomicBool::new(false)).unwrap();
    let placed = sections.into_iter().map(|section| (section.name, section.addr)).collect();
    symbols.place("hgfs", image, Placement::Sections(placed));
    let function =
        symbols.find_functions("HgfsSendRequest").into_iter().find(|f| !f.inlined).unwrap();
    guest.run_to(function.after_prologue);
    let stack = unwind(&symbols, &guest, &guest.registers(), None, 64);
    println!("{:?} {:?}", stack.end, guest.cost());
    assert_eq!(stack_by_symbol(&symbols, &stack), stack_by_kernel(&symbols, &guest));
    let shown = expand(&symbols, &stack);
    let names: Vec<&str> = shown.iter().filter_map(|frame| frame.function.as_deref()).collect();
    println!("{names:?}");
    let start =
        ["HgfsSendRequest", "HgfsSendOpenRequest", "HgfsOpenFile", "HgfsProcShow", "seq_read_iter"];
    assert_eq!(names[..5], start);
    let frames = frames_of(&stack);
    let context = Context { symbols: &symbols, memory: &guest, frames: &frames, cpu: None };
    let args = arguments(&context, 0, Detail::Whole);
    args.iter().for_each(|a| println!("{} {} = {}", a.type_name, a.definition.name, a.value));
    assert!(matches!(&args[0].value, Value::Known(text) if text.starts_with("0xffff")));
}
