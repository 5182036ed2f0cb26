//! meshwright-ca
