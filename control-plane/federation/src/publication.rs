//! Our own bundle as other trust domains fetch it: numbered, so that they can tell a newer one from an older.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use meshwright_bundle::{InvalidBundle, TrustBundle};
use meshwright_fetch::{Kept, Store, StoreError};
use meshwright_identity::TrustDomain;
use rustls_pki_types::CertificateDer;

/// In the data directory.
const FOLDER: &str = "federation";
/// Of what the store keeps.
const KIND: &str = "served";
/// "Publish at least three to five times the refresh hint before use": so often others have asked by then.
const ROUNDS: u32 = 5;

/// Why the bundle is not served as it is now.
#[derive(Debug, thiserror::Error)]
pub enum PublicationError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("our own trust bundle: {0}")]
    Bundle(#[from] InvalidBundle),
}

/// What is served now, and since when.
#[derive(Debug)]
pub struct Publication {
    store: Store,
    trust_domain: TrustDomain,
    refresh_hint: Duration,
    served: Mutex<Served>,
}

#[derive(Debug, Clone)]
struct Served {
    bundle: TrustBundle,
    json: Arc<str>,
    /// Since this process serves it: while none did, nobody could ask.
    since: SystemTime,
}

impl Publication {
    /// Goes on from what was served last, also by an earlier process.
    ///
    /// # Errors
    /// [`PublicationError`]: the number cannot be read or kept.
    pub fn open(
        data_dir: &Path,
        trust_domain: &TrustDomain,
        roots: Vec<CertificateDer<'static>>,
        refresh_hint: Duration,
        now: SystemTime,
    ) -> Result<Self, PublicationError> {
        let store = Store::open(data_dir, FOLDER)?;
        let last = match store.load(KIND, trust_domain.as_str())? {
            Some(Kept { text, .. }) => Some(TrustBundle::from_json(trust_domain, &text)?),
            None => None,
        };
        let bundle = TrustBundle::new(trust_domain, roots)?;
        let served = keep(&store, last.as_ref(), bundle, refresh_hint, now)?;
        Ok(Self { store, trust_domain: trust_domain.clone(), refresh_hint, served: Mutex::new(served) })
    }

    /// From now on these roots; another number if they are others.
    ///
    /// # Errors
    /// [`PublicationError`]: what was served before goes on.
    pub fn publish(&self, roots: Vec<CertificateDer<'static>>, now: SystemTime) -> Result<(), PublicationError> {
        let bundle = TrustBundle::new(&self.trust_domain, roots)?;
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        if !bundle.has_roots_of(&served.bundle) {
            *served = keep(&self.store, Some(&served.bundle), bundle, self.refresh_hint, now)?;
        }
        Ok(())
    }

    /// SPIFFE's form of the bundle.
    #[must_use]
    pub fn json(&self) -> Arc<str> {
        Arc::clone(&self.served.lock().unwrap_or_else(PoisonError::into_inner).json)
    }

    /// When those who ask as often as they should know what is served now.
    #[must_use]
    pub fn fetched_by(&self) -> SystemTime {
        self.served.lock().unwrap_or_else(PoisonError::into_inner).since + self.refresh_hint.saturating_mul(ROUNDS)
    }
}

/// Served only when its number is on disk: one that was seen by others must never be given to another bundle. It is at least the time, so
/// that a data directory that was lost does not make it go back.
fn keep(
    store: &Store,
    last: Option<&TrustBundle>,
    bundle: TrustBundle,
    refresh_hint: Duration,
    now: SystemTime,
) -> Result<Served, PublicationError> {
    let number = match last {
        Some(last) if last.has_roots_of(&bundle) => last.sequence(),
        Some(last) => last.sequence().map(|number| number.saturating_add(1).max(seconds(now))),
        None => None,
    };
    let bundle = bundle.numbered(number.unwrap_or_else(|| seconds(now)), refresh_hint);
    let json: Arc<str> = bundle.to_json().into();
    if last != Some(&bundle) {
        store.save(KIND, bundle.trust_domain().as_str(), &Kept { text: json.to_string(), fetched: now })?;
    }
    Ok(Served { bundle, json, since: now })
}

fn seconds(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HINT: Duration = Duration::from_secs(60);

    fn root() -> CertificateDer<'static> {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn the_number_grows_with_each_change_and_over_restarts() {
        let data = tempfile::tempdir().unwrap();
        let domain = TrustDomain::parse("a.example").unwrap();
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let open = |roots: &[CertificateDer<'static>], now| Publication::open(data.path(), &domain, roots.to_vec(), HINT, now).unwrap();
        let number = |publication: &Publication| TrustBundle::from_json(&domain, &publication.json()).unwrap().sequence().unwrap();
        let (old, new) = (root(), root());
        let first = open(std::slice::from_ref(&old), at(1000));
        assert_eq!((number(&first), first.fetched_by()), (1000, at(1300)));
        first.publish(vec![old.clone()], at(2000)).unwrap();
        assert_eq!(number(&first), 1000, "the same roots");
        first.publish(vec![new.clone(), old.clone()], at(2000)).unwrap();
        assert_eq!((number(&first), first.fetched_by()), (2000, at(2300)));
        let again = open(&[old, new.clone()], at(3000));
        assert_eq!((number(&again), again.fetched_by()), (2000, at(3300)), "nobody could ask while it was away");
        again.publish(vec![new.clone()], at(1500)).unwrap();
        assert_eq!(number(&again), 2001, "a clock that was set back");
        assert_eq!(number(&open(&[new], at(1000))), 2001);
        assert!(again.publish(Vec::new(), at(1)).is_err());
    }
}
