//! Certificates count in whole seconds since 1970; the rest of the code has [`SystemTime`].

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::time::ASN1Time;

/// Whole seconds since 1970; a clock before that reads as 1970.
pub(crate) fn unix_seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

pub(crate) fn from_unix_seconds(seconds: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH)
}

/// `at` without its fraction of a second, which a certificate cannot hold.
pub(crate) fn whole_seconds(at: SystemTime) -> SystemTime {
    from_unix_seconds(unix_seconds(at))
}

pub(crate) fn from_asn1(time: ASN1Time) -> SystemTime {
    from_unix_seconds(u64::try_from(time.timestamp()).unwrap_or(0))
}

pub(crate) fn earlier(at: SystemTime, by: Duration) -> SystemTime {
    at.checked_sub(by).unwrap_or(UNIX_EPOCH)
}

/// `at` as `2026-01-31T12:00:00Z` (RFC 3339).
#[must_use]
pub fn utc(at: SystemTime) -> String {
    let at = time::OffsetDateTime::from(whole_seconds(at));
    at.format(&time::format_description::well_known::Rfc3339).unwrap_or_else(|_| at.to_string())
}
