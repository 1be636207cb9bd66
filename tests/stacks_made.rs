//! The unwinder where no test guest can lead: kernels with frame pointers and
//! without tables for assembly, tracers that stand between a function and its
//! caller, jumps through bad pointers. A small kernel is compiled for it, and
//! its stacks are made by hand.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support {
    pub mod kernel;
    pub mod tools;
}

use kgdb_tui::{
    arch::{
        Registers,
        insn::{self, Flow},
        x86_64::X86_64,
    },
    base::{addr::Addr, memory::Sparse},
    symbols::placed::Symbols,
    unwind::{
        Bottom, By, End, FrameKind, Stack, sleeping,
        walk::{Owner, unwind},
    },
};
use support::{kernel::loaded, tools::tool};

/// C has rules in `.debug_frame`, assembly has none. `NEW` has the records of
/// tracers as of 6.1, and without it those of 4.2.
const SOURCE: &str = r#"
typedef unsigned long ulong;
#define noinline __attribute__((noinline, noclone))

struct pt_regs {
    ulong r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di;
    ulong orig_ax, ip, cs, flags, sp, ss;
} regs;
struct thread_struct { ulong sp0, sp; };
struct llist_node { struct llist_node *next; };
struct llist_head { struct llist_node *first; };
struct hlist_node { struct hlist_node *next, **pprev; };
struct hlist_head { struct hlist_node *first; };

#ifdef NEW
struct rethook_node { ulong rcu[2]; struct llist_node llist; void *rethook; ulong ret_addr, frame; } node;
struct ftrace_ret_stack { ulong ret, func; unsigned long long calltime; ulong *retp; };
#else
struct kretprobe_instance { struct hlist_node hlist; void *rp; ulong *ret_addr; struct task_struct *task; } instance;
struct hlist_head kretprobe_inst_table[64];
struct ftrace_ret_stack { ulong ret, func; unsigned long long calltime, subtime; ulong fp; };
#endif

struct task_struct {
    long state;
    struct thread_struct thread;
    int curr_ret_stack;
    struct ftrace_ret_stack *ret_stack;
    struct llist_head rethooks;
} init_task;

void leaf(void), framed(void), (*pointer)(void);

noinline void __schedule(void)
{
    leaf();
    asm volatile("pushf; push %%rbp; mov %%rsi, %%rbp; call __switch_to;"
                 "mov %%rbp, %%rsi; pop %%rbp; popf" ::: "memory", "cc", "rsi");
}
noinline void schedule(void) { __schedule(); asm volatile(""); }
noinline void worker(void) { schedule(); leaf(); framed(); pointer(); asm volatile(""); }
noinline void kthread(void) { worker(); asm volatile(""); }

#define CODE(name, text) asm(".text; .globl " #name "; .type " #name ", @function; nop;" #name ": " text "; .size " #name ", .-" #name);
CODE(__switch_to, "nop; ret")
CODE(ret_from_fork, "call kthread; nop")
CODE(return_to_handler, "sub $16, %rsp; ret")
CODE(kretprobe_trampoline, "nop; ret")
CODE(arch_rethook_trampoline, "nop; ret")
CODE(leaf, "mov %rdi, %rax; nop; ret")
CODE(framed, "push %rbp; mov %rsp, %rbp; sub $32, %rsp; nop; leave; ret")
"#;

struct Made {
    symbols: Symbols,
    memory: Sparse,
    _dir: tempfile::TempDir,
}

const STACK: Addr = Addr(0xffff_c900_0001_3000);
const TASK: Addr = Addr(0xffff_8880_0100_0000);
const RECORDS: Addr = Addr(0xffff_8880_0200_0000);

impl Made {
    fn new(flags: &[&str]) -> Made {
        let dir = tempfile::tempdir().unwrap();
        let (source, elf) = (dir.path().join("kernel.c"), dir.path().join("vmlinux"));
        std::fs::write(&source, SOURCE).unwrap();
        let mut gcc = tool("gcc");
        gcc.args(["-g", "-O1", "-ffreestanding", "-nostdlib", "-static", "-no-pie", "-fno-pic"]);
        gcc.args(["-mcmodel=kernel", "-mno-sse", "-mno-red-zone", "-fcf-protection=none"]);
        gcc.args(["-fno-asynchronous-unwind-tables", "-fno-omit-frame-pointer"]);
        gcc.args(["-Wl,-Ttext=0xffffffff81000000", "-Wl,-e,kthread"]).args(flags);
        assert!(gcc.arg("-o").arg(&elf).arg(&source).status().unwrap().success());
        Made { symbols: loaded(&elf), memory: Sparse::new(), _dir: dir }
    }

