//! One question on the command line, as a case: so that it means there what it means in a batch.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use meshwright_sources::Checked;
use serde_json::{Map, Value, json};

/// Longer than any token that a policy takes.
const LONGEST_TOKEN: u64 = 64 * 1024;
/// Of a workload of which the documents say nothing.
const DEFAULT_PORT: u16 = 8080;
const DEFAULT_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The arguments below, none of which a batch has.
pub(super) const NAMES: [&str; 20] = [
    "config",
    "workload",
    "service_account",
    "labels",
    "port",
    "destination_ip",
    "tcp",
    "method",
    "path",
    "host",
    "headers",
    "token_file",
    "principal",
    "serial",
    "plaintext",
    "sni",
    "source_ip",
    "remote_ip",
    "now",
    "output",
];

#[derive(Debug, clap::Args)]
pub(crate) struct Question {
    /// The directory of YAML documents.
    #[arg(long, value_name = "DIR", required_unless_present = "batch")]
    config: Option<PathBuf>,
    /// The workload that is called. It need not have a WorkloadEntry; if it has one, that says what is not said here.
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = super::super::token::namespaced, required_unless_present = "batch")]
    workload: Option<(String, String)>,
    /// Its service account.
    #[arg(long, value_name = "NAME")]
    service_account: Option<String>,
    /// One of its labels. Repeatable.
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = pair::<'='>)]
    labels: Vec<(String, String)>,
    /// Its port [default: the first that its services have, else 8080].
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Its address [default: the WorkloadEntry's, else 127.0.0.1].
    #[arg(long, value_name = "ADDRESS")]
    destination_ip: Option<IpAddr>,
    /// A TCP connection instead of a request.
    #[arg(long, conflicts_with_all = ["method", "path", "host", "headers", "remote_ip", "token_file"])]
    tcp: bool,
    #[arg(long, default_value = "GET")]
    method: String,
    /// As on the wire, with the query.
    #[arg(long, default_value = "/")]
    path: String,
    /// [default: NAME.NAMESPACE of the workload].
    #[arg(long)]
    host: Option<String>,
    /// A header of the request. Repeatable.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = pair::<':'>)]
    headers: Vec<(String, String)>,
    /// A file that holds a token, sent as `authorization: Bearer`.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The caller's SPIFFE ID, over mutual TLS.
    #[arg(long, value_name = "SPIFFE-ID", conflicts_with = "plaintext")]
    principal: Option<String>,
    /// The serial number of the caller's certificate, in hexadecimal digits, for deny lists.
    #[arg(long, value_name = "HEX", requires = "principal")]
    serial: Option<String>,
    /// No TLS. What is neither --plaintext nor has a --principal is plaintext, too.
    #[arg(long)]
    plaintext: bool,
    /// The server name that the caller's TLS asks for.
    #[arg(long, value_name = "NAME")]
    sni: Option<String>,
    /// Who opens the connection.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    source_ip: IpAddr,
    /// Who sent the request [default: what x-forwarded-for says, else the source].
    #[arg(long, value_name = "ADDRESS")]
    remote_ip: Option<IpAddr>,
    /// When, as RFC 3339 writes it [default: now].
    #[arg(long, value_name = "TIME")]
    now: Option<String>,
}

impl Question {
    /// In the form of a batch.
    pub(crate) fn case(self) -> anyhow::Result<Value> {
        let config = self.config.context("--config is missing")?;
        let (namespace, name) = self.workload.context("--workload is missing")?;
        let mut headers = self.headers;
        if let Some(file) = &self.token_file {
            headers.push(("authorization".to_owned(), format!("Bearer {}", read_token(file)?)));
        }
        let host = self.host.unwrap_or_else(|| format!("{name}.{namespace}"));
        let request = json!({"method": self.method, "path": self.path, "host": host, "headers": headers, "remoteIp": self.remote_ip});
        let labels =
            (!self.labels.is_empty()).then(|| self.labels.into_iter().map(|(name, value)| (name, json!(value))).collect::<Map<_, _>>());
        // What is wrong with the documents is said by whoever answers.
        let documents = meshwright_sources::load_once(&config).ok();
        let port = self.port.or_else(|| first_port(documents.as_ref()?, &namespace, &name)).unwrap_or(DEFAULT_PORT);
        let has_address = documents.as_ref().is_some_and(|checked| has_address(checked, &namespace, &name));
        let destination = self.destination_ip.or((!has_address).then_some(DEFAULT_ADDRESS));
        let serial = self.serial;
        let tls = self.principal.map(|principal| json!({"principal": principal, "serial": serial}));
        Ok(json!({
            "id": "question", "config": config,
            "workload": {"namespace": namespace, "name": name, "serviceAccount": self.service_account, "labels": labels},
            "connection": {"protocol": if self.tcp { "tcp" } else { "http" }, "port": port, "destinationIp": destination,
                "sourceIp": self.source_ip, "tls": tls, "sni": self.sni},
            "request": if self.tcp { Value::Null } else { request },
            "now": self.now,
        }))
    }
}

fn first_port(checked: &Checked, namespace: &str, name: &str) -> Option<u16> {
    let state = checked.state();
    state.inbound_ports(state.workload(namespace, name)?).first().map(|port| port.number())
}

fn has_address(checked: &Checked, namespace: &str, name: &str) -> bool {
    checked.state().workload(namespace, name).is_some_and(|workload| workload.address().to_string().parse::<IpAddr>().is_ok())
}

fn read_token(file: &Path) -> anyhow::Result<String> {
    let unreadable = || format!("the token in `{}` cannot be read", file.display());
    let mut token = String::new();
    std::fs::File::open(file).with_context(unreadable)?.take(LONGEST_TOKEN).read_to_string(&mut token).with_context(unreadable)?;
    Ok(token.trim().to_owned())
}

fn pair<const SEPARATOR: char>(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(SEPARATOR).ok_or_else(|| format!("expected NAME{SEPARATOR}VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}
