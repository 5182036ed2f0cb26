use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use meshwright_ca::{JwtIssuer, Rate, Rates};
use meshwright_identity::SpiffeId;
use meshwright_server::{BundleEndpointOptions, Guard, ServerOptions, WebCertificate};

/// Run the control plane: documents in, xDS out.
///
/// Reads a directory of YAML, watches it, and serves every sidecar its listeners, routes, clusters, endpoints, certificates and policy.
/// Prints `control plane ready xds=ADDRESS admin=ADDRESS` once it serves. SIGTERM or Ctrl-C ends it; proxies keep deciding without it.
///
/// Example: meshwright control-plane --config-dir mesh/ --data-dir /var/lib/meshwright
#[derive(Debug, clap::Args)]
pub(crate) struct ControlPlane {
    /// The directory of YAML documents, watched for edits.
    #[arg(long, value_name = "DIR")]
    config_dir: PathBuf,
    /// Where the certificate authority and the join tokens are kept; made on first start, readable only by its owner.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The filter module to serve [default: meshwright_filters.wasm beside this binary].
    #[arg(long, value_name = "FILE")]
    module: Option<PathBuf>,
    /// Where sidecars connect: ADS and certificates, mutual TLS. Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:15012")]
    listen: SocketAddr,
    /// Where `meshwright status` and metrics are served: in plaintext on a loopback address, else over TLS and only for who shows a token or
    /// a certificate.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:15014")]
    admin: SocketAddr,
    /// A file with the token that the admin API asks for: at least 32 bytes, readable by its owner alone.
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
    /// Who may ask the admin API by a certificate of the mesh, exactly this SPIFFE ID; can be given several times. The admin API is then
    /// served over TLS, on a loopback address too.
    #[arg(long = "admin-identity", value_name = "SPIFFE-ID", value_parser = SpiffeId::parse)]
    admin_identities: Vec<SpiffeId>,
    /// Also serve ADS without TLS and without checking who asks, for debugging with foreign clients. Loopback only.
    #[arg(long, value_name = "ADDRESS")]
    insecure_plaintext_xds: Option<SocketAddr>,
    /// Life of the certificates that it issues, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "43200")]
    certificate_ttl: u64,
    /// Hold back a change that removes more than this share of the endpoints, the services or the policies; 100 holds nothing.
    #[arg(long, value_name = "PERCENT", default_value = "50", value_parser = clap::value_parser!(u8).range(0..=100))]
    hold_removals_above: u8,
    /// Hold back nothing that removes fewer than so many of them.
    #[arg(long, value_name = "COUNT", default_value = "10")]
    hold_removals_from: usize,
    #[command(flatten)]
    keys: super::ca::Keys,
    /// Also take JWTs of this issuer as proof of identity: those that Kubernetes projects into pods, or of the same shape.
    #[arg(long, value_name = "URL", requires_all = ["jwt_audience", "jwt_keys"])]
    jwt_issuer: Option<String>,
    /// The audience that such a JWT must name.
    #[arg(long, value_name = "NAME", requires = "jwt_issuer")]
    jwt_audience: Option<String>,
    /// A file with that issuer's keys, a JWK set; read again for each proof.
    #[arg(long, value_name = "FILE", requires = "jwt_issuer")]
    jwt_keys: Option<PathBuf>,
    /// The most certificates a second that one identity is issued, over time.
    #[arg(long, value_name = "NUMBER", default_value = "10", value_parser = clap::value_parser!(u32).range(1..))]
    identity_rate: u32,
    /// The most certificates a second that are issued in all, over time.
    #[arg(long, value_name = "NUMBER", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..))]
    total_rate: u32,
    /// Serve this mesh's trust bundle to other trust domains (SPIFFE federation), over HTTPS at `/`, with the control plane's own certificate.
    #[arg(long, value_name = "ADDRESS")]
    bundle_endpoint: Option<SocketAddr>,
    /// Serve it with this certificate instead (profile `https_web`): a PEM file, leaf first, read again every minute.
    #[arg(long, value_name = "FILE", requires_all = ["bundle_endpoint", "bundle_endpoint_key"])]
    bundle_endpoint_certificate: Option<PathBuf>,
    /// The private key of that certificate, a PEM file.
    #[arg(long, value_name = "FILE", requires = "bundle_endpoint_certificate")]
    bundle_endpoint_key: Option<PathBuf>,
}

impl ControlPlane {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let options = ServerOptions {
            config_dir: self.config_dir,
            data_dir: self.data_dir,
            module: module_or_default(self.module)?,
            listen: self.listen,
            admin: self.admin,
            admin_token_file: self.admin_token_file,
            admin_identities: self.admin_identities,
            insecure_plaintext_xds: self.insecure_plaintext_xds,
            guard: Guard::new(self.hold_removals_above, self.hold_removals_from),
            certificate_ttl: Duration::from_secs(self.certificate_ttl),
            passphrase: self.keys.passphrase()?,
            ca_key_algorithm: self.keys.algorithm(),
            jwt: jwt(self.jwt_issuer, self.jwt_audience, self.jwt_keys),
            rates: rates(self.identity_rate, self.total_rate),
            bundle_endpoint: bundle_endpoint(self.bundle_endpoint, self.bundle_endpoint_certificate, self.bundle_endpoint_key),
        };
        let stop = super::termination()?;
        meshwright_server::run(options, stop, &|ready| {
            let bundle = ready.bundle_endpoint.map(|address| format!(" bundle={address}")).unwrap_or_default();
            crate::output::line(&format!("control plane ready xds={} admin={}{bundle}", ready.xds, ready.admin));
        })
        .await?;
        Ok(ExitCode::SUCCESS)
    }
}

fn jwt(issuer: Option<String>, audience: Option<String>, keys: Option<PathBuf>) -> Option<JwtIssuer> {
    Some(JwtIssuer { issuer: issuer?, audience: audience?, keys: keys? })
}

fn bundle_endpoint(address: Option<SocketAddr>, certificate: Option<PathBuf>, key: Option<PathBuf>) -> Option<BundleEndpointOptions> {
    let web = certificate.zip(key).map(|(certificate, key)| WebCertificate { certificate, key });
    Some(BundleEndpointOptions { address: address?, web })
}

/// With bursts in the defaults' proportion: many workloads start at once.
fn rates(each: u32, all: u32) -> Rates {
    Rates { each: Rate { per_second: each, burst: each.saturating_mul(20) }, all: Rate { per_second: all, burst: all.saturating_mul(10) } }
}

/// The module that was named, or the one that `make build` leaves beside the binary.
pub(crate) fn module_or_default(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(named) = named {
        return Ok(named);
    }
    let binary = std::env::current_exe().context("this binary's own path is unknown")?;
    let module = binary.with_file_name("meshwright_filters.wasm");
    anyhow::ensure!(module.is_file(), "no filter module at `{}`; `make build` makes it, or name one with --module", module.display());
    Ok(module)
}