    fn at(&self, name: &str) -> Addr {
        self.symbols.symbol_addr(name).unwrap()
    }

    /// Where a call of `callee` in `caller` returns to.
    fn after(&self, caller: &str, callee: Option<&str>) -> Addr {
        let function = self.symbols.symbol_at(self.at(caller)).unwrap();
        let code = self.symbols.file_code(function.start, function.size as usize).unwrap();
        let insns = insn::decode(function.start, &code, 99, insn::Flavor::Att, &|_| None);
        let wanted = Flow::Call(callee.map(|name| self.at(name)));
        insns.iter().find(|insn| insn.flow == wanted).unwrap().next()
    }

    fn set(&mut self, at: Addr, words: &[u64]) {
        for (index, word) in words.iter().enumerate() {
            self.memory.insert(at.offset(8 * index as u64), &word.to_le_bytes());
        }
    }

    /// Writes frames of functions that keep rbp, each of which returns to the
    /// next of `returns`; rbp in the innermost one.
    fn frames(&mut self, first: Addr, returns: &[Addr]) -> u64 {
        for (index, pc) in returns.iter().enumerate() {
            let at = first.offset(64 * index as u64);
            self.set(at, &[at.offset(64).0, pc.0, 0, 0, 0, 0, 0, 0]);
        }
        first.0
    }

    /// From a function called by `worker` down to the start of the thread.
    fn below(&self, callee: Option<&str>) -> [Addr; 3] {
        let worker = self.after("worker", callee);
        [
            worker,
            self.after("kthread", Some("worker")),
            self.after("ret_from_fork", Some("kthread")),
        ]
    }

    fn member(&self, structure: &str, member: &str) -> u64 {
        self.symbols.struct_layout(structure).unwrap().member(member).unwrap().offset
    }

    fn standing(pc: Addr, sp: Addr, bp: u64) -> Registers {
        let mut registers = Registers::from_g(&X86_64, &[0; 156]);
        registers.set(X86_64.pc, Some(pc.0));
        registers.set(X86_64.sp, Some(sp.0));
        registers.set(X86_64.fp, Some(bp));
        registers
    }

    fn unwind(&self, registers: &Registers) -> Stack {
        let owner = Owner { task: Some(TASK), ..Owner::default() };
        unwind(&self.symbols, &self.memory, registers, owner, 64)
    }

    /// The functions of a stack, and what says that they are there.
    fn told(&self, stack: &Stack) -> Vec<(String, By)> {
        let name = |lookup| self.symbols.symbol_at(lookup).map_or("??".to_owned(), |s| s.name);
        stack.frames.iter().map(|frame| (name(frame.lookup), frame.by)).collect()
    }
}

fn named(list: &[(&str, By)]) -> Vec<(String, By)> {
    list.iter().map(|(name, by)| ((*name).to_owned(), *by)).collect()
}

#[test]
fn a_task_that_sleeps_before_4_9() {
    let mut made = Made::new(&[]);
    let [worker, kthread, fork] = made.below(Some("schedule"));
    let schedule = made.after("schedule", Some("__schedule"));
    let bp = made.frames(STACK.offset(0x100), &[schedule, worker, kthread, fork]);
    let sp = STACK.offset(0x80);
    made.set(sp, &[bp, 0x246]);
    let thread = TASK.offset(made.member("task_struct", "thread"));
    made.set(thread, &[STACK.offset(0x1000).0, sp.0]);
    let start = sleeping::start(&made.symbols, &made.memory, TASK, &X86_64).unwrap();
    assert_eq!(start.pc(), Some(made.after("__schedule", Some("__switch_to"))));
    let stack = made.unwind(&start);
    let expected = [
        ("__schedule", By::Start),
        ("schedule", By::Cfi),
        ("worker", By::Cfi),
        ("kthread", By::Cfi),
        ("ret_from_fork", By::Cfi),
    ];
    assert_eq!(made.told(&stack), named(&expected));
    assert_eq!((stack.end, stack.is_whole()), (End::Complete(Bottom::Thread), true));

    // One that never ran: its stack pointer is at its registers.
    let size = made.symbols.struct_layout("pt_regs").unwrap().size;
    made.set(thread, &[STACK.offset(0x1000).0, STACK.offset(0x1000 - size).0]);
    let start = sleeping::start(&made.symbols, &made.memory, TASK, &X86_64).unwrap();
    let stack = made.unwind(&start);
    assert_eq!(made.told(&stack), named(&[("ret_from_fork", By::Start)]));
    assert_eq!(stack.end, End::Complete(Bottom::Thread));

    // One that is no more.
    made.set(thread, &[0, 0x6b6b_6b6b_6b6b_6b6b]);
    let start = sleeping::start(&made.symbols, &made.memory, TASK, &X86_64);
    assert_eq!(start, Err(End::BadStack(Addr(0x6b6b_6b6b_6b6b_6b6b))));
}

