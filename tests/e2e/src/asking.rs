//! A mesh of two with two external authorizers, `opa` by gRPC and `legacy` by HTTP, the policies that ask them, and what is then asked.

use std::net::SocketAddr;

use meshwright_demo::bookshop::Network;

use crate::pair;

/// Of the tokens that the server takes.
pub const ISSUER: &str = "https://issuer.test";

/// Action and provider of a policy that asks by gRPC.
pub const OPA: &str = "CUSTOM\n  provider: {name: opa}";
/// Action and provider of a policy that asks by HTTP.
pub const LEGACY: &str = "CUSTOM\n  provider: {name: legacy}";

const PROVIDERS: &str = "  extensionProviders:
  - name: opa
    envoyExtAuthzGrpc: {service: opa.test.mesh, port: 9191, timeout: 5s}
  - name: legacy
    envoyExtAuthzHttp:
      service: test/legacy.test.mesh
      port: 8181
      timeout: 5s
      pathPrefix: /check
      statusOnError: \"503\"
      headersToUpstreamOnAllow: [x-checked]
      headersToDownstreamOnDeny: [x-reason]
      includeRequestHeadersInCheck: [x-user]
      includeAdditionalHeadersInCheck: {x-mesh: test}";

/// The authorizers as services, and whose tokens are taken.
#[must_use]
pub fn services([grpc, http]: [SocketAddr; 2], jwks: &str) -> String {
    let service = |name: &str, address: SocketAddr, protocol: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {{name: {name}, namespace: test}}\nspec:\n  hosts: [{name}.test.mesh]\n  \
             resolution: STATIC\n  ports: [{{number: {}, name: port, protocol: {protocol}}}]\n  endpoints: [{{address: {}}}]\n---\n",
            address.port(),
            address.ip(),
        )
    };
    let tokens = format!(
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: tokens, namespace: test}}\nspec:\n  jwtRules:\n  \
         - issuer: {ISSUER}\n    jwks: '{jwks}'\n    outputClaimToHeaders: [{{header: x-user, claim: sub}}]\n---\n",
    );
    service("opa", grpc, "GRPC") + &service("legacy", http, "HTTP") + &tokens
}

/// All of the mesh, with `policies`.
#[must_use]
pub fn documents(network: Network, services: &str, policies: &str) -> String {
    pair::documents(network, PROVIDERS, &format!("{services}{policies}"))
}

/// A policy for the server.
#[must_use]
pub fn policy(name: &str, action: &str, rule: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: test}}\nspec:\n  \
         selector: {{matchLabels: {{app: server}}}}\n  action: {action}\n  rules: [{rule}]\n---\n"
    )
}

/// A rule for paths on the server's HTTP port.
#[must_use]
pub fn on_paths(paths: &str) -> String {
    format!("{{to: [{{operation: {{paths: [{paths}], ports: ['8080']}}}}]}}")
}

/// Paths to ask one of them about, or both; one that is denied before anybody is asked.
#[must_use]
pub fn policies() -> String {
    [
        policy("grpc", OPA, &on_paths("/opa/*, /both/*")),
        policy("http", LEGACY, &on_paths("/legacy/*, /both/*")),
        policy("closed", "DENY", &on_paths("/opa/closed*")),
    ]
    .concat()
}

/// A request under [`policies`], and what is asked about it.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub path: &'static str,
    /// Where the authorizers refuse every path that ends with `refuse`, and agree to all others.
    pub status: u16,
    /// The path that is asked about by gRPC.
    pub grpc: Option<&'static str>,
    /// The same by HTTP.
    pub http: Option<&'static str>,
}

const fn case(path: &'static str, status: u16, grpc: Option<&'static str>, http: Option<&'static str>) -> Case {
    Case { path, status, grpc, http }
}

/// In this order: what was to be asked of a connection's last request is not to be asked of its next.
pub const CASES: &[Case] = &[
    case("/free", 200, None, None),
    case("/opa/yes", 200, Some("/opa/yes"), None),
    case("/opa/refuse", 403, Some("/opa/refuse"), None),
    case("/free/again", 200, None, None),
    case("/legacy/yes", 200, None, Some("/check/legacy/yes")),
    case("/legacy/refuse", 401, None, Some("/check/legacy/refuse")),
    case("/both/yes", 200, Some("/both/yes"), Some("/check/both/yes")),
    case("/both/refuse", 403, Some("/both/refuse"), None),
    case("/opa/closed", 403, None, None),
    case("/free/../opa/refuse", 403, Some("/opa/refuse"), None),
];
