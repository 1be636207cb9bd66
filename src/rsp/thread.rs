//! Thread ids as the stub writes them.

use super::frame::unhex;

/// A thread id of the stub: a pid of the initial namespace, or -2-n for the
/// shadow of CPU n.
///
/// On the wire it is the big-endian hex of the 32-bit value without leading
/// zero bytes (`pack_threadid` and `int_to_threadref` in
/// `kernel/debug/gdbstub.c`): pid 1 is `01`, 500 is `01f4`, CPU 0 `fffffffe`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ThreadId(pub i32);

impl ThreadId {
    /// "Whatever runs on the stopped CPU", for `Hg` and `Hc`.
    pub const CURRENT: ThreadId = ThreadId(-1);

    /// Reads the stub's form. A minus sign is taken too. `None` when it is not
    /// a number of at most 32 bits.
    pub fn parse(digits: &[u8]) -> Option<ThreadId> {
        if let Some(magnitude) = digits.strip_prefix(b"-") {
            let text = std::str::from_utf8(magnitude).ok()?;
            return i32::from_str_radix(text, 16).ok().and_then(i32::checked_neg).map(ThreadId);
        }
        let even =
            if digits.len().is_multiple_of(2) { digits.to_vec() } else { [b"0", digits].concat() };
        let bytes = unhex(&even)?;
        let significant: Vec<u8> = bytes.into_iter().skip_while(|&byte| byte == 0).collect();
        if digits.is_empty() || significant.len() > 4 {
            return None;
        }
        let value = significant.iter().fold(0u32, |value, &byte| value << 8 | u32::from(byte));
        Some(ThreadId(value.cast_signed()))
    }

    /// The form the stub reads (`kgdb_hex2long`): `-1` stays `-1`, every other
    /// value is the hex of its 32 bits.
    pub fn encode(self) -> String {
        if self == ThreadId::CURRENT {
            return "-1".to_owned();
        }
        let digits = format!("{:x}", self.0.cast_unsigned());
        if digits.len().is_multiple_of(2) { digits } else { format!("0{digits}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_the_kernel_writes_them() {
        assert_eq!(ThreadId::parse(b"01"), Some(ThreadId(1)));
        assert_eq!(ThreadId::parse(b"01f4"), Some(ThreadId(500)));
        assert_eq!(ThreadId::parse(b"fffffffe"), Some(ThreadId(-2)));
        assert_eq!(ThreadId::parse(b"-2"), Some(ThreadId(-2)));
        assert_eq!(ThreadId(500).encode(), "01f4");
        assert_eq!(ThreadId(-3).encode(), "fffffffd");
        for broken in [&b""[..], b"x", b"-", b"0102030405", b"1 "] {
            assert_eq!(ThreadId::parse(broken), None);
        }
    }

    proptest! {
        #[test]
        fn round_trip(value in any::<i32>()) {
            let id = ThreadId(value);
            prop_assert_eq!(ThreadId::parse(id.encode().as_bytes()), Some(id));
        }

        #[test]
        fn parse_takes_anything(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let _ = ThreadId::parse(&bytes);
        }
    }
}
