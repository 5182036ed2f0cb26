//! What a state answers, beside the rule of Istio's that says so.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use meshwright_config::{Host, MtlsMode, PathNormalization, ProviderProtocol, RouteNamespace, State, parse_file};

fn state(text: &str) -> State {
    let documents = parse_file("test.yaml", text).into_iter().map(|parsed| parsed.unwrap_or_else(|error| panic!("{error}"))).collect();
    let (state, errors) = State::assemble(documents);
    assert_eq!(errors, [], "contradictions");
    state
}

fn host(name: &str) -> Host {
    Host::parse(name).unwrap()
}

const MESH: &str = "
apiVersion: meshwright.dev/v1alpha1
kind: Mesh
metadata: {name: mesh}
spec: {trustDomain: a.example, rootNamespace: root}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: cart-1, namespace: shop, labels: {app: overridden, tier: back}}
spec: {address: 127.0.0.1, labels: {app: cart, version: v1}, serviceAccount: cart, locality: eu/west, ports: {http: 8081}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: cart-2, namespace: shop}
spec: {address: 127.0.0.2, labels: {app: cart, version: v2}, weight: 3}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: cart-1, namespace: elsewhere}
spec: {address: 127.0.0.3, labels: {app: cart}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart.shop.mesh, cart.shop.svc.cluster.local]
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
  - {number: 80, name: http, protocol: HTTP, targetPort: 8080}
  - {number: 9000, name: tcp, protocol: TCP}
  workloadSelector: {labels: {app: cart}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild, namespace: shop}
spec:
  hosts: ['*.example.com']
  resolution: DNS
  ports: [{number: 443, name: tls, protocol: TLS}]
  endpoints: [{address: one.example.net, ports: {tls: 8443}}]
---
";

fn with(text: &str) -> State {
    state(&format!("{MESH}{text}"))
}

#[test]
fn a_service_finds_its_workloads_and_their_ports() {
    let state = with("");
    let service = state.service(&host("cart.shop.mesh")).unwrap();
    let found = |port: usize| {
        let endpoints = state.endpoints(service, &service.ports()[port], None);
        endpoints.iter().map(|endpoint| (endpoint.workload().name().to_owned(), endpoint.port())).collect::<Vec<_>>()
    };
    // The workload's own number for the port's name, else the target port, else the port; and never workloads of other namespaces.
    assert_eq!(found(0), [("cart-1".to_owned(), 8081), ("cart-2".to_owned(), 8080)]);
    assert_eq!(found(1), [("cart-1".to_owned(), 9000), ("cart-2".to_owned(), 9000)]);

    let cart = state.workload("shop", "cart-1").unwrap();
    assert_eq!(
        state.inbound_ports(cart).iter().map(|port| (port.number(), port.protocol().as_str())).collect::<Vec<_>>(),
        [(8081, "HTTP"), (9000, "TCP")]
    );
    assert_eq!((cart.labels()["app"].as_str(), cart.labels()["tier"].as_str()), ("cart", "back"));
    assert_eq!(cart.locality().map(|locality| (locality.region(), locality.zone(), locality.subzone())), Some(("eu", "west", "")));
    assert_eq!((cart.service_account(), cart.weight()), ("cart", 1));
    let other = state.workload("shop", "cart-2").unwrap();
    assert_eq!((other.service_account(), other.weight()), ("default", 3));

    let wild = state.service(&host("a.b.example.com")).unwrap();
    assert_eq!(state.endpoints(wild, &wild.ports()[0], None)[0].port(), 8443);
    assert!(state.service(&host("example.com")).is_none());
}

#[test]
fn policies_hold_by_namespace_and_selector() {
    let policy = |namespace: &str, name: &str, spec: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"
        )
    };
    let state = with(
        &[
            policy("root", "all", "{}"),
            policy("root", "chosen", "{selector: {matchLabels: {app: cart, version: v1}}}"),
            policy("shop", "namespace", "{selector: {}}"),
            policy("shop", "others", "{selector: {matchLabels: {app: other}}}"),
            policy("elsewhere", "namespace", "{}"),
        ]
        .concat(),
    );
    let names = |namespace: &str, name: &str| {
        let workload = state.workload(namespace, name).unwrap();
        state
            .authorization_for(workload)
            .iter()
            .map(|policy| policy.key().to_string().replace("AuthorizationPolicy ", ""))
            .collect::<Vec<_>>()
    };
    assert_eq!(names("shop", "cart-1"), ["root/all", "root/chosen", "shop/namespace"]);
    assert_eq!(names("shop", "cart-2"), ["root/all", "shop/namespace"]);
    assert_eq!(names("elsewhere", "cart-1"), ["elsewhere/namespace", "root/all"]);
}

