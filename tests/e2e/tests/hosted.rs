//! What the end-to-end tests find of decisions in meshes of real Envoys, asked of the module in the host: the same tables, the same answers.

use std::path::Path;

use anyhow::Context as _;
use meshwright_demo::bookshop::Network;
use meshwright_demo::keys::Issuer;
use meshwright_e2e::asking;
use meshwright_e2e::cases::{AT_THE_GATEWAY, BY_VERSION, ENFORCEMENTS, HOSTILE, MODES, TARGETS, WHO, modes};
use meshwright_e2e::pair::{self, HTTP, TCP};
use meshwright_explain::{Answer, Explainer, Verdict, WasmEngine};
use meshwright_test_support as support;
use serde_json::{Value, json};

const CLIENT: &str = "spiffe://test.local/ns/test/sa/client";
const FRONTEND: &str = "spiffe://bookshop.local/ns/bookshop/sa/frontend";
const GATEWAY: &str = "spiffe://bookshop.local/ns/bookshop/sa/gateway";
const NOW: u64 = 1_767_225_600;

struct Host(Explainer);

/// One question; a connection if it has no target.
struct Asked<'a> {
    documents: &'a str,
    workload: [&'a str; 2],
    port: u16,
    principal: Option<&'a str>,
    method: &'a str,
    target: Option<&'a str>,
    header: Option<(&'a str, &'a str)>,
}

impl Host {
    fn new() -> anyhow::Result<Self> {
        Ok(Self(Explainer::new(Box::new(WasmEngine::from_file(&support::module()?)?))))
    }

    fn ask(&mut self, asked: &Asked<'_>) -> Answer {
        let [namespace, name] = asked.workload;
        let headers: Vec<_> = asked.header.into_iter().collect();
        let request = asked.target.map_or(
            Value::Null,
            |target| json!({"method": asked.method, "path": target, "host": "server", "headers": headers, "remoteIp": null}),
        );
        let case = json!({
            "id": "case", "documents": asked.documents, "workload": {"namespace": namespace, "name": name},
            "connection": {"protocol": if request.is_null() { "tcp" } else { "http" }, "port": asked.port, "sourceIp": "127.0.0.1",
                "tls": asked.principal.map(|principal| json!({"principal": principal})), "sni": null},
            "request": request,
        });
        self.0.answer_line(case.to_string().as_bytes(), NOW)
    }
}

/// To the server of [`pair::documents`], by the client.
fn to_server<'a>(documents: &'a str, target: &'a str) -> Asked<'a> {
    let workload = ["test", "server"];
    Asked { documents, workload, port: HTTP, principal: Some(CLIENT), method: "GET", target: Some(target), header: None }
}

fn documents(mesh: &str, more: &str) -> String {
    pair::documents(Network::EXAMPLE, mesh, more)
}

#[test]
fn only_what_is_enforced_refuses() -> anyhow::Result<()> {
    let mut host = Host::new()?;
    for case in ENFORCEMENTS {
        let answer = host.ask(&to_server(&documents("", &case.document()), "/"));
        assert_eq!(answer.status, Some(case.status), "{}: {answer:?}", case.what);
    }
    Ok(())
}

#[test]
fn each_mode_takes_who_it_says() -> anyhow::Result<()> {
    let mut host = Host::new()?;
    for case in modes() {
        let documents = documents("", &format!("{}{WHO}", case.document.clone().unwrap_or_default()));
        let mut http = |principal| ["/named", "/nameless"].map(|path| host.ask(&Asked { principal, ..to_server(&documents, path) }).status);
        let within = case.mesh_is_secure.then_some(CLIENT);
        assert_eq!(http(within), case.found.mesh_http, "{}: from the mesh", case.what);
        assert_eq!(http(None), case.found.outside_http, "{}: from outside", case.what);
        let tcp = host.ask(&Asked { port: TCP, principal: None, target: None, ..to_server(&documents, "") });
        assert_eq!(tcp.decision == Verdict::Allow, case.found.outside_tcp, "{}: {tcp:?}", case.what);
    }
    Ok(())
}

#[test]
fn the_policy_sees_what_the_app_receives() -> anyhow::Result<()> {
    let mut host = Host::new()?;
    for (index, mode) in MODES.iter().enumerate() {
        let normalization = format!("  pathNormalization: {{normalization: {mode}}}");
        let open = documents(&normalization, "");
        let mut received = Vec::new();
        for (target, expected) in TARGETS {
            let answer = host.ask(&to_server(&open, target));
            let expected = *expected.get(index).context("a column for each mode")?;
            assert_eq!((answer.status, &*answer.path), expected.map_or((Some(400), ""), |path| (Some(200), path)), "{mode} {target}");
            received.extend(expected.map(str::to_owned));
        }
        received.extend(BY_VERSION.iter().map(|target| host.ask(&to_server(&open, target)).path));
        let closed = documents(&normalization, &deny(&received));
        assert_eq!(host.ask(&to_server(&closed, "/of-no-case")).status, Some(200), "{mode}: other paths pass");
        for target in TARGETS.iter().map(|(target, _)| target).chain(BY_VERSION) {
            let status = host.ask(&to_server(&closed, target)).status;
            assert!(
                matches!(status, Some(403 | 400)),
                "{mode} {target}: passes the policy of exactly the path that the app received: {status:?}"
            );
        }
    }
    Ok(())
}

