//! Meshes to measure control planes with: W1 to W7, or any size, as plain Istio YAML and the proxies that go with it. Deterministic: the same
//! shape and seed give the same bytes. Writes no files and starts nothing.

mod edit;
mod mesh;
mod proxy;
mod random;
mod shape;
mod yaml;

pub use edit::{POLICY_FILE, PolicyEdit, marker_address, policy_marker, policy_yaml, route_marker};
pub use mesh::{Mesh, Service};
pub use proxy::ProxyLine;
pub use shape::{Shape, Workload};
