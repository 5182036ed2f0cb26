//! meshwright-sidecar
