//! One task: what `struct task_struct` says of it, for three small reads.
//!
//! The members that tell who a task is lie in three places of the structure,
//! some hundred bytes apart, so the reads are planned by the layout that this
//! kernel has (`spans`). A kernel thread has no other threads, so for it less
//! is read than for a process.

use crate::{
    base::{addr::Addr, memory::Memory, text::printable},
    kernel::{
        KernelError, Struct,
        record::{Field, Record},
    },
    symbols::placed::Symbols,
};

/// `PID_MAX_LIMIT` of a 64-bit kernel (include/linux/threads.h).
pub const MAX_PID: i32 = 4 * 1024 * 1024;

/// `PF_EXITING` and `PF_KTHREAD` (include/linux/sched.h); they have not changed
/// since 2.6.
const PF_EXITING: u64 = 0x4;
const PF_KTHREAD: u64 = 0x0020_0000;

/// All kernel pointers of x86_64 are above this.
const KERNEL_HALF: Addr = Addr(0xffff_8000_0000_0000);

/// What a task does, in the words of ps(1) and of /proc/PID/status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Runs, or waits for a CPU.
    Running,
    /// Was never run.
    New,
    /// Waits, and a signal wakes it.
    Sleeping,
    /// Waits, and signals do not wake it.
    DiskSleep,
    /// The same, but does not count as load: waits for work.
    Idle,
    /// A kernel thread that is put aside.
    Parked,
    /// Stopped by a signal.
    Stopped,
    /// Stopped by its debugger.
    Tracing,
    /// Ended, and its parent has not asked for its exit code.
    Zombie,
    /// Ended, and on its way out.
    Dead,
}

impl State {
    /// From `__state` (`state` before 5.14) and `exit_state`
    /// (include/linux/sched.h, `__task_state_index`).
    ///
    /// `TASK_PARKED` was 0x200 before 4.14 and `TASK_DEAD` 0x40, which now is
    /// `TASK_PARKED`. Nothing here needs to know which: what is dead has an
    /// `exit_state`, and what is parked has no other bit set.
    pub fn new(state: u64, exit_state: u64) -> State {
        match (state, exit_state) {
            (_, exit) if exit & 0x20 != 0 => State::Zombie,
            (_, exit) if exit & 0x10 != 0 => State::Dead,
            (0x40 | 0x200, _) => State::Parked,
            // TASK_RTLOCK_WAIT and TASK_FROZEN are reported as this one.
            (state, _) if state & 0x9000 != 0 => State::DiskSleep,
            (state, _) if state & 0x8 != 0 => State::Tracing,
            (state, _) if state & 0x4 != 0 => State::Stopped,
            (state, _) if state & 0x402 == 0x402 => State::Idle,
            (state, _) if state & 0x2 != 0 => State::DiskSleep,
            (state, _) if state & 0x1 != 0 => State::Sleeping,
            (state, _) if state & 0x800 != 0 => State::New,
            _ => State::Running,
        }
    }

    /// In words.
    pub fn word(self) -> &'static str {
        match self {
            State::Running => "running",
            State::New => "new",
            State::Sleeping => "sleeping",
            State::DiskSleep => "disk sleep",
            State::Idle => "idle",
            State::Parked => "parked",
            State::Stopped => "stopped",
            State::Tracing => "tracing stop",
            State::Zombie => "zombie",
            State::Dead => "dead",
        }
    }

    /// Whether it waits in a place that its stack tells.
    pub fn waits(self) -> bool {
        !matches!(self, State::Running | State::New | State::Zombie | State::Dead)
    }

    /// Whether it may have given its stack back.
    pub fn has_ended(self) -> bool {
        matches!(self, State::Zombie | State::Dead)
    }
}

/// A task, by what is read of it alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    /// Its `struct task_struct`.
    pub addr: Addr,
    /// The thread's number in the first pid namespace.
    pub pid: i32,
    /// The process's number: that of its first thread.
    pub tgid: i32,
    /// Its name, at most 15 bytes, safe to print.
    pub comm: String,
    /// What it does.
    pub state: State,
    /// The CPU it is on or was on last; `None` where the structure does not
    /// tell, see [`Layouts::cpu`].
    pub cpu: Option<u32>,
    /// Whether it is on that CPU now; `None` in a kernel for one CPU.
    pub on_cpu: Option<bool>,
    /// Whether it is a thread of the kernel.
    pub kernel: bool,
    /// Its parent's task, `real_parent`: the one that made it, or that took
    /// it over.
    pub parent: Addr,
    /// The lowest address of its kernel stack.
    pub stack: Addr,
    /// Where the lists go on that lead from it to others.
    pub links: Links,
}

