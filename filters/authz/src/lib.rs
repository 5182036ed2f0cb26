//! meshwright-authz
