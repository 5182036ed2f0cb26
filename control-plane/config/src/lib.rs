//! meshwright-config
