//! Whose roots vouch for whom.

use std::collections::BTreeMap;

use meshwright_config::Mesh;
use meshwright_identity::TrustDomain;

use crate::proxy::MeshInputs;

/// The roots of every trust domain that this mesh knows, its own among them, as PEM. A domain that is declared and has no bundle yet is not
/// among them: nobody of it is believed. An alias has only what is declared for it: that its names count as ours does not make our roots its
/// own.
#[must_use]
pub fn trust_bundles(mesh: &Mesh, inputs: &MeshInputs) -> BTreeMap<TrustDomain, String> {
    let foreign = mesh.foreign_domains().iter().filter_map(|domain| {
        let bundle = domain.bundle_in_force(&inputs.foreign_bundles)?;
        Some((domain.name().clone(), bundle.to_pem()))
    });
    let own = (mesh.trust_domain().clone(), inputs.trust_bundle_pem.clone());
    foreign.chain([own]).collect()
}
