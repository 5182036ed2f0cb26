//! meshwright-access-log
