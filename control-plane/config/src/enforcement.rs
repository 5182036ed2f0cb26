//! What becomes of a rule on a port: a TCP connection has no requests, so that fields about requests cannot be seen there (mesh semantics,
//! "HTTP attributes on TCP"); docs/tcp-policy.md tells it to operators. Which fields those are is `meshwright_policy`'s to say; a test
//! compares the two.

use meshwright_policy::wire::{Action, Condition, Operation, Rule, Source};

/// A port on which policy is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicyPort {
    pub number: u16,
    /// Whether requests are seen.
    pub http: bool,
    /// Whether a peer may have an identity of the mesh.
    pub mutual_tls: bool,
}

/// What becomes of a rule on a port. The fields are paths into the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Enforcement {
    /// Exactly as written.
    Enforced,
    /// Nothing on this port can ever match it.
    NeverMatches(Vec<String>),
    /// These fields cannot be seen, and without them it matches more than it says.
    Widened(Vec<String>),
}

impl Enforcement {
    /// Stable, for machines.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::NeverMatches(_) => "never_matches",
            Self::Widened(_) => "widened",
        }
    }

    /// The fields that are the cause.
    #[must_use]
    pub fn fields(&self) -> &[String] {
        match self {
            Self::Enforced => &[],
            Self::NeverMatches(fields) | Self::Widened(fields) => fields,
        }
    }
}

/// A field of a rule, as far as a port decides about it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fact {
    path: String,
    kind: FactKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FactKind {
    /// Nothing on this port matches it.
    Impossible,
    /// It is about a request.
    OfRequest,
}

/// What becomes of `rule`, of a policy with `action`, on `port`.
#[must_use]
pub fn enforcement(action: Action, rule: &Rule, port: PolicyPort) -> Enforcement {
    let from = rule.from.iter().flatten().enumerate();
    let from: Option<Vec<Vec<Fact>>> =
        rule.from.is_some().then(|| from.map(|(index, from)| facts_of_source(from.source.as_ref(), index, port)).collect());
    let to = rule.to.iter().flatten().enumerate();
    let to: Option<Vec<Vec<Fact>>> =
        rule.to.is_some().then(|| to.map(|(index, to)| facts_of_operation(to.operation.as_ref(), index, port)).collect());
    let when: Vec<Fact> =
        rule.when.iter().flatten().enumerate().flat_map(|(index, condition)| facts_of_condition(condition, index, port)).collect();
    let parts = [from, to, Some(vec![when])];
    let unseen = |facts: &mut dyn Iterator<Item = &Fact>| paths(facts, FactKind::OfRequest);
    if !port.http && action == Action::Allow {
        // The policy leaves out a rule that has such a field anywhere, so that less is allowed.
        let fields = unseen(&mut parts.iter().flatten().flatten().flatten());
        if !fields.is_empty() {
            return Enforcement::NeverMatches(fields);
        }
    }
    let mut widened = Vec::new();
    for alternatives in parts.iter().flatten() {
        let possible: Vec<&Vec<Fact>> =
            alternatives.iter().filter(|facts| facts.iter().all(|fact| fact.kind != FactKind::Impossible)).collect();
        if possible.is_empty() {
            return Enforcement::NeverMatches(paths(&mut alternatives.iter().flatten(), FactKind::Impossible));
        }
        if !port.http {
            widened.extend(unseen(&mut possible.into_iter().flatten()));
        }
    }
    if widened.is_empty() { Enforcement::Enforced } else { Enforcement::Widened(widened) }
}

fn paths(facts: &mut dyn Iterator<Item = &Fact>, kind: FactKind) -> Vec<String> {
    facts.filter(|fact| fact.kind == kind).map(|fact| fact.path.clone()).collect()
}

fn fact(is: bool, kind: FactKind, path: String) -> Option<Fact> {
    is.then_some(Fact { path, kind })
}

fn facts_of_source(source: Option<&Source>, index: usize, port: PolicyPort) -> Vec<Fact> {
    let Some(source) = source else { return Vec::new() };
    let path = |field: &str| format!("from[{index}].source.{field}");
    // Whoever has no certificate has none of these; the negated fields match such a peer.
    let identities = [
        (&source.principals, "principals"),
        (&source.namespaces, "namespaces"),
        (&source.service_accounts, "serviceAccounts"),
        (&source.trust_domains, "trustDomains"),
    ];
    let requests = [(&source.request_principals, "requestPrincipals"), (&source.not_request_principals, "notRequestPrincipals")];
    let identities =
        identities.iter().filter_map(|(list, name)| fact(list.is_some() && !port.mutual_tls, FactKind::Impossible, path(name)));
    let requests = requests.iter().filter_map(|(list, name)| fact(list.is_some(), FactKind::OfRequest, path(name)));
    identities.chain(requests).collect()
}

fn facts_of_operation(operation: Option<&Operation>, index: usize, port: PolicyPort) -> Vec<Fact> {
    let Some(operation) = operation else { return Vec::new() };
    let path = |field: &str| format!("to[{index}].operation.{field}");
    let requests = [
        (&operation.hosts, "hosts"),
        (&operation.not_hosts, "notHosts"),
        (&operation.methods, "methods"),
        (&operation.not_methods, "notMethods"),
        (&operation.paths, "paths"),
        (&operation.not_paths, "notPaths"),
    ];
    let (elsewhere, not_here) = other_ports(operation.ports.as_ref(), operation.not_ports.as_ref(), port);
    let requests = requests.iter().filter_map(|(list, name)| fact(list.is_some(), FactKind::OfRequest, path(name)));
    let ports = [fact(elsewhere, FactKind::Impossible, path("ports")), fact(not_here, FactKind::Impossible, path("notPorts"))];
    ports.into_iter().flatten().chain(requests).collect()
}

fn facts_of_condition(condition: &Condition, index: usize, port: PolicyPort) -> Vec<Fact> {
    let path = |list: &str| format!("when[{index}].{list}");
    let Condition { key, values, not_values } = condition;
    match key.as_str() {
        "destination.port" => {
            let (elsewhere, not_here) = other_ports(values.as_ref(), not_values.as_ref(), port);
            let facts = [fact(elsewhere, FactKind::Impossible, path("values")), fact(not_here, FactKind::Impossible, path("notValues"))];
            facts.into_iter().flatten().collect()
        }
        "source.principal" | "source.namespace" | "source.serviceAccount" | "source.trustDomain" => {
            fact(values.is_some() && !port.mutual_tls, FactKind::Impossible, path("values")).into_iter().collect()
        }
        key if key.starts_with("request.") => fact(true, FactKind::OfRequest, path("key")).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Whether `yes` has only other ports, and whether `no` has this one.
fn other_ports(yes: Option<&Vec<String>>, no: Option<&Vec<String>>, port: PolicyPort) -> (bool, bool) {
    let is_this = |text: &String| text.parse() == Ok(port.number);
    (yes.is_some_and(|ports| !ports.iter().any(is_this)), no.is_some_and(|ports| ports.iter().any(is_this)))
}
