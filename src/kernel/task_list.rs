//! Every task of a stopped kernel, but for the idle ones.
//!
//! The walk goes down the tree of processes from `init_task`: children of a
//! task (`children`, `sibling`), and the threads of a process (`thread_node`
//! from `signal->thread_head`; `thread_group` in old kernels). The list
//! `init_task.tasks` has the same processes, since both are changed together
//! under `tasklist_lock` (copy_process, __unhash_process, de_thread). But its
//! links lie far from the members that tell who a task is, while those of the
//! tree are beside the pid: three reads a task instead of four, and a third of
//! the bytes. It also gives the parents for nothing.

use crate::{
    base::{
        addr::Addr,
        memory::{Gap, Memory},
    },
    kernel::{
        KernelError, Struct, symbol,
        tasks::{Layouts, MAX_PID, Task},
    },
    symbols::placed::Symbols,
};
use std::collections::HashMap;

/// More is not said of a list that is damaged in many places.
const MOST_TROUBLES: usize = 8;

/// `LIST_POISON1` and `LIST_POISON2` of x86_64 (include/linux/poison.h, with
/// CONFIG_ILLEGAL_POINTER_VALUE): what the links of a removed entry hold.
const POISONS: [u64; 3] = [0xdead_0000_0000_0100, 0xdead_0000_0000_0122, 0xdead_0000_0000_0200];

/// A walk that is under way. It keeps what it found, so nothing is asked for
/// twice; on a miss it goes on from where it is.
#[derive(Debug)]
pub struct Walk {
    layouts: Layouts,
    root: Addr,
    started: bool,
    /// Lists that are not at their end; the last one is followed.
    cursors: Vec<Cursor>,
    tasks: Vec<Task>,
    /// Where each task is in `tasks`.
    known: HashMap<Addr, usize>,
    troubles: Vec<String>,
}

/// A place in a list.
#[derive(Debug)]
struct Cursor {
    kind: Kind,
    /// Whose list it is.
    pid: i32,
    /// The link to follow.
    node: Addr,
    /// The link at which the list is over.
    end: Addr,
    /// A head in the middle that is no task.
    through: Option<Addr>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Children,
    Threads,
}

impl Walk {
    /// At the start.
    pub fn new(symbols: &Symbols) -> Result<Walk, KernelError> {
        Ok(Walk::from(Layouts::new(symbols)?, symbol(symbols, "init_task")?))
    }

    fn from(layouts: Layouts, root: Addr) -> Walk {
        Walk {
            layouts,
            root,
            started: false,
            cursors: Vec::new(),
            tasks: Vec::new(),
            known: HashMap::new(),
            troubles: Vec::new(),
        }
    }

    /// The tasks found so far: parents before their children, threads after
    /// the first one of their process.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// The task with this `struct task_struct`, if it was met.
    pub fn task(&self, addr: Addr) -> Option<&Task> {
        self.tasks.get(*self.known.get(&addr)?)
    }

    /// What is wrong with the guest's lists, in words.
    pub fn troubles(&self) -> &[String] {
        &self.troubles
    }

    /// `init_task`, the parent of all: no task of the list, with the pid 0.
    pub fn root(&self) -> Addr {
        self.root
    }

    /// Layouts of `struct task_struct`.
    pub fn layouts(&self) -> &Layouts {
        &self.layouts
    }

    /// Whether every list was followed to its end.
    pub fn is_over(&self) -> bool {
        self.started && self.cursors.is_empty()
    }

