//! meshwright-envoy-config