/// Where the lists go on that lead from a task to others.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Links {
    /// `children.next`.
    pub(super) child: Addr,
    /// `sibling.next`.
    pub(super) sibling: Addr,
    /// The list of its group's threads: before, after, and its head, where
    /// that is no task. None for a kernel thread.
    pub(super) threads: Option<Threads>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Threads {
    pub next: Addr,
    pub prev: Addr,
    pub head: Option<Addr>,
}

/// The layouts needed, looked up once.
#[derive(Clone, Debug)]
pub struct Layouts {
    /// Of `struct task_struct`.
    state: Field,
    flags: Field,
    stack: Field,
    cpu: Option<Field>,
    on_cpu: Option<Field>,
    exit_state: Field,
    pid: Field,
    tgid: Field,
    parent: Field,
    comm: Field,
    pub(super) children: u64,
    pub(super) sibling: u64,
    pub(super) thread: u64,
    /// `signal`, and where the list of threads starts in what it points at.
    signal: Option<(Field, u64)>,
    /// Of `struct thread_info` at the end of the stack, up to 4.8.
    cpu_of_stack: Option<Field>,
}

impl Layouts {
    /// From the debug information of vmlinux.
    pub fn new(symbols: &Symbols) -> Result<Layouts, KernelError> {
        let task = Struct::new(symbols, "task_struct")?;
        // Since 3.14 there is the list of threads that starts in `signal`;
        // the other one went away in 6.7.
        let signal = || {
            let head = Struct::new(symbols, "signal_struct").ok()?.find("thread_head")?.0;
            Some((task.find("thread_node")?.0, (task.find("signal")?, head)))
        };
        let (thread, signal) = match signal() {
            Some((thread, signal)) => (thread, Some(signal)),
            None => (task.offset("thread_group")?, None),
        };
        let cpu = task.find("thread_info.cpu").or_else(|| task.find("cpu"));
        let of_stack = || Struct::new(symbols, "thread_info").ok()?.find("cpu");
        Ok(Layouts {
            state: task.field("__state").or_else(|_| task.field("state"))?,
            flags: task.field("flags")?,
            stack: task.field("stack")?,
            on_cpu: task.find("on_cpu"),
            exit_state: task.field("exit_state")?,
            pid: task.field("pid")?,
            tgid: task.field("tgid")?,
            parent: task.field("real_parent")?,
            comm: task.field("comm").map(|(at, len)| (at, len.clamp(1, 64)))?,
            children: task.offset("children")?,
            sibling: task.offset("sibling")?,
            thread,
            signal,
            cpu_of_stack: if cpu.is_none() { of_stack() } else { None },
            cpu,
        })
    }

    /// The task at `addr`: three reads in every usual layout, one of them
    /// after the others. An error that is no miss means that there is none.
    pub fn read(&self, memory: &dyn Memory, addr: Addr) -> Result<Task, KernelError> {
        let first = [Some(self.state), Some(self.flags), Some(self.stack), self.cpu, self.on_cpu];
        let first: Vec<Field> = first.into_iter().flatten().collect();
        let mut record = Record::read(memory, addr, &first, 1)?;
        let flags = record.uint(self.flags);
        let kernel = flags & PF_KTHREAD != 0;
        let mut rest = vec![
            self.pid,
            self.tgid,
            self.parent,
            self.comm,
            (self.children, 8),
            (self.sibling, 8),
        ];
        if !kernel {
            rest.push((self.thread, 16));
            rest.extend(self.signal.map(|(signal, _)| signal));
        }
        if flags & PF_EXITING != 0 {
            rest.push(self.exit_state);
        }
        record.add(Record::read(memory, addr, &rest, 2)?);
        let word = |at| Addr(record.uint((at, 8)));
        let head = self.signal.map(|(signal, head)| Addr(record.uint(signal)).offset(head));
        let threads = Threads { next: word(self.thread), prev: word(self.thread + 8), head };
        let exit_state = if flags & PF_EXITING != 0 { record.uint(self.exit_state) } else { 0 };
        let comm = record.bytes(self.comm).split(|&byte| byte == 0).next().unwrap_or_default();
        let task = Task {
            addr,
            pid: record.uint(self.pid) as i32,
            tgid: record.uint(self.tgid) as i32,
            comm: printable(&String::from_utf8_lossy(comm)),
            state: State::new(record.uint(self.state), exit_state),
            cpu: self.cpu.map(|field| record.uint(field) as u32),
            on_cpu: self.on_cpu.map(|field| record.uint(field) != 0),
            kernel,
            parent: Addr(record.uint(self.parent)),
            stack: Addr(record.uint(self.stack)),
            links: Links {
                child: word(self.children),
                sibling: word(self.sibling),
                threads: (!kernel).then_some(threads),
            },
        };
        let numbers = 1..=MAX_PID;
        if !numbers.contains(&task.pid)
            || !numbers.contains(&task.tgid)
            || task.parent < KERNEL_HALF
        {
            return Err(KernelError::Implausible(format!("there is no task at {addr}")));
        }
        Ok(task)
    }

