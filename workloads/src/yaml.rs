//! The documents. Everything but the `Mesh` is Istio's.

use std::fmt::Write as _;

use crate::mesh::{Mesh, Service, address};

/// Which Istio takes from its `meshConfig` instead.
pub(crate) fn mesh() -> String {
    let (domain, root) = (Mesh::TRUST_DOMAIN, Mesh::ROOT_NAMESPACE);
    format!(
        "apiVersion: meshwright.dev/v1alpha1\nkind: Mesh\nmetadata: {{name: mesh}}\nspec: {{trustDomain: {domain}, rootNamespace: {root}}}\n\
         ---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: default, namespace: {root}}}\nspec: {{mtls: {{mode: STRICT}}}}\n"
    )
}

/// One policy for each namespace: its own workloads and one other's.
pub(crate) fn policies(namespaces: &[&str]) -> String {
    let mut text = String::new();
    for namespace in namespaces {
        write_all(
            &mut text,
            format_args!(
                "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: callers, namespace: {namespace}}}\nspec:\n  action: ALLOW\n  rules:\n  \
                 - from:\n    - source: {{namespaces: [\"ns-*\"]}}\n    to:\n    - operation: {{methods: [GET, POST], ports: [\"8080\"]}}\n"
            ),
        );
    }
    text
}

pub(crate) fn service(service: &Service, scoped: bool, replaced: &[String]) -> String {
    let (name, namespace, host) = (&service.name, &service.namespace, service.host());
    let (port, protocol) = if service.grpc { ("grpc", "GRPC") } else { ("http", "HTTP") };
    let mut text = format!(
        "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  hosts: [{host}]\n  \
         location: MESH_INTERNAL\n  resolution: STATIC\n  ports: [{{number: 80, name: {port}, protocol: {protocol}, targetPort: 8080}}]\n  \
         workloadSelector: {{labels: {{app: {name}}}}}\n"
    );
    if service.routed {
        let path = service.route.as_deref().unwrap_or("/slow/");
        write_all(
            &mut text,
            format_args!(
                "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  hosts: [{host}]\n  http:\n  \
                 - match: [{{uri: {{prefix: {path}}}}}]\n    timeout: 10s\n    route: [{{destination: {{host: {host}}}}}]\n  \
                 - timeout: 2s\n    retries: {{attempts: 3, perTryTimeout: 500ms}}\n    route: [{{destination: {{host: {host}}}}}]\n"
            ),
        );
    }
    if service.limited {
        write_all(
            &mut text,
            format_args!(
                "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  host: {host}\n  \
                 trafficPolicy:\n    connectionPool: {{tcp: {{maxConnections: 100}}}}\n    outlierDetection: {{consecutive5xxErrors: 5}}\n"
            ),
        );
    }
    if scoped && !service.calls.is_empty() {
        let hosts: Vec<String> = service.calls.iter().map(|call| format!("\"{call}\"")).collect();
        write_all(
            &mut text,
            format_args!(
                "---\napiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  \
                 workloadSelector: {{labels: {{app: {name}}}}}\n  egress:\n  - hosts: [{}]\n",
                hosts.join(", ")
            ),
        );
    }
    let own = service.endpoints.saturating_sub(replaced.len());
    for endpoint in 0..service.endpoints {
        let address = match replaced.get(endpoint.wrapping_sub(own)) {
            Some(address) => address.clone(),
            None => address(service.index, endpoint),
        };
        write_all(
            &mut text,
            format_args!(
                "---\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: {name}-{endpoint}, namespace: {namespace}}}\nspec:\n  \
                 address: {address}\n  labels: {{app: {name}}}\n  serviceAccount: {name}\n"
            ),
        );
    }
    text
}

/// Writing to a string does not fail.
fn write_all(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _infallible = text.write_fmt(arguments);
}
