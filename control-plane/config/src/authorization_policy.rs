//! AuthorizationPolicy: who may do what. The rules are `meshwright_policy`'s, which also says what is wrong with them.

use meshwright_policy::{validate_rules, wire};

use crate::key::DocumentKey;
use crate::peer_authentication::read_selector;
use crate::reader::Reader;
use crate::record::record;
use crate::workload::Labels;

/// Istio logs what the policy would have done and does nothing.
const DRY_RUN: &str = "istio.io/dry-run";

record! {
    /// An AuthorizationPolicy.
    #[derive(Eq)]
    AuthorizationPolicy {
        plain key: DocumentKey,
        /// None: every workload in scope.
        maybe selector: Labels,
        /// Name, action and rules as proxies are given them.
        plain wire: wire::AuthorizationPolicy,
    }
}

impl AuthorizationPolicy {
    pub(crate) fn read(root: &Reader<'_>, key: DocumentKey) -> Option<Self> {
        let dry_run = root.get("metadata").get("annotations").get(DRY_RUN);
        if dry_run.text().is_some_and(|value| value != "false") {
            dry_run.fail("is not supported yet: leave it out, or write `\"false\"`");
        }
        let spec = root.get("spec").required()?;
        let action = match spec.get("action").text().as_deref() {
            Some("DENY") => wire::Action::Deny,
            // Istio: ALLOW unless told; other words are refused by `schema`.
            Some(_) | None => wire::Action::Allow,
        };
        let selector = read_selector(&spec.get("selector"));
        let rules = spec.get("rules").validated(&spec, |rules| validate_rules(key.namespace(), action, rules))?;
        let wire = wire::AuthorizationPolicy {
            namespace: key.namespace().to_owned(),
            name: key.name().to_owned(),
            action,
            provider: None,
            dry_run: false,
            rules,
        };
        Some(Self { selector, wire, key })
    }
}