    /// The CPU a task is on or was on last. One more read up to 4.8, where
    /// `struct thread_info` is at the end of the stack.
    pub fn cpu(&self, memory: &dyn Memory, task: &Task) -> Result<Option<u32>, KernelError> {
        match self.cpu_of_stack {
            Some((at, len)) if task.cpu.is_none() && !task.state.has_ended() => {
                Ok(Some(memory.uint(task.stack.offset(at), len.min(8) as usize)? as u32))
            }
            _ => Ok(task.cpu),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::memory::{Recorder, Sparse};
    use crate::kernel::record::packets;
    use proptest::prelude::*;

    /// The layout of the test guest's 6.1 (pahole).
    pub(in crate::kernel) fn layouts() -> Layouts {
        Layouts {
            state: (24, 4),
            flags: (44, 4),
            stack: (32, 8),
            cpu: Some((20, 4)),
            on_cpu: Some((52, 4)),
            exit_state: (804, 4),
            pid: (912, 4),
            tgid: (916, 4),
            parent: (928, 8),
            comm: (1408, 16),
            children: 944,
            sibling: 960,
            thread: 1104,
            signal: Some(((1464, 8), 16)),
            cpu_of_stack: None,
        }
    }

    impl Layouts {
        /// The same as it would have been in an old kernel.
        pub(in crate::kernel) fn old(self) -> Layouts {
            Layouts { signal: None, cpu: None, cpu_of_stack: Some((4, 4)), ..self }
        }
    }

    /// A task in memory.
    pub(in crate::kernel) struct Made {
        pub addr: Addr,
        pub pid: i32,
        pub tgid: i32,
        pub parent: Addr,
        pub flags: u32,
        pub child: Addr,
        pub sibling: Addr,
        pub signal: Addr,
        pub thread: (Addr, Addr),
    }

    impl Made {
        pub fn new(addr: Addr, pid: i32, parent: Addr) -> Made {
            let signal = addr.offset(0x8_0000);
            let head = signal.offset(16);
            Made {
                addr,
                pid,
                tgid: pid,
                parent,
                flags: 0x40_0000,
                child: addr.offset(944),
                sibling: parent.offset(944),
                signal,
                thread: (head, head),
            }
        }

        pub fn put(&self, memory: &mut Sparse) {
            let mut bytes = vec![0; 1536];
            let mut set = |at: usize, value: &[u8]| {
                bytes[at..at + value.len()].copy_from_slice(value);
            };
            set(20, &1u32.to_le_bytes());
            set(24, &1u32.to_le_bytes());
            set(32, &0xffff_c900_0010_0000u64.to_le_bytes());
            set(44, &self.flags.to_le_bytes());
            set(912, &self.pid.to_le_bytes());
            set(916, &self.tgid.to_le_bytes());
            set(928, &self.parent.0.to_le_bytes());
            set(944, &self.child.0.to_le_bytes());
            set(960, &self.sibling.0.to_le_bytes());
            set(1104, &self.thread.0.0.to_le_bytes());
            set(1112, &self.thread.1.0.to_le_bytes());
            set(1408, format!("task{}", self.pid).as_bytes());
            set(1464, &self.signal.0.to_le_bytes());
            memory.insert(self.addr, &bytes);
        }
    }

    const AT: Addr = Addr(0xffff_8880_0100_0000);
    const PARENT: Addr = Addr(0xffff_8880_0200_0000);

    #[test]
    fn a_task_says_who_it_is() {
        let mut memory = Sparse::new();
        Made::new(AT, 7, PARENT).put(&mut memory);
        let task = layouts().read(&memory, AT).unwrap();
        assert_eq!((task.pid, task.tgid, task.comm.as_str()), (7, 7, "task7"));
        assert_eq!((task.state, task.cpu, task.on_cpu), (State::Sleeping, Some(1), Some(false)));
        assert_eq!((task.parent, task.kernel), (PARENT, false));
        memory.insert(AT.offset(912), &[0xff; 4]);
        assert!(matches!(layouts().read(&memory, AT), Err(KernelError::Implausible(_))));
    }

    /// The same of Debian's 6.1 for amd64, which has every feature.
    fn distribution() -> Layouts {
        Layouts {
            exit_state: (2308, 4),
            pid: (2416, 4),
            tgid: (2420, 4),
            parent: (2432, 8),
            comm: (2976, 16),
            children: 2448,
            sibling: 2464,
            thread: 2608,
            signal: Some(((3072, 8), 16)),
            ..layouts()
        }
    }

    /// The reads for a task of this layout at `addr` until it is known.
    fn reads(layouts: &Layouts, addr: Addr, flags: u32) -> Vec<u64> {
        let mut guest = Sparse::new();
        guest.insert(addr, &[0; 4096]);
        guest.insert(addr.offset(layouts.flags.0), &flags.to_le_bytes());
        guest.insert(addr.offset(layouts.pid.0), &[7, 0, 0, 0, 7, 0, 0, 0]);
        guest.insert(addr.offset(layouts.parent.0), &PARENT.0.to_le_bytes());
        let mut memory = Sparse::new();
        let mut lengths = Vec::new();
        for _ in 0..4 {
            let recorder = Recorder::new(&memory);
            let done = layouts.read(&recorder, addr).is_ok();
            for miss in recorder.into_misses() {
                lengths.extend(vec![miss.len; packets(miss.start, (0, miss.len)) as usize]);
                memory.insert(miss.start, &guest.bytes(miss.start, miss.len as usize).unwrap());
            }
            if done {
                return lengths;
            }
        }
        panic!("it is not known after {lengths:?}");
    }

    #[test]
    fn a_task_costs_three_reads_wherever_its_structure_lies() {
        assert_eq!(reads(&layouts(), AT, PF_KTHREAD as u32), [36, 56, 16]);
        assert_eq!(reads(&layouts(), AT, 0), [36, 208, 64]);
        assert_eq!(reads(&distribution(), AT, 0), [36, 208, 104]);
        // Where slabs of 32 KiB put structures of these sizes.
        for (layouts, size, count) in [(layouts(), 6528, 5), (distribution(), 9792, 3)] {
            for object in 0..count {
                let addr = AT.offset(object * size);
                for flags in [0, PF_KTHREAD as u32] {
                    let reads = reads(&layouts, addr, flags);
                    assert!(reads.len() <= 3, "{addr} {flags:#x}: {reads:?}");
                }
                // Only of a task on its way out its exit_state is read too.
                assert!(reads(&layouts, addr, PF_EXITING as u32).len() <= 4);
            }
        }
    }

    #[test]
    fn states_are_those_of_ps() {
        // 6.1, as /proc/PID/stat has them.
        let word = |state, exit| State::new(state, exit).word();
        assert_eq!(word(0, 0), "running");
        assert_eq!(word(1, 0), "sleeping");
        assert_eq!(word(0x2001, 0), "sleeping", "freezable");
        assert_eq!(word(2, 0), "disk sleep");
        assert_eq!(word(0x102, 0), "disk sleep", "killable");
        assert_eq!(word(0x402, 0), "idle");
        assert_eq!(word(0x104, 0), "stopped");
        assert_eq!(word(8, 0), "tracing stop");
        assert_eq!(word(0x40, 0), "parked");
        assert_eq!(word(0x80, 0x20), "zombie");
        assert_eq!(word(0x80, 0x10), "dead");
        assert_eq!(word(0x800, 0), "new");
        assert_eq!(word(0x8000, 0), "disk sleep", "frozen");
        // 4.2.
        assert_eq!(word(64, 32), "zombie");
        assert_eq!(word(128 | 2, 0), "disk sleep", "killable");
        assert_eq!(word(128 | 4, 0), "stopped");
        assert_eq!(word(512, 0), "parked");
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_task_or_none(noise in prop::collection::vec(any::<u8>(), 1536)) {
            let mut memory = Sparse::new();
            memory.insert(AT, &noise);
            let _ = layouts().read(&memory, AT);
        }
    }
}
