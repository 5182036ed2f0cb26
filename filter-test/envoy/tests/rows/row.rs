//! One row: a filter, what happens to it, and how it is given to Envoy and to our host.

use std::time::Duration;

use meshwright_filter_envoy::{Case, Cluster, Exchange, Reply, TcpStep, Traffic};
use meshwright_wasm_host::{Answer, Engine, Grpc, Headers, Host, LogLevel, Plugin, Request, Response, Tcp, Upstream};

use crate::certificates::Certificates;
use crate::compare::{Seen, of_log, of_outcome, of_tcp};
use crate::probe::Probe;

#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    probe: Probe,
    traffic: Traffic,
    configuration: &'static str,
    vm_configuration: &'static str,
    root_id: &'static str,
    capabilities: Option<Vec<&'static str>>,
    filter_state: Vec<(&'static str, &'static str)>,
    clusters: Vec<(&'static str, Service)>,
    tls: Option<Certificates>,
    /// What our host must be told, since nobody routes here.
    properties: Vec<(&'static str, &'static str)>,
    /// Ours and Envoy's may differ here, and why.
    pub(crate) differs: Option<&'static str>,
    /// Runs in an Envoy of its own: it ends it, or logs before it has a plugin.
    pub(crate) alone: bool,
    pub(crate) hangs: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum Service {
    Http(Reply),
    Grpc {
        messages: Vec<&'static str>,
        status: u32,
        text: &'static str,
    },
    /// Of a service that should speak gRPC.
    NoGrpc(Reply),
}

/// A row with a GET of `/`, answered by a 200 without a body.
pub(crate) fn row(name: &'static str, probe: Probe) -> Row {
    let exchange = Exchange { headers: request_headers("GET", "/", &[]), reply: ok(&[], &[], &[]), ..Exchange::default() };
    Row {
        name,
        probe,
        traffic: Traffic::Http(exchange),
        configuration: "",
        vm_configuration: "",
        root_id: "",
        capabilities: None,
        filter_state: Vec::new(),
        clusters: Vec::new(),
        tls: None,
        properties: Vec::new(),
        differs: None,
        alone: false,
        hangs: false,
    }
}

/// In the order in which Envoy has them.
fn request_headers(method: &str, path: &str, more: &[(&str, &str)]) -> Headers {
    let pseudo = [(":authority", "example.test"), (":path", path), (":method", method)];
    pseudo.into_iter().chain(more.iter().copied()).collect()
}

pub(crate) fn ok(headers: &[(&str, &str)], chunks: &[&str], trailers: &[(&str, &str)]) -> Reply {
    reply(200, headers, chunks, trailers)
}

pub(crate) fn reply(status: u16, headers: &[(&str, &str)], chunks: &[&str], trailers: &[(&str, &str)]) -> Reply {
    let status = status.to_string();
    let headers = [(":status", status.as_str())].into_iter().chain(headers.iter().copied()).collect();
    Reply::Response { headers, chunks: bytes(chunks), trailers: trailers.iter().copied().collect(), after: Duration::ZERO }
}

fn bytes(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

impl Row {
    /// The request instead.
    pub(crate) fn request(mut self, method: &str, path: &str, headers: &[(&str, &str)], chunks: &[&str]) -> Self {
        if let Traffic::Http(exchange) | Traffic::AccessLog(exchange) = &mut self.traffic {
            exchange.headers = request_headers(method, path, headers);
            exchange.chunks = bytes(chunks);
        }
        self
    }

    pub(crate) fn trailers(mut self, trailers: &[(&str, &str)]) -> Self {
        if let Traffic::Http(exchange) = &mut self.traffic {
            exchange.trailers = trailers.iter().copied().collect();
        }
        self
    }

    pub(crate) fn upstream(mut self, reply: Reply) -> Self {
        if let Traffic::Http(exchange) | Traffic::AccessLog(exchange) = &mut self.traffic {
            exchange.reply = reply;
        }
        self
    }

    pub(crate) fn access_log(mut self) -> Self {
        if let Traffic::Http(exchange) = self.traffic {
            self.traffic = Traffic::AccessLog(exchange);
        }
        self
    }

    pub(crate) fn tcp(mut self, steps: Vec<TcpStep>) -> Self {
        self.traffic = Traffic::Tcp(steps);
        self
    }

    pub(crate) const fn configured(mut self, root_id: &'static str, vm: &'static str, plugin: &'static str) -> Self {
        (self.root_id, self.vm_configuration, self.configuration) = (root_id, vm, plugin);
        self
    }

    pub(crate) fn capabilities(mut self, names: &[&'static str]) -> Self {
        self.capabilities = Some(names.to_vec());
        self
    }

    pub(crate) fn filter_state(mut self, name: &'static str, value: &'static str) -> Self {
        self.filter_state.push((name, value));
        self
    }

    pub(crate) fn property(mut self, path: &'static str, value: &'static str) -> Self {
        self.properties.push((path, value));
        self
    }

    pub(crate) fn cluster(mut self, name: &'static str, service: Service) -> Self {
        self.clusters.push((name, service));
        self
    }

    /// Client and upstream speak TLS with these.
    pub(crate) fn tls(mut self, certificates: Certificates) -> Self {
        self.tls = Some(certificates);
        self
    }

    /// Ours and Envoy's are not compared. A difference must be there and be documented under this name.
    pub(crate) const fn differs(mut self, name: &'static str) -> Self {
        self.differs = Some(name);
        self
    }

    pub(crate) const fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    pub(crate) const fn hangs(mut self) -> Self {
        self.hangs = true;
        self
    }

    /// For Envoy, in which `index` makes names that others have not.
    pub(crate) fn case(&self, index: usize) -> Case {
        let owned = |texts: &[(&str, &str)]| texts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Case {
            name: "probe".to_owned(),
            root_id: self.root_id.to_owned(),
            vm_id: vm_id(index),
            wasm: self.probe.wasm(),
            configuration: self.configuration.as_bytes().to_vec(),
            vm_configuration: self.vm_configuration.as_bytes().to_vec(),
            environment: Vec::new(),
            capabilities: self.capabilities.as_ref().map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
            filter_state: owned(&self.filter_state),
            tls: self.tls.as_ref().map(Certificates::in_envoy),
            clusters: self.clusters.iter().map(|(name, service)| service.in_envoy(name)).collect(),
            traffic: self.traffic.clone(),
            patience: Duration::from_millis(if self.hangs { 800 } else { 4_000 }),
        }
    }

    /// What our host makes of it.
    pub(crate) fn here(&self, engine: &Engine, index: usize) -> Seen {
        let host = Host::load_on(engine, &self.probe.wasm()).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let mut plugin: Plugin = host.plugin(self.root_id, self.configuration).name("probe").vm_id(vm_id(index)).log_level(LogLevel::Trace);
        plugin = plugin.vm_configuration(self.vm_configuration);
        if let Some(names) = &self.capabilities {
            plugin = plugin.allowed_capabilities(names.iter().copied());
        }
        for (name, service) in &self.clusters {
            plugin = plugin.upstream(*name, service.here());
        }
        match &self.traffic {
            Traffic::Http(exchange) => {
                let mut request = request_here(exchange, if self.tls.is_some() { "https" } else { "http" });
                if let Some(certificates) = &self.tls {
                    request = request.tls(&certificates.of_client()).upstream_tls(&certificates.of_upstream());
                }
                for (name, value) in &self.filter_state {
                    request = request.filter_state(*name, *value);
                }
                for (path, value) in &self.properties {
                    request = request.property(*path, *value);
                }
                let heard = |name: &str| self.clusters.iter().any(|(known, service)| *known == name && service.is_heard());
                of_outcome(plugin.request(request).run().unwrap_or_else(|error| panic!("{}: {error}", self.name)), &heard)
            }
            Traffic::Tcp(steps) => of_tcp(plugin.tcp(tcp_here(steps)).run().unwrap_or_else(|error| panic!("{}: {error}", self.name))),
            Traffic::AccessLog(exchange) => {
                of_log(plugin.log(stream_here(exchange)).run().unwrap_or_else(|error| panic!("{}: {error}", self.name)))
            }
        }
    }
}

fn vm_id(index: usize) -> String {
    format!("vm-{index}")
}

impl Service {
    /// Whether what it got is compared: our host knows gRPC calls by their parts, and what nobody hears nobody can compare.
    const fn is_heard(&self) -> bool {
        matches!(self, Self::Http(Reply::Response { .. } | Reply::Reset | Reply::Never))
    }

    fn in_envoy(&self, name: &str) -> Cluster {
        let (grpc, reply) = match self {
            Self::Http(reply) => (false, reply.clone()),
            Self::NoGrpc(reply) => (true, reply.clone()),
            Self::Grpc { messages, status, text } => {
                let status = status.to_string();
                let said = [("grpc-status", status.as_str()), ("grpc-message", text)];
                let head = [(":status", "200"), ("content-type", "application/grpc")];
                let framed = |message: &&str| {
                    let length = u32::try_from(message.len()).unwrap();
                    [&[0][..], &length.to_be_bytes(), message.as_bytes()].concat()
                };
                let trailers: Headers = said.into_iter().filter(|(_, value)| !value.is_empty()).collect();
                let after = Duration::ZERO;
                let headers = head.into_iter().collect();
                (true, Reply::Response { headers, chunks: messages.iter().map(framed).collect(), trailers, after })
            }
        };
        Cluster { name: name.to_owned(), grpc, replies: vec![reply] }
    }

    fn here(&self) -> Upstream {
        Upstream::new(match self {
            Self::Http(Reply::Response { after, .. }) if *after > Duration::from_secs(1) => Answer::never(),
            Self::Http(Reply::Response { headers, chunks, trailers, after })
            | Self::NoGrpc(Reply::Response { headers, chunks, trailers, after }) => {
                Answer::response(response_here(headers, chunks, trailers)).after(*after)
            }
            Self::Http(Reply::Reset) | Self::NoGrpc(Reply::Reset) => Answer::reset(),
            Self::Http(Reply::Never) | Self::NoGrpc(Reply::Never) => Answer::never(),
            Self::Http(Reply::Refused) | Self::NoGrpc(Reply::Refused) => Answer::connection_failure(),
            Self::Grpc { messages, status, text } => {
                // The other Envoy in between adds it.
                let grpc = Grpc::status(*status, *text).initial_metadata("date", "now");
                Answer::grpc(messages.iter().fold(grpc, |grpc, message| grpc.and_message(*message)))
            }
        })
    }
}

/// As Envoy's filters see it: with what its HTTP/1.1 codec and its connection manager add.
fn request_here(exchange: &Exchange, scheme: &str) -> Request {
    let mut request = Request::new("GET", "/").without_header(":authority").without_header(":path").without_header(":method");
    request = request.without_header(":scheme");
    let (pseudo, others): (Vec<_>, Vec<_>) = exchange.headers.iter().partition(|(name, _)| name.starts_with(b":"));
    for (name, value) in pseudo.into_iter().chain([(&b":scheme"[..], scheme.as_bytes())]).chain(others) {
        request = request.header(name, value);
    }
    request = request.header("x-forwarded-proto", scheme);
    for chunk in &exchange.chunks {
        request = request.chunk(chunk.clone());
    }
    for (name, value) in exchange.trailers.iter() {
        request = request.trailer(name, value);
    }
    match &exchange.reply {
        Reply::Response { headers, chunks, trailers, .. } => request.upstream(response_here(headers, chunks, trailers)),
        Reply::Reset | Reply::Never | Reply::Refused => request.upstream_reset(),
    }
}

fn response_here(headers: &Headers, chunks: &[Vec<u8>], trailers: &Headers) -> Response {
    let mut response = Response::new(headers.text(":status").unwrap().parse().unwrap());
    for (name, value) in headers.iter().filter(|(name, _)| *name != b":status") {
        response = response.header(name, value);
    }
    if headers.get("content-length").is_none() && headers.text(":status") != Some("204") {
        let empty = chunks.is_empty() && trailers.is_empty();
        response = if empty { response.header("content-length", "0") } else { response.header("transfer-encoding", "chunked") };
    }
    for chunk in chunks {
        response = response.chunk(chunk.clone());
    }
    trailers.iter().fold(response, |response, (name, value)| response.trailer(name, value))
}

fn tcp_here(steps: &[TcpStep]) -> Tcp {
    steps.iter().fold(Tcp::new(), |tcp, step| match step {
        TcpStep::Downstream(data) => tcp.downstream(data.clone()),
        TcpStep::Upstream(data) => tcp.upstream(data.clone()),
        TcpStep::DownstreamClose => tcp.downstream_close(),
        TcpStep::UpstreamClose => tcp.upstream_close(),
    })
}

fn stream_here(exchange: &Exchange) -> meshwright_wasm_host::StreamInfo {
    let request = request_here(exchange, "http");
    let mut stream = meshwright_wasm_host::StreamInfo::new();
    for (name, value) in request.headers().iter() {
        stream = stream.request_header(name, value);
    }
    for (name, value) in request.response().into_iter().flat_map(|response| response.headers().iter()) {
        stream = stream.response_header(name, value);
    }
    for (name, value) in request.response().into_iter().flat_map(|response| response.trailers().iter()) {
        stream = stream.response_trailer(name, value);
    }
    stream
}
