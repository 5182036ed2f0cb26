//! meshwright-server
