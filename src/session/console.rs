//! The guest's console on the line: who hears it, and what is typed into it.
//!
//! Only a running kernel reads its console. What is typed into a stopped one
//! would reach the stub, or a kdb prompt, where it is a command; so nothing is
//! sent while the guest is stopped, and what was typed and not sent yet when it
//! stops is thrown away. Bytes that are on the way at that moment can't be called
//! back: they are sent in small pieces at the pace of the line, so that these are
//! few, and a whole packet of the protocol is never sent at once.

use super::{
    answer::{Answer, Failure},
    request::{Level, Update},
    run::Session,
    view::{State, StopReason},
};
use crate::rsp::frame;
use crate::target::breakin::Way;
use std::sync::Arc;
use tokio::sync::broadcast;

/// How much of what happens is kept for a listener that is slow: pieces of at
/// most 4 KiB.
const KEPT: usize = 1024;

/// How many may listen from the beginning: a file, a port for terminals, one for
/// gdb.
pub const LISTENERS: usize = 3;

/// What whoever listens to the guest hears, in order.
#[derive(Clone, Debug)]
pub enum Heard {
    /// Text of the guest, as it came.
    Text(Arc<[u8]>),
    /// The guest runs.
    Runs,
    /// The guest has stopped.
    Stopped {
        /// Where and why, in words: `at vfs_read (breakpoint 1)`.
        at: String,
        /// Whether it is the end of a step, which nobody needs to be told.
        step: bool,
    },
    /// There is no guest, or it is not known what it does.
    Away,
}

/// What listeners were told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Runs,
    Stopped(u64),
    Away,
}

/// Tells listeners.
#[derive(Debug)]
pub(super) struct Listeners {
    sender: broadcast::Sender<Heard>,
    told: Told,
}

impl Listeners {
    /// Nobody was told anything yet; the ends for those who want to listen.
    pub fn new() -> (Listeners, [broadcast::Receiver<Heard>; LISTENERS]) {
        let (sender, _) = broadcast::channel(KEPT);
        let receivers = std::array::from_fn(|_| sender.subscribe());
        (Listeners { sender, told: Told::Away }, receivers)
    }

    fn tell(&self, heard: Heard) {
        // Mostly nobody listens.
        let _ = self.sender.send(heard);
    }
}

impl Session {
    /// Text of the guest.
    pub(super) fn show_console(&mut self, text: Vec<u8>) {
        self.tell_state();
        self.listeners.tell(Heard::Text(text.as_slice().into()));
        let _ = self.updates().send(Update::Console(text));
    }

    /// Tells listeners what the guest does, when that is another thing than
    /// before.
    pub(super) fn tell_state(&mut self) {
        let now = match &self.state {
            State::Running { .. } | State::BreakingIn { .. } => Told::Runs,
            State::Stopped => match &self.stop {
                // Before the symbols are proven the place has no name.
                Some(stop) if self.snapshot.is_some() && self.identified => {
                    Told::Stopped(stop.generation)
                }
                _ => return,
            },
            State::Offline | State::Connecting { .. } | State::Knocking | State::Lost { .. } => {
                Told::Away
            }
        };
        if now == std::mem::replace(&mut self.listeners.told, now) {
            return;
        }
        if now != Told::Runs {
            self.forget_typed();
        }
        let heard = match (now, &self.stop) {
            (Told::Runs, _) => Heard::Runs,
            (Told::Stopped(_), Some(stop)) => {
                let function = stop.frames.first().and_then(|frame| frame.function.clone());
                let pc = stop.registers.pc().map(|pc| pc.to_string());
                let place = function.or(pc).unwrap_or_else(|| "an unknown place".into());
                let at = format!("at {place} ({})", stop.reason.text());
                Heard::Stopped { at, step: stop.reason == StopReason::Step }
            }
            _ => Heard::Away,
        };
        self.listeners.tell(heard);
    }

    /// What was typed and not sent is void; that is said.
    pub(super) fn forget_typed(&mut self) {
        match self.wire.forget_typed() {
            0 => {}
            count => self.say(
                Level::Warning,
                format!("{count} bytes typed into the guest's console were not sent any more"),
            ),
        }
    }

    /// Types into the running guest's console.
    pub(super) fn type_on_console(&mut self, bytes: &[u8]) -> Result<Answer, Failure> {
        let other = |why: &str| Err(Failure::Other(why.into()));
        match &self.state {
            State::Running { .. } => {}
            State::BreakingIn { .. } => {
                // The user may be asked to type what stops it.
                if self.break_in.way().is_some_and(|way| way != Way::Hand) {
                    return other(
                        "a break-in is under way on the guest's console; type when it is over",
                    );
                }
            }
            State::Stopped => {
                return other(
                    "the guest is stopped: its console reads nothing until it runs (continue)",
                );
            }
            _ => {
                self.need_stopped()?;
            }
        }
        if let Some(packet) = packet_in(bytes) {
            return Err(Failure::Other(format!(
                "what is typed holds a packet of the debugger's own protocol ({packet}): should the guest stop at this moment, its stub would do what that says; nothing was typed. Type it by hand, or in two parts"
            )));
        }
        match self.wire.type_ahead(bytes) {
            Ok(()) => Ok(Answer::Typed { typed: bytes.len() }),
            Err(waiting) => Err(Failure::Other(format!(
                "the guest does not read its console: {waiting} bytes typed before are still to be sent; nothing more was typed"
            ))),
        }
    }
}

/// The first packet with a right checksum in a text, as it stands there.
fn packet_in(bytes: &[u8]) -> Option<String> {
    for (start, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'$') {
        let body = &bytes[start + 1..];
        // The stub takes no longer ones (`get_packet` in kernel/debug/gdbstub.c).
        let end = body.iter().take(frame::MAX_PAYLOAD).position(|byte| *byte == b'#');
        let Some(end) = end else { continue };
        let sum = body.get(end + 1..end + 3).and_then(frame::unhex);
        if sum == Some(vec![frame::checksum(&body[..end])]) {
            let text: String = String::from_utf8_lossy(&bytes[start..start + end + 4])
                .chars()
                .filter(|c| !c.is_control())
                .take(40)
                .collect();
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::packet_in;
    use proptest::prelude::*;

    #[test]
    fn packets_in_what_is_typed_are_seen() {
        assert_eq!(packet_in(b"echo $HOME # 12\r"), None);
        assert_eq!(packet_in(b"$$?#3f").as_deref(), Some("$?#3f"));
        assert_eq!(packet_in(b"ls $3#33; cat").as_deref(), Some("$3#33"));
        assert_eq!(packet_in(b"ls $3#34; cat"), None);
        assert_eq!(packet_in(b"$D#4"), None, "not whole");
    }

    proptest! {
        #[test]
        fn a_packet_is_seen_wherever_it_stands(
            before in "[a-z $#\r]{0,20}", payload in "[a-zA-Z0-9,:;]{0,30}", after in "[a-z $#]{0,20}",
        ) {
            let packet = crate::rsp::frame::encode(payload.as_bytes());
            let text = [before.as_bytes(), &packet, after.as_bytes()].concat();
            prop_assert!(packet_in(&text).is_some());
        }
    }
}
