//! meshwright-test-support
