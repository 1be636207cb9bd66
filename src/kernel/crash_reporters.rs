//! Functions that only report what is wrong: between the code that did it and
//! the debugger. They are on the stack of every panic and warning, and never
//! the cause.

/// By name: kernel/panic.c, lib/bug.c, arch/x86/kernel/{traps,dumpstack}.c,
/// arch/x86/mm/fault.c, kernel/notifier.c, kernel/debug/debug_core.c,
/// kernel/watchdog.c; of 4.2, 6.1 and what was between and after.
const REPORTERS: &[&str] = &[
    // The way into the debugger.
    "arch_kgdb_breakpoint",
    "kgdb_breakpoint",
    "kgdb_panic",
    "kgdb_panic_event",
    "notifier_call_chain",
    "__atomic_notifier_call_chain",
    "atomic_notifier_call_chain",
    "notify_die",
    // Panic.
    "panic",
    "vpanic",
    "nmi_panic",
    "panic_on_oops",
    "check_panic_on_warn",
    "__stack_chk_fail",
    // WARN.
    "__warn",
    "__warn_printk",
    "warn_slowpath_common",
    "warn_slowpath_fmt",
    "warn_slowpath_fmt_taint",
    "warn_slowpath_null",
    "__report_bug",
    "report_bug",
    "handle_bug",
    "fixup_bug",
    // Oops.
    "oops_enter",
    "oops_begin",
    "oops_end",
    "__die",
    "__die_body",
    "die",
    "die_addr",
    "handle_stack_overflow",
    "page_fault_oops",
    "kernelmode_fixup_or_oops",
    "bad_area_nosemaphore",
    "__bad_area_nosemaphore",
    "bad_area",
    "__bad_area",
    "no_context",
    "do_kern_addr_fault",
    "do_user_addr_fault",
    "handle_page_fault",
    "__do_page_fault",
    "do_page_fault",
    "exc_page_fault",
    "do_error_trap",
    "do_trap",
    "do_trap_no_signal",
    "handle_invalid_op",
    "gp_try_fixup_and_notify",
    "exc_general_protection",
    "do_general_protection",
    "exc_invalid_op",
    "do_invalid_op",
    "exc_divide_error",
    "do_divide_error",
    "exc_double_fault",
    "do_double_fault",
    "exc_stack_segment",
    "exc_segment_not_present",
    "exc_alignment_check",
];

/// Whether a function only reports. The compiler's copies and parts of one are
/// the same (`die.part.0`, `oops_end.cold`).
pub fn is_reporter(function: &str) -> bool {
    let plain = function.split('.').next().unwrap_or(function);
    let plain = plain.strip_prefix("__").filter(|name| REPORTERS.contains(name)).unwrap_or(plain);
    REPORTERS.contains(&plain)
}

#[cfg(test)]
mod tests {
    use super::is_reporter;

    #[test]
    fn reporters_are_told_from_what_they_report() {
        for name in
            ["panic", "report_bug", "__warn", "die.part.0", "oops_end.cold", "__exc_page_fault"]
        {
            assert!(is_reporter(name), "{name}");
        }
        for name in ["HgfsForgetFile", "watchdog", "panic_blink", "do_exit", ""] {
            assert!(!is_reporter(name), "{name}");
        }
    }
}
