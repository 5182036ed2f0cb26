//! The meaning of rules once more: read from the wire each time, slow, and short enough to be seen to be right. It shares no code with the
//! compiled policy.

use meshwright_policy::{Peer, wire};
use serde_json::Value;

use crate::support::Fixture;

/// `Some` of the deciding policy and rule, or `None` where no rule decided; and whether it is allowed.
pub(crate) fn decide(
    policies: &[wire::AuthorizationPolicy],
    own: &str,
    aliases: &[&str],
    request: &Fixture,
) -> (bool, Option<(String, usize)>) {
    let world = World { own, aliases, request };
    let first = |action: wire::Action| {
        let of_action = policies.iter().filter(|policy| policy.action == action);
        of_action
            .flat_map(|policy| policy.rules.iter().enumerate().map(move |(index, rule)| (policy, index, rule)))
            .find_map(|(policy, index, rule)| world.rule(policy, rule).then(|| (format!("{}/{}", policy.namespace, policy.name), index)))
    };
    if let Some(denied) = first(wire::Action::Deny) {
        return (false, Some(denied));
    }
    if policies.iter().all(|policy| policy.action != wire::Action::Allow) {
        return (true, None);
    }
    let allowed = first(wire::Action::Allow);
    (allowed.is_some(), allowed)
}

struct World<'a> {
    own: &'a str,
    aliases: &'a [&'a str],
    request: &'a Fixture,
}

/// What is asked of the request; an absent attribute has no values.
type Found = Vec<String>;

