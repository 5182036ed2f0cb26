//! What becomes of each field of a rule on each kind of port, and that the policy itself does the same.

#![expect(clippy::unwrap_used, clippy::panic, clippy::string_slice, reason = "tests fail by panicking")]

use meshwright_config::{DocumentError, Enforcement, PolicyPort, State, enforcement, parse_file};
use meshwright_policy::wire::{Action, Rule};
use meshwright_policy::{Authentication, Connection, Metadata, Peer, Policy, Request, trace};
use serde_json::{Value, json};

const HTTP: PolicyPort = PolicyPort { number: 8080, http: true, mutual_tls: true };
const TCP: PolicyPort = PolicyPort { http: false, ..HTTP };

fn rule(value: &Value) -> Rule {
    serde_json::from_value(value.clone()).unwrap()
}

/// Every field of a rule, alone, and whether it is about a request.
fn fields() -> Vec<(Value, bool)> {
    let source = |name: &str, value: &str| json!({"from": [{"source": {name: [value]}}]});
    let operation = |name: &str, value: &str| json!({"to": [{"operation": {name: [value]}}]});
    let mut fields = Vec::new();
    for (name, value, of_request) in [
        ("principals", "mesh.local/ns/a/sa/b", false),
        ("namespaces", "a", false),
        ("serviceAccounts", "a/b", false),
        ("trustDomains", "mesh.local", false),
        ("ipBlocks", "10.0.0.0/8", false),
        ("remoteIpBlocks", "10.0.0.0/8", false),
        ("requestPrincipals", "*", true),
    ] {
        fields.push((source(name, value), of_request));
        fields.push((source(&negated(name), value), of_request));
    }
    for (name, value) in [("hosts", "a.example"), ("methods", "GET"), ("paths", "/a")] {
        fields.push((operation(name, value), true));
        fields.push((operation(&negated(name), value), true));
    }
    fields.push((operation("ports", "8080"), false));
    fields.push((operation("notPorts", "9090"), false));
    for (key, value, of_request) in [
        ("request.headers[x-a]", "b", true),
        ("request.auth.principal", "a/b", true),
        ("request.auth.audiences", "a", true),
        ("request.auth.presenter", "a", true),
        ("request.auth.claims[a][b]", "c", true),
        ("source.ip", "10.0.0.1", false),
        ("remote.ip", "10.0.0.1", false),
        ("source.principal", "mesh.local/ns/a/sa/b", false),
        ("source.namespace", "a", false),
        ("source.serviceAccount", "a/b", false),
        ("source.trustDomain", "mesh.local", false),
        ("destination.ip", "10.0.0.1", false),
        ("destination.port", "8080", false),
        ("connection.sni", "a.example", false),
    ] {
        fields.push((json!({"when": [{"key": key, "values": [value]}]}), of_request));
        let other = if key == "destination.port" { "9090" } else { value };
        fields.push((json!({"when": [{"key": key, "notValues": [other]}]}), of_request));
    }
    fields
}

fn negated(name: &str) -> String {
    format!("not{}{}", name[..1].to_uppercase(), &name[1..])
}

/// Whether the policy itself leaves an ALLOW rule out of what it enforces on TCP.
fn left_out(rule: &Value) -> bool {
    let config = json!({
        "version": 1, "protocol": "tcp", "trust_domain": "mesh.local",
        "authorization": [{"namespace": "a", "name": "p", "action": "ALLOW", "rules": [rule]}],
    });
    let policy = Policy::from_json(config.to_string().as_bytes()).unwrap_or_else(|error| panic!("{rule}: {error}"));
    let connection =
        Connection { direct_ip: None, remote_ip: None, peer: Peer::Plaintext, sni: None, destination: None, metadata: Metadata::default() };
    trace(&policy, &Request { connection: &connection, http: None, authentication: &Authentication::Anonymous }).is_empty()
}

