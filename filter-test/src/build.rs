//! From what a file says to what the host is given. What a type cannot say (one of three, not both) is checked here.

use std::time::Duration;

use meshwright_filter_envoy::Case;
use meshwright_test_files::Wrong;
use meshwright_wasm_host::{
    Answer, Fault, Grpc, Host, Limits, LogLevel, Plugin, Profile, Request, Response, Shared, Status, StreamInfo, Tcp, Upstream,
};

use crate::wire::{
    AnswerWire, Bytes, FaultWire, GrpcWire, HeaderMap, Level, LogWire, ModuleWire, ProfileWire, RequestWire, ScenarioWire, StatusWire,
    TcpStepWire, TcpWire, UpstreamWire, WorldWire,
};

fn wrong<T>(path: impl Into<String>, message: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong::new(path, message))
}

/// What happens to the filter.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    Request(Box<Request>),
    Tcp(Tcp),
    Log(StreamInfo),
}

/// A plugin that is not bound to a module yet.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    module: ModuleWire,
    world: WorldWire,
    upstreams: Vec<(String, Upstream)>,
    faults: Vec<Fault>,
}

impl Setup {
    pub(crate) fn new(module: ModuleWire, world: WorldWire) -> Result<Self, Wrong> {
        let mut upstreams = Vec::new();
        for (cluster, answers) in &world.clusters {
            if let Some(answers) = answers {
                upstreams.push((cluster.clone(), upstream(&format!("world.clusters.{cluster}"), answers)?));
            }
        }
        if world.limits.memory.is_some_and(|memory| usize::try_from(memory).is_err()) {
            return wrong("world.limits.memory", "is more than this machine can address");
        }
        let faults = world.faults.iter().enumerate().map(|(index, wire)| fault(&format!("world.faults[{index}]"), wire));
        let faults = faults.collect::<Result<_, _>>()?;
        Ok(Self { module, world, upstreams, faults })
    }

    pub(crate) const fn world(&self) -> &WorldWire {
        &self.world
    }

    /// The plugin as Envoy's configuration has it, without its module, and the level of its log.
    pub(crate) fn envoy_plugin(&self) -> (Case, LogLevel) {
        let module = &self.module;
        let bytes = |configuration: &Option<crate::wire::Configuration>| configuration.clone().map(|bytes| bytes.0).unwrap_or_default();
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let case = Case {
            name: text(&module.name),
            root_id: text(&module.root_id),
            vm_id: text(&module.vm_id),
            configuration: bytes(&module.configuration),
            vm_configuration: bytes(&module.vm_configuration),
            environment: given(&module.environment).map(|(name, value)| (name.to_owned(), value.clone())).collect(),
            capabilities: module.allowed_capabilities.clone().map(|names| names.into_iter().collect()),
            ..Case::default()
        };
        (case, module.log_level.map_or(LogLevel::Info, log_level))
    }

    pub(crate) fn plugin(&self, host: &Host) -> Plugin {
        let Self { module, world, upstreams, faults } = self;
        let bytes = |configuration: &Option<crate::wire::Configuration>| configuration.clone().map(|bytes| bytes.0).unwrap_or_default();
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let vm_id = text(&module.vm_id);
        let shared = Shared::new();
        for (key, value) in given(&world.shared_data) {
            shared.set(&vm_id, key, value.0.clone());
        }
        let mut plugin = host
            .plugin(text(&module.root_id), bytes(&module.configuration))
            .name(text(&module.name))
            .vm_id(vm_id)
            .vm_configuration(bytes(&module.vm_configuration))
            .shared(&shared)
            .seed(world.seed.unwrap_or_default())
            .limits(limits(world));
        if let Some(level) = module.log_level {
            plugin = plugin.log_level(log_level(level));
        }
        if let Some(profile) = world.profile {
            plugin = plugin.profile(match profile {
                ProfileWire::Envoy => Profile::Envoy,
                ProfileWire::Spec => Profile::Spec,
            });
        }
        if let Some(now) = world.now {
            plugin = plugin.now(now.0);
        }
        for (name, value) in given(&module.environment) {
            plugin = plugin.environment(name, value);
        }
        for (path, value) in given(&world.properties) {
            plugin = plugin.property(path, value.0.clone());
        }
        for (cluster, upstream) in upstreams {
            plugin = plugin.upstream(cluster, upstream.clone());
        }
        for fault in faults {
            plugin = plugin.fault(fault.clone());
        }
        if let Some(names) = &module.allowed_capabilities {
            plugin = plugin.allowed_capabilities(names);
        }
        plugin
    }
}

