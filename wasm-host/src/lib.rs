//! meshwright-wasm-host
