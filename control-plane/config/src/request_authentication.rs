//! RequestAuthentication: whose tokens are taken. The rules are `meshwright_policy`'s, which also says what is wrong with them.

use std::time::Duration;

use meshwright_policy::{validate_jwt_rules, wire};

use crate::key::DocumentKey;
use crate::key_source::FetchedKeys;
use crate::reader::Reader;
use crate::record::record;
use crate::scope::Scope;

/// Longer than anybody waits for keys; the next attempt waits for this one.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

record! {
    /// A RequestAuthentication.
    #[derive(Eq)]
    RequestAuthentication {
        plain key: DocumentKey,
        plain scope: Scope,
        /// What its rules need and do not have in them.
        list fetched_keys: FetchedKeys,
        /// Name and rules as the document has them; proxies are given the fetched keys in them.
        plain wire: wire::RequestAuthentication,
    }
}

impl RequestAuthentication {
    pub(crate) fn read(spec: &Reader<'_>, key: DocumentKey) -> Option<Self> {
        let rules = spec.get("jwtRules");
        let timeouts: Vec<Option<Duration>> = rules.items().iter().map(|rule| timeout(&rule.get("timeout"))).collect();
        let scope = Scope::read(spec, key.namespace());
        let jwt_rules = rules.validated(spec, validate_jwt_rules)?;
        let keys = jwt_rules.iter().zip(timeouts).filter_map(|(rule, timeout)| FetchedKeys::of(rule, timeout)).collect();
        let wire = wire::RequestAuthentication { namespace: key.namespace().to_owned(), name: key.name().to_owned(), jwt_rules };
        Some(Self { scope, fetched_keys: keys, wire, key })
    }
}

fn timeout(field: &Reader<'_>) -> Option<Duration> {
    let timeout = field.duration()?;
    if timeout > LONGEST_TIMEOUT {
        field.fail(format!("found {timeout:?}, allowed: up to `{}s`", LONGEST_TIMEOUT.as_secs()));
    }
    Some(timeout)
}
