//! Edits whose arrival a client can tell: each carries a text that nothing else in the mesh has.

/// An address that stands for the edit `sequence`: no generated endpoint has it, and none is the beginning of another.
#[must_use]
pub fn marker_address(sequence: usize) -> String {
    let part = |divisor: usize| 100_usize.saturating_add(sequence.checked_div(divisor).unwrap_or_default() % 100);
    format!("10.{}.{}.{}", part(10_000), part(100), part(1))
}

/// The file of the mesh's own policy.
pub const POLICY_FILE: &str = "mesh-policy.yaml";

/// A path that an edited route has in it.
#[must_use]
pub fn route_marker(sequence: usize) -> String {
    format!("/route-{sequence:08}/")
}

/// What an edited policy has in it.
#[must_use]
pub fn policy_marker(sequence: usize) -> String {
    format!("/marker-{sequence:08}/")
}

/// The version of the mesh's own policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PolicyEdit {
    /// Changes what it says.
    pub sequence: usize,
    /// Changes an annotation only.
    pub annotation: usize,
}

/// The policy of the whole mesh, to be written as [`POLICY_FILE`].
#[must_use]
pub fn policy_yaml(edit: PolicyEdit) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: deny-marked\n  namespace: istio-system\n  annotations: {{edit: \"{}\"}}\n\
         spec:\n  action: DENY\n  rules:\n  - to:\n    - operation: {{paths: [\"{}*\"], ports: [\"8080\"]}}\n",
        edit.annotation,
        policy_marker(edit.sequence)
    )
}
