//! meshwright-tidy
