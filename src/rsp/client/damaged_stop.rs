//! Stop packets that noise has hit.
//!
//! A stopped kernel sends `$T05thread:01f4;#cs` once and waits for the `+`, for
//! ever (`put_packet` in kernel/debug/gdbstub.c). When a byte of it is wrong,
//! lost or one too many, what came is text like all text of a running kernel,
//! and nothing more will come. So the last bytes before a silence are compared
//! with what a stop packet looks like. When all but two of its twenty bytes are
//! there, the stub is asked for it again with `-`.

use std::time::{Duration, Instant};

use super::{Client, Event, Mode, arrivals::looks_like_stop};
use crate::rsp::frame::hex_digit;

/// More than the longest stop packet of kgdb.
const TAIL: usize = 32;

/// How many bytes may be wrong, missing or too many.
const MAX_EDITS: usize = 2;

/// How often in a row the stub is asked again before only the user may.
const MAX_ASKED: u8 = 16;

/// Watches the text of a running kernel for its own last words.
#[derive(Debug, Default)]
pub(super) struct DamagedStop {
    /// The last bytes that came.
    tail: Vec<u8>,
    ask_at: Option<Instant>,
    asked: u8,
    /// It was asked, and is to answer until then.
    answer_by: Option<Instant>,
}

impl DamagedStop {
    /// When there is something to do, if nothing comes until then.
    pub(super) fn due(&self) -> Option<Instant> {
        self.ask_at.or(self.answer_by)
    }

    fn feed(&mut self, text: &[u8], now: Instant, silence: Duration) {
        self.tail.extend_from_slice(&text[text.len().saturating_sub(TAIL)..]);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL));
        let due = self.asked < MAX_ASKED && ends_with_stop(&self.tail);
        self.ask_at = due.then(|| now + silence);
        if due {
            self.answer_by = None;
        }
    }
}

impl Client {
    /// Text came, or what was meant to be a packet and is none.
    pub(super) fn text(&mut self, text: Vec<u8>, now: Instant) {
        if self.mode == Mode::Running {
            // A piece of it may still be on its way.
            self.damaged_stop.feed(&text, now, self.timing.settle());
        }
        let meant = self.mode != Mode::Stopped && looks_like_stop(&text);
        if meant && self.damaged_stop.ask_at.is_none() {
            self.events.push_back(Event::DamagedStop(text));
        } else {
            self.console(text);
        }
    }

    /// Asks for the stop again when its time has come.
    pub(super) fn ask_for_damaged_stop(&mut self, now: Instant) {
        if self.mode != Mode::Running {
            self.damaged_stop = DamagedStop::default();
        } else if self.damaged_stop.ask_at.is_some_and(|at| at <= now) {
            self.damaged_stop.ask_at = None;
            self.damaged_stop.tail.clear();
            self.damaged_stop.asked += 1;
            self.damaged_stop.answer_by = Some(now + self.timing.knock());
            self.note_damage();
            self.put(b"-".to_vec());
        } else if self.damaged_stop.answer_by.is_some_and(|at| at <= now) {
            self.damaged_stop.answer_by = None;
            self.events.push_back(Event::StopLost);
        }
    }
}

/// Whether text ends with something like `$T05thread:01f4;#b8`.
fn ends_with_stop(text: &[u8]) -> bool {
    // Of the shortest, of a thread below 256, one is known at once.
    text.len() >= 14
        && (1..=4).any(|bytes| {
            // `?` is any hex digit: thread ids have an even count (`pack_threadid`).
            let pattern = format!("$T??thread:{};#??", "?".repeat(2 * bytes));
            edits(pattern.as_bytes(), text) <= MAX_EDITS
        })
}

/// The least number of bytes to change, take out or put in that make a piece at
/// the end of `text` of the pattern.
fn edits(pattern: &[u8], text: &[u8]) -> usize {
    // One row for each byte of text; the piece may begin anywhere.
    let mut row: Vec<usize> = (0..=pattern.len()).collect();
    for &byte in text {
        let mut before = row[0];
        for (at, &wanted) in pattern.iter().enumerate() {
            let same = if wanted == b'?' { hex_digit(byte).is_some() } else { byte == wanted };
            let changed = before + usize::from(!same);
            before = row[at + 1];
            row[at + 1] = changed.min(before + 1).min(row[at] + 1);
        }
    }
    row[pattern.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_of_a_kernel_is_no_stop() {
        for text in [
            "$T05thread:",
            "root@box:~$ echo T05thread:01f4\r\n",
            "kthread:01f4; reading\r\n",
            "thread: 0123; #12 done",
            "[    1.234567] main thread:01;#5 of 12\r\n$ ",
            "gdb: $T05thread:01f4;#b8 was it\r\n",
        ] {
            assert!(!ends_with_stop(text.as_bytes()), "{text}");
        }
        for text in ["$T05thread:01;#07", "\n$T0bthread:fffffffe;#e2", "T05thread:01f4;#b"] {
            assert!(ends_with_stop(text.as_bytes()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_one_fault_is_seen_through(
            thread in "[0-9a-f]{2}|[0-9a-f]{4}|f{7}[0-9a-e]", before in "[a-z \n]{0,20}",
            at in 0usize..17, other in any::<u8>(), how in 0..4
        ) {
            let stop = format!("$T05thread:{thread};#b8");
            let mut line = before.into_bytes();
            let at = line.len() + at;
            line.extend(stop.bytes());
            match how {
                0 => line[at] = other,
                1 => { line.remove(at); }
                2 => line.insert(at, line[at]),
                _ => line.insert(at, other),
            }
            prop_assert!(ends_with_stop(&line));
        }
    }
}
