//! The bookshop mesh of `examples/bookshop`: its configuration with this run's keys in it, and its workloads.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use rcgen::{CertificateParams, KeyPair};
use tokio::task::JoinSet;

use crate::client::Client;
use crate::keys::Issuer;
use crate::launcher::{ControlPlane, ControlPlaneSpec, Environment, Workload, WorkloadSpec};

/// The folder of `examples/bookshop`, compiled in: the demo needs nothing but the binary and the module.
const EXAMPLE: &[(&str, &str)] = &[
    ("mesh.yaml", include_str!("../../examples/bookshop/mesh.yaml")),
    ("services.yaml", include_str!("../../examples/bookshop/services.yaml")),
    ("workloads.yaml", include_str!("../../examples/bookshop/workloads.yaml")),
    ("gateway.yaml", include_str!("../../examples/bookshop/gateway.yaml")),
    ("traffic.yaml", include_str!("../../examples/bookshop/traffic.yaml")),
    ("policy.yaml", include_str!("../../examples/bookshop/policy.yaml")),
    ("tokens.yaml", include_str!("../../examples/bookshop/tokens.yaml")),
];
/// Where the example's keys are. Nobody is there: the demo writes them down instead.
const EXAMPLE_KEYS: &str = "jwksUri: https://accounts.bookshop.example/jwks.json";
/// The loopback network that the example is written for.
const EXAMPLE_NETWORK: &str = "127.0.10.";
/// Who signs the example's tokens.
pub const ISSUER: &str = "https://accounts.bookshop.example";
/// The name under which the gateway is reached from outside.
pub const INGRESS_HOST: &str = "shop.bookshop.example";
const NAMESPACE: &str = "bookshop";
const OUTBOUND: u16 = 15_001;
const APP: u16 = 9_080;

/// Name, service account, host byte of the address, workload port.
const WORKLOADS: &[(&str, &str, u8, u16)] = &[
    ("gateway", "gateway", 1, 8443),
    ("frontend", "frontend", 2, 8080),
    ("catalog-v1", "catalog", 3, 8080),
    ("catalog-v2", "catalog", 4, 8080),
    ("orders", "orders", 5, 8080),
    ("payments", "payments", 6, 8080),
    ("ledger", "ledger", 7, 9000),
];

/// A loopback /24 that one mesh has for itself.
#[derive(Debug, Clone, Copy)]
pub struct Network(pub [u8; 3]);

impl Network {
    /// The network in which `examples/bookshop` is written.
    pub const EXAMPLE: Self = Self([127, 0, 10]);

    #[must_use]
    pub fn at(self, host: u8, port: u16) -> SocketAddr {
        let Self([a, b, c]) = self;
        SocketAddr::from((Ipv4Addr::new(a, b, c, host), port))
    }

    fn prefix(self) -> String {
        let Self([a, b, c]) = self;
        format!("{a}.{b}.{c}.")
    }
}

/// A running bookshop.
#[derive(Debug)]
pub struct Bookshop {
    pub environment: Environment,
    pub network: Network,
    pub control_plane: ControlPlane,
    pub workloads: BTreeMap<String, Workload>,
    pub issuer: Issuer,
    ingress_root: String,
}

impl Bookshop {
    /// Writes the configuration and starts everything; `progress` hears of each step.
    ///
    /// # Errors
    /// When a file cannot be written or a process does not become ready.
    pub async fn start(environment: Environment, network: Network, progress: &dyn Fn(&str)) -> anyhow::Result<Self> {
        let issuer = Issuer::new(ISSUER)?;
        let ingress_root = write_configuration(&environment.config_dir(), network, &issuer)?;
        progress("control plane");
        let control_plane = ControlPlane::start(&environment, Self::control_plane_spec(network)).await?;
        let mut mesh = Self { environment, network, control_plane, workloads: BTreeMap::new(), issuer, ingress_root };
        let names: Vec<&str> = WORKLOADS.iter().map(|(name, ..)| *name).collect();
        mesh.start_workloads(&names, progress).await?;
        Ok(mesh)
    }

    #[must_use]
    pub fn control_plane_spec(network: Network) -> ControlPlaneSpec {
        ControlPlaneSpec { xds: network.at(100, 15_012), admin: network.at(100, 15_014), certificate_ttl: None, bundle_endpoint: None }
    }

    async fn start_workloads(&mut self, names: &[&str], progress: &dyn Fn(&str)) -> anyhow::Result<()> {
        let mut starting = JoinSet::new();
        for name in names {
            let (environment, address, spec) = (self.environment.clone(), self.control_plane.xds(), self.workload_spec(name)?);
            starting.spawn(async move { Workload::start(&environment, address, spec).await });
        }
        while let Some(started) = starting.join_next().await {
            let workload = started??;
            progress(&workload.spec().name);
            self.workloads.insert(workload.spec().name.clone(), workload);
        }
        Ok(())
    }

