mod checks;
mod documents;
mod sorted;

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use crate::decision::Reason;
use crate::denied::Denied;
use crate::facts::{Fact, Facts};
use crate::field_path::FieldPath;
use crate::invalid::{Errors, Invalid, InvalidPolicy};
use crate::jwt::rule::{self as jwt_rule, JwtRule};
use crate::layer::{Entry, Layer, Origin};
use crate::matcher::identity::LocalDomains;
use crate::metadata::MetadataKey;
use crate::request::{Connection, Peer};
use crate::rule::{self, Rule, Scope};
use crate::wire::{self, Action, AuthzConfig, MutualTls, Protocol};
use documents::{Beside, Content, Documents, Item};
use sorted::Sorted;

const NEVER_MATCHES: &str = "a DENY or CUSTOM policy without rules never matches; at least one rule is allowed, or leave the policy out";

/// Everything that applies to one workload, compiled.
#[derive(Debug, Clone)]
pub struct Policy {
    protocol: Protocol,
    domains: LocalDomains,
    documents: Documents,
    log_in_vm: bool,
    version: String,
    pub(crate) denied: Denied,
    pub(crate) mutual_tls: MutualTls,
    pub(crate) enforced: Layers,
    /// The same and the policies in dry-run; none when there are none.
    pub(crate) shadow: Option<Layers>,
    pub(crate) audit: Layer,
    /// In the order of their names.
    pub(crate) custom: Vec<Provider>,
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

/// What an external authorizer is asked about.
#[derive(Debug, Clone)]
pub(crate) struct Provider {
    pub(crate) name: String,
    pub(crate) layer: Layer,
}

impl Policy {
    /// # Errors
    /// When the bytes are not JSON of the wire format, or [`Policy::compile`] refuses what they say.
    pub fn from_json(bytes: &[u8]) -> Result<Self, InvalidPolicy> {
        let (config, items) = read(bytes, None)?;
        Self::of(config, items, None, Vec::new())
    }

    /// As [`Policy::from_json`], and the same policy comes out of it; but of AuthorizationPolicies that an earlier configuration had to the
    /// last byte what was compiled then is used again. Keeps the text for the next one.
    ///
    /// # Errors
    /// As those of [`Policy::from_json`].
    pub fn from_json_after(text: Vec<u8>, before: &[&Self]) -> Result<Self, InvalidPolicy> {
        for before in before {
            let (config, items) = read(&text, Some(&before.documents))?;
            if before.compiles_alike(&config) {
                return Self::of(config, items, Some(&before.documents), text);
            }
        }
        let (config, items) = read(&text, None)?;
        Self::of(config, items, None, text)
    }

    /// Whether an AuthorizationPolicy means the same in that configuration as in this one's.
    fn compiles_alike(&self, config: &AuthzConfig) -> bool {
        self.protocol == config.protocol && self.domains == LocalDomains::new(&config.trust_domain, &config.trust_domain_aliases)
    }

    /// # Errors
    /// Everything in the configuration that cannot be enforced exactly as written.
    pub fn compile(mut config: AuthzConfig) -> Result<Self, InvalidPolicy> {
        let new = |policy| Item { text: 0..0, content: Content::New(policy) };
        let items = std::mem::take(&mut config.authorization).into_iter().map(new).collect();
        Self::of(config, items, None, Vec::new())
    }

