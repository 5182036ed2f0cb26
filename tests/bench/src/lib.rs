//! meshwright-bench
