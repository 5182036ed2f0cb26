use std::time::SystemTime;

use meshwright_expiry::{Standing, in_words};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// From when to when one certificate is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Validity {
    /// As messages name it.
    what: String,
    /// The field that it is in.
    field: String,
    validity: meshwright_expiry::Validity,
}

/// Of each certificate of a field; of several the second is `<word> 2`.
pub(super) fn of(certificates: &[CertificateDer<'_>], field: &str, word: &str) -> Vec<Validity> {
    let one = |(index, der): (usize, &CertificateDer<'_>)| {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let validity = parsed.validity();
        let validity = meshwright_expiry::Validity::new(validity.not_before.to_datetime(), validity.not_after.to_datetime());
        let what = if index == 0 { format!("the {word}") } else { format!("{word} {}", index.saturating_add(1)) };
        Some(Validity { what, field: field.to_owned(), validity })
    };
    certificates.iter().enumerate().filter_map(one).collect()
}

/// What somebody should know of certificates in PEM, and of when they are taken; none: there is no certificate in it.
#[must_use]
pub fn certificate_alarms(pem: &[u8], word: &str, now: SystemTime) -> Option<Vec<String>> {
    let certificates: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    let (all, now) = (of(&certificates, "", word), OffsetDateTime::from(now));
    let is_whole = !all.is_empty() && all.len() == certificates.len();
    is_whole.then(|| all.iter().filter_map(|one| one.ended(now).or_else(|| one.begins(now)).or_else(|| one.ends_soon(now))).collect())
}

impl Validity {
    pub(super) fn field(&self) -> &str {
        &self.field
    }

    pub(super) fn not_after(&self) -> OffsetDateTime {
        self.validity.not_after()
    }

    pub(super) fn begins(&self, now: OffsetDateTime) -> Option<String> {
        (self.validity.standing(now) == Standing::NotBegun).then(|| format!("{} begins at {}", self.what, self.validity.not_before()))
    }

    pub(super) fn ended(&self, now: OffsetDateTime) -> Option<String> {
        (self.validity.standing(now) == Standing::Ended).then(|| format!("{} ended at {}", self.what, self.not_after()))
    }

    /// While it is still taken, and should have been replaced.
    pub(super) fn ends_soon(&self, now: OffsetDateTime) -> Option<String> {
        let Standing::EndsSoon(left) = self.validity.standing(now) else { return None };
        Some(format!("{} ends at {}, in {}: replace it", self.what, self.not_after(), in_words(left)))
    }
}
