//! Durations as Istio's documents write them: `10s`, `1.5h`, `2m30s`, `100ms`.

use std::time::Duration;

/// Ten years: what is longer is a slip of the pen, and Envoy's durations have a limit too.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidDuration {
    #[error("a duration is numbers with the units `h`, `m`, `s`, `ms`, `us` or `ns`, as in `1m30s`")]
    Form,
    #[error("a duration is above zero: at least `1ms`")]
    TooShort,
    #[error("a duration is at most ten years")]
    TooLong,
}

pub(crate) fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    let mut rest = text;
    let mut nanoseconds = 0_u128;
    if rest.is_empty() {
        return Err(InvalidDuration::Form);
    }
    while !rest.is_empty() {
        let (number, after) = rest
            .split_at_checked(rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len()))
            .ok_or(InvalidDuration::Form)?;
        let (unit, after) = after
            .split_at_checked(after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len()))
            .ok_or(InvalidDuration::Form)?;
        let unit = unit_nanoseconds(unit).ok_or(InvalidDuration::Form)?;
        nanoseconds = nanoseconds.saturating_add(scaled(number, unit)?);
        rest = after;
    }
    let duration = u64::try_from(nanoseconds).map(Duration::from_nanos).map_err(|_| InvalidDuration::TooLong)?;
    if duration > LONGEST {
        return Err(InvalidDuration::TooLong);
    }
    // Envoy's timers count milliseconds, and a timeout of zero means none at all to it.
    if duration < Duration::from_millis(1) { Err(InvalidDuration::TooShort) } else { Ok(duration) }
}

fn unit_nanoseconds(unit: &str) -> Option<u128> {
    Some(match unit {
        "h" => 3_600_000_000_000,
        "m" => 60_000_000_000,
        "s" => 1_000_000_000,
        "ms" => 1_000_000,
        "us" | "µs" => 1_000,
        "ns" => 1,
        _ => return None,
    })
}

/// `number` times `unit`, in whole nanoseconds.
fn scaled(number: &str, unit: u128) -> Result<u128, InvalidDuration> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && part.is_empty()) || part.contains('.') {
        return Err(InvalidDuration::Form);
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| InvalidDuration::TooLong)? };
    let mut sum = whole.saturating_mul(unit);
    let mut place = unit;
    for digit in part.chars() {
        place /= 10;
        sum = sum.saturating_add(place.saturating_mul(u128::from(digit.to_digit(10).ok_or(InvalidDuration::Form)?)));
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_and_protobuf_durations() {
        for (text, milliseconds) in
            [("10s", 10_000), ("1.5h", 5_400_000), ("2m30s", 150_000), ("100ms", 100), (".5s", 500), ("0.250s", 250), ("1000us", 1)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "10", "s", "10 s", "-1s", "1.2.3s", ".s", "1d", "10sx", "ä"] {
            assert_eq!(parse(text), Err(InvalidDuration::Form), "{text}");
        }
        for text in ["0s", "0ms", "10us", "1ns"] {
            assert_eq!(parse(text), Err(InvalidDuration::TooShort), "{text}");
        }
        for text in ["100000h", "99999999999999999999999999999999999999999999s"] {
            assert_eq!(parse(text), Err(InvalidDuration::TooLong), "{text}");
        }
    }
}
