//! RequestAuthentication: whose tokens are taken. The rules are `meshwright_policy`'s, which also says what is wrong with them.

use meshwright_policy::{validate_jwt_rules, wire};

use crate::key::DocumentKey;
use crate::reader::Reader;
use crate::record::record;
use crate::scope::Scope;

record! {
    /// A RequestAuthentication.
    #[derive(Eq)]
    RequestAuthentication {
        plain key: DocumentKey,
        plain scope: Scope,
        /// Name and rules as proxies are given them.
        plain wire: wire::RequestAuthentication,
    }
}

impl RequestAuthentication {
    pub(crate) fn read(spec: &Reader<'_>, key: DocumentKey) -> Option<Self> {
        let rules = spec.get("jwtRules");
        // `schema` has said of `jwksUri` that keys are not fetched yet; without either, Istio would discover them.
        let keyless = rules.items().into_iter().filter(|rule| !rule.get("jwks").is_present() && !rule.get("jwksUri").is_present());
        for rule in keyless {
            rule.get("jwks").fail("is required: finding the keys through the issuer is not supported yet");
        }
        let scope = Scope::read(spec, key.namespace());
        let jwt_rules = rules.validated(spec, validate_jwt_rules)?;
        let wire = wire::RequestAuthentication { namespace: key.namespace().to_owned(), name: key.name().to_owned(), jwt_rules };
        Some(Self { scope, wire, key })
    }
}
