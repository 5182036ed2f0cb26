//! What a proxy is not told of: never a service of which policy allows it a single request; and what is left out is really left out.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "support/state.rs"]
mod state;
#[path = "support/told.rs"]
mod told;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use meshwright_config::{MtlsMode, State, Workload};
use meshwright_envoy_config::pb::envoy::config::route::v3 as route;
use meshwright_identity::SpiffeId;
use meshwright_policy::{Authentication, Connection, Headers, HttpRequest, Metadata, Peer, Policy, Request, Verdict, decide, wire};
use meshwright_translate::{MeshInputs, NodeMetadata, workload_policy};
use meshwright_xds::{Resource, ResourceType, Snapshot};
use proptest::prelude::*;
use prost::Message as _;

use state::state;
use told::{metadata, told};

const NAMESPACES: [&str; 2] = ["a", "b"];
const SERVICES: usize = 4;
const OUTBOUND: &str = "127.0.0.1:15001";

fn mesh(scope: &str, policy: &str) -> String {
    format!(
        "apiVersion: meshwright.dev/v1alpha1\nkind: Mesh\nmetadata: {{name: mesh}}\nspec: {{trustDomain: mesh.local, trustDomainAliases: [old.local], \
         proxyScope: {{mode: {scope}}}, outboundTrafficPolicy: {{mode: {policy}}}}}\n---\n"
    )
}

/// `SERVICES` services in each namespace, each with one workload of the same name, on the ports 80 (HTTP) and 90 (TCP).
fn services() -> String {
    let mut text = String::new();
    for (at, namespace) in NAMESPACES.iter().enumerate() {
        for n in 0..SERVICES {
            let _infallible = write!(
                text,
                "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: s{n}, namespace: {namespace}}}\nspec: {{hosts: [s{n}.{namespace}.mesh], \
                 location: MESH_INTERNAL, resolution: STATIC, workloadSelector: {{labels: {{app: s{n}}}}}, ports: [{{number: 80, name: http, protocol: HTTP}}, \
                 {{number: 90, name: tcp, protocol: TCP}}]}}\n---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: s{n}, namespace: {namespace}}}\n\
                 spec: {{address: 10.0.{at}.{n}, serviceAccount: sa{n}, labels: {{app: s{n}}}}}\n---\n"
            );
        }
    }
    text
}

fn resources(state: &State, namespace: &str, workload: &str) -> Vec<Resource> {
    let metadata = NodeMetadata { outbound_address: Some(OUTBOUND.parse().unwrap()), ..metadata(namespace, workload) };
    let resources = told(state, &metadata, &MeshInputs::default()).unwrap();
    Snapshot::build(resources.iter().cloned()).unwrap();
    resources
}

/// What a proxy knows of the mesh.
struct Told {
    clusters: BTreeSet<String>,
    routes: route::RouteConfiguration,
}

impl Told {
    fn new(state: &State, namespace: &str, workload: &str) -> Self {
        let resources = resources(state, namespace, workload);
        let clusters =
            resources.iter().filter(|found| found.kind() == ResourceType::Cluster).map(|found| found.name().to_owned()).collect();
        let routes = resources.iter().find(|found| found.kind() == ResourceType::Route).unwrap();
        let told = Self { clusters, routes: route::RouteConfiguration::decode(routes.body().clone()).unwrap() };
        let mut domains: Vec<&String> = told.routes.virtual_hosts.iter().flat_map(|host| &host.domains).collect();
        let all = domains.len();
        domains.sort();
        domains.dedup();
        assert_eq!(domains.len(), all, "Envoy refuses a name that is there twice");
        for cluster in told.routes.virtual_hosts.iter().flat_map(clusters_of) {
            assert!(told.clusters.contains(&cluster), "a route leads to `{cluster}`, which is not there");
        }
        told
    }

    /// The clusters to which calls of this name go; none when they are answered at once.
    fn routed(&self, name: &str) -> Vec<String> {
        let host = self.routes.virtual_hosts.iter().find(|host| host.domains.iter().any(|domain| domain == name));
        host.map(clusters_of).unwrap_or_default()
    }

    fn status(&self, name: &str) -> Option<u32> {
        let host = self.routes.virtual_hosts.iter().find(|host| host.domains.iter().any(|domain| domain == name))?;
        let action = host.routes.first()?.action.as_ref()?;
        if let route::route::Action::DirectResponse(response) = action { Some(response.status) } else { None }
    }
}

