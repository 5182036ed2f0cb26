//! TLS towards a service: the DestinationRule's if it has one, else mutual TLS with those endpoints that take it.

use std::collections::BTreeSet;

use meshwright_config::{ClientTls, ClientTlsMode, Location, MtlsMode, ServicePort, TrafficPolicy, Workload};
use meshwright_envoy_config::cluster::UpstreamTls;
use meshwright_envoy_config::pb::envoy::config::core::v3::TransportSocket;
use meshwright_envoy_config::tls::{self, Roots, UpstreamSimple};
use meshwright_identity::SpiffeId;

use crate::TranslateError;
use crate::catalog::Service;
use crate::names;
use crate::proxy::Callers;

pub(super) struct Security {
    pub(super) tls: UpstreamTls,
    /// Whether the trust bundle is needed.
    pub(super) mutual: bool,
}

pub(super) fn of(
    callers: &Callers<'_>,
    service: &Service<'_>,
    port: &ServicePort,
    subset: Option<&str>,
    traffic: &TrafficPolicy,
) -> Result<Security, TranslateError> {
    let Some(rule) = traffic.tls() else {
        return Ok(match service.entry.location() {
            Location::MeshInternal => {
                Security { tls: UpstreamTls::WhereOffered(mutual(callers, service, port, subset, None)?), mutual: true }
            }
            Location::MeshExternal => Security { tls: UpstreamTls::None, mutual: false },
        });
    };
    Ok(match rule.mode() {
        ClientTlsMode::Disable => Security { tls: UpstreamTls::None, mutual: false },
        ClientTlsMode::Simple => Security { tls: UpstreamTls::Always(simple(service, port, rule)), mutual: false },
        ClientTlsMode::IstioMutual => {
            Security { tls: UpstreamTls::Always(mutual(callers, service, port, subset, Some(rule))?), mutual: true }
        }
    })
}

/// Auto mutual TLS: client and server decide from the same facts, so they never disagree.
pub(super) fn terminates_mutual_tls(callers: &Callers<'_>, service: &Service<'_>, workload: &Workload, port: u16) -> bool {
    service.entry.location() == Location::MeshInternal
        && workload.has_proxy()
        && callers.state.peer_authentication_mode(workload, port) != MtlsMode::Disable
}

fn mutual(
    callers: &Callers<'_>,
    service: &Service<'_>,
    port: &ServicePort,
    subset: Option<&str>,
    rule: Option<&ClientTls>,
) -> Result<TransportSocket, TranslateError> {
    let servers = match rule.map(ClientTls::subject_alt_names).filter(|names| !names.is_empty()) {
        Some(names) => {
            let document = service.rule.map(|rule| rule.key().to_string()).unwrap_or_default();
            spiffe_ids(names, &document)?
        }
        None => secure_naming(callers, service, port)?,
    };
    let sni = rule.and_then(ClientTls::sni).map_or_else(|| names::sni(port.number(), subset, service.host()), str::to_owned);
    let servers: Vec<SpiffeId> = servers.into_iter().collect();
    let mesh = meshwright_envoy_config::names::MESH_ALPN;
    let alpn: &[&str] = match (port.protocol().is_http(), port.protocol().is_http2()) {
        (_, true) => &[mesh, "h2"],
        (true, false) => &[mesh, "http/1.1"],
        (false, false) => &[mesh],
    };
    Ok(tls::upstream_mutual(&servers, &sni, alpn))
}

/// Whoever answers must be one of the service accounts that the service runs as. Of all its instances, not of the subset's alone: a
/// rollout must not need two rules to be edited in step.
fn secure_naming(callers: &Callers<'_>, service: &Service<'_>, port: &ServicePort) -> Result<BTreeSet<SpiffeId>, TranslateError> {
    let mut servers = spiffe_ids(service.entry.subject_alt_names(), &service.entry.key().to_string())?;
    for instance in callers.state.endpoints(service.entry, port, None) {
        let workload = instance.workload();
        servers.insert(callers.identity(workload.namespace(), workload.service_account())?);
    }
    Ok(servers)
}

fn spiffe_ids(names: &[String], document: &str) -> Result<BTreeSet<SpiffeId>, TranslateError> {
    let parse = |name: &String| {
        SpiffeId::parse(name).map_err(|reason| TranslateError::SubjectAltName { document: document.to_owned(), name: name.clone(), reason })
    };
    names.iter().map(parse).collect()
}

/// Stricter than Istio, which believes any name that the roots vouch for unless `subjectAltNames` says otherwise.
fn simple(service: &Service<'_>, port: &ServicePort, rule: &ClientTls) -> TransportSocket {
    let sni = rule.sni().unwrap_or_else(|| service.host());
    let listed = if rule.subject_alt_names().is_empty() { service.entry.subject_alt_names() } else { rule.subject_alt_names() };
    let own = [sni.to_owned()];
    let alpn: &[&str] = match (port.protocol().is_http(), port.protocol().is_http2()) {
        (_, true) => &["h2"],
        (true, false) => &["http/1.1"],
        (false, false) => &[],
    };
    UpstreamSimple {
        sni,
        roots: rule.ca_certificates().map_or(Roots::System, Roots::File),
        dns_names: if listed.is_empty() { &own } else { listed },
        alpn,
    }
    .build()
}
