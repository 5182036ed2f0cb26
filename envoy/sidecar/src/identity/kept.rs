//! The identity in a file, for sidecars that are told to keep it over a restart.

use std::path::Path;
use std::time::SystemTime;

use meshwright_ca::client::Credentials;
use meshwright_durable as durable;

pub(super) fn read(path: &Path) -> anyhow::Result<Option<Credentials>> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        text => Ok(Some(Credentials::from_stored(&text?, SystemTime::now())?)),
    }
}

/// A certificate that cannot be kept is still one that can be used.
pub(crate) fn keep(path: &Path, credentials: &Credentials) {
    if let Err(error) = durable::replace(path, credentials.to_stored().as_bytes()) {
        tracing::error!(%error, path = %path.display(), "the identity is not kept: a restart needs a new join token");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use meshwright_ca::{Authority, KeyAlgorithm, PrivateKey};
    use meshwright_durable::faults::{self, Fault};
    use meshwright_identity::{SpiffeId, TrustDomain};
    use serde_json::json;

    use super::*;

    fn credentials(authority: &Authority) -> Credentials {
        let (id, now) = (SpiffeId::parse("spiffe://shop.example/ns/shop/sa/cart").unwrap(), SystemTime::now());
        let key = PrivateKey::generate(KeyAlgorithm::default()).unwrap();
        let issued = authority.issue(&key.signing_request().unwrap(), &id, Duration::from_secs(600), now).unwrap();
        let stored = json!({"version": 1, "chain_pem": issued.chain_pem, "key_pem": key.pem(), "trust_bundle_pem": authority.trust_bundle_pem(),
            "control_plane": authority.control_plane_identity().to_string()});
        Credentials::from_stored(&stored.to_string(), now).unwrap()
    }

    #[test]
    fn killed_or_full_at_every_instant_it_is_the_old_identity_or_the_new() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path(), &TrustDomain::parse("shop.example").unwrap(), "mesh", SystemTime::now()).unwrap();
        let (old, new) = (credentials(&authority), credentials(&authority));
        let path = folder.path().join("identity.json");
        let mut seen = [false; 2];
        for fault in [Fault::Killed, Fault::Full] {
            faults::everywhere(|steps| {
                keep(&path, &old);
                let ((), struck) = faults::with(steps, fault, || keep(&path, &new));
                let kept = read(&path).unwrap().unwrap();
                let is_new = kept.chain_pem() == new.chain_pem() && kept.key().pem() == new.key().pem();
                let is_old = kept.chain_pem() == old.chain_pem() && kept.key().pem() == old.key().pem();
                assert!(is_new || (struck && is_old), "{fault:?} {steps}");
                seen[usize::from(is_new)] = true;
                struck
            });
        }
        assert_eq!(seen, [true, true]);
    }
}
