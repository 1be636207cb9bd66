//! Floating-point numbers as C's `%g` writes them.

/// A number of 4 or 8 bytes, with as many digits as tell it from its
/// neighbours (gdb: `%.9g` and `%.17g`).
pub(super) fn float(raw: &[u8]) -> String {
    if let Ok(bytes) = raw.try_into() {
        return general(f64::from_le_bytes(bytes), 17);
    }
    match raw.try_into().map(f32::from_le_bytes) {
        Ok(value) if value.is_nan() => {
            nan(value.is_sign_negative(), u64::from(value.to_bits()) & 0x7f_ffff)
        }
        Ok(value) => general(f64::from(value), 9),
        Err(_) => "<a floating-point number of this size is not shown>".to_string(),
    }
}

fn general(value: f64, digits: usize) -> String {
    if value.is_nan() {
        return nan(value.is_sign_negative(), value.to_bits() & ((1 << 52) - 1));
    }
    if value.is_infinite() {
        return if value < 0.0 { "-inf" } else { "inf" }.to_string();
    }
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= digits as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs());
    }
    let after_point = (digits as i32 - 1 - exponent).max(0) as usize;
    trimmed(&format!("{value:.after_point$}")).to_string()
}

/// What is no number, with the bits that tell which.
fn nan(negative: bool, bits: u64) -> String {
    format!("{}nan({bits:#x})", if negative { "-" } else { "" })
}

fn trimmed(number: &str) -> &str {
    match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_tell_them_apart() {
        let double = |value: f64| float(&value.to_le_bytes());
        assert_eq!(double(1.5), "1.5");
        assert_eq!(double(0.1), "0.10000000000000001");
        assert_eq!(double(-0.0), "-0");
        assert_eq!(double(1e100), "1e+100");
        assert_eq!(double(1.25e-7), "1.2499999999999999e-07");
        assert_eq!(double(123456789.0), "123456789");
        assert_eq!(double(f64::NEG_INFINITY), "-inf");
        assert_eq!(float(&0.1f32.to_le_bytes()), "0.100000001");
        assert_eq!(float(&0.25f32.to_le_bytes()), "0.25");
    }
}