fn clusters_of(host: &route::VirtualHost) -> Vec<String> {
    use route::route_action::ClusterSpecifier;
    let mut clusters = Vec::new();
    for found in &host.routes {
        if let Some(route::route::Action::Route(action)) = &found.action {
            match &action.cluster_specifier {
                Some(ClusterSpecifier::Cluster(name)) => clusters.push(name.clone()),
                Some(ClusterSpecifier::WeightedClusters(weighted)) => {
                    clusters.extend(weighted.clusters.iter().map(|cluster| cluster.name.clone()));
                }
                _ => panic!("{action:?}"),
            }
        }
    }
    clusters
}

/// Whether some of the requests that are tried is allowed on a workload's port.
fn allows(state: &State, server: &Workload, port: u16, http: bool, peer: &Peer) -> bool {
    let protocol = if http { wire::Protocol::Http } else { wire::Protocol::Tcp };
    let policy = Policy::from_json(workload_policy(state, server, protocol).unwrap().as_bytes()).unwrap();
    let address = format!("{}:{port}", server.address()).parse().unwrap();
    let ip = |text: &str| Some(text.parse().unwrap());
    let connection = |from| Connection {
        direct_ip: ip(from),
        remote_ip: ip(from),
        peer: peer.clone(),
        sni: None,
        destination: Some(address),
        metadata: Metadata::default(),
    };
    for from in ["10.0.0.1", "192.168.0.1"] {
        let connection = connection(from);
        for (method, path, tenant) in
            [("GET", "/", None), ("GET", "/open", Some("gold")), ("POST", "/open", None), ("POST", "/x", Some("gold"))]
        {
            let mut pairs = vec![(":method", method), (":path", path), (":authority", "s.mesh")];
            pairs.extend(tenant.map(|tenant| ("x-tenant", tenant)));
            let headers = Headers::from_pairs(pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
            let request = HttpRequest::new(headers);
            let request = Request { connection: &connection, http: http.then_some(&request), authentication: &Authentication::default() };
            if decide(&policy, &request).verdict == Verdict::Allow {
                return true;
            }
        }
    }
    false
}

/// Who the client may be to a workload's port: under STRICT it is refused without its certificate.
fn peers(state: &State, client: &Workload, server: &Workload, port: u16) -> Vec<Peer> {
    let id = SpiffeId::for_service_account(&"mesh.local".parse().unwrap(), client.namespace(), client.service_account()).unwrap();
    let mut peers =
        vec![Peer::Authenticated { uri_sans: vec![id.to_string()], dns_sans: vec![], subject: None, serial: Some(String::new()) }];
    if state.peer_authentication_mode(server, port) != MtlsMode::Strict {
        peers.push(Peer::Plaintext);
    }
    peers
}

fn any_word(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    proptest::sample::select(words).prop_map(str::to_owned)
}

/// A field with one or two of these values, or not there.
fn field(name: &'static str, words: &'static [&'static str]) -> impl Strategy<Value = Option<String>> {
    proptest::option::of(
        proptest::collection::vec(any_word(words), 1..3)
            .prop_map(move |found| format!("{name}: [{}]", found.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", "))),
    )
}

fn object(fields: Vec<Option<String>>) -> Option<String> {
    let fields: Vec<String> = fields.into_iter().flatten().collect();
    (!fields.is_empty()).then(|| format!("{{{}}}", fields.join(", ")))
}

fn rule() -> impl Strategy<Value = String> {
    let source = (
        field("principals", &["mesh.local/ns/a/sa/sa0", "mesh.local/ns/b/*", "*/sa1", "old.local/ns/a/sa/sa2", "*"]),
        field("notPrincipals", &["mesh.local/ns/a/sa/sa0", "*/sa3"]),
        field("namespaces", &["a", "b", "c"]),
        field("notNamespaces", &["a", "c"]),
        field("ipBlocks", &["10.0.0.0/8", "172.16.0.0/12"]),
    )
        .prop_map(|(a, b, c, d, e)| object(vec![a, b, c, d, e]));
    let operation = (field("methods", &["GET", "PUT"]), field("paths", &["/open", "/x*", "/never"]), field("ports", &["80", "90", "81"]))
        .prop_map(|(a, b, c)| object(vec![a, b, c]));
    let condition = proptest::option::of(any_word(&[
        "{key: \"request.headers[x-tenant]\", values: [gold]}",
        "{key: source.namespace, notValues: [b]}",
        "{key: source.principal, values: [\"mesh.local/ns/a/sa/sa1\"]}",
        "{key: connection.sni, values: [never.example]}",
    ]));
    (proptest::option::of(source), proptest::option::of(operation), condition).prop_map(|(source, operation, condition)| {
        let parts = [
            source.flatten().map(|source| format!("from: [{{source: {source}}}]")),
            operation.flatten().map(|operation| format!("to: [{{operation: {operation}}}]")),
            condition.map(|condition| format!("when: [{condition}]")),
        ];
        format!("{{{}}}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    })
}

fn policy() -> impl Strategy<Value = String> {
    let place = (any_word(&["a", "b", "istio-system"]), proptest::option::of(0..SERVICES));
    let rules = proptest::collection::vec(rule(), 0..3);
    (place, any_word(&["ALLOW", "ALLOW", "ALLOW", "DENY", "AUDIT"]), rules, proptest::bool::weighted(0.1)).prop_map(
        |((namespace, app), action, rules, dry_run)| {
            // A DENY policy without rules is refused: it would never match.
            let action = if rules.is_empty() { "ALLOW".to_owned() } else { action };
            let selector = app.map(|app| format!("selector: {{matchLabels: {{app: s{app}}}}}, ")).unwrap_or_default();
            let dry_run = if dry_run && action != "AUDIT" { "istio.io/dry-run: \"true\", " } else { "" };
            // What TCP ports make of an HTTP field in a DENY rule is accepted: it is no concern of this test.
            format!(
                "kind: AuthorizationPolicy\nmetadata: {{name: NAME, namespace: {namespace}, annotations: {{{dry_run}meshwright.io/accept-widening: \"true\"}}}}\n\
                 spec: {{{selector}action: {action}, rules: [{}]}}\n",
                rules.join(", ")
            )
        },
    )
}

fn peer_authentication() -> impl Strategy<Value = String> {
    let modes = || any_word(&["STRICT", "STRICT", "PERMISSIVE", "DISABLE"]);
    let place = prop_oneof![Just(("istio-system", None)), Just(("a", None)), (0..SERVICES).prop_map(|app| ("b", Some(app)))];
    (place, modes(), proptest::option::of(modes())).prop_map(|((namespace, app), mode, port)| {
        let selector = app.map(|app| format!("selector: {{matchLabels: {{app: s{app}}}}}, ")).unwrap_or_default();
        let port = port.filter(|_| app.is_some()).map(|mode| format!(", portLevelMtls: {{80: {{mode: {mode}}}}}")).unwrap_or_default();
        format!(
            "kind: PeerAuthentication\nmetadata: {{name: NAME, namespace: {namespace}}}\nspec: {{{selector}mtls: {{mode: {mode}}}{port}}}\n"
        )
    })
}

/// From one service's name to two others.
fn virtual_service() -> impl Strategy<Value = (String, String, [String; 2])> {
    let host = || (any_word(&NAMESPACES), 0..SERVICES).prop_map(|(namespace, n)| format!("s{n}.{namespace}.mesh"));
    (host(), host(), host()).prop_map(|(from, to, other)| {
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: NAME, namespace: a}}\nspec: {{hosts: [{from}], http: [{{route: [\
             {{destination: {{host: {to}, port: {{number: 80}}}}, weight: 50}}, {{destination: {{host: {other}, port: {{number: 80}}}}, weight: 50}}]}}]}}\n"
        );
        (from.clone(), text, [to, other])
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever policy would allow can be called: by the service's own name, and by a name that is routed to it.
    #[test]
    fn no_allowed_edge_is_cut(
        policies in proptest::collection::vec(policy(), 0..6),
        modes in proptest::collection::vec(peer_authentication(), 0..4),
        routes in proptest::collection::vec(virtual_service(), 0..3),
    ) {
        let mut text = mesh("ALLOWED", "ALLOW_ANY") + &services();
        for (n, document) in policies.iter().chain(&modes).enumerate() {
            let _infallible = write!(text, "apiVersion: security.istio.io/v1\n{}---\n", document.replace("NAME", &format!("n{n}")));
        }
        let mut routed: Vec<(&String, &[String; 2])> = Vec::new();
        for (n, (from, document, to)) in routes.iter().enumerate() {
            // A host has one VirtualService.
            if routed.iter().all(|(known, _)| *known != from) {
                text.push_str(&document.replace("NAME", &format!("v{n}")));
                text.push_str("---\n");
                routed.push((from, to));
            }
        }
        let state = state(&text);
        for client in state.workloads() {
            let told = Told::new(&state, client.namespace(), client.name());
            for service in state.services() {
                let host = service.hosts().first().unwrap().as_str();
                let servers = state.instances(service);
                let allowed = |port: u16, http| servers.iter().any(|server| peers(&state, client, server, port).iter().any(|peer| allows(&state, server, port, http, peer)));
                let (http, tcp) = (allowed(80, true), allowed(90, false));
                prop_assert!(!http || !told.routed(&format!("{host}:80")).is_empty(), "{}/{} may call {host}\n{text}", client.namespace(), client.name());
                for (from, _) in routed.iter().filter(|(_, to)| http && to.iter().any(|to| to == host)) {
                    let cluster = format!("outbound|80||{host}");
                    prop_assert!(told.routed(from).contains(&cluster), "{}/{} may call {host} by {from}\n{text}", client.namespace(), client.name());
                }
                for port in [80, 90] {
                    let known = told.clusters.contains(&format!("outbound|{port}||{host}"));
                    prop_assert!(known || !(http || tcp), "{}/{} may call port {port} of {host}\n{text}", client.namespace(), client.name());
                }
            }
        }
    }
}

const STRICT: &str = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: strict, namespace: istio-system}\nspec: {mtls: {mode: STRICT}}\n---\n";

fn allow(namespace: &str, app: usize, from: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: for-s{app}, namespace: {namespace}}}\n\
         spec: {{selector: {{matchLabels: {{app: s{app}}}}}, rules: [{{from: [{{source: {from}}}], to: [{{operation: {{paths: [/open]}}}}]}}]}}\n---\n"
    )
}

