//! The examples are configurations without an error.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::path::Path;

use meshwright_config::{Host, MtlsMode, ServerCertificate, State, parse_file};
use serde_json::json;

fn bookshop() -> State {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/bookshop");
    let mut names: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    // Policy tests are no documents.
    names.retain(|name| !name.ends_with("_test.yaml"));
    names.sort();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["shop.bookshop.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let indent = |pem: String| pem.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: bookshop-tls, namespace: bookshop}}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
        indent(certificate.pem()),
        indent(key.serialize_pem())
    );
    let mut texts = vec![("secret.yaml".to_owned(), secret)];
    texts.extend(names.into_iter().map(|name| {
        let text = std::fs::read_to_string(dir.join(&name)).unwrap();
        (name, text)
    }));
    let parsed = texts.iter().flat_map(|(name, text)| parse_file(name, text));
    let documents = parsed.map(|parsed| parsed.unwrap_or_else(|error| panic!("{error}"))).collect();
    let (state, errors) = State::assemble(documents);
    assert_eq!(errors, [], "contradictions");
    state
}

#[test]
fn bookshop_is_right() {
    let state = bookshop();
    let mesh = state.mesh().unwrap();
    assert_eq!((mesh.trust_domain().as_str(), mesh.root_namespace()), ("bookshop.local", "meshwright-system"));
    assert_eq!((state.services().len(), state.workloads().len(), state.authorization_policies().len()), (5, 7, 7));
    for workload in state.workloads() {
        assert_eq!(state.peer_authentication_mode(workload, 8080), MtlsMode::Strict);
        assert_eq!(state.authorization_for(workload).len(), 2, "{}: default deny and its own", workload.name());
        assert_eq!(state.request_authentication_for(workload).len(), 1);
        assert_eq!(state.inbound_ports(workload).len(), usize::from(workload.name() != "gateway"), "{}", workload.name());
    }
    let gateway = state.workload("bookshop", "gateway").unwrap();
    let served = state.gateways_for(gateway);
    let [edge] = served.as_slice() else { panic!("one gateway") };
    let [server] = edge.servers() else { panic!("one server") };
    let ServerCertificate::Secret(name) = server.termination().unwrap().certificate() else { panic!("a Secret") };
    assert!(state.credential("bookshop", name).is_some());
    assert_eq!(state.gateway_routes(edge, server).len(), 1);
    let catalog = Host::parse("catalog.bookshop.mesh").unwrap();
    let route = state.virtual_service_for(&catalog).unwrap().http().first().unwrap();
    assert_eq!(route.destinations().iter().map(|destination| destination.weight()).collect::<Vec<_>>(), [80, 20]);
    let (service, rule) = (state.service(&catalog).unwrap(), state.destination_rule_for(&catalog, "bookshop").unwrap());
    for subset in ["v1", "v2"] {
        assert_eq!(state.endpoints(service, service.ports().first().unwrap(), rule.subset(subset)).len(), 1);
    }
}

#[test]
fn nothing_shows_a_private_key() {
    let shown = format!("{:?}", bookshop());
    assert!(shown.contains("redacted") && !shown.contains("PRIVATE KEY"), "the state's debug output");
}

#[test]
fn the_gateways_page_shows_what_is_taken() {
    let page = include_str!("../../../docs/gateways.md");
    let shown: Vec<&str> = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["partners.shop.example".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "partners", "namespace": "shop"}, "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": certificate, "tls.key": key.serialize_pem(), "ca.crt": certificate}
    });
    let backend = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": {"name": "ledger", "namespace": "shop"},
        "spec": {"hosts": ["ledger.shop.mesh"], "resolution": "DNS", "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}]}
    });
    let all = format!("{}---\n{secret}\n---\n{backend}\n", shown.join("---\n"));
    let parsed = parse_file("gateways.md", &all).into_iter().map(|parsed| parsed.unwrap_or_else(|rejected| panic!("{rejected}")));
    let (state, errors) = State::assemble(parsed.collect());
    assert_eq!(errors, [], "{errors:?}");
    let [gateway] = state.gateways() else { panic!("one Gateway") };
    let [partners, ledger] = gateway.servers() else { panic!("two servers") };
    let clients = partners.termination().unwrap().clients().unwrap();
    assert!(clients.required() && state.client_roots(gateway, clients.roots()).is_some());
    assert!(ledger.passes_through());
    let routes = state.passthrough_routes(gateway, ledger);
    assert_eq!(routes.iter().map(|route| route.sni().as_str()).collect::<Vec<_>>(), ["ledger.shop.example"]);
}
