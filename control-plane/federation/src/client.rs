//! One fetch of a bundle: the server is authenticated as its profile says (SPIFFE Federation section 5.2), and by nothing else.

use std::time::Duration;

use meshwright_bundle::{InvalidBundle, TrustBundle};
use meshwright_ca::client::spiffe_client_config;
use meshwright_config::{BundleEndpoint, EndpointServer};
use meshwright_fetch::{Client, GetError};
use meshwright_identity::TrustDomain;

use crate::plan::Due;

const TIMEOUT: Duration = Duration::from_secs(10);
const ACCEPTED: &str = "application/json";

/// Why there is no bundle. The one in hand stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Get(#[from] GetError),
    #[error("TLS: {0}")]
    Tls(String),
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    #[error("`{0}` answered with no bundle of `{1}`: {2}")]
    Bundle(String, TrustDomain, InvalidBundle),
}

pub(crate) async fn fetch(due: &Due) -> Result<TrustBundle, FetchError> {
    tokio::time::timeout(TIMEOUT, get(due)).await.unwrap_or(Err(FetchError::Timeout(TIMEOUT)))
}

async fn get(Due { of, endpoint, in_hand }: &Due) -> Result<TrustBundle, FetchError> {
    // For each fetch: the roots may be others by the next.
    let client = client(endpoint, in_hand.as_ref()).map_err(FetchError::Tls)?;
    let text = client.get(endpoint.url(), ACCEPTED).await?;
    // Never PEM: what is fetched says its sequence.
    TrustBundle::from_json(of.name(), &text).map_err(|error| FetchError::Bundle(endpoint.url().to_owned(), of.name().clone(), error))
}

fn client(endpoint: &BundleEndpoint, in_hand: Option<&TrustBundle>) -> Result<Client, String> {
    match endpoint.server() {
        EndpointServer::Web => Client::with_system_roots(),
        EndpointServer::Spiffe(server) => {
            let roots = in_hand.map(TrustBundle::roots).unwrap_or_default();
            Client::with_tls(spiffe_client_config(roots, server.clone()).map_err(|error| error.to_string())?)
        }
    }
}
