//! meshwright-e2e
