//! What the stub has room for. The limits of single packets are where packets
//! are built: [`MAX_READ`](crate::rsp::command::MAX_READ),
//! [`MAX_PAYLOAD`](crate::rsp::command::MAX_PAYLOAD) and
//! [`MAX_MONITOR`](crate::rsp::command::MAX_MONITOR).

/// How many addresses can have had a software breakpoint in one connection:
/// `KGDB_MAX_BREAKPOINTS` in `include/linux/kgdb.h`. A removed one keeps its
/// slot (`BP_REMOVED`) for its own address; only `?`, `D`, `k` and `3` free
/// slots (`dbg_remove_all_break` in `kernel/debug/debug_core.c`).
pub const BREAKPOINTS: usize = 1000;

/// Hardware breakpoints and watchpoints on x86: `HBP_NUM` in
/// `arch/x86/include/asm/hw_breakpoint.h`, the four debug registers. The
/// kernel's other users (perf, ptrace) take from the same four.
pub const HARDWARE_POINTS: usize = 4;

/// Threads in one `qfThreadInfo` or `qsThreadInfo` page
/// (`gdb_cmd_query` in `kernel/debug/gdbstub.c`).
pub const THREADS_PER_PAGE: usize = 17;

/// More online CPUs than this overrun the stub's buffer in `qfThreadInfo`,
/// which writes nine bytes for each into 1024 without a check
/// (`gdb_cmd_query`): 17 tasks of up to nine bytes and the `m` also have to
/// fit. Do not list threads then, read the kernel's own lists.
pub const MAX_LISTED_CPUS: usize = 96;