#[test]
fn assembly_without_any_rule() {
    let mut made = Made::new(&[]);
    let rest = [("worker", By::Return), ("kthread", By::Cfi), ("ret_from_fork", By::Cfi)];

    // It has not moved the stack pointer, and was called by name.
    let [worker, kthread, fork] = made.below(Some("leaf"));
    let bp = made.frames(STACK.offset(0x100), &[kthread, fork]);
    made.set(STACK, &[worker.0]);
    let stack = made.unwind(&Made::standing(made.at("leaf").offset(3), STACK, bp));
    assert_eq!(made.told(&stack), [&named(&[("leaf", By::Start)]), &named(&rest)[..]].concat());
    assert!(stack.is_whole());
    assert_eq!(stack.frames[1].registers.get(X86_64.fp), Some(bp), "nothing writes it");

    // It has a frame pointer of its own.
    let [worker, kthread, fork] = made.below(Some("framed"));
    made.set(STACK, &[0; 8]);
    let outer = made.frames(STACK.offset(0x100), &[kthread, fork]);
    made.set(STACK.offset(0x20), &[outer, worker.0]);
    let inside = made.at("framed").offset(8);
    let stack = made.unwind(&Made::standing(inside, STACK, STACK.offset(0x20).0));
    assert_eq!(made.told(&stack)[1], ("worker".to_owned(), By::FramePointer));
    assert!(stack.is_whole());

    // A scan reads more than was written so far.
    made.set(STACK.offset(0x180), &[0; 64]);

    // Nothing is certain: what follows a call may be the caller. A word that
    // is in the code but after no call is not.
    made.set(STACK, &[0; 32]);
    made.set(STACK.offset(0x20), &[outer, worker.0]);
    made.set(STACK, &[1, made.at("worker").offset(2).0, 0xffff_ffff_8000_0000]);
    let stack = made.unwind(&Made::standing(inside, STACK, 0));
    assert_eq!(made.told(&stack)[1], ("worker".to_owned(), By::Guess));
    assert_eq!(stack.frames[1].kind, FrameKind::Guess);
    assert!(!stack.is_whole());

    // And where there is nothing, the stack ends with the reason.
    made.set(STACK, &[0; 512]);
    let stack = made.unwind(&Made::standing(inside, STACK, 0));
    assert_eq!((stack.frames.len(), stack.end), (1, End::NoCfi(inside)));
}

#[test]
fn a_jump_through_a_bad_pointer_has_its_caller() {
    let mut made = Made::new(&[]);
    let [worker, kthread, fork] = made.below(None);
    let bp = made.frames(STACK.offset(0x100), &[kthread, fork]);
    made.set(STACK, &[worker.0]);
    for pc in [0, 0x1234, 0xffff_8880_0000_0000] {
        let stack = made.unwind(&Made::standing(Addr(pc), STACK, bp));
        let names: Vec<String> = made.told(&stack).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["??", "worker", "kthread", "ret_from_fork"], "{pc:#x}");
        assert_eq!((stack.frames[1].by, stack.is_whole()), (By::Return, true));
    }
}

/// A stack of `worker`, called by `kthread`, whose return address is `hook`.
fn hooked(made: &mut Made, hook: &str) -> (Registers, Addr) {
    let [worker, _, fork] = made.below(Some("leaf"));
    let hook = made.at(hook);
    let bp = made.frames(STACK.offset(0x100), &[hook, fork]);
    made.set(STACK, &[worker.0]);
    (Made::standing(made.at("leaf"), STACK, bp), Addr(bp).offset(8))
}

