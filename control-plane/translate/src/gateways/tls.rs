//! The listener of a gateway's TLS port: a chain for the names of each server, told apart by SNI. TLS ends in some, and passes through others.

use meshwright_config::{ClientCertificates, ClientRoots, ServerCertificate, TlsTermination, TlsVersion};
use meshwright_envoy_config::listener::{ChainMatch, FilterChain, Inspection};
use meshwright_envoy_config::route::route_configuration;
use meshwright_envoy_config::tls::{Clients, Edge, Version};
use meshwright_envoy_config::{names as shared_names, secret};
use meshwright_xds::ResourceType;

use super::{Server, hosts, listener, manager, needs_policy, passthrough};
use crate::TranslateError;
use crate::catalog::Catalog;
use crate::names;
use crate::plugins::Plugins;
use crate::proxy::View;
use crate::resources::{Dependencies, Resources};

pub(super) fn add(
    view: &View<'_>,
    catalog: &Catalog<'_>,
    plugins: &Plugins,
    port: u16,
    servers: &[Server<'_>],
    resources: &mut Resources,
) -> Result<(), TranslateError> {
    let mut dependencies = Dependencies::new();
    let mut chains = Vec::new();
    for server in servers {
        let Some(termination) = server.server.termination() else {
            chains.extend(passthrough::chains(view, catalog, plugins, *server, &mut dependencies)?);
            continue;
        };
        let secrets = secrets(view, server, termination, resources);
        let Some((certificate, roots)) = secrets else {
            // Without them the server takes no connection, and none of its names falls to another; with a secret that never comes, no
            // server of this port would.
            chains.push(FilterChain {
                name: names::gateway_tls_routes(port, &server.label(), server.server.port_name()),
                matches: ChainMatch::TlsWithSni(server_names(server)),
                transport_socket: None,
                filters: Vec::new(),
            });
            continue;
        };
        let routes = names::gateway_tls_routes(port, &server.label(), server.server.port_name());
        let hosts = hosts::virtual_hosts(view, catalog, port, std::slice::from_ref(server), servers)?;
        resources.routes(&route_configuration(&routes, &hosts));
        let socket = Edge {
            certificate: &certificate,
            clients: termination.clients().zip(roots.as_deref()).map(|(clients, roots)| asked(clients, roots)),
            minimum: version(termination.minimum_version()),
            maximum: version(termination.maximum_version()),
            cipher_suites: termination.cipher_suites(),
            alpn: &["h2", "http/1.1"],
        };
        chains.push(FilterChain {
            name: routes.clone(),
            matches: ChainMatch::TlsWithSni(server_names(server)),
            transport_socket: Some(socket.build()),
            filters: manager(view, plugins, port, &routes)?,
        });
        dependencies.extend(needs_policy());
        dependencies.extend(roots.map(|roots| (ResourceType::Secret, roots)));
        dependencies.extend([(ResourceType::Secret, certificate), (ResourceType::Route, routes)]);
    }
    if !chains.is_empty() {
        resources.listener(&listener(view, port, Inspection::Tls, chains)?.build(), dependencies);
    }
    Ok(())
}

/// The names of the secrets with the server's certificate and with the roots of its clients, which are among `resources` then.
fn secrets(
    view: &View<'_>,
    server: &Server<'_>,
    termination: &TlsTermination,
    resources: &mut Resources,
) -> Option<(String, Option<String>)> {
    let certificate = match termination.certificate() {
        ServerCertificate::Secret(name) => {
            let credential = view.state.credential(server.gateway.key().namespace(), name)?;
            let certificate = credential.certificate()?;
            let name = shared_names::credential_secret(credential.key().namespace(), name);
            secret::certificate(&name, certificate.chain(), certificate.private_key())
        }
        ServerCertificate::Files { certificate_chain, private_key } => {
            let name = shared_names::certificate_files_secret(certificate_chain, private_key);
            secret::certificate_files(&name, certificate_chain, private_key)
        }
    };
    let roots = match termination.clients().map(ClientCertificates::roots) {
        None => None,
        Some(ClientRoots::File(path)) => Some(secret::roots_file(&shared_names::roots_file_secret(path), path)),
        Some(roots) => {
            let credential = view.state.client_roots(server.gateway, roots)?;
            let name = shared_names::client_roots_secret(credential.key().namespace(), credential.key().name());
            Some(secret::trust_bundle(&name, credential.roots()?))
        }
    };
    resources.secret(&certificate);
    roots.iter().for_each(|roots| resources.secret(roots));
    Some((certificate.name, roots.map(|roots| roots.name)))
}

fn asked<'a>(clients: &'a ClientCertificates, roots: &'a str) -> Clients<'a> {
    Clients {
        required: clients.required(),
        roots,
        names: clients.subject_alt_names(),
        spki_hashes: clients.spki_hashes(),
        certificate_hashes: clients.certificate_hashes(),
    }
}

fn version(version: TlsVersion) -> Version {
    match version {
        TlsVersion::Tls12 => Version::Tls12,
        TlsVersion::Tls13 => Version::Tls13,
    }
}

/// Empty, which is any name, when one of the hosts is `*`.
fn server_names(server: &Server<'_>) -> Vec<String> {
    let hosts = server.server.hosts();
    if hosts.iter().any(|host| host.host().as_str() == "*") {
        return Vec::new();
    }
    hosts.iter().map(|host| host.host().to_string()).collect()
}
