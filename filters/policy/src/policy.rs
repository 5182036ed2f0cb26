use std::collections::BTreeSet;
use std::sync::Arc;

use meshwright_identity::TrustDomain;

use crate::invalid::{Errors, Invalid, InvalidPolicy};
use crate::jwt::rule::{JwtRule, KeyOrigin};
use crate::matcher::identity::LocalDomains;
use crate::rule::{self, Rule, Scope};
use crate::wire::{self, Action, AuthzConfig, Protocol};

/// Everything that applies to one workload, compiled.
#[derive(Debug, Clone)]
pub struct Policy {
    protocol: Protocol,
    pub(crate) deny: Vec<Entry>,
    /// None when no ALLOW policy applies, which is not the same as policies without a rule.
    pub(crate) allow: Option<Vec<Entry>>,
    pub(crate) jwt_rules: Vec<JwtRule>,
    owned_headers: Vec<String>,
}

/// One rule of an AuthorizationPolicy.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The policy's `<namespace>/<name>`.
    pub(crate) key: Arc<str>,
    /// The rule's index in the document.
    pub(crate) index: u32,
    pub(crate) rule: Rule,
}

impl Policy {
    /// # Errors
    /// When the bytes are not JSON of the wire format, or [`Policy::compile`] refuses what they say.
    pub fn from_json(bytes: &[u8]) -> Result<Self, InvalidPolicy> {
        let config = serde_json::from_slice(bytes).map_err(|error| {
            let message = format!("not a policy of version {}: {error}", wire::VERSION);
            InvalidPolicy { errors: vec![Invalid { path: "configuration".to_owned(), message }] }
        })?;
        Self::compile(config)
    }

    /// # Errors
    /// Everything in the configuration that cannot be enforced exactly as written.
    pub fn compile(config: AuthzConfig) -> Result<Self, InvalidPolicy> {
        let AuthzConfig { version, protocol, trust_domain, trust_domain_aliases, request_authentication, authorization } = config;
        let mut errors = Errors::default();
        if version != wire::VERSION {
            errors.add("version", format!("found {version}; {} is allowed", wire::VERSION));
        }
        check_domains(&trust_domain, &trust_domain_aliases, &mut errors);
        check_names(&authorization, &request_authentication, &mut errors);
        let domains = LocalDomains::new(&trust_domain, &trust_domain_aliases);
        let (mut deny, mut allow) = (Vec::new(), None);
        for (index, policy) in authorization.iter().enumerate() {
            let entries = compile_policy(policy, protocol, &domains, &format!("authorization[{index}].rules"), &mut errors);
            match policy.action {
                Action::Deny => deny.extend(entries),
                Action::Allow => allow.get_or_insert_with(Vec::new).extend(entries),
            }
        }
        let mut jwt_rules = Vec::new();
        for (index, document) in request_authentication.iter().enumerate() {
            let path = format!("request_authentication[{index}].jwt_rules");
            jwt_rules.extend(compile_jwt_rules(&document.jwt_rules, KeyOrigin::Inline, &path, &mut errors));
        }
        // All that apply are one list, in the order of their issuers (Istio, RequestAuthentication).
        jwt_rules.sort_by(|a, b| a.issuer().cmp(b.issuer()));
        let owned_headers = owned_headers(&jwt_rules, "request_authentication", &mut errors);
        errors.into_result(Self { protocol, deny, allow, jwt_rules, owned_headers })
    }

    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Lower-case names of the headers that only this policy may set: a request is stripped of them before anything else.
    #[must_use]
    pub fn owned_headers(&self) -> &[String] {
        &self.owned_headers
    }

    /// Whether any token could be asked for.
    #[must_use]
    pub fn verifies_tokens(&self) -> bool {
        !self.jwt_rules.is_empty()
    }
}

