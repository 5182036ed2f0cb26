//! Meshes of one server, whose policies are any.

use std::fmt::Write as _;

use meshwright_config::State;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::state::state;

const MESH: &str = "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: providers, namespace: a}
spec: {hosts: [asked.example], resolution: DNS, ports: [{number: 9191, name: grpc, protocol: GRPC}, {number: 8181, name: http, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: a}
spec:
  hosts: [a.example]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 90, name: tcp, protocol: TCP}]
  workloadSelector: {labels: {app: a}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: a, namespace: a, labels: {app: a}}
spec: {address: 127.0.0.9, serviceAccount: a}
---
";
const PROVIDERS: [(&str, &str); 2] = [
    ("opa", "{name: opa, envoyExtAuthzGrpc: {service: asked.example, port: 9191}}"),
    ("legacy", "{name: legacy, envoyExtAuthzHttp: {service: asked.example, port: 8181}}"),
];

/// All that a change may be of.
#[derive(Clone)]
pub(crate) struct Documents(String);

/// On few lines, also where a failure is printed at length.
impl std::fmt::Debug for Documents {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let policies = self.0.split("---\n").filter(|text| text.contains("security.istio.io") || text.contains("kind: Mesh"));
        policies.map(|text| text.replace('\n', "; ")).try_for_each(|line| write!(formatter, "[{line}] "))
    }
}

impl Documents {
    /// `modes`: PeerAuthentications after `metadata: {name: …, `; `policies`: AuthorizationPolicies from `action` on.
    pub(crate) fn new(modes: &[&str], policies: &[&str]) -> Self {
        Self::with(&PROVIDERS.map(|(name, _)| name), modes.iter().copied(), policies.iter().copied())
    }

    fn with<'a>(providers: &[&str], modes: impl Iterator<Item = &'a str>, policies: impl Iterator<Item = &'a str>) -> Self {
        let known: Vec<&str> = PROVIDERS.iter().filter(|(name, _)| providers.contains(name)).map(|(_, text)| *text).collect();
        let mut text = format!(
            "apiVersion: meshwright.dev/v1alpha1\nkind: Mesh\nmetadata: {{name: mesh}}\nspec: {{trustDomain: mesh.local, extensionProviders: [{}]}}\n---\n{MESH}",
            known.join(", ")
        );
        for (n, mode) in modes.enumerate() {
            let _infallible =
                write!(text, "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: m{n}, {mode}\n---\n");
        }
        // A policy that asks a provider which the mesh does not have is refused.
        let is_known = |policy: &&str| PROVIDERS.iter().all(|(name, _)| providers.contains(name) || !policy.contains(name));
        for (n, policy) in policies.filter(is_known).enumerate() {
            let _infallible = write!(
                text,
                "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p{n}, namespace: a, annotations: \
                 {{meshwright.io/accept-widening: \"true\"}}}}\nspec: {{{policy}}}\n---\n"
            );
        }
        Self(text)
    }

    pub(crate) fn state(&self) -> State {
        state(&self.0)
    }
}

fn modes() -> impl Strategy<Value = Vec<String>> {
    let mode = || select(vec!["STRICT", "PERMISSIVE", "DISABLE"]);
    let of_namespace = mode().prop_map(|mode| format!("namespace: a}}\nspec: {{mtls: {{mode: {mode}}}}}"));
    let of_ports = (mode(), prop::option::of(mode()), prop::option::of(mode())).prop_map(|(mode, http, tcp)| {
        let ports: Vec<String> =
            [(80, http), (90, tcp)].into_iter().filter_map(|(port, mode)| Some(format!("{port}: {{mode: {}}}", mode?))).collect();
        let ports = if ports.is_empty() { String::new() } else { format!(", portLevelMtls: {{{}}}", ports.join(", ")) };
        format!("namespace: a}}\nspec: {{selector: {{matchLabels: {{app: a}}}}, mtls: {{mode: {mode}}}{ports}}}")
    });
    (prop::option::of(of_namespace), prop::option::of(of_ports)).prop_map(|(one, other)| one.into_iter().chain(other).collect())
}

fn rule() -> impl Strategy<Value = String> {
    let any_of = |words: &[&'static str]| prop::option::of(select(words.to_vec()));
    let source = any_of(&[
        "principals: [mesh.local/ns/b/sa/one]",
        "notPrincipals: [mesh.local/ns/b/sa/one]",
        "principals: [\"*\"]",
        "namespaces: [c]",
    ]);
    let operation = any_of(&["paths: [/a]", "notPaths: [/a]", "ports: [\"80\"]", "ports: [\"90\", \"91\"]"]);
    (source, operation).prop_map(|(source, operation)| {
        let from = source.map(|source| format!("from: [{{source: {{{source}}}}}]"));
        let to = operation.map(|operation| format!("to: [{{operation: {{{operation}}}}}]"));
        format!("{{{}}}", from.into_iter().chain(to).collect::<Vec<_>>().join(", "))
    })
}

fn policy() -> impl Strategy<Value = String> {
    let action = select(vec!["action: ALLOW", "action: ALLOW", "action: DENY", "action: CUSTOM, provider: {name: opa}"]);
    let own = (action, prop::collection::vec(rule(), 1..3)).prop_map(|(action, rules)| format!("{action}, rules: [{}]", rules.join(", ")));
    // What is asked over HTTP cannot be asked about connections.
    let over_http = select(vec!["", ", paths: [/a]", ", notPaths: [/a]"]).prop_map(|paths| {
        format!("action: CUSTOM, provider: {{name: legacy}}, rules: [{{to: [{{operation: {{ports: [\"80\"]{paths}}}}}]}}]")
    });
    prop_oneof![4 => own, 1 => over_http]
}

pub(crate) fn documents() -> impl Strategy<Value = Documents> {
    let providers = subsequence(PROVIDERS.map(|(name, _)| name).to_vec(), 0..=2);
    (providers, modes(), prop::collection::vec(policy(), 0..3)).prop_map(|(providers, modes, policies)| {
        Documents::with(&providers, modes.iter().map(String::as_str), policies.iter().map(String::as_str))
    })
}