fn reaches_kthread(made: &Made, registers: &Registers) {
    let stack = made.unwind(registers);
    let expected = [
        ("leaf", By::Start),
        ("worker", By::Return),
        ("kthread", By::Cfi),
        ("ret_from_fork", By::Cfi),
    ];
    assert_eq!(made.told(&stack), named(&expected), "{}", stack.end);
    assert!(stack.is_whole());
}

#[test]
fn the_function_graph_tracer_is_seen_through() {
    for (flags, retp) in [(&["-DNEW"][..], true), (&[], false)] {
        let mut made = Made::new(flags);
        let (registers, slot) = hooked(&mut made, "return_to_handler");
        let hook = made.at("return_to_handler");
        let kthread = made.after("kthread", Some("worker"));
        made.set(TASK.offset(made.member("task_struct", "ret_stack")), &[RECORDS.0]);
        made.set(TASK.offset(made.member("task_struct", "curr_ret_stack")), &[1]);
        made.set(RECORDS, &[0; 20]);
        let size = made.symbols.struct_layout("ftrace_ret_stack").unwrap().size;
        made.set(RECORDS.offset(size), &[kthread.0]);
        if retp {
            let at = made.member("ftrace_ret_stack", "retp");
            made.set(RECORDS.offset(size + at), &[slot.0]);
        }
        reaches_kthread(&made, &registers);

        // An index of an empty stack has no record.
        made.set(TASK.offset(made.member("task_struct", "curr_ret_stack")), &[0xffff_ffff]);
        assert_eq!(made.unwind(&registers).end, End::Hooked(hook));
    }
}

#[test]
fn return_probes_are_seen_through() {
    let mut made = Made::new(&["-DNEW"]);
    let (registers, slot) = hooked(&mut made, "arch_rethook_trampoline");
    let hook = made.at("arch_rethook_trampoline");
    let kthread = made.after("kthread", Some("worker"));
    let offset = |made: &Made, name: &str| made.member("rethook_node", name);
    let link = offset(&made, "llist");
    // The newest is of a call further in that has returned meanwhile.
    let (newer, ours) = (RECORDS, RECORDS.offset(0x100));
    made.set(TASK.offset(made.member("task_struct", "rethooks")), &[newer.offset(link).0]);
    for (node, next, frame) in [(newer, ours.offset(link).0, 0x10), (ours, 0, slot.0)] {
        made.set(node, &[0; 8]);
        made.set(node.offset(link), &[next]);
        made.set(node.offset(offset(&made, "ret_addr")), &[kthread.0]);
        made.set(node.offset(offset(&made, "frame")), &[frame]);
    }
    reaches_kthread(&made, &registers);

    // A list without it, and one in a circle, end.
    made.set(ours.offset(offset(&made, "frame")), &[0x18]);
    assert_eq!(made.unwind(&registers).end, End::Hooked(hook));
    made.set(ours.offset(link), &[newer.offset(link).0]);
    assert_eq!(made.unwind(&registers).end, End::Hooked(hook));
    let unknown = unwind(&made.symbols, &made.memory, &registers, None, 64);
    assert_eq!(unknown.end, End::Hooked(hook), "whose records is not known");
}

#[test]
fn return_probes_before_5_11_are_seen_through() {
    let mut made = Made::new(&[]);
    let (registers, _) = hooked(&mut made, "kretprobe_trampoline");
    let kthread = made.after("kthread", Some("worker"));
    let table = made.at("kretprobe_inst_table");
    made.set(table, &[0; 64]);
    made.set(table.offset(8 * 17), &[RECORDS.0]);
    let offset = |made: &Made, name: &str| made.member("kretprobe_instance", name);
    for (node, next, task) in
        [(RECORDS, RECORDS.offset(0x100).0, 0x1234), (RECORDS.offset(0x100), 0, TASK.0)]
    {
        made.set(node, &[0; 8]);
        made.set(node.offset(offset(&made, "hlist")), &[next]);
        made.set(node.offset(offset(&made, "ret_addr")), &[kthread.0]);
        made.set(node.offset(offset(&made, "task")), &[task]);
    }
    reaches_kthread(&made, &registers);
}
