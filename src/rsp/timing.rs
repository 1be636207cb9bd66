//! How long to wait, given the line.

use std::time::Duration;

/// The speed of a line. Every time limit of the protocol follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Bytes a second in one direction.
    pub bytes_per_second: u32,
    /// What a relay or network adds to a round trip.
    pub latency: Duration,
}

impl Timing {
    /// A serial line with 8 data bits, no parity, one stop bit: ten bit times
    /// a byte. 0 is taken as 1.
    pub fn for_baud(baud: u32) -> Timing {
        Timing { bytes_per_second: (baud / 10).max(1), latency: Duration::from_millis(50) }
    }

    /// How long this many bytes take on the line.
    ///
    /// Three times the nominal time: the 8250 driver waits for an empty
    /// transmitter around every polled byte, which halves the rate
    /// (`serial8250_put_poll_char`), and an emulated CPU is slower still.
    pub fn transfer(&self, bytes: usize) -> Duration {
        Duration::from_secs(3).mul_f64(bytes as f64 / f64::from(self.bytes_per_second.max(1)))
    }

    /// How long to wait for an answer before doing something about it.
    pub fn reply(&self, request: usize, reply: usize) -> Duration {
        Duration::from_secs(2) + self.latency * 2 + self.transfer(request + reply)
    }

    /// How long to wait for the answer to the first packet, when nobody knows
    /// who listens.
    pub fn knock(&self) -> Duration {
        Duration::from_secs(1) + self.latency * 2 + self.transfer(32)
    }

    /// How long the line must be silent before it is sure that nothing sent
    /// earlier is still on its way.
    pub fn settle(&self) -> Duration {
        Duration::from_millis(100) + self.latency * 2 + self.transfer(16)
    }

    /// How long the rest of a packet may take to come before the beginning is
    /// taken for text. A single `$` is most often text, more than that most
    /// often a packet in two pieces.
    pub fn silence(&self, held: usize) -> Duration {
        let patience = if held <= 1 { 200 } else { 1000 };
        Duration::from_millis(patience) + self.latency + self.transfer(4)
    }
}

impl Default for Timing {
    /// 115200 baud, what kgdb is nearly always set to.
    fn default() -> Timing {
        Timing::for_baud(115_200)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_follow_the_line() {
        let fast = Timing::for_baud(115_200);
        let slow = Timing::for_baud(1200);
        assert!(fast.reply(20, 1012) >= Duration::from_secs(2) + fast.transfer(1012));
        assert!(slow.reply(20, 1012) > Duration::from_secs(20));
        // 1012 bytes at 5.5 KB/s, as measured on a polled 8250: 184 ms.
        assert!(fast.transfer(1012) > Duration::from_millis(184));
        assert!(Timing::for_baud(0).transfer(1) > Duration::ZERO);
    }
}
