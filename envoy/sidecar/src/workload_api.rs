//! The SPIFFE Workload API: the workload's certificate, its key and the trust bundles, for the app beside the sidecar, on a Unix socket of
//! its own. Only where the operator says so: without the option there is no socket, and the key stays with the sidecar and its Envoy.
//!
//! Who is served is decided by the socket's folder and by the user that connects; nothing is read from the app but that it asks. Tokens
//! (JWT-SVIDs) are not issued in this mesh, and calls for them say so.

mod bundles;
mod callers;
mod connections;
mod feed;
mod service;
mod socket;

use std::path::PathBuf;

use anyhow::Context as _;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;

pub(crate) use self::bundles::follow;
use self::callers::Callers;
pub(crate) use self::feed::Feed;
use self::proto::spiffe_workload_api_server::SpiffeWorkloadApiServer;
use self::service::Service;

/// Where apps look for the socket (SPIFFE Workload Endpoint section 4).
pub(crate) const ENDPOINT_VARIABLE: &str = "SPIFFE_ENDPOINT_SOCKET";

/// Calls at once on a connection; a source of certificates makes one or two.
const STREAMS: u32 = 32;
/// The longest message is a token to validate, which is refused anyway.
const LONGEST_REQUEST: usize = 16 * 1024;
const LONGEST_HEADERS: u32 = 16 * 1024;

/// For whom the SPIFFE Workload API is served, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadApiOptions {
    /// A path whose folder, made if missing, no others than the sidecar's user and group can enter.
    pub socket: PathBuf,
    /// The users that are answered; none: the sidecar's own.
    pub uids: Vec<u32>,
}

impl WorkloadApiOptions {
    /// The value of [`ENDPOINT_VARIABLE`].
    pub(crate) fn endpoint(&self) -> anyhow::Result<String> {
        Ok(format!("unix://{}", socket::absolute(&self.socket)?))
    }
}

/// Takes the socket now; what is returned serves it for ever.
pub(crate) async fn serve(
    options: &WorkloadApiOptions,
    feed: &Feed,
) -> anyhow::Result<impl Future<Output = anyhow::Result<()>> + Send + 'static> {
    let listener = socket::bind(&options.socket).await?;
    let service = SpiffeWorkloadApiServer::new(Service::new(feed.clone())).max_decoding_message_size(LONGEST_REQUEST);
    let server = Server::builder()
        .max_concurrent_streams(STREAMS)
        .http2_max_header_list_size(LONGEST_HEADERS)
        .add_service(InterceptedService::new(service, Callers::new(&options.uids)));
    tracing::info!(endpoint = %options.endpoint()?, "the workload API is served");
    Ok(async move { server.serve_with_incoming(connections::accepted(listener)).await.context("the workload API's socket failed") })
}

mod proto {
    #![allow(
        missing_debug_implementations,
        unreachable_pub,
        clippy::allow_attributes_without_reason,
        clippy::as_conversions,
        reason = "generated from the specification's definition"
    )]
    tonic::include_proto!("_");

    /// It has a private key in it.
    impl std::fmt::Debug for X509svid {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.debug_struct("X509svid").field("spiffe_id", &self.spiffe_id).finish_non_exhaustive()
        }
    }
}