#[test]
fn every_field_is_enforced_where_requests_are_seen_and_told_of_where_not() {
    assert_eq!(fields().len(), 50);
    for (field, of_request) in fields() {
        assert_eq!(left_out(&field), of_request, "the policy: {field}");
        for action in [Action::Allow, Action::Deny, Action::Custom, Action::Audit] {
            let on = |port| enforcement(action, &rule(&field), port);
            assert_eq!(on(HTTP), Enforcement::Enforced, "{action:?} {field}");
            let expected = match (of_request, action) {
                (false, _) => "enforced",
                (true, Action::Allow) => "never_matches",
                (true, Action::Deny | Action::Custom | Action::Audit) => "widened",
            };
            assert_eq!((on(TCP).as_str(), on(TCP).fields().len()), (expected, usize::from(of_request)), "{action:?} {field}");
        }
    }
}

#[test]
fn a_port_decides_what_can_match_there() {
    let plaintext = PolicyPort { mutual_tls: false, ..HTTP };
    let tcp_plaintext = PolicyPort { mutual_tls: false, ..TCP };
    let never = |fields: &[&str]| Enforcement::NeverMatches(fields.iter().map(|field| (*field).to_owned()).collect());
    let widened = |fields: &[&str]| Enforcement::Widened(fields.iter().map(|field| (*field).to_owned()).collect());
    let enforced = || Enforcement::Enforced;
    let deny = Action::Deny;
    for (what, value, port, expected) in [
        ("nothing set", json!({}), TCP, enforced()),
        ("another port", json!({"to": [{"operation": {"ports": ["9090"]}}]}), HTTP, never(&["to[0].operation.ports"])),
        ("not this port", json!({"to": [{"operation": {"notPorts": ["8080"]}}]}), TCP, never(&["to[0].operation.notPorts"])),
        (
            "a path on another port",
            json!({"to": [{"operation": {"paths": ["/a"], "ports": ["9090"]}}]}),
            TCP,
            never(&["to[0].operation.ports"]),
        ),
        (
            "one of two on another port",
            json!({"to": [{"operation": {"paths": ["/a"], "ports": ["9090"]}}, {"operation": {"ports": ["8080"]}}]}),
            TCP,
            enforced(),
        ),
        (
            "a path for one of two ports",
            json!({"to": [{"operation": {"paths": ["/a"], "ports": ["8080"]}}, {"operation": {"ports": ["9090"]}}]}),
            TCP,
            widened(&["to[0].operation.paths"]),
        ),
        (
            "a path, and a condition on the port",
            json!({"to": [{"operation": {"paths": ["/a"]}}], "when": [{"key": "destination.port", "values": ["9090"]}]}),
            TCP,
            never(&["when[0].values"]),
        ),
        ("not on this port", json!({"when": [{"key": "destination.port", "notValues": ["8080"]}]}), HTTP, never(&["when[0].notValues"])),
        (
            "an identity where there is none",
            json!({"from": [{"source": {"namespaces": ["a"]}}]}),
            plaintext,
            never(&["from[0].source.namespaces"]),
        ),
        ("anybody else, where there is no identity", json!({"from": [{"source": {"notNamespaces": ["a"]}}]}), plaintext, enforced()),
        (
            "an identity by condition",
            json!({"when": [{"key": "source.principal", "values": ["*"]}]}),
            tcp_plaintext,
            never(&["when[0].values"]),
        ),
        (
            "two sources, of which one can be",
            json!({"from": [{"source": {"principals": ["*"]}}, {"source": {"ipBlocks": ["10.0.0.0/8"], "requestPrincipals": ["*"]}}]}),
            tcp_plaintext,
            widened(&["from[1].source.requestPrincipals"]),
        ),
    ] {
        assert_eq!(enforcement(deny, &rule(&value), port), expected, "{what}");
    }
    // An ALLOW rule with a field that is not seen is left out whole, also where another alternative has none.
    let half = json!({"to": [{"operation": {"paths": ["/a"]}}, {"operation": {"ports": ["8080"]}}]});
    assert!(left_out(&half));
    assert_eq!(enforcement(Action::Allow, &rule(&half), TCP), never(&["to[0].operation.paths"]));
}

