//! Thread ids as kgdb means them, and its list of them.

use std::collections::BTreeSet;

use crate::rsp::thread::ThreadId;

/// Most threads that are listed; `PID_MAX_LIMIT` is four million, no serial
/// line has time for that.
const MOST: usize = 100_000;

/// Who a thread id stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Who {
    /// Whatever task runs on this CPU at this stop: kgdb's `shadowCPU<n>`.
    Cpu(u32),
    /// The task with this pid, in the initial namespace.
    Task(u32),
    /// The task of the CPU that stopped.
    Current,
}

impl From<ThreadId> for Who {
    /// `getthread` in `kernel/debug/gdbstub.c`: 0 and -1 are the CPU that
    /// stopped, -2-n is CPU n.
    fn from(id: ThreadId) -> Who {
        match id.0 {
            0 | -1 => Who::Current,
            pid @ 1.. => Who::Task(pid.unsigned_abs()),
            shadow => Who::Cpu((-2 - i64::from(shadow)) as u32),
        }
    }
}

impl Who {
    /// The id to put on the wire. `None` for numbers no kernel has.
    ///
    /// Never ask for a CPU that is not online: the stub follows its run queue
    /// without a check.
    pub fn id(self) -> Option<ThreadId> {
        match self {
            Who::Current => Some(ThreadId::CURRENT),
            Who::Task(pid) => i32::try_from(pid).ok().filter(|&pid| pid > 0).map(ThreadId),
            Who::Cpu(cpu) => {
                let id = -2 - i64::from(cpu);
                i32::try_from(id).ok().map(ThreadId)
            }
        }
    }
}

/// Collects the pages of a thread list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThreadList {
    seen: BTreeSet<Who>,
}

impl ThreadList {
    /// Adds one page and says whether to ask for another. An empty page ends
    /// the list; so does one that brings nothing new, or a list without end.
    pub fn add(&mut self, page: &[ThreadId]) -> bool {
        let before = self.seen.len();
        self.seen.extend(page.iter().map(|&id| Who::from(id)));
        self.seen.len() > before && self.seen.len() < MOST
    }

    /// CPUs first, then tasks, in order. A running task is there twice: by
    /// itself and as its CPU.
    pub fn iter(&self) -> impl Iterator<Item = Who> + '_ {
        self.seen.iter().copied()
    }
}

/// The name in the answer to `qThreadExtraInfo`: 16 bytes of `comm`, garbage
/// after the first NUL (`gdb_cmd_query`).
pub fn name(info: &[u8]) -> String {
    let end = info.iter().position(|&byte| byte == 0).unwrap_or(info.len());
    String::from_utf8_lossy(&info[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn who_is_who() {
        assert_eq!(Who::from(ThreadId(-2)), Who::Cpu(0));
        assert_eq!(Who::from(ThreadId(-5)), Who::Cpu(3));
        assert_eq!(Who::from(ThreadId(500)), Who::Task(500));
        assert_eq!(Who::from(ThreadId(0)), Who::Current);
        assert_eq!(Who::Task(u32::MAX).id(), None);
        assert_eq!(name(b"sh\0garbage"), "sh");
    }

    #[test]
    fn a_list_ends() {
        let mut list = ThreadList::default();
        assert!(list.add(&[-2, -3, 1, 2].map(ThreadId)));
        assert!(list.add(&[ThreadId(3)]));
        assert!(!list.add(&[ThreadId(3)]));
        assert!(!list.add(&[]));
        let all: Vec<_> = list.iter().collect();
        assert_eq!(all, [Who::Cpu(0), Who::Cpu(1), Who::Task(1), Who::Task(2), Who::Task(3)]);
    }

    proptest! {
        #[test]
        fn ids_survive(value in any::<i32>()) {
            let who = Who::from(ThreadId(value));
            let id = who.id().unwrap();
            prop_assert_eq!(Who::from(id), who);
        }
    }
}
