use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::workload_api::WorkloadApiOptions;

/// Everything that one sidecar is started with. [`crate::run`] reads nothing else of its environment but `PATH`.
#[derive(Debug, Clone)]
pub struct SidecarOptions {
    pub control_plane: ControlPlaneAddress,
    pub workload: WorkloadName,
    pub service_account: String,
    pub join_token: JoinTokenSource,
    /// The join token is a JWT, and these roots (a PEM file) vouch for the control plane on first contact.
    pub trust_bundle: Option<PathBuf>,
    /// Keep certificate and key in the state directory, and go on with them after a restart.
    pub keep_identity: bool,
    /// Made if missing, mode 0700. Holds the bootstrap, the verified module, the sockets and the access log; a key only when it is told to.
    pub state_dir: PathBuf,
    /// Where the app sends what it wants to call; none: the app calls nobody.
    pub outbound: Option<SocketAddr>,
    /// Where the app really listens; a port that is not named is at `127.0.0.1:<same port>`.
    pub apps: Vec<AppMapping>,
    /// TCP services and the loopback address on which the app reaches each.
    pub tcp: Vec<TcpMapping>,
    /// The Envoy to run; none: `$ENVOY` as in [`SidecarOptions::envoy_variable`], else `envoy` on `PATH`.
    pub envoy: Option<PathBuf>,
    /// The value of the environment variable `ENVOY`.
    pub envoy_variable: Option<PathBuf>,
    /// Envoy's worker threads.
    pub concurrency: u32,
    /// Envoy's log level: trace, debug, info, warning, error, critical or off.
    pub envoy_log_level: String,
    /// How long the proxy may take from its start until it takes traffic, and the control plane until it answers.
    pub startup_timeout: Duration,
    /// How long running requests may take after a termination signal.
    pub drain_timeout: Duration,
    /// Serve the SPIFFE Workload API, for apps that want the workload's certificate themselves.
    pub workload_api: Option<WorkloadApiOptions>,
    /// The app, run once the proxy is ready; empty: the app is started by somebody else.
    pub command: Vec<OsString>,
}

impl SidecarOptions {
    pub const DEFAULT_OUTBOUND: &'static str = "127.0.0.1:15001";
    pub const DEFAULT_STARTUP_TIMEOUT: Duration = Duration::from_secs(60);
    pub const DEFAULT_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

    pub(crate) fn check(&self) -> Result<(), InvalidOption> {
        self.outbound.map_or(Ok(()), check_loopback)
    }
}

/// Why an option's value is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOption {
    #[error("`{0}` is not an address: write `HOST:PORT`, for example `127.0.0.1:15012`")]
    ControlPlane(String),
    #[error("`{0}` is not a workload: write `NAMESPACE/NAME`, each of `a-z`, `0-9`, `.` and `-`")]
    Workload(String),
    #[error("`{0}` is not a mapping of the app: write `PORT=ADDRESS:PORT`, for example `8080=127.0.0.1:9001`")]
    App(String),
    #[error(
        "`{0}` is not a mapping of a TCP service: write `HOST:PORT=ADDRESS:PORT`, for example `ledger.bookshop.mesh:9000=127.0.0.1:19000`"
    )]
    Tcp(String),
    #[error("`{0}` is not a loopback address (127.0.0.0/8 or [::1]): whoever can reach it calls others as this workload")]
    NotLoopback(SocketAddr),
    #[error("no join token: name a file with --token-file, or set {JOIN_TOKEN_VARIABLE}")]
    NoJoinToken,
    #[error("two join tokens: --token-file and {JOIN_TOKEN_VARIABLE}; give one")]
    TwoJoinTokens,
}

/// The environment variable that may hold the join token itself.
pub const JOIN_TOKEN_VARIABLE: &str = "MESHWRIGHT_JOIN_TOKEN";

/// `HOST:PORT`, the host a name or an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlPlaneAddress {
    host: String,
    port: u16,
}

impl ControlPlaneAddress {
    /// Without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for ControlPlaneAddress {
    type Err = InvalidOption;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidOption::ControlPlane(text.to_owned());
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 { Err(invalid()) } else { Ok(Self { host: address.ip().to_string(), port: address.port() }) };
        }
        let (host, port) = host_and_port(text).ok_or_else(invalid)?;
        Ok(Self { host, port })
    }
}

