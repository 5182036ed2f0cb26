mod log;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use meshwright_identity::TrustDomain;
use rustc_hash::FxHashSet;

use crate::decision::Reason;
use crate::denied::Denied;
use crate::facts::{Fact, Facts};
use crate::field_path::FieldPath;
use crate::invalid::{Errors, Invalid, InvalidPolicy};
use crate::jwt::rule::{JwtRule, KeyOrigin};
use crate::layer::{Entry, Layer, Origin};
use crate::matcher::identity::LocalDomains;
use crate::metadata::MetadataKey;
use crate::request::{Connection, Peer};
use crate::rule::{self, Rule, Scope};
use crate::wire::{self, Action, AuthzConfig, MutualTls, Protocol};

const NEVER_MATCHES: &str = "a DENY or CUSTOM policy without rules never matches; at least one rule is allowed, or leave the policy out";

/// Everything that applies to one workload, compiled.
#[derive(Debug, Clone)]
pub struct Policy {
    protocol: Protocol,
    log_in_vm: bool,
    version: String,
    pub(crate) denied: Denied,
    pub(crate) mutual_tls: MutualTls,
    pub(crate) enforced: Layers,
    /// The same and the policies in dry-run; none when there are none.
    pub(crate) shadow: Option<Layers>,
    pub(crate) audit: Layer,
    /// By provider.
    pub(crate) custom: BTreeMap<String, Layer>,
    pub(crate) jwt_rules: Vec<JwtRule>,
    owned_headers: Vec<String>,
    facts: Facts,
}

/// The policies that allow and deny.
#[derive(Debug, Clone)]
pub(crate) struct Layers {
    pub(crate) deny: Layer,
    /// None when no ALLOW policy applies, which is not the same as policies without a rule.
    pub(crate) allow: Option<Layer>,
}

impl Policy {
    /// # Errors
    /// When the bytes are not JSON of the wire format, or [`Policy::compile`] refuses what they say.
    pub fn from_json(bytes: &[u8]) -> Result<Self, InvalidPolicy> {
        let config = AuthzConfig::from_json(bytes).map_err(|error| {
            let message = format!("not a policy of version {}: {error}", wire::VERSION);
            InvalidPolicy { errors: vec![Invalid { path: "configuration".to_owned(), message }] }
        })?;
        Self::compile(config)
    }

    /// # Errors
    /// Everything in the configuration that cannot be enforced exactly as written.
    #[inline(never)]
    pub fn compile(config: AuthzConfig) -> Result<Self, InvalidPolicy> {
        let AuthzConfig {
            version,
            protocol,
            trust_domain,
            log_in_vm,
            policy_version,
            trust_domain_aliases,
            denied_peers,
            mutual_tls,
            request_authentication,
            authorization,
        } = config;
        let mut errors = Errors::default();
        if version != wire::VERSION {
            errors.add("version", format!("found {version}; {} is allowed", wire::VERSION));
        }
        log::check(log_in_vm, protocol, &mut errors);
        check_domains(&trust_domain, &trust_domain_aliases, &mut errors);
        check_names(&authorization, &request_authentication, &mut errors);
        let domains = LocalDomains::new(&trust_domain, &trust_domain_aliases);
        let denied = Denied::compile(&denied_peers, &domains, &mut errors);
        let mut sorted = Sorted::default();
        for (index, policy) in authorization.iter().enumerate() {
            let entries = compile_policy(policy, protocol, &domains, &FieldPath::root("authorization").index(index), &mut errors);
            sorted.add(policy, entries);
        }
        let mut jwt_rules = Vec::new();
        for (index, document) in request_authentication.iter().enumerate() {
            let path = format!("request_authentication[{index}].jwt_rules");
            for rule in compile_jwt_rules(&document.jwt_rules, KeyOrigin::Inline, &path, &mut errors) {
                // All that apply are one list, in the order of their issuers (Istio, RequestAuthentication). A sort would be 8 KB of code.
                jwt_rules.insert(jwt_rules.partition_point(|other: &JwtRule| other.issuer() <= rule.issuer()), rule);
            }
        }
        let owned_headers = owned_headers(&jwt_rules, "request_authentication", &mut errors);
        let mut facts = Facts::of(sorted.entries().flat_map(|entry| entry.rule().tests()));
        if !denied.is_empty() || !mutual_tls.is_empty() {
            facts.add(Fact::Peer);
        }
        if !mutual_tls.except.is_empty() {
            facts.add(Fact::Destination);
        }
        let (enforced, shadow) = sorted.layers();
        let mut custom = BTreeMap::new();
        for (provider, entries) in sorted.custom {
            custom.insert(provider, Layer::new(entries));
        }
        errors.into_result(Self {
            protocol,
            log_in_vm,
            version: policy_version,
            denied,
            mutual_tls,
            enforced,
            shadow,
            audit: Layer::new(sorted.audit),
            custom,
            jwt_rules,
            owned_headers,
            facts,
        })
    }

    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Whether what passes may be recorded in the VM's memory alone.
    #[must_use]
    pub fn logs_in_vm(&self) -> bool {
        self.log_in_vm
    }

