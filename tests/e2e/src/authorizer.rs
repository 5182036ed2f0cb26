//! An external authorizer as operators run one, for the tests: by gRPC and by HTTP, with a record of what it was asked.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use envoy_types::ext_authz::v3::{CheckRequestExt as _, CheckResponseExt as _};
use envoy_types::pb::envoy::service::auth::v3::authorization_server::{Authorization, AuthorizationServer};
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tonic::{Request, Response, Status};

/// What it was asked about: a request's path, or nothing of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub path: Option<String>,
    pub headers: BTreeMap<String, String>,
    /// Who asks is who was called.
    pub principal: String,
}

/// Denies paths that contain `refuse`, and connections while it is told to.
#[derive(Debug)]
pub struct Authorizer {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Its own, so that its end is the end of every connection to it.
    runtime: Option<Runtime>,
}

#[derive(Debug, Default)]
struct Shared {
    asked: Mutex<Vec<Question>>,
    refuses_connections: Mutex<bool>,
}

impl Shared {
    fn answer(&self, question: Question) -> bool {
        let refused = match &question.path {
            Some(path) => path.contains("refuse"),
            None => *self.refuses_connections.lock().unwrap_or_else(PoisonError::into_inner),
        };
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(question);
        !refused
    }
}

struct Grpc(Arc<Shared>);

#[tonic::async_trait]
impl Authorization for Grpc {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let request = request.into_inner();
        let attributes = request.attributes.clone().unwrap_or_default();
        let http = attributes.request.and_then(|request| request.http);
        let question = Question {
            path: http.map(|http| http.path).filter(|path| !path.is_empty()),
            headers: request.get_client_headers().cloned().unwrap_or_default().into_iter().collect(),
            principal: attributes.source.map(|source| source.principal).unwrap_or_default(),
        };
        let status = if self.0.answer(question) { Status::ok("") } else { Status::permission_denied("no") };
        Ok(Response::new(CheckResponse::with_status(status)))
    }
}

impl Authorizer {
    /// Answers `envoy.service.auth.v3.Authorization` at `address`.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn grpc(address: SocketAddr) -> anyhow::Result<Self> {
        Self::start(address, |listener, shared| async move {
            let incoming = tonic::transport::server::TcpIncoming::from(listener);
            let server = tonic::transport::Server::builder().add_service(AuthorizationServer::new(Grpc(shared)));
            let _ended = server.serve_with_incoming(incoming).await;
        })
        .await
    }

    /// Answers HTTP at `address`: 200 with `x-checked: yes`, or 401 with `x-reason: no`.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn http(address: SocketAddr) -> anyhow::Result<Self> {
        Self::start(address, |listener, shared| async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                let service = service_fn(move |request| std::future::ready(answer(&shared, &request)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        })
        .await
    }

    async fn start<F: Future<Output = ()> + Send + 'static>(
        address: SocketAddr,
        serve: impl FnOnce(TcpListener, Arc<Shared>) -> F,
    ) -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.spawn(TcpListener::bind(address)).await?.context("the authorizer's address")?;
        let (address, shared) = (listener.local_addr()?, Arc::new(Shared::default()));
        runtime.spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, runtime: Some(runtime) })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was asked since the last time.
    #[must_use]
    pub fn asked(&self) -> Vec<Question> {
        std::mem::take(&mut self.shared.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether it denies connections from now on.
    pub fn refuse_connections(&self, refuse: bool) {
        *self.shared.refuses_connections.lock().unwrap_or_else(PoisonError::into_inner) = refuse;
    }

    /// Ends it, and with it every connection to it.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Authorizer {
    /// A runtime waits for its tasks when it is dropped, which asynchronous tests may not.
    fn drop(&mut self) {
        self.runtime.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

fn answer(shared: &Shared, request: &hyper::Request<Incoming>) -> Result<hyper::Response<Empty<Bytes>>, hyper::http::Error> {
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let question = Question {
        path: Some(request.uri().path().to_owned()),
        headers: request.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        principal: String::new(),
    };
    let response = hyper::Response::builder();
    if shared.answer(question) {
        response.header("x-checked", "yes").body(Empty::new())
    } else {
        response.status(401).header("x-reason", "no").header("x-secret", "kept").body(Empty::new())
    }
}
