//! Stacks of the test guest, recorded: registers, the memory that was read, and
//! the frames. They are unwound again without a guest, from its vmlinux.
//!
//! To record them again, after the guest's kernel or what the unwinder reads
//! has changed, and then to look at what differs:
//! `cargo test --test stacks_recorded -- --ignored record`

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[allow(dead_code, reason = "each test program uses a part of it")]
mod live;
mod support {
    pub mod guest;
    pub mod kernel;
    pub mod tools;
}

use kgdb_tui::{
    arch::{Registers, x86_64::X86_64},
    base::{
        addr::Addr,
        memory::{Gap, Memory, Sparse},
    },
    kernel::slide,
    symbols::placed::Symbols,
    unwind::{
        Stack, shown, sleeping,
        walk::{MAX_FRAMES, Owner, unwind},
    },
};
use live::Guest;
use std::{cell::RefCell, collections::BTreeMap, fmt::Write as _, fs, path::PathBuf};
use support::{guest::built, kernel::loaded};

/// What is recorded: a name, and where the guest is stopped for it.
const STOPS: &[(&str, &str)] = &[
    ("system-call", "vfs_read"),
    ("kernel-thread", "process_one_work"),
    ("interrupt", "update_process_times"),
    ("softirq", "rcu_core"),
    ("page-fault", "handle_mm_fault"),
    ("exec", "load_elf_binary"),
    ("switch", "__switch_to_asm"),
];

fn file(name: &str) -> PathBuf {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/stacks");
    PathBuf::from(dir).join(format!("{name}.txt"))
}

fn build_id(symbols: &Symbols) -> String {
    let image = symbols.vmlinux().unwrap().image.image();
    let id = image.build_id().unwrap();
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Each frame in a line, and the end.
fn told(symbols: &Symbols, stack: &Stack) -> String {
    let mut text = String::new();
    for frame in shown::expand(symbols, stack) {
        let by = stack.frames[frame.physical].by;
        let (function, kind) = (frame.function.as_deref().unwrap_or("??"), frame.kind);
        let file = frame.file.as_ref().map_or("", |file| file.short());
        let place = frame.line.map_or(String::new(), |line| format!(" {file}:{line}"));
        let how = if frame.inlined { "inlined".to_owned() } else { format!("{by:?} {kind:?}") };
        writeln!(text, "frame {} {function}{place} {how}", frame.pc).unwrap();
        if let Some(saved) = frame.saved {
            let read = saved.registers.is_some();
            writeln!(text, "saved {}{}", saved.at, if read { "" } else { " unread" }).unwrap();
        }
    }
    writeln!(text, "end {}", stack.end).unwrap();
    text
}

/// Memory that writes down what was read, by blocks.
struct Log<'a> {
    memory: &'a dyn Memory,
    read: RefCell<BTreeMap<Addr, Vec<u8>>>,
}

const BLOCK: u64 = 32;

impl Memory for Log<'_> {
    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), Gap> {
        self.memory.read(addr, buf)?;
        let mut at = Addr(addr.0 / BLOCK * BLOCK);
        while at < addr.offset(buf.len() as u64) {
            let bytes = self.memory.bytes(at, BLOCK as usize)?;
            self.read.borrow_mut().insert(at, bytes);
            at = at.offset(BLOCK);
        }
        Ok(())
    }
}

/// Where a stack begins.
enum Start {
    Cpu(Registers),
    Task(Addr),
}

fn begin(symbols: &Symbols, memory: &dyn Memory, start: &Start) -> (Registers, Owner) {
    match start {
        Start::Cpu(registers) => (registers.clone(), Owner::default()),
        Start::Task(task) => {
            let registers = sleeping::start(symbols, memory, *task, &X86_64).unwrap();
            (registers, Owner { task: Some(*task), ..Owner::default() })
        }
    }
}

fn write_down(symbols: &Symbols, guest: &Guest, slide: u64, name: &str, start: &Start) {
    let log = Log { memory: guest, read: RefCell::default() };
    let (registers, owner) = begin(symbols, &log, start);
    let stack = unwind(symbols, &log, &registers, owner, MAX_FRAMES);
    let mut text = format!("build-id {}\nslide {slide:#x}\n", build_id(symbols));
    match start {
        Start::Task(task) => writeln!(text, "task {task}").unwrap(),
        Start::Cpu(registers) => {
            for (def, value) in registers.iter() {
                writeln!(text, "register {} {:#x}", def.name, value.unwrap()).unwrap();
            }
        }
    }
    for (at, bytes) in log.read.borrow().iter() {
        let digits = bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        writeln!(text, "memory {at} {digits}").unwrap();
    }
    fs::create_dir_all(file(name).parent().unwrap()).unwrap();
    fs::write(file(name), text + &told(symbols, &stack)).unwrap();
}

