//! One Envoy with two listeners for each policy set: ours, and Envoy's own filters. Both answer by themselves, and tell in their answers what
//! an app would have received.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use meshwright_demo::bookshop::Network;
use meshwright_demo::launcher::{Process, STARTUP};
use meshwright_test_support as support;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::authentication::jwt_authn;
use crate::authorization::rbac;

/// The same for both, so that policies may ask for it.
pub(crate) const PORT: u16 = 18_080;
/// Request headers that a filter may change.
pub(crate) const SEEN: [&str; 6] = [":path", "authorization", "x-token", "x-payload", "x-user", "cookie"];

/// What applies to a workload.
#[derive(Debug, Clone)]
pub(crate) struct PolicySet {
    pub(crate) authentication: Vec<Value>,
    pub(crate) authorization: Vec<Value>,
}

/// Where one policy set is enforced.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) ours: SocketAddr,
    pub(crate) native: SocketAddr,
}

impl PolicySet {
    fn native(&self) -> Vec<Value> {
        let filters = [jwt_authn(&self.authentication), rbac(&self.authorization, "DENY"), rbac(&self.authorization, "ALLOW")];
        filters.into_iter().flatten().collect()
    }

    fn ours(&self, module: &Path) -> Vec<Value> {
        let configuration = json!({
            "version": 1, "protocol": "http", "trust_domain": "mesh.test",
            "request_authentication": self.authentication, "authorization": self.authorization,
        });
        let peer = json!({
            "name": "envoy.filters.http.set_filter_state",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
                "on_request_headers": [{
                    "object_key": "meshwright.peer", "factory_key": "envoy.string", "read_only": true,
                    "format_string": {
                        "text_format_source": {"inline_string": "%DOWNSTREAM_PEER_SERIAL%|%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%|%DOWNSTREAM_PEER_URI_SAN%"},
                        "omit_empty_values": true,
                    },
                }],
            },
        });
        let authz = json!({
            "name": "meshwright.authz",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                "config": {
                    "name": "meshwright.authz", "root_id": "authz", "failure_policy": "FAIL_CLOSED",
                    "vm_config": {
                        "vm_id": "meshwright", "runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": module}},
                    },
                    "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration.to_string()},
                },
            },
        });
        vec![peer, authz]
    }
}

/// Says something that policies may ask for.
fn teller() -> Value {
    json!({
        "name": "envoy.filters.http.set_metadata",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config",
            "metadata": [{
                "metadata_namespace": "envoy.filters.http.told",
                "value": {"text": "one", "list": ["one", "two"], "number": 7},
            }],
        },
    })
}

fn listener(address: SocketAddr, mut filters: Vec<Value>) -> Value {
    filters.insert(0, teller());
    filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    }));
    let seen = SEEN.map(|name| json!({"header": {"key": seen_as(name), "value": format!("%REQ({name})%")}}));
    json!({
        "name": address.to_string(),
        "address": {"socket_address": {"address": address.ip(), "port_value": address.port()}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "test", "codec_type": "HTTP1", "normalize_path": true,
                "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{
                    "match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}},
                    "response_headers_to_add": seen,
                }]}]},
                "http_filters": filters,
            },
        }]}],
    })
}

/// The response header that tells what became of a request header.
pub(crate) fn seen_as(name: &str) -> String {
    format!("x-seen-{}", name.trim_start_matches(':'))
}

/// The 40 of Envoy 1.40.0.
pub(crate) async fn minor_version() -> anyhow::Result<u32> {
    let output = Command::new(support::envoy()?).arg("--version").output().await?;
    // `envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`
    let text = String::from_utf8(output.stdout)?;
    let minor = text.split("/1.").nth(1).and_then(|rest| rest.split('.').next()).context("Envoy tells no version")?;
    Ok(minor.parse()?)
}

/// Starts Envoy, and waits until it serves. It refuses to start if either side refuses a policy.
pub(crate) async fn start(sets: &[PolicySet], folder: &Path) -> anyhow::Result<(Process, Vec<Pair>)> {
    let (ours, native): (Network, Network) = (support::network(), support::network());
    let module = support::module()?;
    let mut listeners = Vec::new();
    let mut pairs = Vec::new();
    for (host, set) in (1..=u8::MAX).zip(sets) {
        let pair = Pair { ours: ours.at(host, PORT), native: native.at(host, PORT) };
        listeners.extend([listener(pair.ours, set.ours(&module)), listener(pair.native, set.native())]);
        pairs.push(pair);
    }
    anyhow::ensure!(pairs.len() == sets.len(), "a network has no room for {} policy sets", sets.len());
    let file = folder.join("envoy.json");
    std::fs::write(&file, json!({"static_resources": {"listeners": listeners}}).to_string())?;
    let mut command = Command::new(support::envoy()?);
    command.arg("-c").arg(&file).args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "info"]);
    let mut envoy = Process::start("envoy", &mut command, &folder.join("envoy.log")).await?;
    envoy.line_with("all dependencies initialized. starting workers", STARTUP).await?;
    for address in pairs.iter().flat_map(|pair| [pair.ours, pair.native]) {
        listening(address).await?;
    }
    Ok((envoy, pairs))
}

/// A worker listens a little after it was started, which Envoy does not tell.
async fn listening(address: SocketAddr) -> anyhow::Result<()> {
    let accepted = async {
        while TcpStream::connect(address).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(STARTUP, accepted).await.with_context(|| format!("nobody listens at {address}"))
}
