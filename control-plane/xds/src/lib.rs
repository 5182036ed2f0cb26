//! meshwright-xds
