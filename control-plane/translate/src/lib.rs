//! meshwright-translate
pub use meshwright_envoy_config::NodeMetadata;
