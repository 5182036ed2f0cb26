//! Filters that know nothing of Meshwright, to be run in its host as anybody's would: the examples of this package do with the proxy-wasm Rust
//! SDK what its documentation describes under their names, `c/` is C, `assemblyscript/` is AssemblyScript on its public SDK. `scenarios/`
//! says what must come of each. `make test-filters` builds them all. Nothing here is used by the product.