fn fault(path: &str, wire: &FaultWire) -> Result<Fault, Wrong> {
    let status = match wire.status {
        StatusWire::NotFound => Status::NotFound,
        StatusWire::BadArgument => Status::BadArgument,
        StatusWire::SerializationFailure => Status::SerializationFailure,
        StatusWire::ParseFailure => Status::ParseFailure,
        StatusWire::InvalidMemoryAccess => Status::InvalidMemoryAccess,
        StatusWire::Empty => Status::Empty,
        StatusWire::CasMismatch => Status::CasMismatch,
        StatusWire::InternalFailure => Status::InternalFailure,
        StatusWire::Unimplemented => Status::Unimplemented,
    };
    let fault = Fault::new(&wire.function, status).map_err(|error| Wrong { path: path.to_owned(), message: error.to_string() })?;
    match wire.call {
        Some(0) => wrong(format!("{path}.call"), "calls are counted from 1"),
        Some(call) => Ok(fault.at_call(call)),
        None => Ok(fault),
    }
}

fn limits(world: &WorldWire) -> Limits {
    let standard = Limits::default();
    Limits {
        memory: world.limits.memory.and_then(|memory| usize::try_from(memory).ok()).unwrap_or(standard.memory),
        callback: world.limits.callback_milliseconds.map_or(standard.callback, Duration::from_millis),
        ..standard
    }
}

/// What is not null.
fn given<T>(map: &std::collections::BTreeMap<String, Option<T>>) -> impl Iterator<Item = (&str, &T)> {
    map.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_ref()?)))
}

pub(crate) const fn log_level(level: Level) -> LogLevel {
    match level {
        Level::Trace => LogLevel::Trace,
        Level::Debug => LogLevel::Debug,
        Level::Info => LogLevel::Info,
        Level::Warn => LogLevel::Warn,
        Level::Error => LogLevel::Error,
        Level::Critical => LogLevel::Critical,
    }
}

fn upstream(path: &str, answers: &[AnswerWire]) -> Result<Upstream, Wrong> {
    let mut built = answers.iter().enumerate().map(|(index, wire)| answer(&format!("{path}[{index}]"), wire));
    let Some(first) = built.next() else {
        return wrong(path, "has no answers (allowed: one or more)");
    };
    built.try_fold(Upstream::new(first?), |upstream, answer| Ok(upstream.then(answer?)))
}

fn answer(path: &str, wire: &AnswerWire) -> Result<Answer, Wrong> {
    let failures = [wire.reset, wire.connection_failure, wire.never, wire.failure];
    let others = failures.into_iter().chain([wire.grpc.is_some()]).filter(|other| *other).count();
    let says_response = wire.status.is_some() || wire.body.is_some() || !wire.headers.is_empty() || !wire.trailers.is_empty();
    if others + usize::from(says_response) > 1 {
        return wrong(
            path,
            "is more than one answer (allowed: a response, or one of `grpc`, `reset`, `failure`, `connection_failure`, `never`)",
        );
    }
    let answer = match failures {
        [true, ..] => Answer::reset(),
        [_, true, ..] => Answer::connection_failure(),
        [_, _, true, _] => Answer::never(),
        [.., true] => Answer::failure(),
        [false, false, false, false] if wire.grpc.is_some() => Answer::grpc(grpc(path, wire.grpc.clone().unwrap_or_default())?),
        [false, false, false, false] => Answer::response(answered(path, wire)?),
    };
    Ok(answer.after(Duration::from_millis(wire.after_milliseconds)))
}

/// The response of an answer that is one.
pub(crate) fn answered(path: &str, wire: &AnswerWire) -> Result<Response, Wrong> {
    response(path, wire.status, &wire.headers, wire.body.clone().into_iter().collect(), &wire.trailers)
}

fn grpc(path: &str, wire: GrpcWire) -> Result<Grpc, Wrong> {
    let GrpcWire { initial_metadata, messages, trailing_metadata, status, status_message, on_send } = wire;
    if status > 16 {
        return wrong(format!("{path}.grpc.status"), format!("found {status} (allowed: 0 to 16)"));
    }
    let mut grpc = Grpc::status(status, status_message);
    for message in messages {
        grpc = grpc.and_message(message.0);
    }
    for (name, value) in pairs(&format!("{path}.grpc.initial_metadata"), &initial_metadata, false)? {
        grpc = grpc.initial_metadata(name, value);
    }
    for (name, value) in pairs(&format!("{path}.grpc.trailing_metadata"), &trailing_metadata, false)? {
        grpc = grpc.trailing_metadata(name, value);
    }
    Ok(if on_send { grpc.on_send() } else { grpc })
}

fn response(path: &str, status: Option<u16>, headers: &HeaderMap, chunks: Vec<Bytes>, trailers: &HeaderMap) -> Result<Response, Wrong> {
    let status = status.unwrap_or(200);
    if !(100..=599).contains(&status) {
        return wrong(format!("{path}.status"), format!("found {status} (allowed: 100 to 599)"));
    }
    let mut response = Response::new(status);
    for (name, value) in pairs(&format!("{path}.headers"), headers, false)? {
        response = response.header(name, value);
    }
    for chunk in chunks {
        response = response.chunk(chunk.0);
    }
    for (name, value) in pairs(&format!("{path}.trailers"), trailers, false)? {
        response = response.trailer(name, value);
    }
    Ok(response)
}

