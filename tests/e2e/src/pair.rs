//! The smallest mesh in which one calls another: `client` and `server` in the namespace `test`. The server has an HTTP port, [`HTTP`], and a
//! TCP port, [`TCP`]; further documents are the test's own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use meshwright_demo::bookshop::Network;
use meshwright_demo::client::Client;
use meshwright_demo::launcher::{ControlPlane, ControlPlaneSpec, Environment, Workload, WorkloadSpec};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The server's HTTP port.
pub const HTTP: u16 = 8080;
/// The server's TCP port, which answers each line with `server: <line>`.
pub const TCP: u16 = 9000;
/// A port of the server that no ServiceEntry has; behind it is the same app as behind [`TCP`].
pub const UNDECLARED: u16 = 9001;
/// The port of the app behind [`HTTP`], on the server's address.
pub const APP: u16 = 9_080;
/// The host by which the client calls the server.
pub const HOST: &str = "server.test.mesh";

const OUTBOUND: u16 = 15_001;
const LOCAL_TCP: u16 = 15_100;
const LINES: u16 = 9_081;
const ENFORCED: Duration = Duration::from_secs(20);
const ANSWERED: Duration = Duration::from_secs(10);

/// A running mesh of two.
#[derive(Debug)]
pub struct Pair {
    pub environment: Environment,
    pub network: Network,
    pub control_plane: ControlPlane,
    pub server: Workload,
    pub client: Workload,
}

/// Arguments for `meshwright sidecar` beyond those that a mesh of two needs.
#[derive(Debug, Clone, Default)]
pub struct Sidecars {
    pub server: Vec<String>,
    pub client: Vec<String>,
}

