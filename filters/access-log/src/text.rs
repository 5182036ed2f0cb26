use std::fmt::Write as _;

const MILLISECONDS_PER_SECOND: i64 = 1000;
const SECONDS_PER_DAY: i64 = 24 * 60 * 60;
const NANOSECONDS_PER_MILLISECOND: i128 = 1_000_000;
/// Of 400 years, after which the calendar repeats.
const DAYS_PER_ERA: i64 = 146_097;

/// Marks where a value was cut.
const ELLIPSIS: char = '…';

/// Text of at most `limit` bytes and the mark of a cut; what is not UTF-8 becomes U+FFFD.
pub(crate) fn bounded(bytes: &[u8], limit: usize) -> String {
    let Some((head, _)) = bytes.split_at_checked(limit).filter(|(_, rest)| !rest.is_empty()) else {
        return String::from_utf8_lossy(bytes).into_owned();
    };
    // A character that the cut halves goes with the rest; bytes that were never UTF-8 are replaced.
    let whole = match std::str::from_utf8(head) {
        Err(error) if error.error_len().is_none() => head.get(..error.valid_up_to()).unwrap_or(head),
        Ok(_) | Err(_) => head,
    };
    let mut text = String::from_utf8_lossy(whole).into_owned();
    text.push(ELLIPSIS);
    text
}

/// RFC 3339 in UTC with milliseconds. Empty for a time that is not between the years 0 and 9999. By hand: the library's code would be three
/// hundredths of the module, which is in the memory of every proxy.
#[inline(never)]
pub(crate) fn rfc3339(nanoseconds: i128) -> String {
    let mut text = String::new();
    let Ok(milliseconds) = i64::try_from(nanoseconds.div_euclid(NANOSECONDS_PER_MILLISECOND)) else { return text };
    let (seconds, millisecond) = (milliseconds.div_euclid(MILLISECONDS_PER_SECOND), milliseconds.rem_euclid(MILLISECONDS_PER_SECOND));
    let (year, month, day) = date(seconds.div_euclid(SECONDS_PER_DAY));
    let second = seconds.rem_euclid(SECONDS_PER_DAY);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    if (0..=9999).contains(&year) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z");
    }
    text
}

/// Year, month and day of a day since the epoch (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
fn date(days: i64) -> (i64, i64, i64) {
    // Eras and their years begin on the first of March.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(DAYS_PER_ERA), days.rem_euclid(DAYS_PER_ERA));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year_of_era + era * 400 + next, month, day)
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;
    use time::macros::format_description;

    use super::*;

    #[test]
    fn cuts_between_characters_and_says_so() {
        for (bytes, limit, expected) in [
            (&b"abc"[..], 3, "abc"),
            (b"abcd", 3, "abc…"),
            ("aé".as_bytes(), 2, "a…"),
            ("aé".as_bytes(), 3, "aé"),
            (b"a\xffb", 10, "a\u{fffd}b"),
            (b"\xff\xff\xff", 1, "\u{fffd}…"),
            (b"", 0, ""),
            (b"a", 0, "…"),
        ] {
            assert_eq!(bounded(bytes, limit), expected, "{bytes:?} {limit}");
        }
    }

    #[test]
    fn writes_time_with_milliseconds() {
        assert_eq!(rfc3339(1_700_000_000_123_999_999), "2023-11-14T22:13:20.123Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        for far in [i128::MAX, i128::MIN, i128::from(i64::MAX) * 1_000_000, 253_402_300_800_000_000_000, -62_167_219_200_000_000_001] {
            assert_eq!(rfc3339(far), "", "{far}");
        }
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        const DAY: i128 = 86_400_000_000_000;
        let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
        // Of the years 0 to 9999, a prime number of days apart, at another time each.
        let mut written = 0;
        for days in (-719_528..2_932_897).step_by(7) {
            let time = days * DAY + (days * 7_919_000_000_017).rem_euclid(DAY);
            let expected = OffsetDateTime::from_unix_timestamp_nanos(time).unwrap().format(format).unwrap();
            assert_eq!(rfc3339(time), expected);
            written += 1;
        }
        assert!(written > 500_000);
    }
}