#[test]
fn policies_for_gateways_hold_where_the_gateway_is_served() {
    let gateway = |name: &str, label: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: {name}, namespace: edge}}\n\
             spec: {{selector: {{role: {label}}}, servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: ['*']}}]}}\n---\n"
        )
    };
    let workload = |namespace: &str, label: &str, address: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: {label}, namespace: {namespace}, labels: {{role: {label}}}}}\n\
             spec: {{address: {address}}}\n---\n"
        )
    };
    let policy = |kind: &str, namespace: &str, name: &str, spec: &str| {
        format!("apiVersion: security.istio.io/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n")
    };
    let one = "{targetRefs: [{group: networking.istio.io, kind: Gateway, name: one}]}";
    let tokens = "{targetRefs: [{group: networking.istio.io, kind: Gateway, name: two, namespace: edge}], jwtRules: []}";
    let state = with(
        &[
            gateway("one", "first"),
            gateway("two", "second"),
            workload("edge", "first", "127.0.1.1"),
            workload("elsewhere", "second", "127.0.1.2"),
            policy("AuthorizationPolicy", "edge", "for-one", one),
            policy("AuthorizationPolicy", "edge", "for-all", "{}"),
            policy("RequestAuthentication", "edge", "for-two", tokens),
        ]
        .concat(),
    );
    let found = |namespace: &str, name: &str| {
        let workload = state.workload(namespace, name).unwrap();
        let policies = state.authorization_for(workload).into_iter().map(|policy| policy.key());
        let tokens = state.request_authentication_for(workload).into_iter().map(|document| document.key());
        policies.chain(tokens).map(|key| key.name().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found("edge", "first"), ["for-all", "for-one"]);
    assert_eq!(found("elsewhere", "second"), ["for-two"], "a gateway is served from any namespace");
    assert!(found("shop", "cart-1").is_empty(), "a sidecar is no gateway");
}

#[test]
fn a_policy_is_read_whole() {
    let provider = "
apiVersion: meshwright.dev/v1alpha1
kind: Mesh
metadata: {name: mesh}
spec:
  trustDomain: a.example
  pathNormalization: {normalization: NONE}
  extensionProviders:
  - name: opa
    envoyExtAuthzGrpc: {service: opa.example, port: 9191}
  - name: legacy
    envoyExtAuthzHttp:
      service: shop/opa.example
      port: 8080
      timeout: 2s
      pathPrefix: /check
      failOpen: false
      statusOnError: \"503\"
      headersToUpstreamOnAllow: [X-User, x-auth-*]
      includeAdditionalHeadersInCheck: {X-From: mesh}
      includeRequestBodyInCheck: {maxRequestBytes: 4096, allowPartialMessage: true}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: opa, namespace: shop}