impl fmt::Display for ControlPlaneAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

/// `NAMESPACE/NAME`: the WorkloadEntry that this sidecar stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadName {
    namespace: String,
    name: String,
}

impl WorkloadName {
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl FromStr for WorkloadName {
    type Err = InvalidOption;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (namespace, name) = text
            .split_once('/')
            .filter(|(namespace, name)| is_dns_name(namespace) && is_dns_name(name))
            .ok_or_else(|| InvalidOption::Workload(text.to_owned()))?;
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

/// `PORT=ADDRESS:PORT`: the workload's port in the mesh, and where the app behind it listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppMapping {
    port: u16,
    app: SocketAddr,
}

impl AppMapping {
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    #[must_use]
    pub fn app(&self) -> SocketAddr {
        self.app
    }
}

impl FromStr for AppMapping {
    type Err = InvalidOption;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (port, app) = text.split_once('=')?;
            let (port, app) = (port.parse::<u16>().ok()?, app.parse::<SocketAddr>().ok()?);
            (port != 0 && app.port() != 0).then_some(Self { port, app })
        };
        parse().ok_or_else(|| InvalidOption::App(text.to_owned()))
    }
}

/// `HOST:PORT=ADDRESS:PORT`: a TCP service of the mesh, and the loopback listener by which the app reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpMapping {
    service: String,
    local: SocketAddr,
}

impl TcpMapping {
    /// `<host>:<port>`.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local
    }
}

impl FromStr for TcpMapping {
    type Err = InvalidOption;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (service, local) = text.split_once('=')?;
            let ((host, port), local) = (host_and_port(service)?, local.parse::<SocketAddr>().ok()?);
            (local.port() != 0).then(|| (format!("{host}:{port}"), local))
        };
        let (service, local) = parse().ok_or_else(|| InvalidOption::Tcp(text.to_owned()))?;
        check_loopback(local)?;
        Ok(Self { service, local })
    }
}

/// Where the join token comes from: never the command line, which every user of the machine can read.
#[derive(Clone, PartialEq, Eq)]
pub enum JoinTokenSource {
    File(PathBuf),
    Text(String),
    /// There is an identity that was kept, or there is none.
    Absent,
}

impl JoinTokenSource {
    /// From the option and from the value of [`JOIN_TOKEN_VARIABLE`].
    ///
    /// # Errors
    /// When there is none, or both.
    pub fn choose(file: Option<PathBuf>, variable: Option<String>) -> Result<Self, InvalidOption> {
        match (file, variable) {
            (Some(file), None) => Ok(Self::File(file)),
            (None, Some(text)) => Ok(Self::Text(text)),
            (None, None) => Err(InvalidOption::NoJoinToken),
            (Some(_), Some(_)) => Err(InvalidOption::TwoJoinTokens),
        }
    }
}

impl fmt::Debug for JoinTokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(_) => f.write_str("Text(secret)"),
            Self::Absent => f.write_str("Absent"),
        }
    }
}

/// Nobody but this machine's processes may use the workload's identity.
fn check_loopback(address: SocketAddr) -> Result<(), InvalidOption> {
    if address.ip().is_loopback() { Ok(()) } else { Err(InvalidOption::NotLoopback(address)) }
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse::<u16>().ok()?;
    (is_dns_name(host) && port != 0).then(|| (host.to_owned(), port))
}

