use rustls_pki_types::CertificateDer;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// What renews certificates does so with a third of their life left (cert-manager) or 30 days (ACME clients): with less than this and a quarter,
/// nothing does.
const SOON: Duration = Duration::days(14);
const SHARE: i32 = 4;

/// From when to when one certificate is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Validity {
    /// As messages name it.
    what: String,
    /// The field that it is in.
    field: String,
    not_before: OffsetDateTime,
    not_after: OffsetDateTime,
}

/// Of each certificate of a field; of several the second is `<word> 2`.
pub(super) fn of(certificates: &[CertificateDer<'_>], field: &str, word: &str) -> Vec<Validity> {
    let one = |(index, der): (usize, &CertificateDer<'_>)| {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let (not_before, not_after) = (parsed.validity().not_before.to_datetime(), parsed.validity().not_after.to_datetime());
        let what = if index == 0 { format!("the {word}") } else { format!("{word} {}", index.saturating_add(1)) };
        Some(Validity { what, field: field.to_owned(), not_before, not_after })
    };
    certificates.iter().enumerate().filter_map(one).collect()
}

impl Validity {
    pub(super) fn field(&self) -> &str {
        &self.field
    }

    pub(super) fn not_after(&self) -> OffsetDateTime {
        self.not_after
    }

    pub(super) fn begins(&self, now: OffsetDateTime) -> Option<String> {
        (now < self.not_before).then(|| format!("{} begins at {}", self.what, self.not_before))
    }

    pub(super) fn ended(&self, now: OffsetDateTime) -> Option<String> {
        (now > self.not_after).then(|| format!("{} ended at {}", self.what, self.not_after))
    }

    /// While it is still taken, and should have been replaced.
    pub(super) fn ends_soon(&self, now: OffsetDateTime) -> Option<String> {
        let left = self.not_after - now;
        let late = SOON.min((self.not_after - self.not_before) / SHARE);
        let is_soon = !left.is_negative() && left < late && now >= self.not_before;
        is_soon.then(|| format!("{} ends at {}, in {}: replace it", self.what, self.not_after, in_words(left)))
    }
}

fn in_words(left: Duration) -> String {
    let (number, unit) = match left.whole_days() {
        0 => (left.whole_hours(), "hour"),
        days => (days, "day"),
    };
    format!("{number} {unit}{}", if number == 1 { "" } else { "s" })
}
