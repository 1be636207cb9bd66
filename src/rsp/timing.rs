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

/// How fast a line turned out to be: the straight line through what exchanges of
/// different sizes took. Those of long ago count less.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pace {
    count: f64,
    bytes: f64,
    seconds: f64,
    squares: f64,
    products: f64,
}

impl Pace {
    /// What an exchange still counts after the next one: some hundred are seen.
    const FADES: f64 = 0.99;
    /// Fewer exchanges tell nothing.
    const LEAST: f64 = 16.0;

    /// Takes in an exchange: its bytes in both directions, and how long it took.
    pub fn add(&mut self, bytes: u64, took: Duration) {
        let (bytes, seconds) = (bytes as f64, took.as_secs_f64());
        for (sum, more) in [
            (&mut self.count, 1.0),
            (&mut self.bytes, bytes),
            (&mut self.seconds, seconds),
            (&mut self.squares, bytes * bytes),
            (&mut self.products, bytes * seconds),
        ] {
            *sum = *sum * Pace::FADES + more;
        }
    }

    /// What an exchange takes beside its bytes: the way there and back, and the
    /// guest's time. `None` before enough was seen.
    pub fn latency(&self) -> Option<Duration> {
        let left = (self.seconds - self.of_a_byte()? * self.bytes) / self.count;
        Some(Duration::from_secs_f64(left.max(0.0)))
    }

    /// How many bytes take as long as that. `None` before enough was seen; nearly
    /// endless where bytes take no time.
    pub fn latency_in_bytes(&self) -> Option<u64> {
        let (latency, byte) = (self.latency()?.as_secs_f64(), self.of_a_byte()?);
        Some((latency / byte.max(1e-9)) as u64)
    }

    /// Seconds of a byte.
    fn of_a_byte(&self) -> Option<f64> {
        let spread = self.count * self.squares - self.bytes * self.bytes;
        if self.count < Pace::LEAST || spread < 1.0 {
            return None;
        }
        let slope = (self.count * self.products - self.bytes * self.seconds) / spread;
        Some(slope.max(0.0))
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
    fn a_pace_is_what_was_seen() {
        // 115200 baud, 4 ms beside the bytes.
        let took = |bytes: u64| Duration::from_secs_f64(0.004 + bytes as f64 / 11_520.0);
        let mut pace = Pace::default();
        for bytes in (0..15).map(|i| 40 + 30 * i) {
            pace.add(bytes, took(bytes));
            assert_eq!(pace.latency(), None, "too few");
        }
        (0..300).for_each(|i| pace.add(40 + i * 37 % 900, took(40 + i * 37 % 900)));
        let latency = pace.latency().unwrap().as_secs_f64();
        assert!((latency - 0.004).abs() < 1e-6, "{latency}");
        assert_eq!(pace.latency_in_bytes(), Some(46));
        // Another line from now on.
        (0..1500).for_each(|i| pace.add(40 + i % 500, Duration::from_millis(20)));
        assert!(pace.latency().unwrap() > Duration::from_millis(19));
        assert!(pace.latency_in_bytes().unwrap() > 10_000);
        // All of one size: what is of the bytes can't be told.
        let mut same = Pace::default();
        (0..50).for_each(|_| same.add(45, took(45)));
        assert_eq!(same.latency_in_bytes(), None);
    }

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
