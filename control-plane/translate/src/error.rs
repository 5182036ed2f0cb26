use meshwright_identity::InvalidSpiffeId;

/// Why a proxy's configuration cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TranslateError {
    #[error("there is no `Mesh`: the trust domain is not known")]
    NoMesh,
    #[error("there is no WorkloadEntry `{namespace}/{name}`")]
    UnknownWorkload { namespace: String, name: String },
    #[error("WorkloadEntry `{namespace}/{name}` has the address `{address}`: a proxy binds an IP address, not a name")]
    Address { namespace: String, name: String, address: String },
    #[error("an identity cannot be made: {0}")]
    Identity(#[from] InvalidSpiffeId),
    #[error("node metadata `tcp`: `{0}` is not `HOST:PORT`")]
    TcpService(String),
    #[error("{document}: `{name}` is not a SPIFFE ID, and with mutual TLS nothing else can be required: {reason}")]
    SubjectAltName { document: String, name: String, reason: InvalidSpiffeId },
    #[error("{document} redirects with status {status}: 301, 302, 303, 307 and 308 are allowed")]
    RedirectStatus { document: String, status: u16 },
    #[error(transparent)]
    Inconsistent(#[from] meshwright_xds::Inconsistent),
    #[error("the policy cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}
