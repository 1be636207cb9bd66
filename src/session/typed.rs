//! What was typed into the guest's console and is still to be sent.
//!
//! It goes out in pieces no faster than the line is, so that little is on the
//! way at any moment: that little reaches the stub, should the guest stop.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The most that may wait: a guest that does not read takes no more.
const MOST: usize = 64 * 1024;

/// Bytes sent at once: two fillings of the receiver of a 16550.
const PIECE: usize = 32;

/// The speed of a line that does not tell its own, in bits a second.
const USUAL: u32 = 115_200;

/// Bytes that wait.
#[derive(Debug)]
pub(super) struct Typed {
    waiting: VecDeque<u8>,
    /// How long the line takes for a piece.
    pace: Duration,
    /// When the next piece may go.
    next: Option<Instant>,
}

impl Default for Typed {
    fn default() -> Typed {
        Typed::new(None)
    }
}

impl Typed {
    /// Nothing yet, on a line of this speed.
    pub fn new(baud: Option<u32>) -> Typed {
        // Eight bits, a start and a stop bit.
        let bits = PIECE as u32 * 10;
        let pace = Duration::from_secs(1) * bits / baud.unwrap_or(USUAL).max(1);
        Typed { waiting: VecDeque::new(), pace, next: None }
    }

    /// Adds all of them, or none.
    ///
    /// # Errors
    /// How many wait already, when there is no room.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), usize> {
        if self.waiting.len() + bytes.len() > MOST {
            return Err(self.waiting.len());
        }
        self.waiting.extend(bytes);
        Ok(())
    }

    /// Nothing waits any more; how much did.
    pub fn forget(&mut self) -> usize {
        let count = self.waiting.len();
        self.waiting.clear();
        count
    }

    /// When something is to be sent; `None` when nothing waits.
    pub fn due(&self) -> Option<Instant> {
        if self.waiting.is_empty() { None } else { Some(self.next.unwrap_or_else(Instant::now)) }
    }

    /// What may go now.
    pub fn piece(&self, now: Instant) -> Option<Vec<u8>> {
        let early = self.next.is_some_and(|next| next > now);
        if early || self.waiting.is_empty() {
            return None;
        }
        Some(self.waiting.iter().take(PIECE).copied().collect())
    }

    /// So much of the piece went.
    pub fn sent(&mut self, count: usize, now: Instant) {
        self.waiting.drain(..count.min(self.waiting.len()));
        self.next = Some(now + self.pace);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_go_at_the_pace_of_the_line_and_nothing_is_lost() {
        let mut typed = Typed::new(None);
        let text: Vec<u8> = (0..100).collect();
        typed.add(&text).unwrap();
        let mut now = Instant::now();
        let began = now;
        let mut sent: Vec<u8> = Vec::new();
        while let Some(due) = typed.due() {
            now = now.max(due);
            let piece = typed.piece(now).unwrap();
            // The line may take less than it is given.
            let count = piece.len().min(20);
            sent.extend(&piece[..count]);
            typed.sent(count, now);
            assert_eq!(typed.piece(now), None, "not two at once");
        }
        assert_eq!(sent, text);
        assert!(now - began >= Duration::from_millis(4 * 2));
    }

    #[test]
    fn what_waits_is_bounded_and_can_be_forgotten() {
        let mut typed = Typed::new(Some(9600));
        typed.add(&vec![b'x'; MOST]).unwrap();
        assert_eq!(typed.add(b"y"), Err(MOST));
        assert_eq!(typed.forget(), MOST);
        assert_eq!((typed.due(), typed.piece(Instant::now())), (None, None));
    }
}