#[test]
fn what_policy_always_denies_is_left_out_and_answered_as_the_peer_would() {
    let policies = allow("a", 0, "{principals: [mesh.local/ns/b/sa/sa1]}")
        + &allow("a", 1, "{namespaces: [b]}")
        + &allow("a", 2, "{notNamespaces: [a]}");
    for (scope, others, is_told) in
        [("EVERYTHING", "ALLOW_ANY", true), ("ALLOWED", "ALLOW_ANY", false), ("ALLOWED", "REGISTRY_ONLY", false)]
    {
        let state = state(&(mesh(scope, others) + &services() + STRICT + &policies));
        for (namespace, workload, closed) in [("a", "s3", [0, 1, 2].as_slice()), ("b", "s1", &[]), ("b", "s2", &[0])] {
            let told = Told::new(&state, namespace, workload);
            for n in 0..SERVICES {
                let open = is_told || !closed.contains(&n);
                let name = format!("s{n}.a.mesh");
                for port in [80, 90] {
                    assert_eq!(told.clusters.contains(&format!("outbound|{port}||{name}")), open, "{scope} {namespace}/{workload} {name}");
                }
                for called in [name.clone(), format!("{name}:80")] {
                    assert_eq!(told.routed(&called).is_empty(), !open, "{scope} {namespace}/{workload} {called}");
                    // Not forwarded as a host outside the mesh.
                    let answer = (!open && others == "ALLOW_ANY").then_some(403);
                    assert_eq!(told.status(&called), answer, "{scope} {namespace}/{workload} {called}");
                }
            }
        }
    }
}