/// Denies exactly these paths.
fn deny(paths: &[String]) -> String {
    let rules = json!([{"to": [{"operation": {"ports": [HTTP.to_string()], "paths": paths}}]}]);
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: exact, namespace: test}}\nspec: {{action: DENY, rules: {rules}}}\n"
    )
}

#[test]
fn who_is_asked_is_who_the_rules_say() -> anyhow::Result<()> {
    let mut host = Host::new()?;
    let jwks = Issuer::new(asking::ISSUER)?.jwks()?;
    let services = asking::services(["127.0.9.1:9191".parse()?, "127.0.9.1:8181".parse()?], &jwks);
    let documents = asking::documents(Network::EXAMPLE, &services, &asking::policies());
    for case in asking::CASES {
        let answer = host.ask(&to_server(&documents, case.path));
        // After one that refuses no other is asked, which the host does not know.
        let both = case.path.starts_with("/both/");
        let providers = [(case.grpc.is_some(), "opa"), (case.http.is_some() || both, "legacy")];
        let providers: Vec<&str> = providers.into_iter().filter(|(asked, _)| *asked).map(|(_, provider)| provider).collect();
        if providers.is_empty() {
            assert_eq!(answer.status, Some(case.status), "{}: {answer:?}", case.path);
            continue;
        }
        // Of several it names one.
        assert_eq!((answer.decision, &*answer.reason), (Verdict::Error, "external_authorizer"), "{}: {answer:?}", case.path);
        let named =
            |provider: &&str| answer.error.as_deref().is_some_and(|error| error.contains(&format!("authorizer `{provider}` agrees")));
        assert!(providers.iter().any(named), "{}: {answer:?}", case.path);
    }
    // A bad token is refused before anybody is asked.
    let bad = Asked { header: Some(("authorization", "Bearer bad")), ..to_server(&documents, "/both/bad") };
    assert_eq!(host.ask(&bad).status, Some(401));
    Ok(())
}

/// The example's gateway, without the certificate that a whole mesh makes for it.
const IN_PLAIN_TEXT: &str = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: shop, namespace: bookshop}
spec:
  selector: {app: gateway}
  servers: [{port: {number: 8443, name: http, protocol: HTTP}, hosts: ['*']}]
";

#[test]
fn a_policy_for_a_gateway_is_for_no_sidecar() -> anyhow::Result<()> {
    let mut host = Host::new()?;
    let open = format!("{}\n---\n{IN_PLAIN_TEXT}", bookshop()?);
    let closed = format!("{open}\n---\n{AT_THE_GATEWAY}");
    for (documents, workload, target, status) in [
        (&open, "gateway", "/closed", 200),
        (&closed, "gateway", "/closed", 403),
        (&closed, "gateway", "/open", 200),
        (&closed, "frontend", "/closed", 200),
    ] {
        let port = if workload == "gateway" { 8443 } else { 8080 };
        let principal = Some(GATEWAY);
        let asked =
            Asked { documents, workload: ["bookshop", workload], port, principal, method: "GET", target: Some(target), header: None };
        let answer = host.ask(&asked);
        assert_eq!(answer.status, Some(status), "{workload} {target}: {answer:?}");
    }
    Ok(())
}

/// The example's documents.
fn bookshop() -> anyhow::Result<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/bookshop");
    let texts = ["mesh", "services", "workloads", "policy", "tokens"];
    let texts = texts.map(|name| std::fs::read_to_string(folder.join(format!("{name}.yaml"))));
    Ok(texts.into_iter().collect::<Result<Vec<_>, _>>()?.join("\n---\n"))
}

#[test]
fn hostile_requests_are_refused() -> anyhow::Result<()> {
    let mut host = Host::new()?;
    let documents = bookshop()?;
    for case in HOSTILE {
        let asked = Asked {
            documents: &documents,
            workload: ["bookshop", "catalog-v1"],
            port: 8080,
            principal: Some(FRONTEND),
            method: case.method,
            target: Some(case.path),
            header: case.header,
        };
        let answer = host.ask(&asked);
        assert!(answer.status.is_some_and(|status| case.statuses.contains(&status)), "{}: {answer:?}", case.what);
    }
    Ok(())
}
