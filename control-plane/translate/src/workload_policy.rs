//! The policy of a workload without its proxy: what the authz filter would be given, for whoever wants to ask it.

use meshwright_config::{KeySets, State, Workload};
use meshwright_envoy_config::NodeMetadata;
use meshwright_policy::wire;

use crate::TranslateError;
use crate::plugins::Plugins;
use crate::proxy::View;

/// The authz plugin's configuration for `workload` on ports of `protocol`. The workload need not be one of the state's: its namespace and
/// labels choose the policies. Nothing is fetched: tokens whose keys are not in the documents are refused.
///
/// # Errors
/// [`TranslateError::NoMesh`], and whatever [`translate`](crate::translate) would refuse of the policies.
pub fn workload_policy(state: &State, workload: &Workload, protocol: wire::Protocol) -> Result<String, TranslateError> {
    // Policies depend on nothing that a proxy says of itself.
    let metadata = NodeMetadata {
        namespace: workload.namespace().to_owned(),
        workload: workload.name().to_owned(),
        service_account: workload.service_account().to_owned(),
        module_dir: String::new(),
        module_sha256: String::new(),
        outbound_address: None,
        apps: [].into(),
        tcp: [].into(),
        envoy_version: String::new(),
    };
    let mesh = state.mesh().ok_or(TranslateError::NoMesh)?;
    Plugins::policy_alone(&View { state, mesh, metadata: &metadata, workload }, &KeySets::default(), protocol)
}