#[test]
fn where_somebody_may_come_without_an_identity_nothing_is_cut() {
    let policies = allow("a", 0, "{principals: [mesh.local/ns/b/sa/sa1]}");
    let permissive = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: open, namespace: a}\nspec: {selector: {matchLabels: {app: s0}}, portLevelMtls: {90: {mode: PERMISSIVE}}}\n---\n";
    let gateway = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g, namespace: a}\nspec: {selector: {app: s0}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}\n---\n";
    let outside = services().replace("MESH_INTERNAL", "MESH_EXTERNAL");
    for (documents, is_cut) in [
        (services() + STRICT, true),
        (services(), false),
        (services() + STRICT + permissive, false),
        (services() + STRICT + gateway, false),
        (services().replace("labels: {app: s0}}", "labels: {app: s0, security.istio.io/tlsMode: disabled}}") + STRICT, false),
        (outside + STRICT, false),
    ] {
        let state = state(&(mesh("ALLOWED", "ALLOW_ANY") + &documents + &policies));
        let told = Told::new(&state, "a", "s3");
        assert_eq!(told.clusters.contains("outbound|80||s0.a.mesh"), !is_cut, "{documents}");
    }
}

#[test]
fn sidecar_documents_say_which_services_are_imported() {
    let sidecar = |namespace: &str, spec: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {{name: all, namespace: {namespace}}}\nspec: {{{spec}}}\n---\n"
        )
    };
    let route = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v, namespace: a}\nspec: {hosts: [s1.a.mesh], http: [{route: [{destination: {host: s2.b.mesh, port: {number: 80}}}]}]}\n---\n";
    let all: Vec<String> = NAMESPACES.iter().flat_map(|namespace| (0..SERVICES).map(move |n| format!("s{n}.{namespace}.mesh"))).collect();
    let of = |namespace: &str| all.iter().filter(|host| host.contains(&format!(".{namespace}."))).cloned().collect::<Vec<String>>();
    for (what, documents, called) in [
        ("none", String::new(), all.clone()),
        ("its own namespace", sidecar("a", "egress: [{hosts: ['./*']}]"), of("a")),
        ("of the root namespace, its own", sidecar("istio-system", "egress: [{hosts: ['./*']}]"), of("a")),
        (
            "its own goes before that of the root namespace",
            sidecar("istio-system", "egress: [{hosts: ['~/*']}]")
                + &sidecar("a", "egress: [{hosts: ['b/*']}]").replace("name: all", "name: own"),
            of("b"),
        ),
        (
            "one for the workload goes before both",
            sidecar("a", "egress: [{hosts: ['./*']}]")
                + &sidecar("a", "workloadSelector: {labels: {app: s0}}, egress: [{hosts: ['b/s3.b.mesh', '*/s2.a.mesh']}]")
                    .replace("name: all", "name: own"),
            vec!["s2.a.mesh".to_owned(), "s3.b.mesh".to_owned()],
        ),
        ("one for another workload", sidecar("a", "workloadSelector: {labels: {app: s1}}, egress: [{hosts: ['~/*']}]"), all.clone()),
        ("nothing", sidecar("a", "egress: [{hosts: ['~/*']}]"), vec![]),
        ("of one name", sidecar("a", "egress: [{hosts: ['*/*.b.mesh']}]"), of("b")),
        ("no egress", sidecar("a", "outboundTrafficPolicy: {mode: ALLOW_ANY}"), all.clone()),
    ] {
        let told = Told::new(&state(&(mesh("EVERYTHING", "ALLOW_ANY") + &services() + &documents)), "a", "s0");
        let found: Vec<String> = all.iter().filter(|host| !told.routed(&format!("{host}:80")).is_empty()).cloned().collect();
        assert_eq!(found, called, "{what}");
        for host in all.iter().filter(|host| !called.contains(host)) {
            assert_eq!((told.status(host), told.clusters.contains(&format!("outbound|80||{host}"))), (Some(502), false), "{what} {host}");
        }
    }
    // What an imported name leads to is there, and cannot be called by its own name.
    let everything = |more: &str| state(&(mesh("EVERYTHING", "ALLOW_ANY") + &services() + more));
    let told = Told::new(&everything(&format!("{route}{}", sidecar("a", "egress: [{hosts: ['./*']}]"))), "a", "s0");
    assert_eq!((told.routed("s1.a.mesh"), told.status("s2.b.mesh")), (vec!["outbound|80||s2.b.mesh".to_owned()], Some(502)));
    let closed = Told::new(&everything(&sidecar("a", "outboundTrafficPolicy: {mode: REGISTRY_ONLY}")), "a", "s0");
    assert!(!closed.clusters.contains("PassthroughCluster") && closed.clusters.len() == 16, "{:?}", closed.clusters);
}
