//! The filter module, run as Envoy runs it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use meshwright_policy::wire::AuthzConfig;
use meshwright_wasm_host::{Ended, Engine as Compiler, Host, LoadError, Plugin, Report, Request, Tcp, Worker};
use serde::Deserialize;

use super::native::text;
use super::{Custom, Decided, Decider, Engine, EngineError, Stream, Token};
use crate::hcm::Head;

const PEER: &str = "meshwright.peer";
/// The external authorizers of the chain, each between commas, as the listener writes them.
const PROVIDERS: &str = "meshwright.providers";
const DECISION: &str = "meshwright.decision";

/// Decides with the module's own bytes.
#[derive(Debug, Clone)]
pub struct WasmEngine {
    host: Host,
}

impl WasmEngine {
    /// # Errors
    /// [`EngineError`], when the bytes are no module that Envoy would load.
    pub fn new(module: &[u8]) -> Result<Self, EngineError> {
        Self::loaded(Host::load(module))
    }

    /// # Errors
    /// As [`WasmEngine::new`], and when the file cannot be read.
    pub fn from_file(module: &Path) -> Result<Self, EngineError> {
        Self::of_file(module, Host::load)
    }

    /// The same, with what is compiled kept in a folder for the next time.
    ///
    /// # Errors
    /// As [`WasmEngine::from_file`], and when others may write to the folder.
    pub fn from_file_cached(module: &Path, folder: &Path) -> Result<Self, EngineError> {
        Self::of_file(module, |bytes| Host::load_on(&Compiler::new()?.cached(folder)?, bytes))
    }

    fn of_file(module: &Path, load: impl FnOnce(&[u8]) -> Result<Host, LoadError>) -> Result<Self, EngineError> {
        let named = |error: String| EngineError(format!("{}: {error}", module.display()));
        let bytes = std::fs::read(module).map_err(|error| named(error.to_string()))?;
        Self::loaded(load(&bytes)).map_err(|EngineError(error)| named(error))
    }

    fn loaded(host: Result<Host, LoadError>) -> Result<Self, EngineError> {
        host.map(|host| Self { host }).map_err(|error| EngineError(error.to_string()))
    }
}

impl Engine for WasmEngine {
    fn start(&self, configuration: &str) -> Result<Box<dyn Decider>, EngineError> {
        let plugin = self.host.plugin("authz", configuration).name("meshwright.authz");
        let config: AuthzConfig = serde_json::from_str(configuration).map_err(|error| EngineError(error.to_string()))?;
        let providers: BTreeSet<String> = config.authorization.into_iter().filter_map(|policy| policy.provider).collect();
        let providers = (!providers.is_empty()).then(|| providers.into_iter().fold(",".to_owned(), |all, name| all + &name + ","));
        let mut running = Running { plugin, worker: None, now: 0, has_tokens: !config.request_authentication.is_empty(), providers };
        running.worker = Some(running.worker(0)?);
        Ok(Box::new(running))
    }
}

/// The module with one policy set, started.
#[derive(Debug)]
struct Running {
    plugin: Plugin,
    worker: Option<Worker>,
    now: u64,
    /// Nothing else depends on the time.
    has_tokens: bool,
    providers: Option<String>,
}

impl Running {
    /// A worker whose clock says `now`: the last one, unless time would run backwards for tokens that it remembers.
    fn worker(&mut self, now: u64) -> Result<Worker, EngineError> {
        let time = Duration::from_secs(now);
        let last = self.worker.take().filter(|_| !self.has_tokens || now >= self.now);
        self.now = now;
        match last {
            Some(mut worker) => {
                worker.set_time(time);
                Ok(worker)
            }
            None => self.plugin.clone().now(time).start().map_err(|error| EngineError(error.to_string())),
        }
    }
}

impl Decider for Running {
    fn decide(&mut self, stream: &Stream<'_>) -> Result<Decided, EngineError> {
        let mut worker = self.worker(stream.now)?;
        // One that failed is not put back.
        let decided = match stream.head {
            Some(head) => request(&mut worker, stream, head, self.providers.as_deref()),
            None => connection(&mut worker, stream, self.providers.as_deref()),
        }?;
        self.worker = Some(worker);
        Ok(decided)
    }
}

