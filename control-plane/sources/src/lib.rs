//! meshwright-sources