    /// `items` are the configuration's AuthorizationPolicies, of which it has none itself.
    #[inline(never)]
    fn of(config: AuthzConfig, items: Vec<Item>, before: Option<&Documents>, text: Vec<u8>) -> Result<Self, InvalidPolicy> {
        let mut errors = Errors::default();
        if config.version != wire::VERSION {
            errors.add("version", format!("found {}; {} is allowed", config.version, wire::VERSION));
        }
        if config.log_in_vm && config.protocol == Protocol::Tcp {
            errors.add("log_in_vm", "found true; false is allowed: connections are recorded in the filter state".to_owned());
        }
        checks::domains(&config.trust_domain, &config.trust_domain_aliases, &mut errors);
        check_names(&items, before, &config.request_authentication, &mut errors);
        let domains = LocalDomains::new(&config.trust_domain, &config.trust_domain_aliases);
        let denied = Denied::compile(&config.denied_peers, &domains, &mut errors);
        let documents = compile_documents(items, before, text, config.protocol, &domains, &mut errors);
        let jwt_rules = jwt_rules_of(&config.request_authentication, &mut errors);
        let owned_headers = checks::owned_headers(&jwt_rules, "request_authentication", &mut errors);
        let mut facts = Facts::of(documents.entries().iter().flat_map(|entry| entry.rule().tests()));
        if !denied.is_empty() || !config.mutual_tls.is_empty() {
            facts.add(Fact::Peer);
        }
        if !config.mutual_tls.except.is_empty() {
            facts.add(Fact::Destination);
        }
        let (enforced, shadow, audit, custom) = Sorted::new(&documents).layers();
        errors.into_result(Self {
            protocol: config.protocol,
            log_in_vm: config.log_in_vm,
            domains,
            documents,
            version: config.policy_version,
            denied,
            mutual_tls: config.mutual_tls,
            enforced,
            shadow,
            audit,
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

/// The configuration but for its AuthorizationPolicies, and those.
#[inline(never)]
fn read(text: &[u8], before: Option<&Documents>) -> Result<(AuthzConfig, Vec<Item>), InvalidPolicy> {
    let mut documents = Beside::new(before);
    match AuthzConfig::from_json_beside(text, &mut documents) {
        Ok(config) => Ok((config, documents.items)),
        Err(error) => {
            let message = format!("not a policy of version {}: {error}", wire::VERSION);
            Err(InvalidPolicy { errors: vec![Invalid { path: "configuration".to_owned(), message }] })
        }
    }
}

fn check_names(items: &[Item], before: Option<&Documents>, authentication: &[wire::RequestAuthentication], errors: &mut Errors) {
    checks::names("authorization", &mut items.iter().map(|item| name_of(item, before)), errors);
    let mut names = authentication.iter().map(|document| (document.namespace.as_str(), document.name.as_str()));
    checks::names("request_authentication", &mut names, errors);
}

fn name_of<'i>(item: &'i Item, before: Option<&'i Documents>) -> (&'i str, &'i str) {
    match (&item.content, before) {
        (Content::New(policy), _) => (&policy.namespace, &policy.name),
        (Content::Known(number), Some(before)) => before.name_of(*number),
        (Content::Known(_), None) => ("", ""),
    }
}

#[inline(never)]
fn compile_documents(
    items: Vec<Item>,
    before: Option<&Documents>,
    text: Vec<u8>,
    protocol: Protocol,
    domains: &LocalDomains,
    errors: &mut Errors,
) -> Documents {
    let mut documents = Documents::with_room(text, items.len());
    for (index, Item { text, content }) in items.into_iter().enumerate() {
        match (content, before) {
            (Content::New(policy), _) => {
                let path = FieldPath::root("authorization");
                add_policy(&mut documents, policy, text, Listener { protocol, domains }, &path.index(index), errors);
            }
            (Content::Known(number), Some(before)) => documents.take_over(before, number, text),
            // Never: what is known is known from before.
            (Content::Known(_), None) => errors.add(FieldPath::root("authorization").index(index), "known from nowhere"),
        }
    }
    documents
}

/// What policies are compiled for.
#[derive(Clone, Copy)]
struct Listener<'a> {
    protocol: Protocol,
    domains: &'a LocalDomains,
}

#[inline(never)]
fn add_policy(
    documents: &mut Documents,
    policy: wire::AuthorizationPolicy,
    text: Range<usize>,
    listener: Listener<'_>,
    path: &FieldPath<'_>,
    errors: &mut Errors,
) {
    checks::action(&policy, path, errors);
    let wire::AuthorizationPolicy { namespace, name, action, provider, dry_run, rules } = policy;
    let rules_path = path.field("rules");
    if rules.is_empty() && matches!(action, Action::Deny | Action::Custom) {
        errors.add(rules_path, NEVER_MATCHES);
    }
    let compiled = rule::compile_all(&rules, Scope { namespace: &namespace, domains: listener.domains }, &rules_path, errors);
    let origin = Arc::new(Origin { key: [namespace.as_str(), "/", name.as_str()].concat(), action, provider, dry_run });
    let on_listener = |(index, rule): (u32, Rule)| Some(Entry::new(&origin, index, rule.on(listener.protocol, action)?));
    documents.add(Arc::clone(&origin), text, (0_u32..).zip(compiled).filter_map(on_listener));
}

/// All that apply are one list, in the order of their issuers (Istio, RequestAuthentication).
#[inline(never)]
fn jwt_rules_of(documents: &[wire::RequestAuthentication], errors: &mut Errors) -> Vec<JwtRule> {
    let mut all = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        let path = format!("request_authentication[{index}].jwt_rules");
        for rule in compile_jwt_rules(&document.jwt_rules, jwt_rule::inline_keys, &path, errors) {
            // A sort would be 8 KB of code.
            all.insert(all.partition_point(|other: &JwtRule| other.issuer() <= rule.issuer()), rule);
        }
    }
    all
}

#[inline(never)]
fn compile_jwt_rules(rules: &[wire::JwtRule], keys: jwt_rule::Keys, path: &str, errors: &mut Errors) -> Vec<JwtRule> {
    const MOST: usize = 4096;
    if rules.len() > MOST {
        errors.add(path, format!("found {} rules; at most {MOST} are allowed", rules.len()));
    }
    rules.iter().enumerate().filter_map(|(index, rule)| JwtRule::compile(rule, keys, &format!("{path}[{index}]"), errors)).collect()
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
    let compiled = compile_jwt_rules(rules, jwt_rule::checked_keys, "jwtRules", &mut errors);
    if errors.is_empty() {
        checks::owned_headers(&compiled, "jwtRules", &mut errors);
    }
    if errors.is_empty() { Ok(()) } else { Err(errors.into_found()) }
}
