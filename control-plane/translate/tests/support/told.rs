//! What the proxy of a workload is told.

use meshwright_config::State;
use meshwright_envoy_config::names;
use meshwright_translate::{MeshInputs, NodeMetadata, Proxy, TranslateError, translate};
use meshwright_xds::Resource;

/// Of a proxy that serves nothing and calls nobody.
pub(crate) fn metadata(namespace: &str, workload: &str) -> NodeMetadata {
    NodeMetadata {
        namespace: namespace.to_owned(),
        workload: workload.to_owned(),
        service_account: workload.to_owned(),
        module_dir: "/m".to_owned(),
        module_sha256: "00".to_owned(),
        outbound_address: None,
        apps: [].into(),
        tcp: [].into(),
        envoy_version: "1.40.0".to_owned(),
    }
}

pub(crate) fn told(state: &State, metadata: &NodeMetadata, inputs: &MeshInputs) -> Result<Vec<Resource>, TranslateError> {
    let proxy = Proxy::new(names::node_id(&metadata.namespace, &metadata.workload), metadata.clone());
    translate(state, &proxy, inputs)
}
