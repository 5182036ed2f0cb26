//! From the mesh's state to what one proxy is told: listeners, routes, clusters, endpoints, secrets and policy. Pure and deterministic: the
//! same documents, in whatever order they were read, give the same bytes.
//!
//! Explicit mode: the inbound listeners bind the workload's own address, in front of the app; outbound calls come to listeners that the
//! sidecar named. Nothing is redirected.

mod authorizers;
mod catalog;
mod clusters;
mod error;
mod gateways;
mod inbound;
mod names;
mod outbound;
mod plugins;
mod proxy;
mod reach;
mod resources;
mod routes;
mod scope;
mod translator;
mod trust;
mod workload_policy;

use meshwright_config::State;
use meshwright_xds::Resource;

pub use error::TranslateError;
pub use meshwright_envoy_config::{InvalidNodeMetadata, NodeMetadata};
pub use proxy::{MeshInputs, Proxy};
pub use reach::Reach;
pub use translator::Translator;
pub use trust::trust_bundles;
pub use workload_policy::workload_policy;

use crate::catalog::Catalog;
use crate::plugins::Plugins;
use crate::proxy::View;
use crate::resources::Resources;
use crate::scope::Scope;

/// Everything that `proxy` should hold.
///
/// # Errors
/// [`TranslateError`]: nothing is left out silently, so that one contradiction gives no configuration at all, and the proxy keeps its last.
pub fn translate(state: &State, proxy: &Proxy, inputs: &MeshInputs) -> Result<Vec<Resource>, TranslateError> {
    translate_within(state, proxy, inputs, &Reach::new(state))
}

/// As [`translate`], for several proxies of one state: `reach` is of that state.
///
/// # Errors
/// As [`translate`].
pub fn translate_within(state: &State, proxy: &Proxy, inputs: &MeshInputs, reach: &Reach) -> Result<Vec<Resource>, TranslateError> {
    let view = View::new(state, proxy)?;
    let scope = Scope::new(&view, reach)?;
    let catalog = Catalog::new(&view.callers());
    let mut resources = Resources::default();
    resources.trust_bundles(&trust_bundles(view.mesh, inputs));
    clusters::add(&view.callers(), &catalog, &scope, &mut resources)?;
    if let Some(address) = view.metadata.outbound_address {
        resources.routes(&outbound::routes(&view.callers(), &catalog, &scope, outbound::takes_any_host(&view), address)?);
    }
    add_own(&view, &catalog, &Plugins::new(&view, &inputs.key_sets)?, &mut resources)?;
    Ok(resources.finish())
}

/// What other proxies have otherwise, but for the outbound routes.
fn add_own(view: &View<'_>, catalog: &Catalog<'_>, plugins: &Plugins, resources: &mut Resources) -> Result<(), TranslateError> {
    outbound::add(view, plugins, resources)?;
    let ports = gateways::add(view, catalog, plugins, resources)?;
    inbound::add(view, plugins, &ports, resources)?;
    plugins.add_used(resources);
    Ok(())
}