spec:
  hosts: [opa.example]
  resolution: DNS
  ports: [{number: 9191, name: grpc, protocol: GRPC}, {number: 8080, name: http, protocol: HTTP}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: shop, annotations: {meshwright.io/accept-widening: \"t\", istio.io/dry-run: \"F\"}}
spec: {action: CUSTOM, provider: {name: legacy}, rules: [{}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: later, namespace: shop, annotations: {istio.io/dry-run: \"True\"}}
spec: {action: DENY, rules: [{}]}
";
    let state = state(provider);
    let mesh = state.mesh().unwrap();
    assert_eq!(mesh.path_normalization(), PathNormalization::None);
    let (opa, legacy) = (mesh.provider("opa").unwrap(), mesh.provider("legacy").unwrap());
    assert_eq!((opa.is_grpc(), opa.timeout().as_secs(), opa.status_on_error(), opa.body()), (true, 600, 403, None));
    assert_eq!((legacy.is_grpc(), legacy.timeout().as_secs(), legacy.status_on_error(), legacy.port()), (false, 2, 503, 8080));
    assert_eq!(legacy.body().map(|body| (body.max_bytes(), body.partial(), body.as_bytes())), Some((4096, true, false)));
    let ProviderProtocol::Http(check) = legacy.protocol() else { panic!("{legacy:?}") };
    assert_eq!((check.path_prefix(), check.to_upstream_on_allow()), ("/check", &["x-user".to_owned(), "x-auth-*".to_owned()][..]));
    assert_eq!(check.additional()["x-from"], "mesh");
    let [ask, later] = state.authorization_policies() else { panic!("two policies") };
    assert_eq!((ask.wire().provider.as_deref(), ask.accepts_widening(), ask.wire().dry_run), (Some("legacy"), true, false));
    assert_eq!((later.wire().provider.as_deref(), later.accepts_widening(), later.wire().dry_run), (None, false, true));
}

#[test]
fn peer_authentication_is_inherited_level_by_level() {
    let policy = |namespace: &str, name: &str, spec: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"
        )
    };
    let chosen = "{selector: {matchLabels: {version: v1}}, mtls: {mode: UNSET}, portLevelMtls: {8081: {mode: DISABLE}, 9000: {mode: UNSET}, 9001: {}}}";
    let documents = [
        policy("root", "mesh", "{mtls: {mode: STRICT}}"),
        policy("shop", "namespace", "{mtls: {mode: PERMISSIVE}}"),
        policy("shop", "workload", chosen),
    ];
    let mode = |documents: &[String], namespace: &str, name: &str, port| {
        let state = with(&documents.concat());
        state.peer_authentication_mode(state.workload(namespace, name).unwrap(), port)
    };
    assert_eq!(mode(&[], "shop", "cart-1", 1), MtlsMode::Permissive);
    assert_eq!(mode(&documents[..1], "shop", "cart-1", 1), MtlsMode::Strict);
    assert_eq!(mode(&documents[..2], "shop", "cart-1", 1), MtlsMode::Permissive);
    assert_eq!(mode(&documents, "shop", "cart-1", 8081), MtlsMode::Disable);
    assert_eq!(mode(&documents, "shop", "cart-1", 9000), MtlsMode::Permissive);
    assert_eq!(mode(&documents, "shop", "cart-1", 9001), MtlsMode::Permissive);
    assert_eq!(mode(&documents, "shop", "cart-2", 8081), MtlsMode::Permissive);
    assert_eq!(mode(&documents, "elsewhere", "cart-1", 8081), MtlsMode::Strict);
    let needed = |documents: &[&str]| {
        let state = with(&documents.concat());
        let found = state.mutual_tls(state.workload("shop", "cart-1").unwrap());
        (found.required, found.except)
    };
    let [mesh, _, workload] = &documents;
    assert_eq!((needed(&[]), needed(&[mesh])), ((false, vec![]), (true, vec![])));
    assert_eq!(needed(&[mesh, workload]), (true, vec![8081]), "where a port takes what others do not");
    // What comes to a gateway has no certificate of the mesh.
    let edge = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: shop}\nspec: {selector: {version: v1}, servers: [{port: {number: 8443, name: http, protocol: HTTP}, hosts: [\"*\"]}]}\n---\n";
    assert_eq!(needed(&[mesh, edge]), (true, vec![8443]));
}

#[test]
fn of_two_on_one_level_the_oldest_counts() {
    let policy = |name: &str, created: &str, mode: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, namespace: root, creationTimestamp: {created}}}\nspec: {{mtls: {{mode: {mode}}}}}\n---\n"
        )
    };
    let mode = |documents: &[String]| {
        let state = with(&documents.concat());
        state.peer_authentication_mode(state.workload("shop", "cart-1").unwrap(), 1)
    };
    let (young, old) = ("\"2026-01-02T00:00:00Z\"", "\"2026-01-01T23:00:00-01:30\"");
    assert_eq!(mode(&[policy("a", old, "STRICT"), policy("b", young, "DISABLE")]), MtlsMode::Disable, "times are compared, not texts");
    assert_eq!(mode(&[policy("a", "null", "STRICT"), policy("b", young, "DISABLE")]), MtlsMode::Disable, "no time is younger than any");
    assert_eq!(mode(&[policy("b", "null", "STRICT"), policy("a", "null", "DISABLE")]), MtlsMode::Disable, "then the name");
    // On the workload's level it counts with its ports; the others count for nothing, not even for other ports.
    let chosen = |name: &str, created: &str, ports: &str| {
        let spec = format!("{{selector: {{matchLabels: {{app: cart}}}}, mtls: {{mode: UNSET}}, portLevelMtls: {ports}}}");
        policy(name, created, "UNSET").replace("namespace: root", "namespace: shop").replace("{mtls: {mode: UNSET}}", &spec)
    };
    let documents = [
        chosen("a", old, "{1: {mode: DISABLE}, 2: {mode: DISABLE}}"),
        chosen("b", young, "{1: {mode: STRICT}}"),
        policy("m", old, "STRICT"),
    ];
    let state = with(&documents.concat());
    let cart = state.workload("shop", "cart-1").unwrap();
    assert_eq!((state.peer_authentication_mode(cart, 1), state.peer_authentication_mode(cart, 2)), (MtlsMode::Strict, MtlsMode::Strict));
}

#[test]
fn destination_rules_are_looked_up_near_the_client_first() {
    let rule = |namespace: &str, name: &str, host: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{host: '{host}'}}\n---\n"
        )
    };
    let state = with(
        &[
            rule("client", "own", "cart.shop.mesh"),
            rule("shop", "wide", "*.mesh"),
            rule("shop", "short", "cart"),
            rule("root", "everything", "*"),
            rule("elsewhere", "stranger", "cart.shop.mesh"),
        ]
        .concat(),
    );
    let found = |name: &str, namespace: &str| state.destination_rule_for(&host(name), namespace).map(|rule| rule.key().name().to_owned());
    assert_eq!(found("cart.shop.mesh", "client").as_deref(), Some("own"));
    assert_eq!(found("cart.shop.mesh", "another").as_deref(), Some("wide"));
    assert_eq!(found("cart.shop.svc.cluster.local", "another").as_deref(), Some("short"), "short names are of the rule's namespace");
    assert_eq!(found("x.example.com", "another").as_deref(), Some("everything"));
}

