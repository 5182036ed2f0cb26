use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use meshwright_sidecar::{
    AppMapping, ControlPlaneAddress, JOIN_TOKEN_VARIABLE, JoinTokenSource, SidecarOptions, Signals, TcpMapping, WorkloadApiOptions,
    WorkloadName,
};

/// Run a workload's sidecar: identity, Envoy, access log; and, if given, the app itself.
///
/// Proves with a join token who it is, fetches its certificate and the filter module, starts Envoy and prints `sidecar ready` once the
/// proxy takes traffic. The private key stays in memory, so each start needs a new join token, unless --keep-identity. SIGTERM drains, a second one hastens.
///
/// The join token is read from --token-file or from the environment variable MESHWRIGHT_JOIN_TOKEN, never from the command line.
///
/// Example: meshwright sidecar --workload bookshop/orders --service-account orders --token-file orders.token --state-dir run/orders
/// --app 8080=127.0.0.1:9080 -- ./orders
#[derive(Debug, clap::Args)]
pub(crate) struct Sidecar {
    /// The control plane.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:15012")]
    control_plane: ControlPlaneAddress,
    /// The WorkloadEntry that this is.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    workload: WorkloadName,
    /// The service account of that WorkloadEntry.
    #[arg(long, value_name = "NAME")]
    service_account: String,
    /// A file that holds the join token.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The token is a JWT (of a Kubernetes service account, say), and these roots, a PEM file, vouch for the control plane.
    #[arg(long, value_name = "FILE")]
    trust_bundle: Option<PathBuf>,
    /// Keep certificate and private key in the state directory (readable only by its owner), and go on with them after a restart.
    #[arg(long)]
    keep_identity: bool,
    /// Where it keeps bootstrap, module, sockets and access log; a short path, readable only by its owner.
    #[arg(long, value_name = "DIR")]
    state_dir: PathBuf,
    /// Where the app sends what it wants to call: by Host header, or as an HTTP proxy.
    #[arg(long, value_name = "ADDRESS", default_value = SidecarOptions::DEFAULT_OUTBOUND)]
    outbound: SocketAddr,
    /// The app calls nobody: no outbound listener.
    #[arg(long, conflicts_with = "outbound")]
    no_outbound: bool,
    /// Where the app listens behind one of the workload's ports [default: 127.0.0.1 and the same port]. Repeatable.
    #[arg(long, value_name = "PORT=ADDRESS")]
    app: Vec<AppMapping>,
    /// A TCP service that the app calls, and the loopback address on which it finds it. Repeatable.
    #[arg(long, value_name = "HOST:PORT=ADDRESS")]
    tcp: Vec<TcpMapping>,
    /// Serve the SPIFFE Workload API on this socket: whom it answers gets the workload's certificate and private key. Its folder, made if
    /// missing, is for the sidecar's user and group alone. The app started here finds it by SPIFFE_ENDPOINT_SOCKET.
    #[arg(long, value_name = "SOCKET")]
    workload_api: Option<PathBuf>,
    /// A user, by number, that the workload API answers [default: the sidecar's own]. Repeatable.
    #[arg(long, value_name = "UID", requires = "workload_api")]
    workload_api_uid: Vec<u32>,
    /// The Envoy to run [default: $ENVOY, else `envoy` on PATH].
    #[arg(long, value_name = "FILE")]
    envoy: Option<PathBuf>,
    /// Envoy's worker threads.
    #[arg(long, value_name = "NUMBER", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=256))]
    concurrency: u32,
    /// Envoy's log level.
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = ["trace", "debug", "info", "warning", "error", "critical", "off"])]
    envoy_log_level: String,
    /// How long running requests may take after SIGTERM, in seconds.
    #[arg(long, value_name = "SECONDS", default_value = "10")]
    drain_timeout: u64,
    /// The app, started once the proxy is ready; its end ends the sidecar, with its exit code.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Sidecar {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let options = SidecarOptions {
            control_plane: self.control_plane,
            workload: self.workload,
            service_account: self.service_account,
            join_token: join_token(self.token_file, self.keep_identity)?,
            trust_bundle: self.trust_bundle,
            keep_identity: self.keep_identity,
            state_dir: self.state_dir,
            outbound: (!self.no_outbound).then_some(self.outbound),
            apps: self.app,
            tcp: self.tcp,
            envoy: self.envoy,
            envoy_variable: std::env::var_os("ENVOY").map(PathBuf::from),
            concurrency: self.concurrency,
            envoy_log_level: self.envoy_log_level,
            startup_timeout: SidecarOptions::DEFAULT_STARTUP_TIMEOUT,
            drain_timeout: Duration::from_secs(self.drain_timeout),
            workload_api: self.workload_api.map(|socket| WorkloadApiOptions { socket, uids: self.workload_api_uid }),
            command: self.command,
        };
        let ended = meshwright_sidecar::run(options, Signals::of_this_process()?).await?;
        Ok(ExitCode::from(ended.code()))
    }
}

/// A sidecar that keeps its identity needs a token only the first time.
fn join_token(file: Option<PathBuf>, kept: bool) -> anyhow::Result<JoinTokenSource> {
    match (file, std::env::var(JOIN_TOKEN_VARIABLE).ok()) {
        (None, None) if kept => Ok(JoinTokenSource::Absent),
        (file, variable) => Ok(JoinTokenSource::choose(file, variable)?),
    }
}
