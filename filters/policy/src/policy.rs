use std::collections::BTreeSet;

use meshwright_identity::TrustDomain;

use crate::invalid::{Errors, Invalid, InvalidPolicy};
use crate::jwt::rule::JwtRule;
use crate::matcher::identity::LocalDomains;
use crate::rule::{self, Rule, Scope};
use crate::wire::{self, Action, AuthzConfig, Protocol};

/// Everything that applies to one workload, compiled.
#[derive(Debug, Clone)]
pub struct Policy {
    protocol: Protocol,
    pub(crate) authorization: Vec<Compiled>,
    pub(crate) jwt_rules: Vec<JwtRule>,
    owned_headers: Vec<String>,
}

/// One AuthorizationPolicy.
#[derive(Debug, Clone)]
pub(crate) struct Compiled {
    pub(crate) key: String,
    pub(crate) action: Action,
    /// Index in the document, and the rule; rules that this listener cannot match are left out.
    pub(crate) rules: Vec<(u32, Rule)>,
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
        for (domain, path) in
            std::iter::once((&trust_domain, "trust_domain")).chain(trust_domain_aliases.iter().map(|alias| (alias, "trust_domain_aliases")))
        {
            if let Err(error) = TrustDomain::parse(domain) {
                errors.add(path, error.to_string());
            }
        }
        let domains = LocalDomains::new(&trust_domain, &trust_domain_aliases);
        let authorization = authorization
            .iter()
            .enumerate()
            .map(|(index, policy)| compile_policy(policy, protocol, &domains, &format!("authorization[{index}].rules"), &mut errors))
            .collect();
        let mut jwt_rules = Vec::new();
        for (index, document) in request_authentication.iter().enumerate() {
            let path = format!("request_authentication[{index}].jwt_rules");
            jwt_rules.extend(compile_jwt_rules(&document.jwt_rules, &path, &mut errors));
        }
        // All that apply are one list, in the order of their issuers (Istio, RequestAuthentication).
        jwt_rules.sort_by(|a, b| a.issuer().cmp(b.issuer()));
        let owned: BTreeSet<String> = jwt_rules.iter().flat_map(JwtRule::owned_headers).map(str::to_ascii_lowercase).collect();
        errors.into_result(Self { protocol, authorization, jwt_rules, owned_headers: owned.into_iter().collect() })
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

fn compile_policy(
    policy: &wire::AuthorizationPolicy,
    protocol: Protocol,
    domains: &LocalDomains,
    path: &str,
    errors: &mut Errors,
) -> Compiled {
    let wire::AuthorizationPolicy { namespace, name, action, rules } = policy;
    if rules.is_empty() && *action == Action::Deny {
        errors.add(path, "a DENY policy without rules never matches; at least one rule is allowed, or leave the policy out");
    }
    let compiled = rule::compile_all(rules, Scope { namespace, domains }, path, errors);
    let rules = (0_u32..).zip(compiled).filter_map(|(index, rule)| Some((index, rule.on(protocol, *action)?))).collect();
    Compiled { key: format!("{namespace}/{name}"), action: *action, rules }
}

fn compile_jwt_rules(rules: &[wire::JwtRule], path: &str, errors: &mut Errors) -> Vec<JwtRule> {
    const MOST: usize = 4096;
    if rules.len() > MOST {
        errors.add(path, format!("found {} rules; at most {MOST} are allowed", rules.len()));
    }
    rules.iter().enumerate().filter_map(|(index, rule)| JwtRule::compile(rule, &format!("{path}[{index}]"), errors)).collect()
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

/// Checks the rules of one RequestAuthentication document; paths start with `jwtRules`.
///
/// # Errors
/// Everything that [`Policy::compile`] would refuse.
pub fn validate_jwt_rules(rules: &[wire::JwtRule]) -> Result<(), Vec<Invalid>> {
    let mut errors = Errors::default();
    compile_jwt_rules(rules, "jwtRules", &mut errors);
    if errors.is_empty() { Ok(()) } else { Err(errors.into_found()) }
}