#[test]
fn a_subset_replaces_the_policy_block_by_block() {
    let state = with(
        "
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: cart, namespace: shop}
spec:
  host: cart.shop.mesh
  trafficPolicy:
    loadBalancer: {simple: ROUND_ROBIN}
    connectionPool: {tcp: {maxConnections: 5}, http: {maxRetries: 2}}
  subsets:
  - name: v1
    labels: {version: v1}
    trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}, outlierDetection: {}}
  - {name: v2, labels: {version: v2}}
",
    );
    let rule = state.destination_rule_for(&host("cart.shop.mesh"), "shop").unwrap();
    let policy = rule.effective_traffic_policy(Some("v1"));
    assert_eq!(policy.load_balancer().map(|balancer| balancer.as_str()), Some("ROUND_ROBIN"));
    let pool = policy.connection_pool().unwrap();
    assert_eq!((pool.max_connections(), pool.max_retries()), (Some(1), None));
    assert_eq!(
        policy.outlier_detection().map(|detection| (detection.consecutive_5xx_errors(), detection.max_ejection_percent())),
        Some((5, 10))
    );
    let whole = rule.effective_traffic_policy(Some("v2"));
    assert_eq!((whole.connection_pool().and_then(|pool| pool.max_retries()), whole.outlier_detection()), (Some(2), None));
    let service = state.service(&host("cart.shop.mesh")).unwrap();
    let endpoints = state.endpoints(service, &service.ports()[0], rule.subset("v2"));
    assert_eq!(endpoints.iter().map(|endpoint| endpoint.workload().name()).collect::<Vec<_>>(), ["cart-2"]);
}

#[test]
fn gateways_route_what_both_sides_name() {
    let route = |namespace: &str, name: &str, hosts: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  hosts: [{hosts}]\n  gateways: [edge/gateway]\n  \
             http: [{{route: [{{destination: {{host: cart.shop.mesh, port: {{number: 80}}}}}}]}}]\n---\n"
        )
    };
    let gateway = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gateway, namespace: edge}
spec:
  selector: {version: v1}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*.shop.example', './own.example', 'shop/only.example']}
---
";
    let state = with(
        &[
            gateway.to_owned(),
            route("shop", "wide", "'*'"),
            route("shop", "narrow", "a.shop.example, own.example, only.example"),
            route("elsewhere", "stranger", "'*.example'"),
        ]
        .concat(),
    );
    let gateways = state.gateways_for(state.workload("shop", "cart-1").unwrap());
    let server = &gateways[0].servers()[0];
    assert_eq!(server.hosts()[1].namespace(), &RouteNamespace::Own);
    let routes = state.gateway_routes(gateways[0], server);
    let found: Vec<_> = routes.iter().map(|route| (route.host().as_str(), route.virtual_service().key().name())).collect();
    assert_eq!(found, [("a.shop.example", "narrow"), ("only.example", "narrow"), ("*.shop.example", "stranger")]);
    assert!(state.gateways_for(state.workload("shop", "cart-2").unwrap()).is_empty());
    assert!(state.virtual_service_for(&host("a.shop.example")).is_none(), "not in sidecars");
}

#[test]
fn of_two_that_contradict_the_first_given_stays() {
    let service = |name: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}}}\nspec: {{hosts: [a.example], resolution: DNS, ports: [{{number: 80, name: http, protocol: HTTP}}]}}\n---\n"
        )
    };
    let mut documents: Vec<_> = parse_file("test.yaml", &[service("a"), service("b")].concat()).into_iter().map(Result::unwrap).collect();
    let (state, errors) = State::assemble(documents.clone());
    assert_eq!((state.services()[0].key().name(), errors.len()), ("a", 1));
    documents.reverse();
    let (state, errors) = State::assemble(documents);
    assert_eq!((state.services()[0].key().name(), errors.len()), ("b", 1));
}
