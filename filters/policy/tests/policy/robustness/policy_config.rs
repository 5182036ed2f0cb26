//! Any bytes as the module's configuration: a policy or a readable refusal, and what no policy may break.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use meshwright_policy::{
    Authentication, Connection, Decision, Headers, HttpRequest, Metadata, NO_KEYS, Peer, Policy, Reason, Request, Verdict, decide,
    validate_jwt_rules, validate_rules, wire,
};

pub(crate) fn run(bytes: &[u8]) {
    if let Ok(config) = wire::AuthzConfig::from_json(bytes) {
        assert_eq!(serde_json::from_slice::<wire::AuthzConfig>(bytes).unwrap(), config, "serde takes all that is taken, as the same");
    }
    let policy = match Policy::from_json(bytes) {
        Ok(policy) => policy,
        Err(refusal) => {
            assert!(!refusal.errors.is_empty());
            assert!(refusal.errors.iter().all(|error| !error.path.is_empty() && !error.message.is_empty()), "{refusal}");
            return;
        }
    };
    let config: wire::AuthzConfig = serde_json::from_slice(bytes).unwrap();
    let written = serde_json::to_vec(&config).unwrap();
    assert_eq!(serde_json::from_slice::<wire::AuthzConfig>(&written).unwrap(), config, "what is read is written again");
    for document in &config.authorization {
        assert_eq!(validate_rules(&document.namespace, document.action, &document.rules), Ok(()), "a document is checked no harder alone");
    }
    for document in &config.request_authentication {
        // A document with an empty key set is a mistake; the module is given one while there are no keys yet.
        let rules: Vec<_> = document.jwt_rules.iter().filter(|rule| rule.jwks.as_deref() != Some(NO_KEYS)).cloned().collect();
        assert_eq!(validate_jwt_rules(&rules), Ok(()), "a document is checked no harder alone");
    }
    let on = |protocol| Policy::compile(wire::AuthzConfig { protocol, log_in_vm: false, ..config.clone() }).unwrap();
    let (with_http, without) = (on(wire::Protocol::Http), on(wire::Protocol::Tcp));
    for connection in connections() {
        for headers in [&[][..], HEADERS] {
            let pairs = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
            let request = HttpRequest::new(Headers::from_pairs(pairs));
            let authentication = Authentication::Anonymous;
            is_told_right(
                &decide(&policy, &Request { connection: &connection, http: Some(&request), authentication: &authentication }),
                &config,
            );
        }
        let request = Request { connection: &connection, http: None, authentication: &Authentication::Anonymous };
        let (on_tcp, on_http) = (decide(&without, &request), decide(&with_http, &request));
        is_told_right(&on_tcp, &config);
        assert!(on_tcp.verdict == Verdict::Deny || on_http.verdict == Verdict::Allow, "leaving HTTP out allows more: {connection:?}");
    }
}

/// A decision names a rule that the configuration has, of the action that decided.
fn is_told_right(decision: &Decision<'_>, config: &wire::AuthzConfig) {
    let action = match decision.reason {
        Reason::DenyRule => Some((wire::Action::Deny, Verdict::Deny)),
        Reason::AllowRule => Some((wire::Action::Allow, Verdict::Allow)),
        Reason::NoAllowPolicy | Reason::NoAllowRuleMatched => None,
        Reason::MtlsRequired => {
            assert!(!config.mutual_tls.is_empty() && decision.verdict == Verdict::Deny, "{decision:?}");
            assert_eq!((decision.policy, decision.rule), (None, None));
            return;
        }
        other @ (Reason::PeerIdentityDenied | Reason::PeerSerialDenied | Reason::PeerSerialUnknown) => {
            panic!("nobody is denied: {other:?}")
        }
        other @ (Reason::Token(_) | Reason::CustomProvider) => panic!("no token was sent, no provider asked: {other:?}"),
    };
    let Some((action, verdict)) = action else {
        assert_eq!((decision.policy, decision.rule), (None, None));
        let allows = config.authorization.iter().any(|document| document.action == wire::Action::Allow);
        assert_eq!((decision.verdict == Verdict::Deny, decision.reason == Reason::NoAllowRuleMatched), (allows, allows));
        return;
    };
    assert_eq!(decision.verdict, verdict);
    let named = |document: &&wire::AuthorizationPolicy| decision.policy == Some(&format!("{}/{}", document.namespace, document.name));
    let document = config.authorization.iter().find(named).unwrap();
    let rule = usize::try_from(decision.rule.unwrap()).unwrap();
    assert!(document.action == action && rule < document.rules.len(), "{decision:?}");
}

const HEADERS: &[(&str, &str)] =
    &[(":method", "GET"), (":authority", "a.test:80"), (":path", "/a/b/c?d=e#f"), ("x", "a"), ("x", ""), ("cookie", "c=1")];

fn connections() -> [Connection; 3] {
    let ip = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    let unknown =
        Connection { direct_ip: None, remote_ip: None, peer: Peer::Plaintext, sni: None, destination: None, metadata: Metadata::default() };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let peer = Peer::Authenticated {
        uri_sans: names(&["a", "spiffe://a/ns/a/sa/a"]),
        dns_sans: names(&["a"]),
        subject: Some("CN=a".to_owned()),
        serial: None,
    };
    let known = Connection {
        direct_ip: Some(ip),
        remote_ip: Some(ip),
        peer,
        sni: Some("a".to_owned()),
        destination: Some(SocketAddr::new(ip, 80)),
        metadata: Metadata::default(),
    };
    let nameless = Connection {
        peer: Peer::Authenticated { uri_sans: Vec::new(), dns_sans: Vec::new(), subject: None, serial: None },
        ..unknown.clone()
    };
    [unknown, known, nameless]
}
