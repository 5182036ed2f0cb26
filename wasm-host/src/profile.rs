//! Whose behaviour is shown where Envoy and the specification differ.

/// What a host does where Envoy does not follow the proxy-wasm specification (ABI 0.2.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// As Envoy 1.40 was measured.
    #[default]
    Envoy,
    /// As the specification has it. HTTP streams end with done, log, delete, and one that answers false to `proxy_on_done` is kept until
    /// `proxy_done`; a buffer outside its phase is NOT_FOUND; bytes can be put into the middle of a buffer.
    Spec,
}