#[test]
#[ignore = "records the stacks anew"]
fn record() {
    let mut symbols = loaded(&built().vmlinux);
    let mut guest = Guest::boot("hgfs.load hgfs.demo");
    guest.break_in();
    let slide = slide::find(&symbols, &guest, guest.registers().pc()).unwrap().value;
    symbols.set_slide(slide);
    write_down(&symbols, &guest, slide, "sysrq", &Start::Cpu(guest.registers()));

    // The first process, which waits for its children; and the task whose
    // list it is in, the idle task of the first CPU.
    let member = |name: &str| {
        let layout = symbols.struct_layout("task_struct").unwrap();
        layout.member(name).unwrap().offset
    };
    let idle = symbols.symbol_addr("init_task").unwrap();
    let next = Addr(guest.u64(idle.offset(member("tasks"))).unwrap());
    let init = Start::Task(next.back(member("tasks")));
    write_down(&symbols, &guest, slide, "sleeping", &init);

    for (name, place) in STOPS {
        guest.run_to(symbols.symbol_addr(place).unwrap());
        write_down(&symbols, &guest, slide, name, &Start::Cpu(guest.registers()));
    }
    guest.run_to(symbols.symbol_addr("wake_up_new_task").unwrap());
    let born = Start::Task(Addr(guest.registers().by_name("rdi").unwrap()));
    write_down(&symbols, &guest, slide, "new-born", &born);
}

struct Recorded {
    build_id: String,
    slide: u64,
    start: Start,
    memory: Sparse,
    told: String,
}

fn number(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

fn read(text: &str) -> Recorded {
    let mut registers = Registers::unknown(&X86_64);
    let mut task = None;
    let mut recorded = Recorded {
        build_id: String::new(),
        slide: 0,
        start: Start::Task(Addr(0)),
        memory: Sparse::new(),
        told: String::new(),
    };
    for line in text.lines() {
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["build-id", id] => recorded.build_id = (*id).to_owned(),
            ["slide", slide] => recorded.slide = number(slide),
            ["task", at] => task = Some(Addr(number(at))),
            ["register", name, value] => {
                registers.set(X86_64.reg(name).unwrap(), Some(number(value)));
            }
            ["memory", at, digits] => {
                let bytes: Vec<u8> = (0..digits.len() / 2)
                    .map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap())
                    .collect();
                recorded.memory.insert(Addr(number(at)), &bytes);
            }
            ["frame" | "saved" | "end", ..] => {
                recorded.told += line;
                recorded.told.push('\n');
            }
            other => panic!("not understood: {other:?}"),
        }
    }
    recorded.start = task.map_or(Start::Cpu(registers), Start::Task);
    recorded
}

#[test]
fn recorded_stacks_unwind_as_they_did() {
    let mut symbols = loaded(&built().vmlinux);
    let mut names: Vec<&str> = STOPS.iter().map(|(name, _)| *name).collect();
    names.extend(["sysrq", "sleeping", "new-born"]);
    for name in names {
        let recorded = read(&fs::read_to_string(file(name)).unwrap());
        let id = build_id(&symbols);
        assert_eq!(recorded.build_id, id, "{name} is of another kernel: record it again");
        symbols.set_slide(recorded.slide);
        let (registers, owner) = begin(&symbols, &recorded.memory, &recorded.start);
        let stack = unwind(&symbols, &recorded.memory, &registers, owner, MAX_FRAMES);
        assert_eq!(told(&symbols, &stack), recorded.told, "{name}");
        assert!(stack.is_whole(), "{name}: {}", stack.end);

        // Whatever is not there is missed, and the frames until then are the
        // same; nothing is made up in its place.
        let none = unwind(&symbols, &Sparse::new(), &registers, owner, MAX_FRAMES);
        assert!(none.frames.len() <= stack.frames.len(), "{name}");
        for (some, all) in none.frames.iter().zip(&stack.frames) {
            assert_eq!((some.pc, some.by), (all.pc, all.by), "{name}");
        }
    }
}
