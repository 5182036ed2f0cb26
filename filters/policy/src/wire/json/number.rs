use super::{Reader, Result};

/// A number, as far as it is told apart: what is no integer of 64 bits is a fraction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Unsigned(u64),
    Negative(i64),
    Float(f64),
}

impl Number {
    /// The nearest one.
    #[expect(clippy::as_conversions, clippy::cast_precision_loss, reason = "nothing else turns 64 bits into the nearest float")]
    pub(crate) fn as_f64(self) -> f64 {
        match self {
            Self::Unsigned(number) => number as f64,
            Self::Negative(number) => number as f64,
            Self::Float(number) => number,
        }
    }
}

impl<'a> Reader<'a> {
    /// Any number (RFC 8259 section 6) that is not too large.
    pub(crate) fn any_number(&mut self) -> Result<Number> {
        self.peek();
        let is_negative = self.one_of_bytes(b"-");
        let digits = self.some_digits()?;
        if digits.len() > 1 && digits.starts_with(b"0") {
            return Err(self.error("expected a number without leading zeros"));
        }
        let is_whole = !self.rest().first().is_some_and(|next| matches!(next, b'.' | b'e' | b'E'));
        if is_whole && let Some(number) = integer(is_negative, digits) {
            return Ok(number);
        }
        self.float(is_negative, digits)
    }

    /// From behind its first digits.
    #[inline(never)]
    fn float(&mut self, is_negative: bool, digits: &[u8]) -> Result<Number> {
        let fraction = if self.one_of_bytes(b".") { self.some_digits()? } else { &[] };
        let mut exponent = 0_i64;
        if self.one_of_bytes(b"eE") {
            let is_small = self.rest().starts_with(b"-");
            self.one_of_bytes(b"+-");
            let read =
                self.some_digits()?.iter().fold(0_i64, |number, digit| number.saturating_mul(10).saturating_add(i64::from(value(*digit))));
            exponent = if is_small { read.saturating_neg() } else { read };
        }
        // As many digits as fit; the others count for how many they are.
        let (mut significand, mut left_out) = (0_u64, 0_i64);
        for digit in digits.iter().chain(fraction) {
            match significand.checked_mul(10).and_then(|number| number.checked_add(u64::from(value(*digit)))) {
                Some(number) if left_out == 0 => significand = number,
                _ => left_out = left_out.saturating_add(1),
            }
        }
        let behind = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
        let number = scaled(Number::Unsigned(significand).as_f64(), exponent.saturating_sub(behind).saturating_add(left_out));
        if number.is_finite() {
            Ok(Number::Float(if is_negative { -number } else { number }))
        } else {
            Err(self.error("expected a number that is not too large"))
        }
    }

    /// At least one.
    fn some_digits(&mut self) -> Result<&'a [u8]> {
        let rest = self.rest();
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 {
            return Err(self.error("expected a digit"));
        }
        self.at = self.at.saturating_add(length);
        Ok(rest.get(..length).unwrap_or_default())
    }

    fn one_of_bytes(&mut self, bytes: &[u8]) -> bool {
        let found = self.rest().first().is_some_and(|byte| bytes.contains(byte));
        self.at = self.at.saturating_add(usize::from(found));
        found
    }
}

/// `number` times ten to the power of `exponent`. As near as dates need it: the nearest there is would be 20 KiB of code.
fn scaled(mut number: f64, exponent: i64) -> f64 {
    /// Ten to this power is no fraction of a bit off.
    const EXACT: u64 = 22;
    /// Of any number but zero, with as many digits as are read, it makes infinity, or zero.
    const FAR: u64 = 400;
    let mut left = exponent.unsigned_abs().min(FAR);
    while left > 0 && number != 0.0 {
        let step = left.min(EXACT);
        let power = (0..step).fold(1.0, |power, _| power * 10.0);
        number = if exponent > 0 { number * power } else { number / power };
        left = left.saturating_sub(step);
    }
    number
}

fn value(digit: u8) -> u8 {
    digit.saturating_sub(b'0')
}

/// None: it does not fit, or is the zero that has a sign.
fn integer(is_negative: bool, digits: &[u8]) -> Option<Number> {
    let add = |number: u64, digit: &u8| number.checked_mul(10)?.checked_add(u64::from(value(*digit)));
    let number = digits.iter().try_fold(0, add)?;
    match (is_negative, number) {
        (false, _) => Some(Number::Unsigned(number)),
        (true, 0) => None,
        (true, _) => 0_i64.checked_sub_unsigned(number).map(Number::Negative),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn numbers_are_what_serde_reads() {
        for text in [
            "0",
            "-0",
            "1",
            "-1",
            "01",
            "-01",
            "00",
            "1.",
            ".5",
            "0.5",
            "-0.5",
            "1e",
            "1e+",
            "1e5",
            "1E-5",
            "1e+05",
            "+1",
            "-",
            "",
            "a",
            "1a",
            "0x1",
            "18446744073709551615",
            "18446744073709551616",
            "-9223372036854775808",
            "-9223372036854775809",
            "123456789012345678901234567890",
            "1e308",
            "1e309",
            "-1e309",
            "1e999",
            "1e-999",
            "0e999",
            "NaN",
            "Infinity",
            "1_0",
            " 7 ",
            "0.1",
            "1767225600.25",
            "1e1e1",
            "1.2.3",
            "--1",
        ] {
            let expected: Option<Value> = serde_json::from_str(text).ok();
            let found = Reader::whole(text.as_bytes(), Reader::any_number).ok();
            let is_same = match (found, &expected) {
                (None, None) => true,
                (Some(Number::Unsigned(number)), Some(expected)) => *expected == number,
                (Some(Number::Negative(number)), Some(expected)) => *expected == number,
                (Some(Number::Float(number)), Some(expected)) => is_near(number, expected.as_f64().filter(|_| expected.is_f64()).unwrap()),
                (Some(_), None) | (None, Some(_)) => false,
            };
            assert!(is_same, "{text}: {found:?} {expected:?}");
        }
    }

    fn is_near(one: f64, other: f64) -> bool {
        (one - other).abs() <= other.abs() * 1e-14 && one.is_sign_negative() == other.is_sign_negative()
    }

    #[test]
    fn dates_are_exact() {
        for (text, expected) in [("1767225600.25", 1_767_225_600.25), ("1.7672256e9", 1_767_225_600.0), ("17672256000e-1", 1_767_225_600.0)]
        {
            assert_eq!(Reader::whole(text.as_bytes(), Reader::any_number), Ok(Number::Float(expected)), "{text}");
        }
    }
}