impl World<'_> {
    fn rule(&self, policy: &wire::AuthorizationPolicy, rule: &wire::Rule) -> bool {
        let from = rule.from.as_ref().is_none_or(|list| list.iter().any(|from| self.source(policy, from.source.as_ref().unwrap())));
        let to = rule.to.as_ref().is_none_or(|list| list.iter().any(|to| self.operation(to.operation.as_ref().unwrap())));
        let when = rule.when.as_ref().is_none_or(|list| list.iter().all(|condition| self.condition(policy, condition)));
        from && to && when
    }

    fn both(yes: Option<&Vec<String>>, no: Option<&Vec<String>>, matches: impl Fn(&str) -> bool) -> bool {
        yes.is_none_or(|values| values.iter().any(|value| matches(value)))
            && no.is_none_or(|values| !values.iter().any(|value| matches(value)))
    }

    fn source(&self, policy: &wire::AuthorizationPolicy, source: &wire::Source) -> bool {
        let both = |yes: &Option<Vec<String>>, no: &Option<Vec<String>>, key: &str| {
            Self::both(yes.as_ref(), no.as_ref(), |value| self.holds(&policy.namespace, key, value))
        };
        both(&source.principals, &source.not_principals, "source.principal")
            && both(&source.request_principals, &source.not_request_principals, "request.auth.principal")
            && both(&source.namespaces, &source.not_namespaces, "source.namespace")
            && both(&source.service_accounts, &source.not_service_accounts, "source.serviceAccount")
            && both(&source.trust_domains, &source.not_trust_domains, "source.trustDomain")
            && both(&source.ip_blocks, &source.not_ip_blocks, "source.ip")
            && both(&source.remote_ip_blocks, &source.not_remote_ip_blocks, "remote.ip")
    }

    fn operation(&self, operation: &wire::Operation) -> bool {
        let header = |name: &str| self.header(name);
        Self::both(operation.hosts.as_ref(), operation.not_hosts.as_ref(), |value| {
            header(":authority").is_some_and(|host| value == "*" || text(&value.to_lowercase(), &host.to_lowercase()))
        }) && Self::both(operation.methods.as_ref(), operation.not_methods.as_ref(), |value| {
            header(":method").is_some_and(|method| text(value, &method))
        }) && Self::both(operation.paths.as_ref(), operation.not_paths.as_ref(), |value| {
            header(":path").is_some_and(|path| text(value, path.split(['?', '#']).next().unwrap()))
        }) && Self::both(operation.ports.as_ref(), operation.not_ports.as_ref(), |value| self.holds("", "destination.port", value))
    }

    fn condition(&self, policy: &wire::AuthorizationPolicy, condition: &wire::Condition) -> bool {
        // Of a repeated header: what would deny holds of the values joined and of each, what would allow of the values joined.
        let denies = policy.action != wire::Action::Allow;
        let name = condition.key.strip_prefix("request.headers[").and_then(|rest| rest.strip_suffix(']'));
        let each = |value: &str| name.is_some_and(|name| self.headers(name).iter().any(|found| text(value, found)));
        let holds = |value: &str| self.holds(&policy.namespace, &condition.key, value);
        Self::both(condition.values.as_ref(), None, |value| holds(value) || (denies && each(value)))
            && Self::both(None, condition.not_values.as_ref(), |value| holds(value) || (!denies && each(value)))
    }

    fn holds(&self, namespace: &str, key: &str, value: &str) -> bool {
        let connection = &self.request.connection;
        let block = |ip: Option<std::net::IpAddr>| {
            ip.is_some_and(|ip| value == ip.to_string() || value.parse::<ipnet::IpNet>().is_ok_and(|net| net.contains(&ip)))
        };
        let any = |found: Found| found.iter().any(|found| text(value, found));
        let in_brackets = |prefix: &str| key.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(']'));
        match key {
            "source.principal" => self.identities().iter().any(|identity| self.spellings(value).iter().any(|value| text(value, identity))),
            "source.namespace" => self.identities().iter().any(|identity| text(value, identity.split('/').nth(2).unwrap())),
            "source.serviceAccount" => {
                let wanted = if value.contains('/') { value.to_owned() } else { format!("{namespace}/{value}") };
                let (namespace, account) = wanted.split_once('/').unwrap();
                self.identities().iter().any(|identity| identity.split('/').skip(1).eq(["ns", namespace, "sa", account]))
            }
            "source.trustDomain" => {
                let locals = self.locals();
                let wanted = if locals.contains(&value) { locals } else { vec![value] };
                self.identities().iter().any(|identity| wanted.iter().any(|value| text(value, identity.split('/').next().unwrap())))
            }
            "source.ip" => block(connection.direct_ip),
            "remote.ip" => block(connection.remote_ip),
            "destination.ip" => block(connection.destination.map(|address| address.ip())),
            "destination.port" => connection.destination.is_some_and(|address| address.port().to_string() == value),
            "connection.sni" => any(connection.sni.iter().cloned().collect()),
            "request.auth.principal" => self.claims().is_some_and(|claims| {
                let (issuer, subject) = value.rsplit_once('/').unwrap_or((value, value));
                let subject_is = claims["sub"].as_str().is_some_and(|found| !found.is_empty() && text(subject, found));
                subject_is && text(issuer, claims["iss"].as_str().unwrap())
            }),
            "request.auth.audiences" => any(self.claim("aud")),
            "request.auth.presenter" => any(self.claim("azp")),
            _ => match (in_brackets("request.headers["), in_brackets("request.auth.claims[")) {
                (Some(name), _) => self.header(name).is_some_and(|found| value == "*" || text(value, &found)),
                (_, Some(name)) => any(self.claim(name)),
                _ => unreachable!("{key}"),
            },
        }
    }

    fn identities(&self) -> Vec<String> {
        match &self.request.connection.peer {
            Peer::Plaintext => Vec::new(),
            Peer::Authenticated { uri_sans, .. } => uri_sans.iter().map(|san| san.strip_prefix("spiffe://").unwrap().to_owned()).collect(),
        }
    }

    fn locals(&self) -> Vec<&str> {
        std::iter::once(self.own).chain(self.aliases.iter().copied()).collect()
    }

    /// A principal of a local trust domain is one of each.
    fn spellings(&self, principal: &str) -> Vec<String> {
        match principal.split_once('/') {
            Some((domain, rest)) if rest.split('/').count() == 4 && (domain == "cluster.local" || self.locals().contains(&domain)) => {
                self.locals().iter().map(|local| format!("{local}/{rest}")).collect()
            }
            _ => vec![principal.to_owned()],
        }
    }

    fn header(&self, name: &str) -> Option<String> {
        let found = self.headers(name);
        (!found.is_empty()).then(|| found.join(","))
    }

    fn headers(&self, name: &str) -> Found {
        self.request
            .headers
            .iter()
            .flatten()
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| String::from_utf8(value.clone()).unwrap())
            .collect()
    }

    fn claims(&self) -> Option<&Value> {
        self.request.claims.as_ref()
    }

    fn claim(&self, name: &str) -> Found {
        match self.claims().and_then(|claims| claims.get(name)) {
            Some(Value::String(text)) if name == "scope" => text.split(' ').map(str::to_owned).collect(),
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Array(list)) => list.iter().filter_map(|one| one.as_str().map(str::to_owned)).collect(),
            _ => Vec::new(),
        }
    }
}

/// `a`, `a*`, `*a` or `*`.
fn text(pattern: &str, value: &str) -> bool {
    match (pattern, pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        ("*", ..) => !value.is_empty(),
        (_, Some(suffix), _) => value.ends_with(suffix),
        (_, _, Some(prefix)) => value.starts_with(prefix),
        _ => value == pattern,
    }
}
