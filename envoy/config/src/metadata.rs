//! What a proxy tells the control plane about itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::NODE_METADATA_KEY;

/// The node metadata `meshwright`. Written by the sidecar into the bootstrap, read by `translate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeMetadata {
    pub namespace: String,
    pub workload: String,
    pub service_account: String,
    /// Absolute folder in which the sidecar keeps verified filter modules.
    pub module_dir: String,
    /// Lower-case hex of the module's SHA-256.
    pub module_sha256: String,
    /// Where the workload's own HTTP calls enter the mesh; none when it makes none.
    #[serde(default)]
    pub outbound_address: Option<SocketAddr>,
    /// Workload port → where the app really listens.
    #[serde(default)]
    pub apps: BTreeMap<u16, SocketAddr>,
    /// `<service host>:<port>` → the loopback listener through which the app reaches that TCP service.
    #[serde(default)]
    pub tcp: BTreeMap<String, SocketAddr>,
    pub envoy_version: String,
}

impl NodeMetadata {
    /// The verified module: named by its digest, so that another module is another path and the file behind a path never changes.
    #[must_use]
    pub fn module_path(&self) -> String {
        module_path(&self.module_dir, &self.module_sha256)
    }

    /// Whether the proxy can note at a connection's TLS handshake who the peer is: Envoy from 1.37 on. Of a version that is not understood
    /// nothing is expected.
    #[must_use]
    pub fn is_told_of_handshakes(&self) -> bool {
        self.is_at_least((1, 37))
    }

    /// Whether its allocator can be given a soft limit: Envoy from 1.38 on; those before refuse a bootstrap that names one.
    #[must_use]
    pub fn limits_its_memory(&self) -> bool {
        self.is_at_least((1, 38))
    }

    fn is_at_least(&self, first: (u32, u32)) -> bool {
        let mut numbers = self.envoy_version.split('.').map(str::parse);
        matches!((numbers.next(), numbers.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= first)
    }
}

/// Why a node's metadata is not that of a sidecar.
#[derive(Debug, thiserror::Error)]
pub enum InvalidNodeMetadata {
    #[error("`{NODE_METADATA_KEY}` is missing: only a sidecar's Envoy has it")]
    Missing,
    #[error("`{NODE_METADATA_KEY}`: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// From the whole of a node's metadata.
impl TryFrom<&Value> for NodeMetadata {
    type Error = InvalidNodeMetadata;
    fn try_from(metadata: &Value) -> Result<Self, Self::Error> {
        let own = metadata.get(NODE_METADATA_KEY).ok_or(InvalidNodeMetadata::Missing)?;
        Ok(Self::deserialize(own)?)
    }
}

/// Where the sidecar puts, and Envoy loads, the module with this digest.
#[must_use]
pub fn module_path(folder: &str, sha256: &str) -> String {
    format!("{}/{sha256}.wasm", folder.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> serde_json::Value {
        serde_json::json!({
            "namespace": "books", "workload": "catalog-1", "service_account": "catalog", "module_dir": "/run/meshwright/",
            "module_sha256": "ab", "outbound_address": "127.0.0.1:15001", "apps": {"8080": "127.0.0.1:9080"},
            "tcp": {"ledger.books:5000": "127.0.0.1:15100"}, "envoy_version": "1.40.0"
        })
    }

    #[test]
    fn reads_what_it_writes() {
        let metadata: NodeMetadata = serde_json::from_value(sample()).unwrap();
        assert_eq!(metadata.apps.get(&8080), Some(&"127.0.0.1:9080".parse().unwrap()));
        assert_eq!(metadata.module_path(), "/run/meshwright/ab.wasm");
        assert_eq!(serde_json::to_value(&metadata).unwrap(), sample());
    }

    #[test]
    fn handshakes_are_told_from_1_37_on() {
        for (version, told) in [
            ("1.40.0", true),
            ("1.37.0", true),
            ("2.0.0", true),
            ("1.37", true),
            ("1.36.4", false),
            ("0.99.0", false),
            ("1", false),
            ("", false),
            ("1.x", false),
        ] {
            let mut value = sample();
            value["envoy_version"] = version.into();
            let metadata: NodeMetadata = serde_json::from_value(value).unwrap();
            assert_eq!(metadata.is_told_of_handshakes(), told, "{version}");
        }
    }

    #[test]
    fn is_one_key_of_the_nodes_metadata() {
        let node = serde_json::json!({ "meshwright": sample(), "other": 1 });
        assert_eq!(NodeMetadata::try_from(&node).unwrap().workload, "catalog-1");
        let error = NodeMetadata::try_from(&serde_json::json!({})).unwrap_err();
        assert_eq!(error.to_string(), "`meshwright` is missing: only a sidecar's Envoy has it");
    }

    #[test]
    fn unknown_field_is_refused() {
        let mut value = sample();
        value.as_object_mut().unwrap().insert("extra".to_owned(), 1.into());
        assert!(serde_json::from_value::<NodeMetadata>(value).unwrap_err().to_string().contains("unknown field `extra`"));
    }
}