fn check_domains(own: &str, aliases: &[String], errors: &mut Errors) {
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

/// A decision names the policy that made it, so that no two may have one name.
fn check_names(authorization: &[wire::AuthorizationPolicy], authentication: &[wire::RequestAuthentication], errors: &mut Errors) {
    let authorization = authorization.iter().map(|policy| (&policy.namespace, &policy.name)).enumerate();
    let authentication = authentication.iter().map(|document| (&document.namespace, &document.name)).enumerate();
    let mut check = |path: &str, index: usize, (namespace, name): (&String, &String), known: &mut BTreeSet<(String, String)>| {
        let is_name = |text: &str| !text.is_empty() && !text.contains('/');
        if !is_name(namespace) || !is_name(name) {
            let message = format!("found namespace `{namespace}` and name `{name}`; names that are not empty, without `/`, are allowed");
            errors.add(format!("{path}[{index}]"), message);
        } else if !known.insert((namespace.clone(), name.clone())) {
            errors.add(format!("{path}[{index}]"), format!("found `{namespace}/{name}` again; each name is allowed once"));
        }
    };
    let mut known = BTreeSet::new();
    authorization.for_each(|(index, names)| check("authorization", index, names, &mut known));
    known.clear();
    authentication.for_each(|(index, names)| check("request_authentication", index, names, &mut known));
}

/// The headers that rules set. A request is stripped of them first, so that none may be one from which another rule takes tokens.
fn owned_headers(rules: &[JwtRule], path: &str, errors: &mut Errors) -> Vec<String> {
    let owned: BTreeSet<&str> = rules.iter().flat_map(JwtRule::owned_headers).collect();
    let tokens: BTreeSet<&str> = rules.iter().flat_map(JwtRule::token_headers).collect();
    for both in owned.intersection(&tokens) {
        errors.add(path, format!("`{both}` is set by one rule and holds the tokens of another; a header for one of both is allowed"));
    }
    owned.into_iter().map(str::to_owned).collect()
}

fn compile_policy(
    policy: &wire::AuthorizationPolicy,
    protocol: Protocol,
    domains: &LocalDomains,
    path: &str,
    errors: &mut Errors,
) -> Vec<Entry> {
    let wire::AuthorizationPolicy { namespace, name, action, rules } = policy;
    if rules.is_empty() && *action == Action::Deny {
        errors.add(path, "a DENY policy without rules never matches; at least one rule is allowed, or leave the policy out");
    }
    let compiled = rule::compile_all(rules, Scope { namespace, domains }, path, errors);
    let key: Arc<str> = format!("{namespace}/{name}").into();
    let on_listener = |(index, rule): (u32, Rule)| Some(Entry { key: Arc::clone(&key), index, rule: rule.on(protocol, *action)? });
    (0_u32..).zip(compiled).filter_map(on_listener).collect()
}

fn compile_jwt_rules(rules: &[wire::JwtRule], origin: KeyOrigin, path: &str, errors: &mut Errors) -> Vec<JwtRule> {
    const MOST: usize = 4096;
    if rules.len() > MOST {
        errors.add(path, format!("found {} rules; at most {MOST} are allowed", rules.len()));
    }
    rules.iter().enumerate().filter_map(|(index, rule)| JwtRule::compile(rule, origin, &format!("{path}[{index}]"), errors)).collect()
}

/// Checks the rules of one AuthorizationPolicy document; paths start with `rules`.
///
/// # Errors
/// Everything that [`Policy::compile`] would refuse.
pub fn validate_rules(namespace: &str, action: Action, rules: &[wire::Rule]) -> Result<(), Vec<Invalid>> {
    let policy = wire::AuthorizationPolicy { namespace: namespace.to_owned(), name: String::new(), action, rules: rules.to_vec() };
    let mut errors = Errors::default();
    compile_policy(&policy, Protocol::Http, &LocalDomains::new("cluster.local", &[]), "rules", &mut errors);
    if errors.is_empty() { Ok(()) } else { Err(errors.into_found()) }
}

/// Checks the rules of one RequestAuthentication document; paths start with `jwtRules`. Keys may be in a rule, at a URI, or found through
/// the issuer; the form of `timeout` is left to whoever reads the document.
///
/// # Errors
/// Everything that [`Policy::compile`] would refuse once the keys have been fetched, and a key set in the document without any key.
pub fn validate_jwt_rules(rules: &[wire::JwtRule]) -> Result<(), Vec<Invalid>> {
    let mut errors = Errors::default();
    let compiled = compile_jwt_rules(rules, KeyOrigin::Anywhere, "jwtRules", &mut errors);
    if errors.is_empty() {
        owned_headers(&compiled, "jwtRules", &mut errors);
    }
    if errors.is_empty() { Ok(()) } else { Err(errors.into_found()) }
}