    /// The name of this set of policies; empty when it has none.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether any rule looks at it.
    #[must_use]
    pub fn needs(&self, fact: Fact) -> bool {
        self.facts.contains(fact)
    }

    /// Whether any rule looks at anything but the request itself.
    #[must_use]
    pub fn looks_at_connections(&self) -> bool {
        !self.facts.are_of_requests()
    }

    /// What rules ask of other filters' metadata.
    pub fn metadata(&self) -> impl Iterator<Item = &MetadataKey> {
        self.facts.metadata().iter()
    }

    /// Why a peer is refused before any policy is asked; none: it is not.
    #[must_use]
    pub fn denies(&self, peer: &Peer) -> Option<Reason> {
        self.denied.reason(peer)
    }

    /// As [`Policy::denies`], and whether the peer has no certificate where one is needed.
    #[must_use]
    pub fn refuses(&self, connection: &Connection) -> Option<Reason> {
        if connection.peer == Peer::Plaintext && self.needs_certificate(connection.destination) {
            return Some(Reason::MtlsRequired);
        }
        self.denies(&connection.peer)
    }

    /// On a port that is not known as soon as on any.
    fn needs_certificate(&self, destination: Option<SocketAddr>) -> bool {
        let MutualTls { required, except } = &self.mutual_tls;
        match destination {
            _ if except.is_empty() => *required,
            Some(address) => *required != except.contains(&address.port()),
            None => true,
        }
    }

    /// Whether any peer is.
    #[must_use]
    pub fn denies_peers(&self) -> bool {
        !self.denied.is_empty()
    }

    /// Whether any certificate is denied by its serial.
    #[must_use]
    pub fn denies_serials(&self) -> bool {
        self.denied.has_serials()
    }

    /// Lower-case names of the headers that only this policy may set: a request is stripped of them before anything else.
    #[must_use]
    pub fn owned_headers(&self) -> &[String] {
        &self.owned_headers
    }

    /// Whether anything could depend on a header of this name, in lower case: rules, tokens, what a preflight is, what the policy sets.
    #[must_use]
    pub fn looks_at_header(&self, name: &str) -> bool {
        name.starts_with(':')
            || matches!(name, "origin" | "access-control-request-method")
            || self.facts.has_header(name)
            || self.owned_headers.iter().any(|owned| owned == name)
            || self.jwt_rules.iter().flat_map(JwtRule::token_headers).any(|header| header == name)
    }

    /// Whether any token could be asked for.
    #[must_use]
    pub fn verifies_tokens(&self) -> bool {
        !self.jwt_rules.is_empty()
    }
}

/// The rules of all policies by what they do, each list in the order of the documents.
#[derive(Debug, Default)]
struct Sorted {
    deny: Vec<Entry>,
    allow: Option<Vec<Entry>>,
    /// With those in dry-run; kept only while there is one.
    shadow_deny: Vec<Entry>,
    shadow_allow: Option<Vec<Entry>>,
    has_dry_run: bool,
    audit: Vec<Entry>,
    custom: BTreeMap<String, Vec<Entry>>,
}

