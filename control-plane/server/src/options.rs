use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use meshwright_ca::{JwtIssuer, KeyAlgorithm, Passphrase, Rates};
use meshwright_identity::SpiffeId;
use meshwright_sources::Guard;

/// What a control plane is started with.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The directory of YAML documents; watched.
    pub config_dir: PathBuf,
    /// Holds the authority's keys and the join tokens; mode 0700.
    pub data_dir: PathBuf,
    /// The filter module that sidecars are given.
    pub module: PathBuf,
    /// How much one change may remove.
    pub guard: Guard,
    /// ADS and the identity service, over mutual TLS.
    pub listen: SocketAddr,
    /// The admin API: in plaintext on a loopback address, else over TLS and only for who shows a token or a certificate.
    pub admin: SocketAddr,
    /// Holds the token that the admin API asks for.
    pub admin_token_file: Option<PathBuf>,
    /// Who may ask the admin API by a certificate of the mesh; where there are any, it is served over TLS on every address.
    pub admin_identities: Vec<SpiffeId>,
    /// ADS without TLS and without knowing who asks; must be a loopback address.
    pub insecure_plaintext_xds: Option<SocketAddr>,
    /// Life of issued certificates.
    pub certificate_ttl: Duration,
    /// What encrypts the authority's keys on disk.
    pub passphrase: Option<Passphrase>,
    /// What new roots and intermediates are made with.
    pub ca_key_algorithm: KeyAlgorithm,
    /// Whose JWTs prove identities.
    pub jwt: Option<JwtIssuer>,
    pub rates: Rates,
    /// Where other trust domains fetch this one's bundle.
    pub bundle_endpoint: Option<BundleEndpointOptions>,
}

/// How the bundle is served.
#[derive(Debug, Clone)]
pub struct BundleEndpointOptions {
    pub address: SocketAddr,
    /// None: with the control plane's own certificate.
    pub web: Option<WebCertificate>,
}

/// PEM files, which may be replaced at any time.
#[derive(Debug, Clone)]
pub struct WebCertificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Where a control plane serves, with the ports that were taken for port 0.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    pub xds: SocketAddr,
    pub admin: SocketAddr,
    pub bundle_endpoint: Option<SocketAddr>,
}
