//! Names that two packages must agree on; the table is in docs/ARCHITECTURE.md.

/// Bootstrap cluster of the control plane.
pub const XDS_CLUSTER: &str = "xds-grpc";
/// Bootstrap cluster of the sidecar's Unix socket.
pub const SDS_CLUSTER: &str = "sds-grpc";
/// SDS secret with the workload's own certificate and key.
pub const WORKLOAD_SECRET: &str = "workload";
/// SDS secret with the roots that peers are verified against.
pub const TRUST_BUNDLE_SECRET: &str = "trust-bundle";
/// Filter state object with what Wasm cannot see of the peer.
pub const PEER_FILTER_STATE: &str = "meshwright.peer";
/// Filter state object with the external authorizers of a chain, as `,one,two,`; absent where there are none.
pub const PROVIDERS_FILTER_STATE: &str = "meshwright.providers";
/// Filter state object with those of them that are to be asked, in the same form. Wasm sets the property without `wasm.` in front.
pub const CUSTOM_FILTER_STATE: &str = "wasm.meshwright.custom";
/// The ALPN protocol by which one sidecar recognises another.
pub const MESH_ALPN: &str = "meshwright";
/// Key of [`crate::NodeMetadata`] in the node's metadata.
pub const NODE_METADATA_KEY: &str = "meshwright";

/// SDS secret of a gateway's certificate.
#[must_use]
pub fn credential_secret(namespace: &str, name: &str) -> String {
    format!("credential/{namespace}/{name}")
}

/// SDS secret of the roots that a gateway verifies its clients against.
#[must_use]
pub fn client_roots_secret(namespace: &str, name: &str) -> String {
    format!("client-roots/{namespace}/{name}")
}

/// SDS secret of a gateway's certificate in files of its host.
#[must_use]
pub fn certificate_files_secret(chain: &str, key: &str) -> String {
    format!("file-credential/{chain}~{key}")
}

/// As [`client_roots_secret`], in a file of the gateway's host.
#[must_use]
pub fn roots_file_secret(path: &str) -> String {
    format!("file-client-roots/{path}")
}

/// The node id of the proxy beside a workload.
#[must_use]
pub fn node_id(namespace: &str, workload: &str) -> String {
    format!("sidecar~{namespace}/{workload}")
}
