use time::OffsetDateTime;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;

const RFC3339_MILLISECONDS: StaticFormatDescription =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

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

/// RFC 3339 in UTC with milliseconds. Empty for a time that no calendar of four-digit years has.
pub(crate) fn rfc3339(nanoseconds: i128) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).ok().and_then(|time| time.format(RFC3339_MILLISECONDS).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
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
        assert_eq!(rfc3339(i128::MAX), "");
    }
}
