//! AuthorizationPolicy: who may do what. The rules are `meshwright_policy`'s, which also says what is wrong with them.

use meshwright_policy::wire::Action;
use meshwright_policy::{validate_rules, wire};

use crate::annotation;
use crate::key::DocumentKey;
use crate::reader::Reader;
use crate::record::record;
use crate::scope::Scope;

/// Istio's: the policy decides nothing, and what it would change is recorded.
const DRY_RUN: &str = "istio.io/dry-run";
/// Whoever wrote the policy knows that it refuses more on TCP ports than it says; see docs/tcp-policy.md.
pub(crate) const ACCEPT_WIDENING: &str = "meshwright.io/accept-widening";

record! {
    /// An AuthorizationPolicy.
    #[derive(Eq)]
    AuthorizationPolicy {
        plain key: DocumentKey,
        plain scope: Scope,
        /// Name, action and rules as proxies are given them.
        plain wire: wire::AuthorizationPolicy,
        /// A rule may match more on a TCP port than it says.
        copy accepts_widening: bool,
    }
}

impl AuthorizationPolicy {
    pub(crate) fn read(root: &Reader<'_>, key: DocumentKey) -> Option<Self> {
        let dry_run = annotation::flag(root, DRY_RUN);
        let accepts_widening = annotation::flag(root, ACCEPT_WIDENING);
        let spec = root.get("spec").required()?;
        let action = match spec.get("action").text().as_deref() {
            Some("DENY") => Action::Deny,
            Some("AUDIT") => Action::Audit,
            Some("CUSTOM") => Action::Custom,
            // Istio: ALLOW unless told; other words are refused by `schema`.
            Some(_) | None => Action::Allow,
        };
        if dry_run && matches!(action, Action::Audit | Action::Custom) {
            let annotation = root.get("metadata").get("annotations").get(DRY_RUN);
            annotation
                .fail("is for ALLOW and DENY: AUDIT changes nothing anyway, and what a provider would answer is only known by asking it");
        }
        let provider = read_provider(&spec, action);
        let scope = Scope::read(&spec, key.namespace());
        let rules = spec.get("rules").validated(&spec, |rules| validate_rules(key.namespace(), action, rules))?;
        let wire = wire::AuthorizationPolicy {
            namespace: key.namespace().to_owned(),
            name: key.name().to_owned(),
            action,
            provider,
            dry_run,
            rules,
        };
        Some(Self { scope, wire, accepts_widening, key })
    }
}

/// CUSTOM names whom it asks; nothing else asks anybody.
fn read_provider(spec: &Reader<'_>, action: Action) -> Option<String> {
    let provider = spec.get("provider");
    if action == Action::Custom {
        return provider.get("name").required_text();
    }
    if provider.is_present() {
        provider.fail("only a policy with `action: CUSTOM` has a provider");
    }
    None
}
