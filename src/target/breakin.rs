//! Stopping a running kernel.
//!
//! On x86 the serial driver does not look for packets or Ctrl-C while the
//! kernel runs (`kgdboc` registers no receive hook with 8250), so a packet
//! would only reach the shell. What works over the line is sysrq: a BREAK and,
//! within 5 seconds, the key `g` (`uart_handle_sysrq_char` in
//! `include/linux/serial_core.h`). It needs the port to be a registered
//! console, and `kernel.sysrq` to be exactly 1.

use std::time::Duration;

/// One thing to do on the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Wait so long.
    Pause(Duration),
    /// Send a BREAK.
    Break,
    /// Send these bytes.
    Send(&'static [u8]),
}

/// BREAK, then the sysrq key for the debugger.
///
/// The pause is for what was typed before: QEMU's telnet passes a BREAK on
/// ahead of data that came in the same piece (`tcp_chr_process_IAC_bytes`), and
/// the kernel would take that data for the key (measured, QEMU 7.2).
pub const SYSRQ: [Step; 3] =
    [Step::Pause(Duration::from_millis(100)), Step::Break, Step::Send(b"g")];

/// How long a kernel takes to stop after the key: the roundup of the CPUs
/// gives up after a second, the banner goes over the line.
pub const STOPS_WITHIN: Duration = Duration::from_secs(3);

/// What the user can type in the guest as root when the line has no BREAK.
/// `write_sysrq_trigger` does not look at `kernel.sysrq`.
pub const BY_HAND: &str = "echo g > /proc/sysrq-trigger";

/// Why a BREAK and `g` did nothing, in the order of likelihood, when the guest
/// printed nothing that says it ([`Sign`](super::console::Sign)).
pub const SILENT_CAUSES: [&str; 3] = [
    "the relay does not pass a BREAK on",
    "the port is not a console of the guest (console=ttyS0), or its kernel has no MAGIC_SYSRQ_SERIAL",
    "the guest hangs with interrupts off",
];