fn is_dns_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    !name.is_empty() && name.len() <= 253 && name.chars().all(allowed)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A sidecar of `shop/cart-v1` with a state directory of its own.
    pub(crate) fn options(state_dir: PathBuf) -> SidecarOptions {
        SidecarOptions {
            control_plane: "127.0.0.1:15012".parse().unwrap(),
            workload: "shop/cart-v1".parse().unwrap(),
            service_account: "cart".to_owned(),
            join_token: JoinTokenSource::Text("token".to_owned()),
            trust_bundle: None,
            keep_identity: false,
            state_dir,
            outbound: Some("127.0.0.1:15001".parse().unwrap()),
            apps: Vec::new(),
            tcp: Vec::new(),
            envoy: None,
            envoy_variable: None,
            concurrency: 1,
            envoy_log_level: "info".to_owned(),
            startup_timeout: SidecarOptions::DEFAULT_STARTUP_TIMEOUT,
            drain_timeout: SidecarOptions::DEFAULT_DRAIN_TIMEOUT,
            workload_api: None,
            command: Vec::new(),
        }
    }

    #[test]
    fn a_control_plane_is_a_host_and_a_port() {
        for (text, host, port) in
            [("127.0.0.1:15012", "127.0.0.1", 15012), ("[::1]:1", "::1", 1), ("cp.example:15012", "cp.example", 15012)]
        {
            let address: ControlPlaneAddress = text.parse().unwrap();
            assert_eq!((address.host(), address.port(), address.to_string().as_str()), (host, port, text));
        }
        for bad in ["", "host", "host:", ":1", "host:0", "127.0.0.1:0", "host:65536", "http://host:1", "ho st:1"] {
            assert_eq!(bad.parse::<ControlPlaneAddress>(), Err(InvalidOption::ControlPlane(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn a_workload_has_a_namespace_and_a_name() {
        let workload: WorkloadName = "shop/cart-v1".parse().unwrap();
        assert_eq!((workload.namespace(), workload.name()), ("shop", "cart-v1"));
        for bad in ["", "cart", "/cart", "shop/", "shop/cart/v1", "Shop/cart", "shop/ca~rt"] {
            assert_eq!(bad.parse::<WorkloadName>(), Err(InvalidOption::Workload(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn an_app_mapping_is_two_ports_and_an_address() {
        let mapping: AppMapping = "8080=127.0.0.1:9001".parse().unwrap();
        assert_eq!((mapping.port(), mapping.app().to_string().as_str()), (8080, "127.0.0.1:9001"));
        for bad in ["8080", "8080=", "8080=9001", "0=127.0.0.1:1", "8080=127.0.0.1:0", "x=127.0.0.1:1", "70000=127.0.0.1:1"] {
            assert_eq!(bad.parse::<AppMapping>(), Err(InvalidOption::App(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn a_tcp_mapping_listens_on_loopback_only() {
        let mapping: TcpMapping = "ledger.bookshop.mesh:9000=127.0.0.1:19000".parse().unwrap();
        assert_eq!((mapping.service(), mapping.local().to_string().as_str()), ("ledger.bookshop.mesh:9000", "127.0.0.1:19000"));
        for bad in ["", "a=127.0.0.1:1", "a:1=127.0.0.1", "a:0=127.0.0.1:1", "a:1=127.0.0.1:0", "a b:1=127.0.0.1:1"] {
            assert_eq!(bad.parse::<TcpMapping>(), Err(InvalidOption::Tcp(bad.to_owned())), "{bad}");
        }
        let open = "a:1=0.0.0.0:19000";
        assert_eq!(open.parse::<TcpMapping>(), Err(InvalidOption::NotLoopback("0.0.0.0:19000".parse().unwrap())));
    }

    #[test]
    fn the_outbound_address_is_on_loopback() {
        let mut options = options("/s".into());
        assert_eq!(options.check(), Ok(()));
        options.outbound = Some("0.0.0.0:15001".parse().unwrap());
        assert_eq!(options.check(), Err(InvalidOption::NotLoopback("0.0.0.0:15001".parse().unwrap())));
        options.outbound = None;
        assert_eq!(options.check(), Ok(()));
    }

    #[test]
    fn exactly_one_join_token_and_it_is_never_shown() {
        let (file, text) = (Some(PathBuf::from("/t")), Some("s3cret".to_owned()));
        assert_eq!(JoinTokenSource::choose(None, None), Err(InvalidOption::NoJoinToken));
        assert_eq!(JoinTokenSource::choose(file.clone(), text.clone()), Err(InvalidOption::TwoJoinTokens));
        assert_eq!(JoinTokenSource::choose(file, None), Ok(JoinTokenSource::File("/t".into())));
        let source = JoinTokenSource::choose(None, text).unwrap();
        assert_eq!(format!("{source:?}"), "Text(secret)");
    }
}