/// The documents of a mesh of two: `mesh` are lines of the Mesh's `spec`, indented by two; `more` further documents.
#[must_use]
pub fn documents(network: Network, mesh: &str, more: &str) -> String {
    let (server, client) = (network.at(1, 0).ip(), network.at(2, 0).ip());
    format!(
        "apiVersion: meshwright.dev/v1alpha1
kind: Mesh
metadata:
  name: mesh
spec:
  trustDomain: test.local
{mesh}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: server
  namespace: test
spec:
  hosts: [{HOST}]
  location: MESH_INTERNAL
  resolution: STATIC
  ports:
  - {{number: {HTTP}, name: http, protocol: HTTP}}
  - {{number: {TCP}, name: tcp, protocol: TCP}}
  workloadSelector:
    labels: {{app: server}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata:
  name: server
  namespace: test
spec:
  address: {server}
  serviceAccount: server
  labels: {{app: server}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata:
  name: client
  namespace: test
spec:
  address: {client}
  serviceAccount: client
  labels: {{app: client}}
---
{more}"
    )
}

impl Pair {
    /// Starts the mesh with these documents.
    ///
    /// # Errors
    /// When something does not become ready.
    pub async fn start(environment: Environment, network: Network, documents: &str) -> anyhow::Result<Self> {
        Self::start_with(environment, network, documents, Some(echo(network)), crate::any_ports(), Sidecars::default()).await
    }

    /// As [`Pair::start`], with certificates that live for so many seconds.
    ///
    /// # Errors
    /// When something does not become ready.
    pub async fn start_with_ttl(environment: Environment, network: Network, documents: &str, ttl: u64) -> anyhow::Result<Self> {
        Self::start_with_sidecars(environment, network, documents, ttl, Sidecars::default()).await
    }

    /// As [`Pair::start_with_ttl`], with arguments of the sidecars' own.
    ///
    /// # Errors
    /// When something does not become ready.
    pub async fn start_with_sidecars(
        environment: Environment,
        network: Network,
        documents: &str,
        ttl: u64,
        sidecars: Sidecars,
    ) -> anyhow::Result<Self> {
        let spec = ControlPlaneSpec { certificate_ttl: Some(ttl), ..crate::any_ports() };
        Self::start_with(environment, network, documents, Some(echo(network)), spec, sidecars).await
    }

    /// As [`Pair::start`], with the app behind [`HTTP`] being the test's own.
    ///
    /// # Errors
    /// When something does not become ready.
    pub async fn start_without_app(environment: Environment, network: Network, documents: &str) -> anyhow::Result<Self> {
        Self::start_with(environment, network, documents, None, crate::any_ports(), Sidecars::default()).await
    }

    async fn start_with(
        environment: Environment,
        network: Network,
        documents: &str,
        echo: Option<Vec<String>>,
        spec: ControlPlaneSpec,
        sidecars: Sidecars,
    ) -> anyhow::Result<Self> {
        crate::configure(&environment, documents)?;
        let control_plane = ControlPlane::start(&environment, spec).await?;
        let xds = control_plane.xds();
        Self::join(environment, network, control_plane, xds, echo, sidecars).await
    }

    /// The workloads of a mesh whose control plane runs, and is reached at `xds`.
    ///
    /// # Errors
    /// When something does not become ready.
    pub async fn behind(environment: Environment, network: Network, control_plane: ControlPlane, xds: SocketAddr) -> anyhow::Result<Self> {
        Self::join(environment, network, control_plane, xds, Some(echo(network)), Sidecars::default()).await
    }

    async fn join(
        environment: Environment,
        network: Network,
        control_plane: ControlPlane,
        xds: SocketAddr,
        echo: Option<Vec<String>>,
        sidecars: Sidecars,
    ) -> anyhow::Result<Self> {
        let (app, lines) = (network.at(1, APP), network.at(1, LINES));
        let server = WorkloadSpec {
            namespace: "test".to_owned(),
            name: "server".to_owned(),
            service_account: "server".to_owned(),
            outbound: network.at(1, OUTBOUND),
            apps: vec![(HTTP, app), (TCP, lines), (UNDECLARED, lines)],
            tcp: Vec::new(),
            echo,
            extra: sidecars.server,
        };
        let client = WorkloadSpec {
            name: "client".to_owned(),
            service_account: "client".to_owned(),
            outbound: network.at(2, OUTBOUND),
            apps: Vec::new(),
            tcp: vec![(format!("{HOST}:{TCP}"), network.at(2, LOCAL_TCP))],
            echo: None,
            extra: sidecars.client,
            ..server.clone()
        };
        let (server, client) = tokio::try_join!(Workload::start(&environment, xds, server), Workload::start(&environment, xds, client))?;
        Ok(Self { environment, network, control_plane, server, client })
    }

    /// Replaces all documents and waits until every proxy enforces them.
    ///
    /// # Errors
    /// When they are quarantined or not enforced in time.
    pub async fn edit(&self, documents: &str) -> anyhow::Result<()> {
        let revision = self.control_plane.revision().await?;
        crate::configure(&self.environment, documents)?;
        self.control_plane.enforced(revision.saturating_add(1), ENFORCED).await?;
        let status = self.control_plane.status().await?;
        anyhow::ensure!(status.get("quarantined").and_then(|list| list.as_array()).is_some_and(Vec::is_empty), "{status}");
        Ok(())
    }

    /// Calls as the client's app does.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn calls(&self) -> anyhow::Result<Client> {
        Client::behind(self.outbound())
    }

    /// Where the client's app sends its requests.
    #[must_use]
    pub fn outbound(&self) -> SocketAddr {
        self.network.at(2, OUTBOUND)
    }

    /// Where the client's app reaches the server's [`TCP`].
    #[must_use]
    pub fn tcp(&self) -> SocketAddr {
        self.network.at(2, LOCAL_TCP)
    }

    /// A port of the server's proxy, as who is not in the mesh finds it.
    #[must_use]
    pub fn server_port(&self, port: u16) -> SocketAddr {
        self.network.at(1, port)
    }

    /// The server's record of each connection and request.
    #[must_use]
    pub fn server_log(&self) -> PathBuf {
        self.server.access_log()
    }

    /// Stops everything.
    ///
    /// # Errors
    /// When a process does not end in time.
    pub async fn stop(self) -> anyhow::Result<()> {
        let (server, client) = (self.server.into_process(), self.client.into_process());
        tokio::try_join!(server.stop(), client.stop())?;
        self.control_plane.into_process().stop().await.map(|_| ())
    }
}

/// The arguments of the server's app.
fn echo(network: Network) -> Vec<String> {
    let (app, lines) = (network.at(1, APP), network.at(1, LINES));
    ["--name", "server", "--listen", &app.to_string(), "--tcp", &lines.to_string()].map(str::to_owned).to_vec()
}

/// Sends a line over TCP; the line that came back, or `None` when the connection was closed instead.
///
/// # Errors
/// When nothing happens in time.
pub async fn line(address: SocketAddr, line: &str) -> anyhow::Result<Option<String>> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        // The other side may close before it has read the line.
        let _closed = stream.write_all(format!("{line}\n").as_bytes()).await;
        let mut answer = Vec::new();
        let mut piece = [0; 1024];
        while !answer.ends_with(b"\n") {
            match stream.read(&mut piece).await {
                Ok(0) | Err(_) => return anyhow::Ok(None),
                Ok(length) => answer.extend_from_slice(piece.get(..length).unwrap_or_default()),
            }
        }
        Ok(Some(String::from_utf8(answer)?.trim_end().to_owned()))
    };
    tokio::time::timeout(ANSWERED, exchange).await.context("no answer over TCP")?
}