const MESH: &str = "
apiVersion: meshwright.dev/v1alpha1
kind: Mesh
metadata: {name: mesh}
spec:
  trustDomain: mesh.local
  extensionProviders:
  - {name: grpc, envoyExtAuthzGrpc: {service: authz.example, port: 9191}}
  - {name: http, envoyExtAuthzHttp: {service: authz.example, port: 8080}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: authz, namespace: bank}
spec:
  hosts: [authz.example]
  resolution: DNS
  ports: [{number: 9191, name: grpc, protocol: GRPC}, {number: 8080, name: http, protocol: HTTP}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ledger, namespace: bank}
spec:
  hosts: [ledger.example]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 5000, name: tcp, protocol: TCP}, {number: 8080, name: http, protocol: HTTP}]
  workloadSelector: {labels: {app: ledger}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: ledger-1, namespace: bank, labels: {app: ledger}}
spec: {address: 127.0.0.1}
";

fn policy(annotations: &str, spec: &str) -> (State, Vec<DocumentError>) {
    let document = format!(
        "{MESH}---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: bank, annotations: {annotations}}}\nspec: {spec}\n"
    );
    let parsed = parse_file("test.yaml", &document).into_iter().map(|parsed| parsed.unwrap_or_else(|error| panic!("{error}")));
    State::assemble(parsed.collect())
}

fn refusal(annotations: &str, spec: &str) -> Option<(String, String)> {
    let (state, errors) = policy(annotations, spec);
    assert_eq!(state.authorization_policies().is_empty(), !errors.is_empty());
    assert!(errors.len() < 2, "{errors:?}");
    errors.first().map(|error| (error.path().to_owned(), error.message().to_owned()))
}

#[test]
fn what_would_be_widened_is_refused_unless_its_author_accepts_it() {
    let accepts = "{meshwright.io/accept-widening: \"true\"}";
    for action in ["DENY", "CUSTOM, provider: {name: grpc}"] {
        let spec = format!("{{action: {action}, rules: [{{to: [{{operation: {{methods: [GET], ports: ['5000', '8080']}}}}]}}]}}");
        let (path, message) = refusal("{}", &spec).unwrap();
        assert_eq!(path, "spec.rules[0].to[0].operation.methods");
        assert!(message.starts_with("cannot be seen on port 5000 (TCP) of WorkloadEntry bank/ledger-1 in test.yaml"), "{message}");
        assert!(message.contains("`ports`") && message.contains("meshwright.io/accept-widening"), "{message}");
        assert_eq!(refusal(accepts, &spec), None);
        assert!(refusal("{meshwright.io/accept-widening: \"false\"}", &spec).is_some());
        assert_eq!(refusal("{}", &spec.replace("'5000', ", "")), None, "only where requests are seen");
    }
    let unseen = "rules: [{to: [{operation: {methods: [GET]}}]}]";
    assert_eq!(refusal("{}", &format!("{{action: ALLOW, {unseen}}}")), None, "narrower");
    assert_eq!(refusal("{}", &format!("{{action: AUDIT, {unseen}}}")), None, "changes nothing");
}

#[test]
fn a_provider_that_is_asked_over_http_is_not_asked_about_connections() {
    let custom = |provider: &str, rule: &str| format!("{{action: CUSTOM, provider: {{name: {provider}}}, rules: [{rule}]}}");
    let (path, message) = refusal("{}", &custom("http", "{}")).unwrap();
    assert_eq!(path, "spec.provider.name");
    assert!(message.starts_with("`http` is asked over HTTP, and there are no requests on port 5000 (TCP) of WorkloadEntry bank/ledger-1"));
    let accepted = refusal("{meshwright.io/accept-widening: \"true\"}", &custom("http", "{}"));
    assert!(accepted.is_some(), "to accept a widening is not to accept that nobody is asked");
    assert_eq!(refusal("{}", &custom("http", "{to: [{operation: {ports: ['8080']}}]}")), None);
    assert_eq!(refusal("{}", &custom("grpc", "{}")), None);
}

