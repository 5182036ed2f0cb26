use std::net::SocketAddr;
use std::process::ExitCode;

use meshwright_echo::EchoOptions;

/// Run an echo server: the app of every workload in the examples.
///
/// Answers HTTP with what it received, as JSON; `?call=URL` makes it call another service through its sidecar, and
/// `?tcp=ADDRESS&send=LINE` a TCP service. Prints `echo ready` once it answers.
///
/// Example: meshwright echo --name orders --listen 127.0.0.1:9080 --proxy 127.0.0.1:15001
#[derive(Debug, clap::Args)]
pub(crate) struct Echo {
    /// The service that it says it is.
    #[arg(long, default_value = "echo")]
    name: String,
    /// The version that it says it is.
    #[arg(long, default_value = "v1")]
    version: String,
    /// Where it answers HTTP.
    #[arg(long, value_name = "ADDRESS", required_unless_present = "tcp")]
    listen: Option<SocketAddr>,
    /// Where it answers each line with `NAME: LINE`.
    #[arg(long, value_name = "ADDRESS")]
    tcp: Option<SocketAddr>,
    /// Its sidecar's outbound listener; without it, it calls nobody.
    #[arg(long, value_name = "ADDRESS")]
    proxy: Option<SocketAddr>,
    /// A host that it may call; none named: any. Repeatable.
    #[arg(long, value_name = "HOST")]
    allow_call: Vec<String>,
}

impl Echo {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let Self { name, version, listen, tcp, proxy, allow_call } = self;
        let options = EchoOptions { name, version, listen, tcp, proxy, allow_call, ..EchoOptions::default() };
        meshwright_echo::run(options, super::termination()?).await?;
        Ok(ExitCode::SUCCESS)
    }
}