fn request(worker: &mut Worker, stream: &Stream<'_>, head: &Head, providers: Option<&str>) -> Result<Decided, EngineError> {
    let mut request = Request::new(head.method.as_str(), head.target.as_str())
        .header(":authority", head.authority.as_str())
        .header(":scheme", stream.scheme())
        .property("connection.mtls", stream.principal.is_some())
        .property("source.address", SocketAddr::new(stream.remote_ip, 0).to_string())
        .property("destination.address", stream.destination.to_string())
        .filter_state(PEER, peer(stream.direct_ip, stream.principal));
    if let Some(sni) = stream.sni {
        request = request.property("connection.requested_server_name", sni);
    }
    if let Some(providers) = providers {
        request = request.filter_state(PROVIDERS, providers);
    }
    for (name, value) in &head.headers {
        request = request.header(name, value.as_str());
    }
    let outcome = worker.request(request);
    let record = record(&outcome.report, outcome.ended)?;
    let headers = match (outcome.upstream_request, &outcome.local_reply) {
        (Some(sent), None) => sent.headers.iter().map(|(name, value)| (text(name.to_vec()), text(value.to_vec()))).collect(),
        (None, Some(_)) => Vec::new(),
        (Some(_), Some(_)) | (None, None) => return Err(EngineError(format!("Envoy would answer {:?}", outcome.code_details))),
    };
    let status = outcome.local_reply.map(|reply| u16::try_from(reply.status).unwrap_or(u16::MAX));
    Ok(record.decided(status.is_none(), status, headers))
}

fn connection(worker: &mut Worker, stream: &Stream<'_>, providers: Option<&str>) -> Result<Decided, EngineError> {
    let mut connection = Tcp::new()
        .property("connection.mtls", stream.principal.is_some())
        .property("source.address", SocketAddr::new(stream.direct_ip, 0).to_string())
        .property("destination.address", stream.destination.to_string())
        .filter_state(PEER, peer(stream.direct_ip, stream.principal));
    if let Some(sni) = stream.sni {
        connection = connection.property("connection.requested_server_name", sni);
    }
    if let Some(providers) = providers {
        connection = connection.filter_state(PROVIDERS, providers);
    }
    let outcome = worker.tcp(connection);
    let allowed = outcome.upstream_connected;
    let record = record(&outcome.report, outcome.ended)?;
    Ok(record.decided(allowed, None, Vec::new()))
}

/// As the listener writes it.
fn peer(direct: IpAddr, principal: Option<&str>) -> String {
    format!("{}|{}", SocketAddr::new(direct, 0), principal.unwrap_or_default())
}

/// What the filter leaves to the access log, as far as it is of use here.
#[derive(Deserialize)]
struct Record {
    verdict: String,
    policy: Option<String>,
    rule: Option<u32>,
    reason: String,
    jwt_issuer: Option<String>,
    jwt_subject: Option<String>,
    #[serde(default)]
    custom: Vec<RecordedCustom>,
}

#[derive(Deserialize)]
struct RecordedCustom {
    provider: String,
    policy: String,
    rule: u32,
}

fn record(report: &Report, ended: Ended) -> Result<Record, EngineError> {
    if let Some(trap) = report.traps.first() {
        return Err(EngineError(trap.to_string()));
    }
    if !matches!(ended, Ended::Completed | Ended::Closed) {
        return Err(EngineError(format!("the module did not come to an end: {ended:?}")));
    }
    let json = report.property(DECISION).ok_or_else(|| EngineError("the module recorded no decision".to_owned()))?;
    serde_json::from_slice(json).map_err(|error| EngineError(format!("the module's record cannot be read: {error}")))
}

impl Record {
    /// What the filter says and what it did must be one.
    fn decided(self, passed: bool, status: Option<u16>, headers: Vec<(String, String)>) -> Decided {
        let allowed = passed && self.verdict == "ALLOW";
        let custom = self.custom.into_iter().next().filter(|_| allowed);
        Decided {
            allowed,
            status,
            policy: self.policy,
            rule: self.rule,
            reason: self.reason,
            token: self.jwt_issuer.map(|issuer| Token { issuer, subject: self.jwt_subject }),
            headers: if allowed { headers } else { Vec::new() },
            custom: custom.map(|custom| Custom { provider: custom.provider, policy: custom.policy, rule: custom.rule }),
        }
    }
}