#[test]
fn every_rule_is_answered_for_on_every_port() {
    let (state, errors) = policy("{}", "{rules: [{from: [{source: {namespaces: [a]}}]}, {to: [{operation: {paths: [/a]}}]}]}");
    assert_eq!(errors, []);
    let enforcements = state.enforcements();
    let found: Vec<_> = enforcements
        .of(&state.authorization_policies()[0])
        .into_iter()
        .map(|found| (found.workload.name().to_owned(), found.port.number, found.port.http, found.rule, found.enforcement.as_str()))
        .collect();
    let ledger = |port, http, rule, answer| ("ledger-1".to_owned(), port, http, rule, answer);
    assert_eq!(
        found,
        [
            ledger(5000, false, 0, "enforced"),
            ledger(5000, false, 1, "never_matches"),
            ledger(8080, true, 0, "enforced"),
            ledger(8080, true, 1, "enforced"),
        ]
    );
}

#[test]
fn rules_are_told_of_in_lines_and_fields() {
    let spec = "{rules: [{from: [{source: {namespaces: [a]}}]}, {to: [{operation: {paths: [/a]}}]}]}";
    let (state, _) = policy("{istio.io/dry-run: \"1\"}", spec);
    assert_eq!(
        state.rule_lines(),
        [
            "AuthorizationPolicy bank/p rule 0 (ALLOW, dry-run): enforced on 5000 (TCP) of bank/ledger-1, 8080 (HTTP) of bank/ledger-1",
            "AuthorizationPolicy bank/p rule 1 (ALLOW, dry-run): enforced on 8080 (HTTP) of bank/ledger-1; \
             can never match on 5000 (TCP) of bank/ledger-1 (`to[0].operation.paths`)",
        ]
    );
    assert_eq!(
        serde_json::to_value(&state.rule_statuses()[1..2]).unwrap(),
        json!([{
            "policy": "bank/p", "action": "ALLOW", "dry_run": true, "rule": 1, "workload": "bank/ledger-1", "port": 5000, "protocol": "tcp",
            "enforcement": "never_matches", "fields": ["spec.rules[1].to[0].operation.paths"],
        }]),
        "{:?}",
        state.rule_statuses()
    );
    let (state, _) = policy("{meshwright.io/accept-widening: \"true\"}", "{action: DENY, rules: [{to: [{operation: {paths: [/a]}}]}]}");
    assert_eq!(
        state.rule_lines(),
        ["AuthorizationPolicy bank/p rule 0 (DENY): enforced on 8080 (HTTP) of bank/ledger-1; \
          matches more than it says on 5000 (TCP) of bank/ledger-1 (`to[0].operation.paths`)"]
    );
    let (state, _) = policy("{}", "{selector: {matchLabels: {app: nobody}}, rules: [{}]}");
    assert_eq!(state.rule_lines(), ["AuthorizationPolicy bank/p rule 0 (ALLOW): for no port of any workload"]);
}

#[test]
fn the_document_shows_what_is_refused_and_what_is_not() {
    let text = include_str!("../../../docs/tcp-policy.md");
    let examples: Vec<&str> = text.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    let refused = examples.iter().map(|example| {
        let parsed = parse_file("test.yaml", &format!("{MESH}---\n{example}")).into_iter().map(Result::unwrap);
        !State::assemble(parsed.collect()).1.is_empty()
    });
    assert_eq!(refused.collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn the_example_of_an_external_authorizer_is_right() {
    let text = include_str!("../../../docs/external-authorizers.md");
    let example = text.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let parsed = parse_file("test.yaml", example).into_iter().map(|parsed| parsed.unwrap_or_else(|error| panic!("{error}")));
    let (state, errors) = State::assemble(parsed.collect());
    assert_eq!((errors, state.authorization_policies().len()), (vec![], 1));
}
