//! What is measured: the module that Envoy gets, and a small filter of headers.

use std::path::{Path, PathBuf};

use meshwright_filter_test::{Compile, Scenario, load_module};
use meshwright_wasm_host::{Engine, Host, Plugin, Request};
use serde_json::json;

use crate::measure::{Case, Unit};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const SCENARIO: &str = r#"
module: {name: hello, configuration: good day}
request: {path: /books}
expect:
  upstream: {headers: {":path": /books}}
  client: {status: 200, headers: {x-greeting: good day}}
"#;

/// All cases; compiled modules are kept in `folder`.
pub(crate) fn all(folder: &Path) -> Result<Vec<Case>> {
    let module = module();
    let wasm = std::fs::read(&module).map_err(|error| format!("{}: {error}; `make module` builds it", module.display()))?;
    let engine = Engine::new()?.cached(folder.join("modules"))?;
    let host = Host::load_on(&engine, &wasm)?;
    let mut cases = authz(&host)?;
    cases.extend(loads(&engine, wasm, module, folder.join("modules")));
    cases.extend(hello()?);
    Ok(cases)
}

/// As it was built for Envoy.
fn module() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/meshwright_filters.wasm");
    PathBuf::from(std::env::var("MESHWRIGHT_FILTERS_WASM").unwrap_or_else(|_| default.to_owned()))
}

fn authz(host: &Host) -> Result<Vec<Case>> {
    let rule = json!({"from": [{"source": {"principals": ["mesh.test/ns/shop/sa/cart"]}}], "to": [{"operation": {"methods": ["GET"], "paths": ["/books/*"]}}]});
    let configuration = json!({
        "version": 1, "protocol": "http", "trust_domain": "mesh.test", "request_authentication": [],
        "authorization": [{"namespace": "shop", "name": "policy", "action": "ALLOW", "rules": [rule]}],
    });
    let plugin = host.plugin("authz", configuration.to_string()).name("authz");
    check(&plugin)?;
    let (fresh, started, mut worker) = (plugin.clone(), plugin.clone(), plugin.start()?);
    Ok(vec![
        Case {
            name: "authz-isolated-request",
            what: "our module in a fresh VM: instantiate, start, configure one policy, one request",
            unit: Unit::Microseconds,
            target: Some(50.0),
            run: Box::new(move || assert!(fresh.request(request()).run().is_ok(), "it starts")),
        },
        Case {
            name: "authz-start",
            what: "the same without the request",
            unit: Unit::Microseconds,
            target: None,
            run: Box::new(move || assert!(started.start().is_ok(), "it starts")),
        },
        Case {
            name: "authz-request",
            what: "the request alone, in a VM that lives on",
            unit: Unit::Microseconds,
            target: None,
            run: Box::new(move || assert_eq!(worker.request(request()).status(), Some(200), "it is allowed")),
        },
    ])
}

fn request() -> Request {
    Request::get("/books/1")
        .property("connection.mtls", true)
        .property("source.address", "10.0.0.1:4242")
        .filter_state("meshwright.peer", "10.0.0.1:4242|spiffe://mesh.test/ns/shop/sa/cart")
}

fn check(plugin: &Plugin) -> Result<()> {
    let outcome = plugin.request(request()).run()?;
    if outcome.status() == Some(200) { Ok(()) } else { Err(format!("not allowed: {:?}", outcome.local_reply).into()) }
}

fn loads(engine: &Engine, wasm: Vec<u8>, module: PathBuf, folder: PathBuf) -> Vec<Case> {
    let engine = engine.clone();
    let compile = Compile { metered: false, cache: Some(folder) };
    vec![
        Case {
            name: "module-load",
            what: "our module, compiled before, from the cache on disk, on an engine that is there",
            unit: Unit::Milliseconds,
            target: Some(1.0),
            run: Box::new(move || assert!(Host::load_on(&engine, &wasm).is_ok(), "it loads")),
        },
        Case {
            name: "module-load-with-engine",
            what: "the same with reading the file, and an engine of its own: what a command does before its first scenario",
            unit: Unit::Milliseconds,
            target: None,
            run: Box::new(move || assert!(load_module(&module, &compile).is_ok(), "it loads")),
        },
    ]
}

fn hello() -> Result<Vec<Case>> {
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/filters/hello/hello.wat");
    let host = load_module(&module, &Compile::default())?;
    let scenarios = Scenario::parse(Path::new("hello.yaml"), SCENARIO)?;
    let scenario = scenarios.into_iter().next().ok_or("no scenario")?;
    let result = scenario.run(&host, false);
    if !result.passed() {
        return Err(format!("{:?}", result.failures).into());
    }
    Ok(vec![Case {
        name: "header-filter-scenarios",
        what: "a scenario of examples/filters/hello: a fresh VM, one request, its expectations compared",
        unit: Unit::PerSecond,
        target: Some(10_000.0),
        run: Box::new(move || assert!(scenario.run(&host, false).passed(), "it passes")),
    }])
}