    fn workload_spec(&self, name: &str) -> anyhow::Result<WorkloadSpec> {
        let found = WORKLOADS.iter().find(|(known, ..)| *known == name);
        let (name, account, host, port) = *found.with_context(|| format!("the bookshop has no workload `{name}`"))?;
        let app = self.network.at(host, APP);
        let outbound = self.network.at(host, OUTBOUND);
        let ledger = ("ledger.bookshop.mesh:9000".to_owned(), self.network.at(host, 9_100));
        let version = name.rsplit_once('-').map_or("v1", |(_, version)| version);
        let echo = ["--name", account, "--version", version].map(str::to_owned);
        let listen = if name == "ledger" { ["--tcp".to_owned(), app.to_string()] } else { ["--listen".to_owned(), app.to_string()] };
        let proxy = ["--proxy".to_owned(), outbound.to_string()];
        Ok(WorkloadSpec {
            namespace: NAMESPACE.to_owned(),
            name: name.to_owned(),
            service_account: account.to_owned(),
            outbound,
            apps: if name == "gateway" { Vec::new() } else { vec![(port, app)] },
            // catalog may not talk to the ledger, which the demo shows: it needs a way to try.
            tcp: if ["orders", "catalog-v1"].contains(&name) { vec![ledger] } else { Vec::new() },
            echo: (name != "gateway").then(|| echo.into_iter().chain(listen).chain(proxy).collect()),
            extra: Vec::new(),
        })
    }

    /// A client that calls as the workload `name` does: through its sidecar.
    ///
    /// # Errors
    /// When there is no such workload.
    pub fn client(&self, name: &str) -> anyhow::Result<Client> {
        Client::behind(self.workload_spec(name)?.outbound)
    }

    /// The loopback listener by which the workload `name` reaches the ledger.
    #[must_use]
    pub fn ledger_from(&self, name: &str) -> Option<SocketAddr> {
        self.workloads.get(name)?.spec().tcp.first().map(|(_, local)| *local)
    }

    /// The address that the mesh knows the workload `name` by.
    ///
    /// # Errors
    /// When there is no such workload.
    pub fn address(&self, name: &str) -> anyhow::Result<SocketAddr> {
        let found = WORKLOADS.iter().find(|(known, ..)| *known == name);
        let (.., host, port) = *found.with_context(|| format!("the bookshop has no workload `{name}`"))?;
        Ok(self.network.at(host, port))
    }

    /// A client outside the mesh that reaches the shop through the gateway.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub fn browser(&self) -> anyhow::Result<Client> {
        Client::browser(INGRESS_HOST, self.address("gateway")?, &self.ingress_root)
    }

    /// Replaces or makes one configuration file as an editor does: all of it at once.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        write_atomically(&self.environment.config_dir(), file, text)
    }

    /// # Errors
    /// When the file cannot be read.
    pub fn read(&self, file: &str) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.environment.config_dir().join(file))?)
    }

    /// Writes a configuration file and waits until every proxy has acknowledged what came of it.
    ///
    /// # Errors
    /// When the proxies do not within `timeout`.
    pub async fn apply(&self, file: &str, text: &str, timeout: Duration) -> anyhow::Result<()> {
        let revision = self.control_plane.revision().await?;
        self.write(file, text)?;
        self.control_plane.enforced(revision.saturating_add(1), timeout).await.map(|_| ())
    }

    /// Commands with which a person can try the running mesh.
    #[must_use]
    pub fn how_to_reach(&self) -> String {
        let folder = self.environment.folder.display();
        format!(
            "the mesh runs until Ctrl-C:\n  meshwright status --admin http://{}\n  as frontend:  curl -x http://{} http://catalog.bookshop.mesh/books\n  \
             as payments:  curl -x http://{} http://catalog.bookshop.mesh/books\n  policies:     {folder}/config (edit and save)\n  access logs:  {folder}/s/*/access.log\n  logs:         {folder}/logs",
            self.control_plane.admin(),
            self.network.at(2, OUTBOUND),
            self.network.at(6, OUTBOUND),
        )
    }

    /// Stops everything, workloads first.
    ///
    /// # Errors
    /// When a process does not end in time.
    pub async fn stop(self) -> anyhow::Result<()> {
        let mut stopping = JoinSet::new();
        for workload in self.workloads.into_values() {
            stopping.spawn(workload.into_process().stop());
        }
        while let Some(stopped) = stopping.join_next().await {
            stopped??;
        }
        self.control_plane.into_process().stop().await.map(|_| ())
    }
}

/// Writes the example for `network` with this run's token keys and gateway certificate; returns the certificate's root as PEM.
fn write_configuration(folder: &Path, network: Network, issuer: &Issuer) -> anyhow::Result<String> {
    std::fs::create_dir_all(folder)?;
    for (name, text) in EXAMPLE {
        let text = text.replace(EXAMPLE_NETWORK, &network.prefix()).replace(EXAMPLE_KEYS, &format!("jwks: |\n      {}", issuer.jwks()?));
        write_atomically(folder, name, &text)?;
    }
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(vec![INGRESS_HOST.to_owned()])?.self_signed(&key)?;
    let indent = |pem: &str| pem.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: bookshop-tls\n  namespace: {NAMESPACE}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: |\n{}  tls.key: |\n{}",
        indent(&certificate.pem()),
        indent(&key.serialize_pem()),
    );
    write_atomically(folder, "secret.yaml", &secret)?;
    Ok(certificate.pem())
}

fn write_atomically(folder: &Path, file: &str, text: &str) -> anyhow::Result<()> {
    let temporary = folder.join(format!(".{file}.new"));
    std::fs::write(&temporary, text)?;
    std::fs::rename(&temporary, folder.join(file)).with_context(|| format!("`{file}` cannot be written"))
}
