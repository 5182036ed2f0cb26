//! What of a configuration is checked beside its rules.

use meshwright_identity::TrustDomain;
use rustc_hash::FxHashSet;

use crate::field_path::FieldPath;
use crate::invalid::Errors;
use crate::jwt::rule::JwtRule;
use crate::wire::{self, Action};

#[inline(never)]
pub(super) fn domains(own: &str, aliases: &[String], errors: &mut Errors) {
    let mut check = |path: String, domain: &str| {
        if let Err(error) = TrustDomain::parse(domain) {
            errors.add(path, format!("found `{domain}`; {error}"));
        }
    };
    check("trust_domain".to_owned(), own);
    for (index, alias) in aliases.iter().enumerate() {
        check(format!("trust_domain_aliases[{index}]"), alias);
    }
}

/// A decision names the policy that made it, so that no two of a list may have one name.
#[inline(never)]
pub(super) fn names<'n>(list: &str, names: &mut dyn ExactSizeIterator<Item = (&'n str, &'n str)>, errors: &mut Errors) {
    let is_name = |text: &str| !text.is_empty() && !text.contains('/');
    let mut known = FxHashSet::with_capacity_and_hasher(names.len(), Default::default());
    for (index, (namespace, name)) in names.enumerate() {
        let path = FieldPath::root(list);
        if !is_name(namespace) || !is_name(name) {
            let message = format!("found namespace `{namespace}` and name `{name}`; names that are not empty, without `/`, are allowed");
            errors.add(path.index(index), message);
        } else if !known.insert((namespace, name)) {
            errors.add(path.index(index), format!("found `{namespace}/{name}` again; each name is allowed once"));
        }
    }
}

/// The headers that rules set. A request is stripped of them first, so that none may be one from which another rule takes tokens.
#[inline(never)]
pub(super) fn owned_headers(rules: &[JwtRule], path: &str, errors: &mut Errors) -> Vec<String> {
    let mut owned = Vec::new();
    for name in rules.iter().flat_map(JwtRule::owned_headers) {
        if let Err(place) = owned.binary_search_by(|other: &String| other.as_str().cmp(name)) {
            owned.insert(place, name.to_owned());
        }
    }
    let is_token = |name: &str| rules.iter().any(|rule| rule.token_headers().any(|token| token == name));
    for both in owned.iter().filter(|name| is_token(name)) {
        errors.add(path, format!("`{both}` is set by one rule and holds the tokens of another; a header for one of both is allowed"));
    }
    owned
}

#[inline(never)]
pub(super) fn action(policy: &wire::AuthorizationPolicy, path: &FieldPath<'_>, errors: &mut Errors) {
    let wire::AuthorizationPolicy { action, provider, dry_run, .. } = policy;
    match (action, provider.as_deref()) {
        (Action::Custom, None | Some("")) => errors.add(path.field("provider"), "missing; a CUSTOM policy names its provider"),
        (Action::Allow | Action::Deny | Action::Audit, Some(found)) => {
            errors.add(path.field("provider"), format!("found `{found}`; only a CUSTOM policy has a provider"));
        }
        (Action::Custom, Some(_)) | (Action::Allow | Action::Deny | Action::Audit, None) => {}
    }
    if *dry_run && matches!(action, Action::Audit | Action::Custom) {
        errors.add(path.field("dry_run"), "found true; dry-run is allowed of ALLOW and DENY policies");
    }
}
