//! DestinationRules that break calls, and policies that ask what nobody says: where they say so, and where nothing is wrong.

#![expect(clippy::panic, reason = "tests fail by panicking")]

use meshwright_config::{Document, State, parse_file};

const MESH: &str = "
apiVersion: meshwright.dev/v1alpha1
kind: Mesh
metadata: {name: mesh}
spec: {trustDomain: mesh.local}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: cart, namespace: shop}
spec:
  hosts: [cart.shop.mesh]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}, {number: 90, name: tcp, protocol: TCP}]
  workloadSelector: {labels: {app: cart}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: cart-1, namespace: shop}
spec: {address: 10.0.0.1, labels: {app: cart, version: v1}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: cart-2, namespace: shop}
spec: {address: 10.0.0.2, labels: {app: cart, version: v2}}
---
";

fn mode(namespace: &str, mode: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: all, namespace: {namespace}}}\nspec: {{mtls: {{mode: {mode}}}}}\n---\n"
    )
}

fn rule(namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: cart, namespace: {namespace}}}\nspec:\n  host: cart.shop.mesh\n{spec}---\n"
    )
}

fn tls(mode: &str) -> String {
    rule("shop", &format!("  trafficPolicy: {{tls: {{mode: {mode}}}}}\n"))
}

fn warnings(more: &[String]) -> Vec<String> {
    let parsed = parse_file("mesh.yaml", &format!("{MESH}{}", more.concat()));
    let documents: Vec<Document> = parsed.into_iter().map(|parsed| parsed.unwrap_or_else(|rejected| panic!("{rejected}"))).collect();
    let (state, errors) = State::assemble(documents.iter().collect());
    assert!(errors.is_empty(), "{errors:?}");
    state.warnings(&documents).iter().map(ToString::to_string).collect()
}

#[test]
fn a_rule_that_a_server_does_not_take_is_named_with_its_field() {
    let strict = "which serves `cart.shop.mesh`, takes only mutual TLS of the mesh (PeerAuthentication `STRICT`)";
    for sent in ["DISABLE", "SIMPLE"] {
        let found = warnings(&[mode("shop", "STRICT"), tls(sent)]);
        let at = "mesh.yaml:37:25: document 6 (DestinationRule shop/cart): spec.trafficPolicy.tls.mode";
        assert_eq!(found, [format!("{at}: {sent} breaks calls: port 8080 of shop/cart-1, {strict}")]);
    }
    let disabled = "which serves `cart.shop.mesh`, takes no mutual TLS of the mesh (PeerAuthentication `DISABLE`)";
    let [found] = &warnings(&[mode("shop", "DISABLE"), tls("ISTIO_MUTUAL")])[..] else { panic!("one warning") };
    assert!(found.ends_with(&format!("ISTIO_MUTUAL breaks calls: port 8080 of shop/cart-1, {disabled}")), "{found}");
}

#[test]
fn what_fits_is_not_warned_of() {
    for (server, client) in [
        ("STRICT", "ISTIO_MUTUAL"),
        ("PERMISSIVE", "ISTIO_MUTUAL"),
        ("PERMISSIVE", "DISABLE"),
        ("DISABLE", "DISABLE"),
        ("DISABLE", "SIMPLE"),
    ] {
        assert_eq!(warnings(&[mode("shop", server), tls(client)]), [""; 0], "{server} {client}");
    }
    assert_eq!(warnings(&[mode("elsewhere", "STRICT"), tls("DISABLE")]), [""; 0]);
    let without = rule("shop", "  trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}\n");
    assert_eq!(warnings(&[mode("shop", "STRICT"), without]), [""; 0], "auto mutual TLS follows the server");
}

#[test]
fn subsets_and_ports_are_looked_at_one_by_one() {
    let of_port = "apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: second, namespace: shop}
spec:
  selector: {matchLabels: {version: v2}}
  portLevelMtls: {90: {mode: STRICT}}
---
";
    let subsets = "  subsets:
  - {name: v1, labels: {version: v1}, trafficPolicy: {tls: {mode: DISABLE}}}
  - {name: v2, labels: {version: v2}, trafficPolicy: {tls: {mode: DISABLE}}}
";
    let [found] = &warnings(&[of_port.to_owned(), rule("shop", subsets)])[..] else { panic!("one warning") };
    assert!(found.contains("spec.subsets[1].trafficPolicy.tls.mode: DISABLE breaks calls: port 90 of shop/cart-2"), "{found}");
}

#[test]
fn an_instance_without_a_proxy_takes_no_mutual_tls() {
    let bare = "apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: bare, namespace: shop}
spec: {address: 10.0.0.3, labels: {app: cart, security.istio.io/tlsMode: disabled}}
---
";
    let [found] = &warnings(&[bare.to_owned(), tls("ISTIO_MUTUAL")])[..] else { panic!("one warning") };
    assert!(found.contains("port 8080 of shop/bare, which serves `cart.shop.mesh`, has no proxy in front of it"), "{found}");
    assert_eq!(warnings(&[bare.to_owned(), mode("shop", "STRICT")]), [""; 0]);
}

#[test]
fn metadata_that_no_filter_writes_is_warned_of() {
    let policy = |when: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: shop}}\nspec:\n  rules:\n  - when:\n    - {{key: source.ip, values: [10.0.0.1]}}\n{when}---\n"
        )
    };
    assert_eq!(warnings(&[policy("")]), [""; 0]);
    let [found] = &warnings(&[policy("    - {key: 'experimental.envoy.filters.x[a]', values: [b]}\n")])[..] else { panic!("one warning") };
    let key = "spec.rules[0].when[1].key: no filter of this mesh writes `experimental.envoy.filters.x[a]`";
    assert!(found.contains("(AuthorizationPolicy shop/p)") && found.contains(key), "{found}");
}
