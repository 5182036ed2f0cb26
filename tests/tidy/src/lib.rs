//! The repository's own rules, as tests: `cargo test -p meshwright-tidy`. Nothing here is used by the product.
