//! meshwright-policy
