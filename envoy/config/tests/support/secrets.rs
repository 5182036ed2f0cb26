//! The shapes of secrets.

use meshwright_envoy_config::{names, secret};
use meshwright_identity::TrustDomain;

use crate::{golden, goldens, with_static};

#[test]
fn secrets() {
    let (certificate, key) = (include_str!("certificate.pem"), include_str!("key.pem"));
    let (own, other) = (TrustDomain::parse("mesh.local").unwrap(), TrustDomain::parse("other.example").unwrap());
    let bundles = secret::trust_bundles("trust-bundles", [(&own, certificate), (&other, certificate)]);
    let json = vec![
        golden("secret-trust-bundle", &secret::trust_bundle(names::TRUST_BUNDLE_SECRET, certificate)),
        golden("secret-trust-bundles", &bundles),
        golden("secret-certificate", &secret::certificate(&names::credential_secret("edge", "shop"), certificate, key)),
    ];
    goldens::accepted("secrets", &with_static("secrets", json));
}
