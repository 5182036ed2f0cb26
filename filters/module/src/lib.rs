//! meshwright-filters
