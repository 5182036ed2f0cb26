//! The proxies of a mesh, as a load generator's clients introduce themselves.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::mesh::{Mesh, Service};

/// One client: a line of `proxies.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyLine {
    pub id: String,
    #[serde(default)]
    pub cluster: String,
    /// An object.
    #[serde(default)]
    pub metadata: Value,
    /// PEM files of the client's own certificate, for mutual TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl Mesh {
    /// Endpoint by endpoint across all services, so that any number of proxies is spread evenly. Each has both what Meshwright's sidecars and
    /// what Istio's tell of themselves.
    pub fn proxies(&self) -> impl Iterator<Item = ProxyLine> {
        self.places().map(|(service, endpoint)| {
            let (name, namespace) = (format!("{}-{endpoint}", service.name), service.namespace.clone());
            ProxyLine {
                id: format!("sidecar~{namespace}/{name}"),
                cluster: format!("{}.{namespace}", service.name),
                metadata: json!({
                    "meshwright": {
                        "namespace": namespace,
                        "workload": name,
                        "service_account": service.name,
                        "module_dir": "/var/lib/meshwright/modules",
                        "module_sha256": "0".repeat(64),
                        "outbound_address": "127.0.0.1:15001",
                        "apps": {"8080": "127.0.0.1:9080"},
                        "tcp": {},
                        "envoy_version": "1.40.0",
                    },
                    "NAMESPACE": namespace,
                    "SERVICE_ACCOUNT": service.name,
                    "LABELS": {"app": service.name},
                }),
                certificate: None,
                key: None,
            }
        })
    }

    fn places(&self) -> impl Iterator<Item = (&Service, usize)> {
        let shape = self.shape();
        let of_endpoint = move |endpoint: usize| (0..shape.services).map(move |service| (service, endpoint));
        let places = (0..shape.endpoints).flat_map(of_endpoint).take(shape.proxies);
        places.filter_map(|(service, endpoint)| Some((self.services().get(service)?, endpoint)))
    }

    /// How many proxies are told of a service's endpoints: all, and in a scoped mesh those that call it.
    #[must_use]
    pub fn told(&self, service: &Service) -> usize {
        let called = format!("{}/{}", service.namespace, service.host());
        self.places().filter(|(caller, _)| !self.shape().scoped || caller.calls.is_empty() || caller.calls.contains(&called)).count()
    }
}
