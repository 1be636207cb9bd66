//! What the stub has room for. The limits of single packets are where packets
//! are built: [`MAX_READ`](crate::rsp::command::MAX_READ),
//! [`MAX_PAYLOAD`](crate::rsp::command::MAX_PAYLOAD) and
//! [`MAX_MONITOR`](crate::rsp::command::MAX_MONITOR).

/// How many addresses can have had a software breakpoint in one connection:
/// `KGDB_MAX_BREAKPOINTS` in `include/linux/kgdb.h`. A removed one keeps its
/// slot (`BP_REMOVED`) for its own address; only `?`, `D`, `k` and `3` free
/// slots (`dbg_remove_all_break` in `kernel/debug/debug_core.c`).
pub const BREAKPOINTS: usize = 1000;
