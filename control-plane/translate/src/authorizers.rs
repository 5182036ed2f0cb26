//! The mesh's external authorizers in a proxy's chains.

use meshwright_config::{Enforcement, HttpCheck, PolicyPort, Provider, ProviderProtocol, enforcement};
use meshwright_envoy_config::ext_authz::{Body, ExtAuthz, HttpService, Service};
use meshwright_policy::wire::Action;

use crate::names;
use crate::proxy::View;

/// Those of every HTTP chain: all that the mesh has, whether a policy of this workload asks them or not. A new CUSTOM policy is then a
/// matter of the policy filter alone; were a filter to be added for it, connections of before would go on in a chain that has none.
pub(crate) fn of_requests(view: &View<'_>) -> Vec<ExtAuthz> {
    view.mesh.providers().iter().map(authorizer).collect()
}

/// Those of a TCP chain: whom a policy may ask about connections to this port. Others are not there, because a chain with one cannot let
/// the server speak first. Providers that are asked over HTTP are never there: what would need one is denied.
pub(crate) fn of_connections(view: &View<'_>, port: PolicyPort) -> Vec<ExtAuthz> {
    let asked = asked(view, port);
    let providers = view.mesh.providers().iter().filter(|provider| provider.is_grpc() && asked.contains(&provider.name()));
    providers.map(authorizer).collect()
}

/// Whom a CUSTOM policy may ask about what comes to a port.
fn asked<'a>(view: &View<'a>, port: PolicyPort) -> Vec<&'a str> {
    let policies = view.state.authorization_for(view.workload).into_iter().filter(|policy| {
        let rules = &policy.wire().rules;
        rules.iter().any(|rule| !matches!(enforcement(Action::Custom, rule, port), Enforcement::NeverMatches(_)))
    });
    policies.filter_map(|policy| policy.wire().provider.as_deref()).collect()
}

/// Their names, for the policy filter.
pub(crate) fn names(authorizers: &[ExtAuthz]) -> Vec<String> {
    authorizers.iter().map(|authorizer| authorizer.name.clone()).collect()
}

fn authorizer(provider: &Provider) -> ExtAuthz {
    ExtAuthz {
        name: provider.name().to_owned(),
        cluster: names::outbound_cluster(provider.port(), None, provider.host().as_str()),
        authority: format!("{}:{}", provider.host(), provider.port()),
        timeout: provider.timeout(),
        service: match provider.protocol() {
            ProviderProtocol::Grpc => Service::Grpc,
            ProviderProtocol::Http(check) => Service::Http(Box::new(http_service(check))),
        },
        status_on_error: provider.status_on_error(),
        body: provider.body().map(|body| Body { max_bytes: body.max_bytes(), partial: body.partial(), as_bytes: body.as_bytes() }),
    }
}

fn http_service(check: &HttpCheck) -> HttpService {
    HttpService {
        path_prefix: check.path_prefix().to_owned(),
        from_request: check.from_request().to_vec(),
        additional: check.additional().clone(),
        to_upstream_on_allow: check.to_upstream_on_allow().to_vec(),
        to_downstream_on_deny: check.to_downstream_on_deny().to_vec(),
        to_downstream_on_allow: check.to_downstream_on_allow().to_vec(),
    }
}
