//! The control plane as a process on a core of its own.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use meshwright_ca::CONTROL_PLANE_SERVICE_ACCOUNT;
use meshwright_workloads::Mesh;

use super::Setting;
use super::mesh::Written;
use crate::process::{Usage, pin_to, usage};
use crate::target::Target;

/// The server's core, and the clients'.
pub(crate) const SERVER: usize = 0;
pub(crate) const CLIENTS: usize = 1;

pub(crate) struct Server {
    child: Child,
    output: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
    /// What its certificate is verified with.
    roots: Option<PathBuf>,
    /// From its start until it serves.
    pub(crate) startup: Duration,
    pub(crate) started: Instant,
}

impl Server {
    /// Runs it and waits until it serves.
    pub(crate) fn start(setting: &Setting, written: &Written) -> anyhow::Result<Self> {
        Self::start_on(setting, written, &[SERVER])
    }

    pub(crate) fn start_on(setting: &Setting, written: &Written, cores: &[usize]) -> anyhow::Result<Self> {
        // Its ports are told by nobody, so it is given one that was free just now.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        Self::at(setting, written, cores, address)
    }

    /// Where one was before.
    pub(crate) fn again(setting: &Setting, written: &Written, address: SocketAddr) -> anyhow::Result<Self> {
        Self::at(setting, written, &[SERVER], address)
    }

    fn at(setting: &Setting, written: &Written, cores: &[usize], address: SocketAddr) -> anyhow::Result<Self> {
        let started = Instant::now();
        // A process inherits the cores of the one that starts it, from its first thread on.
        pin_to(cores)?;
        let mut command = Command::new(&setting.binary);
        command.args(["--log", "warn", "control-plane", "--admin", "127.0.0.1:0"]);
        let address_text = address.to_string();
        if setting.tls {
            command.args(["--listen", &address_text]);
        } else {
            command.args(["--listen", "127.0.0.1:0", "--insecure-plaintext-xds", &address_text]);
        }
        let child = command
            .arg("--config-dir")
            .arg(written.documents())
            .arg("--data-dir")
            .arg(written.data())
            .arg("--module")
            .arg(&setting.module)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        pin_to(&[CLIENTS])?;
        let mut child = child.with_context(|| format!("`{}` cannot be run", setting.binary.display()))?;
        let output = BufReader::new(child.stdout.take().context("its output is piped")?);
        let roots = setting.tls.then(|| written.roots());
        let mut server = Self { child, output, address, roots, startup: Duration::ZERO, started };
        let mut line = String::new();
        while !line.contains("control plane ready") {
            line.clear();
            anyhow::ensure!(server.output.read_line(&mut line)? > 0, "the control plane ended before it served");
        }
        server.startup = started.elapsed();
        Ok(server)
    }

    pub(crate) fn target(&self) -> anyhow::Result<Target> {
        let name = format!("spiffe://{}/ns/{}/sa/{CONTROL_PLANE_SERVICE_ACCOUNT}", Mesh::TRUST_DOMAIN, Mesh::ROOT_NAMESPACE);
        Target::new(self.address, &name, self.roots.as_deref())
    }

    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        usage(self.child.id())
    }

    /// As nobody expects it.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