/// One pair for each value. Pseudo headers have fields of their own where they may be set.
fn pairs<'a>(path: &str, headers: &'a HeaderMap, pseudo: bool) -> Result<Vec<(&'a str, Vec<u8>)>, Wrong> {
    let mut pairs = Vec::new();
    for (name, values) in given(headers) {
        if name.is_empty() || (name.starts_with(':') && !pseudo) {
            return wrong(path, format!("`{name}` is no name of a header that can be set here"));
        }
        pairs.extend(values.0.iter().map(|value| (name, value.clone())));
    }
    Ok(pairs)
}

pub(crate) fn input(scenario: &ScenarioWire) -> Result<Input, Wrong> {
    let reply = scenario.upstream.as_ref();
    match (&scenario.request, &scenario.tcp, &scenario.log) {
        (Some(wire), None, None) => Ok(Input::Request(Box::new(with_reply(request(wire)?, reply)?))),
        (None, Some(_), None) | (None, None, Some(_)) if reply.is_some() => {
            wrong("upstream", "is the answer to a request, and there is none (TCP: a step `upstream`)")
        }
        (None, Some(wire), None) => Ok(Input::Tcp(tcp(wire))),
        (None, None, Some(wire)) => log(wire).map(Input::Log),
        _ => wrong("", "exactly one of `request`, `tcp` and `log` is needed"),
    }
}

fn with_reply(request: Request, reply: Option<&UpstreamWire>) -> Result<Request, Wrong> {
    let Some(UpstreamWire { status, headers, body, chunks, trailers, reset }) = reply else {
        return Ok(request);
    };
    if *reset {
        let says_more = status.is_some() || !headers.is_empty() || body.is_some() || chunks.is_some() || !trailers.is_empty();
        return if says_more { wrong("upstream", "is a reset and a response at once") } else { Ok(request.upstream_reset()) };
    }
    Ok(request.upstream(response("upstream", *status, headers, pieces("upstream", body.as_ref(), chunks.as_ref())?, trailers)?))
}

fn pieces(path: &str, body: Option<&Bytes>, chunks: Option<&Vec<Bytes>>) -> Result<Vec<Bytes>, Wrong> {
    match (body, chunks) {
        (Some(_), Some(_)) => wrong(path, "has both `body` and `chunks`"),
        (Some(body), None) => Ok(vec![body.clone()]),
        (None, chunks) => Ok(chunks.cloned().unwrap_or_default()),
    }
}

fn request(wire: &RequestWire) -> Result<Request, Wrong> {
    let mut request = Request::new(wire.method.as_deref().unwrap_or("GET"), wire.path.as_deref().unwrap_or("/"));
    for (name, value) in [(":authority", &wire.authority), (":scheme", &wire.scheme)] {
        if let Some(value) = value {
            request = request.header(name, value.as_str());
        }
    }
    for (name, value) in pairs("request.headers", &wire.headers, true)? {
        request = request.header(name, value);
    }
    for (name, _) in wire.headers.iter().filter(|(name, value)| name.starts_with(':') && value.is_none()) {
        request = request.without_header(name);
    }
    for chunk in pieces("request", wire.body.as_ref(), wire.chunks.as_ref())? {
        request = request.chunk(chunk.0);
    }
    for (name, value) in pairs("request.trailers", &wire.trailers, false)? {
        request = request.trailer(name, value);
    }
    for (path, value) in given(&wire.properties) {
        request = request.property(path, value.0.clone());
    }
    for (name, value) in given(&wire.filter_state) {
        request = request.filter_state(name, value.0.clone());
    }
    Ok(request)
}

fn tcp(wire: &TcpWire) -> Tcp {
    let mut tcp = Tcp::new();
    for step in &wire.steps {
        tcp = match step {
            TcpStepWire::Downstream(data) => tcp.downstream(data.0.clone()),
            TcpStepWire::Upstream(data) => tcp.upstream(data.0.clone()),
            TcpStepWire::DownstreamClose => tcp.downstream_close(),
            TcpStepWire::UpstreamClose => tcp.upstream_close(),
        };
    }
    for (path, value) in given(&wire.properties) {
        tcp = tcp.property(path, value.0.clone());
    }
    for (name, value) in given(&wire.filter_state) {
        tcp = tcp.filter_state(name, value.0.clone());
    }
    tcp
}

fn log(wire: &LogWire) -> Result<StreamInfo, Wrong> {
    let mut stream = StreamInfo::new();
    for (name, value) in pairs("log.request_headers", &wire.request_headers, true)? {
        stream = stream.request_header(name, value);
    }
    for (name, value) in pairs("log.response_headers", &wire.response_headers, true)? {
        stream = stream.response_header(name, value);
    }
    for (name, value) in pairs("log.response_trailers", &wire.response_trailers, false)? {
        stream = stream.response_trailer(name, value);
    }
    for (path, value) in given(&wire.properties) {
        stream = stream.property(path, value.0.clone());
    }
    for (name, value) in given(&wire.filter_state) {
        stream = stream.filter_state(name, value.0.clone());
    }
    Ok(stream)
}