    /// Goes on by one task. `Ok(false)` at the end. A miss is an error, after
    /// which the same call is made again; damage is not, it ends one list and
    /// is told by [`Walk::troubles`].
    pub fn step(&mut self, memory: &dyn Memory) -> Result<bool, Gap> {
        if !self.started {
            self.start(memory)?;
        }
        while let Some(cursor) = self.cursors.last_mut() {
            if cursor.node == cursor.end {
                self.cursors.pop();
                continue;
            }
            if cursor.through == Some(cursor.node) {
                match memory.u64(cursor.node) {
                    Ok(next) => (cursor.node, cursor.through) = (Addr(next), None),
                    Err(gap) if gap.is_missing() => return Err(gap),
                    Err(gap) => self.damaged(gap.to_string()),
                }
                continue;
            }
            if let Some(task) = self.next_task(memory)? {
                self.follow(task);
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn start(&mut self, memory: &dyn Memory) -> Result<(), Gap> {
        let head = self.root.offset(self.layouts.children);
        match memory.u64(head) {
            Ok(first) => self.children(0, Addr(first), self.root),
            Err(gap) if gap.is_missing() => return Err(gap),
            Err(gap) => self.troubles.push(format!("there is no list of tasks: {gap}")),
        }
        self.started = true;
        Ok(())
    }

    /// The task at the last cursor; `None` when its list is damaged there and
    /// is not followed any more.
    fn next_task(&mut self, memory: &dyn Memory) -> Result<Option<Task>, Gap> {
        let Some(cursor) = self.cursors.last() else { return Ok(None) };
        let node = cursor.node;
        let addr = node.back(match cursor.kind {
            Kind::Children => self.layouts.sibling,
            Kind::Threads => self.layouts.thread,
        });
        if POISONS.contains(&node.0) {
            self.damaged(format!("it goes on at {node}, the mark of a removed entry"));
            return Ok(None);
        }
        if let Some(known) = self.task(addr) {
            let pid = known.pid;
            self.damaged(format!("it comes to pid {pid} for the second time"));
            return Ok(None);
        }
        let task = match self.layouts.read(memory, addr) {
            Ok(task) => task,
            Err(KernelError::Gap(gap)) if gap.is_missing() => return Err(gap),
            Err(error) => {
                self.damaged(error.to_string());
                return Ok(None);
            }
        };
        // A task that is in the wrong list leads into another one's lists.
        let is_right = match cursor.kind {
            Kind::Children => task.pid == task.tgid,
            Kind::Threads => task.tgid == cursor.pid,
        };
        if !is_right {
            let (pid, tgid) = (task.pid, task.tgid);
            self.damaged(format!("it has pid {pid}, a thread of {tgid}"));
            return Ok(None);
        }
        Ok(Some(task))
    }

    /// Takes a task, and what its lists lead to.
    fn follow(&mut self, task: Task) {
        let links = &task.links;
        let Some(cursor) = self.cursors.last_mut() else { return };
        if cursor.kind == Kind::Threads {
            if let Some(threads) = links.threads {
                cursor.node = threads.next;
            } else {
                cursor.node = cursor.end;
            }
            // What a thread made comes after all threads.
            let at = self.cursors.len() - 1;
            self.children(task.pid, links.child, task.addr);
            let made = self.cursors.split_off(at + 1);
            self.cursors.splice(at..at, made);
        } else {
            cursor.node = links.sibling;
            self.children(task.pid, links.child, task.addr);
            if let Some(threads) = links.threads {
                let own = task.addr.offset(self.layouts.thread);
                let whole = threads.head.filter(|head| threads.prev == *head);
                let through = threads.head.filter(|_| whole.is_none());
                self.cursors.push(Cursor {
                    kind: Kind::Threads,
                    pid: task.tgid,
                    node: threads.next,
                    // The first of a process is the first of the list, but
                    // for a moment in `de_thread`.
                    end: whole.unwrap_or(own),
                    through,
                });
            }
        }
        self.known.insert(task.addr, self.tasks.len());
        self.tasks.push(task);
    }

    fn children(&mut self, pid: i32, first: Addr, parent: Addr) {
        let end = parent.offset(self.layouts.children);
        self.cursors.push(Cursor { kind: Kind::Children, pid, node: first, end, through: None });
    }

    /// The list of the last cursor can't be followed.
    fn damaged(&mut self, why: String) {
        let Some(cursor) = self.cursors.pop() else { return };
        if self.troubles.len() < MOST_TROUBLES {
            let what = match cursor.kind {
                Kind::Children => "children",
                Kind::Threads => "threads",
            };
            self.troubles
                .push(format!("the list of the {what} of pid {} is damaged: {why}", cursor.pid));
        }
    }
}

/// How many tasks the guest counts, the idle ones apart. One read of 4 bytes.
pub fn count(symbols: &Symbols, memory: &dyn Memory) -> Result<u32, KernelError> {
    Ok(memory.u32(symbol(symbols, "nr_threads")?)?)
}

/// The `struct task_struct` of a pid of the first namespace, by the kernel's
/// own table (`find_task_by_pid_ns`): about seven small reads, one after the
/// other. `None` when there is no such pid. Fails for kernels before 4.20,
/// whose tables were of other kinds.
pub fn by_pid(
    symbols: &Symbols,
    memory: &dyn Memory,
    pid: i32,
) -> Result<Option<Addr>, KernelError> {
    let namespace = symbol(symbols, "init_pid_ns")?;
    let head = Struct::new(symbols, "pid_namespace")?.offset("idr.idr_rt.xa_head")?;
    let node = Struct::new(symbols, "xa_node")?;
    let (shift, slots) = (node.offset("shift")?, node.field("slots")?);
    let pid_layout = Struct::new(symbols, "pid")?;
    let task = Struct::new(symbols, "task_struct")?;
    // PIDTYPE_PID is the first of both arrays.
    let (first, link) = (pid_layout.offset("tasks")?, task.offset("pid_links")?);
    let count = slots.1 / 8;
    if !(1..=MAX_PID).contains(&pid) || !count.is_power_of_two() {
        return Ok(None);
    }
    let mut entry = memory.u64(namespace.offset(head))?;
    // An entry with the low bits 10 is a node (include/linux/xarray.h,
    // xa_is_node); 64 slots a level, so six levels are 36 bits.
    let mut top = true;
    for _ in 0..6 {
        if entry & 3 != 2 || entry <= 4096 {
            break;
        }
        let node = Addr(entry - 2);
        let shift = memory.uint(node.offset(shift), 1)?.min(60);
        let index = pid as u64 >> shift;
        if top && index >= count {
            return Ok(None);
        }
        top = false;
        entry = memory.u64(node.offset(slots.0 + (index & (count - 1)) * 8))?;
    }
    if entry == 0 {
        return Ok(None);
    }
    if entry & 3 != 0 || top {
        return Err(KernelError::Implausible(format!("the table of pids is damaged at {pid}")));
    }
    let node = memory.u64(Addr(entry).offset(first))?;
    // A number may stay in use, by a session say, after its task is gone.
    Ok((node != 0).then(|| Addr(node).back(link)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::memory::Sparse;
    use crate::kernel::tasks::tests::{Made, layouts};
    use proptest::prelude::*;

    const ROOT: Addr = Addr(0xffff_ffff_81c1_0a40);
    const CHILDREN: u64 = 944;
    const SIBLING: u64 = 960;
    const THREAD: u64 = 1104;

    /// `struct task_struct` of the n-th task.
    fn at(n: u64) -> Addr {
        Addr(0xffff_8880_0100_0000 + n * 0x2000)
    }

    /// init (1) with two children (3, with a thread 4 that made 5, and 6), and
    /// kthreadd (2) with a kernel thread (7).
    fn family() -> Vec<Made> {
        let made = |pid: i32, parent: Addr| Made::new(at(pid as u64), pid, parent);
        let mut tasks = vec![
            made(1, ROOT),
            made(2, ROOT),
            made(3, at(1)),
            made(4, at(1)),
            made(5, at(4)),
            made(6, at(1)),
            made(7, at(2)),
        ];
        tasks[0].child = at(3).offset(SIBLING);
        tasks[0].sibling = at(2).offset(SIBLING);
        tasks[1].child = at(7).offset(SIBLING);
        tasks[1].flags = 0x20_8040;
        tasks[6].flags = 0x20_8040;
        tasks[2].sibling = at(6).offset(SIBLING);
        let head = tasks[2].signal.offset(16);
        tasks[2].thread = (at(4).offset(THREAD), head);
        tasks[3].tgid = 3;
        tasks[3].signal = tasks[2].signal;
        tasks[3].thread = (head, at(3).offset(THREAD));
        tasks[3].child = at(5).offset(SIBLING);
        tasks
    }

    fn memory(tasks: &[Made]) -> Sparse {
        let mut memory = Sparse::new();
        memory.insert(ROOT.offset(CHILDREN), &at(1).offset(SIBLING).0.to_le_bytes());
        for task in tasks {
            task.put(&mut memory);
        }
        memory
    }

    fn walk(memory: &Sparse) -> (Vec<i32>, Vec<String>) {
        let mut walk = Walk::from(layouts(), ROOT);
        while walk.step(memory) == Ok(true) {}
        (walk.tasks.iter().map(|task| task.pid).collect(), walk.troubles)
    }

    #[test]
    fn everybody_is_found_threads_after_their_first() {
        assert_eq!(walk(&memory(&family())), (vec![1, 3, 4, 5, 6, 2, 7], vec![]));
    }

    #[test]
    fn a_first_thread_that_is_not_first_in_the_list_loses_nobody() {
        // As in `de_thread`: head, 4, 3.
        let mut tasks = family();
        let head = tasks[2].signal.offset(16);
        tasks[2].thread = (head, at(4).offset(THREAD));
        tasks[3].thread = (at(3).offset(THREAD), head);
        let mut memory = memory(&tasks);
        memory.insert(head, &at(4).offset(THREAD).0.to_le_bytes());
        assert_eq!(walk(&memory), (vec![1, 3, 4, 5, 6, 2, 7], vec![]));
    }

    #[test]
    fn kernels_with_a_ring_of_threads_and_the_cpu_on_the_stack() {
        // Before 3.14 a process's threads were a ring without a head; up to
        // 4.8 `struct thread_info` was at the end of the stack.
        let mut tasks = family();
        tasks[0].thread = (at(1).offset(THREAD), at(1).offset(THREAD));
        tasks[2].thread = (at(4).offset(THREAD), at(4).offset(THREAD));
        tasks[3].thread = (at(3).offset(THREAD), at(3).offset(THREAD));
        for alone in [4, 5] {
            let own = tasks[alone].addr.offset(THREAD);
            tasks[alone].thread = (own, own);
        }
        let mut memory = memory(&tasks);
        memory.insert(Addr(0xffff_c900_0010_0000), &[0, 0, 0, 0, 3, 0, 0, 0]);
        let mut walk = Walk::from(layouts().old(), ROOT);
        while walk.step(&memory) == Ok(true) {}
        let pids: Vec<_> = walk.tasks().iter().map(|task| task.pid).collect();
        assert_eq!((pids, walk.troubles().len()), (vec![1, 3, 4, 5, 6, 2, 7], 0));
        let first = &walk.tasks()[0];
        assert_eq!((first.cpu, walk.layouts().cpu(&memory, first)), (None, Ok(Some(3))));
    }

    #[test]
    fn a_miss_is_told_and_the_walk_goes_on_from_there() {
        let whole = memory(&family());
        let mut known = Sparse::new();
        let mut walk = Walk::from(layouts(), ROOT);
        let mut rounds = 0;
        loop {
            let recorder = crate::base::memory::Recorder::new(&known);
            let more = walk.step(&recorder);
            let misses = recorder.into_misses();
            assert_eq!(more.is_err(), !misses.is_empty());
            for miss in misses {
                rounds += 1;
                let again = known.bytes(miss.start, miss.len as usize);
                assert!(again.is_err(), "asked for twice: {miss:?}");
                known.insert(miss.start, &whole.bytes(miss.start, miss.len as usize).unwrap());
            }
            if more == Ok(false) {
                break;
            }
        }
        assert!(walk.is_over());
        assert_eq!(walk.tasks().len(), 7);
        assert_eq!(walk.task(at(5)).map(|task| task.parent), Some(at(4)));
        assert_eq!(rounds, 1 + 3 * 7);
    }

    #[test]
    fn damage_ends_one_list_and_is_told() {
        // A loop among siblings.
        let mut tasks = family();
        tasks[5].sibling = at(3).offset(SIBLING);
        let (pids, troubles) = walk(&memory(&tasks));
        assert_eq!(pids, [1, 3, 4, 5, 6, 2, 7]);
        assert_eq!(
            troubles,
            ["the list of the children of pid 1 is damaged: it comes to pid 3 for the second time"]
        );
        // A removed entry, an unreadable one, and a thread of someone else.
        tasks[5].sibling = Addr(POISONS[0]);
        tasks[1].child = Addr(0x18);
        tasks[3].tgid = 9;
        let mut memory = memory(&tasks);
        memory.insert_fault(Addr(0x18).back(SIBLING).offset(24));
        let (pids, troubles) = walk(&memory);
        assert_eq!(pids, [1, 3, 6, 2]);
        assert_eq!(troubles.len(), 3);
        assert!(troubles[0].contains("threads of pid 3") && troubles[0].contains("a thread of 9"));
        assert!(troubles[1].contains("mark of a removed entry"));
        assert!(troubles[2].starts_with("the list of the children of pid 2 is damaged"));
    }

    proptest! {
        #[test]
        fn any_memory_is_walked_to_an_end(
            noise in prop::collection::vec(any::<u8>(), 1..200),
            task in 1u64..8,
            offset in 0u64..1500,
        ) {
            let mut memory = memory(&family());
            memory.insert(at(task).offset(offset), &noise);
            let (pids, _) = walk(&memory);
            prop_assert!(pids.len() <= 7);
        }
    }
}
