//! A cluster, with its endpoints, for every port of every service, and one more for each subset.

mod policy;
mod security;

use meshwright_config::{Address, Resolution, ServicePort, Subset, TrafficPolicy};
use meshwright_envoy_config::cluster::{Cluster, Discovery, HttpOptions, HttpVersion};
use meshwright_envoy_config::endpoint::{Endpoint, EndpointLocality, load_assignment};
use meshwright_xds::ResourceType;

use crate::TranslateError;
use crate::catalog::{Catalog, Service};
use crate::names;
use crate::proxy::Callers;
use crate::resources::{Dependencies, Resources, needs_trust_bundle};
use crate::scope::Scope;

pub(crate) use policy::base_cluster;

pub(crate) fn add(callers: &Callers<'_>, catalog: &Catalog<'_>, scope: &Scope, resources: &mut Resources) -> Result<(), TranslateError> {
    catalog
        .services()
        .filter(|service| scope.of(service.host()).has_cluster())
        .try_for_each(|service| add_service(callers, service, resources))
}

/// Of one service: made of it, the rule that holds for it, its instances and what they take, and the mesh. Whatever else this comes to read
/// is to be added to [`crate::translator`]'s account of it.
pub(crate) fn add_service(callers: &Callers<'_>, service: &Service<'_>, resources: &mut Resources) -> Result<(), TranslateError> {
    for port in service.ports() {
        add_cluster(callers, service, port, None, resources)?;
        for subset in service.rule.map(|rule| rule.subsets()).unwrap_or_default() {
            add_cluster(callers, service, port, Some(subset), resources)?;
        }
    }
    Ok(())
}

fn add_cluster(
    callers: &Callers<'_>,
    service: &Service<'_>,
    port: &ServicePort,
    subset: Option<&Subset>,
    resources: &mut Resources,
) -> Result<(), TranslateError> {
    let subset_name = subset.map(Subset::name);
    let name = names::outbound_cluster(port.number(), subset_name, service.host());
    let traffic = service.rule.map(|rule| rule.effective_traffic_policy(subset_name)).unwrap_or_default();
    let endpoints = endpoints(callers, service, port, subset);
    let assignment = load_assignment(&name, &endpoints);
    let security = security::of(callers, service, port, subset_name, &traffic)?;
    let mut dependencies = Dependencies::new();
    if security.mutual {
        dependencies.insert(needs_trust_bundle());
    }
    let discovery = if is_resolved_by_proxy(service, &endpoints) {
        Discovery::StrictDns(assignment)
    } else {
        resources.endpoints(&assignment);
        dependencies.insert((ResourceType::Endpoint, name.clone()));
        Discovery::Eds
    };
    let cluster = Cluster { discovery, tls: security.tls, http: http(port, &traffic), ..policy::apply(base_cluster(&name), &traffic) };
    resources.cluster(&cluster.build(), dependencies);
    Ok(())
}

/// Envoy takes no names over EDS.
fn is_resolved_by_proxy(service: &Service<'_>, endpoints: &[Endpoint]) -> bool {
    service.entry.resolution() == Resolution::Dns || endpoints.iter().any(|endpoint| endpoint.host.parse::<std::net::IpAddr>().is_err())
}

fn http(port: &ServicePort, traffic: &TrafficPolicy) -> Option<HttpOptions> {
    let version = if port.protocol().is_http2() { HttpVersion::Http2 } else { HttpVersion::Http1 };
    let pool = traffic.connection_pool();
    port.protocol().is_http().then(|| HttpOptions {
        version,
        idle_timeout: pool.and_then(|pool| pool.http_idle_timeout()),
        max_requests_per_connection: pool.and_then(|pool| pool.max_requests_per_connection()),
        max_concurrent_streams: None,
    })
}

fn endpoints(callers: &Callers<'_>, service: &Service<'_>, port: &ServicePort, subset: Option<&Subset>) -> Vec<Endpoint> {
    let instances = callers.state.endpoints(service.entry, port, subset);
    if instances.is_empty() && service.entry.resolution() == Resolution::Dns && service.entry.endpoints().is_empty() {
        // The name is its own only instance.
        let host = service.host().to_owned();
        return vec![Endpoint { locality: EndpointLocality::default(), host, port: port.target_port(), weight: 1, mutual_tls: false }];
    }
    instances
        .iter()
        .map(|instance| {
            let workload = instance.workload();
            let locality = workload.locality().map_or_else(EndpointLocality::default, |locality| EndpointLocality {
                region: locality.region().to_owned(),
                zone: locality.zone().to_owned(),
                sub_zone: locality.subzone().to_owned(),
            });
            Endpoint {
                locality,
                host: match workload.address() {
                    Address::Ip(ip) => ip.to_string(),
                    Address::Name(name) => name.to_string(),
                },
                port: instance.port(),
                weight: workload.weight(),
                mutual_tls: security::terminates_mutual_tls(callers, service, workload, instance.port()),
            }
        })
        .collect()
}
