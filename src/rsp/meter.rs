//! What the wire cost.

use std::ops::Sub;

/// Counters since the link was opened. Two readings subtract to the cost of
/// what happened between them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Meter {
    /// Bytes sent, acks and frames included.
    pub tx: u64,
    /// Bytes received, console text included.
    pub rx: u64,
    /// Packets sent, repetitions included.
    pub packets_sent: u64,
    /// Packets received with a good checksum.
    pub packets_received: u64,
    /// Requests answered.
    pub round_trips: u64,
    /// Requests sent again.
    pub resends: u64,
    /// Packets received with a bad checksum.
    pub bad_checksums: u64,
    /// Packets received that nobody asked for, or for the second time.
    pub strays: u64,
}

impl Meter {
    /// Packets in both directions.
    pub fn packets(&self) -> u64 {
        self.packets_sent + self.packets_received
    }
}

impl Sub for Meter {
    type Output = Meter;

    /// The cost between an earlier reading and this one. Saturates at 0.
    fn sub(self, earlier: Meter) -> Meter {
        Meter {
            tx: self.tx.saturating_sub(earlier.tx),
            rx: self.rx.saturating_sub(earlier.rx),
            packets_sent: self.packets_sent.saturating_sub(earlier.packets_sent),
            packets_received: self.packets_received.saturating_sub(earlier.packets_received),
            round_trips: self.round_trips.saturating_sub(earlier.round_trips),
            resends: self.resends.saturating_sub(earlier.resends),
            bad_checksums: self.bad_checksums.saturating_sub(earlier.bad_checksums),
            strays: self.strays.saturating_sub(earlier.strays),
        }
    }
}