impl Sorted {
    #[inline(never)]
    fn add(&mut self, policy: &wire::AuthorizationPolicy, entries: Vec<Entry>) {
        self.has_dry_run |= policy.dry_run;
        match policy.action {
            Action::Deny => {
                if !policy.dry_run {
                    self.deny.extend(entries.iter().cloned());
                }
                self.shadow_deny.extend(entries);
            }
            Action::Allow => {
                if !policy.dry_run {
                    self.allow.get_or_insert_default().extend(entries.iter().cloned());
                }
                self.shadow_allow.get_or_insert_default().extend(entries);
            }
            Action::Audit => self.audit.extend(entries),
            Action::Custom => self.custom.entry(policy.provider.clone().unwrap_or_default()).or_default().extend(entries),
        }
    }

    /// Every rule; those in dry-run are among the shadows, as are the enforced ones.
    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.shadow_deny.iter().chain(self.shadow_allow.iter().flatten()).chain(&self.audit).chain(self.custom.values().flatten())
    }

    #[inline(never)]
    fn layers(&mut self) -> (Layers, Option<Layers>) {
        let take = |deny: &mut Vec<Entry>, allow: &mut Option<Vec<Entry>>| Layers {
            deny: Layer::new(std::mem::take(deny)),
            allow: allow.take().map(Layer::new),
        };
        let enforced = take(&mut self.deny, &mut self.allow);
        let shadow = self.has_dry_run.then(|| take(&mut self.shadow_deny, &mut self.shadow_allow));
        (enforced, shadow)
    }
}

#[inline(never)]
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
#[inline(never)]
fn check_names(authorization: &[wire::AuthorizationPolicy], authentication: &[wire::RequestAuthentication], errors: &mut Errors) {
    let authorization = authorization.iter().map(|policy| (policy.namespace.as_str(), policy.name.as_str()));
    let authentication = authentication.iter().map(|document| (document.namespace.as_str(), document.name.as_str()));
    check_unique("authorization", authorization, errors);
    check_unique("request_authentication", authentication, errors);
}

fn check_unique<'n>(list: &str, names: impl Iterator<Item = (&'n str, &'n str)>, errors: &mut Errors) {
    let is_name = |text: &str| !text.is_empty() && !text.contains('/');
    let mut known = FxHashSet::default();
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
fn owned_headers(rules: &[JwtRule], path: &str, errors: &mut Errors) -> Vec<String> {
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
fn compile_policy(
    policy: &wire::AuthorizationPolicy,
    protocol: Protocol,
    domains: &LocalDomains,
    path: &FieldPath<'_>,
    errors: &mut Errors,
) -> Vec<Entry> {
    let wire::AuthorizationPolicy { namespace, name, action, provider, dry_run, rules } = policy;
    check_action(policy, path, errors);
    let rules_path = path.field("rules");
    if rules.is_empty() && matches!(action, Action::Deny | Action::Custom) {
        errors.add(rules_path, NEVER_MATCHES);
    }
    let compiled = rule::compile_all(rules, Scope { namespace, domains }, &rules_path, errors);
    let origin = Arc::new(Origin { key: format!("{namespace}/{name}"), action: *action, provider: provider.clone(), dry_run: *dry_run });
    let on_listener = |(index, rule): (u32, Rule)| Some(Entry::new(&origin, index, rule.on(protocol, *action)?));
    (0_u32..).zip(compiled).filter_map(on_listener).collect()
}

fn check_action(policy: &wire::AuthorizationPolicy, path: &FieldPath<'_>, errors: &mut Errors) {
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

#[inline(never)]
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
    let mut errors = Errors::default();
    if rules.is_empty() && matches!(action, Action::Deny | Action::Custom) {
        errors.add("rules", NEVER_MATCHES);
    }
    rule::compile_all(
        rules,
        Scope { namespace, domains: &LocalDomains::new("cluster.local", &[]) },
        &FieldPath::root("rules"),
        &mut errors,
    );
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
