//! One fetch of an issuer's keys: its configuration if need be, then the set.

use std::time::{Duration, SystemTime};

use meshwright_config::KeySource;
use meshwright_fetch::GetError;

use crate::discovery;
use crate::error::FetchError;
use crate::key_set::KeySet;

const ACCEPTED: &str = "application/jwk-set+json, application/json";

/// Fetches keys. Issuers' certificates are verified against the operating system's roots.
#[derive(Debug)]
pub(crate) struct Client {
    plaintext: meshwright_fetch::Client,
    /// None with a reason: without roots there is no TLS, and sources without TLS go on.
    tls: Result<meshwright_fetch::Client, String>,
}

impl Client {
    pub(crate) fn new() -> Result<Self, String> {
        Ok(Self { plaintext: meshwright_fetch::Client::without_roots()?, tls: meshwright_fetch::Client::with_system_roots() })
    }

    /// The keys of `source`, checked, within `timeout`.
    pub(crate) async fn fetch(&self, source: &KeySource, timeout: Duration) -> Result<KeySet, FetchError> {
        tokio::time::timeout(timeout, self.keys(source)).await.unwrap_or(Err(FetchError::Timeout(timeout)))
    }

    async fn keys(&self, source: &KeySource) -> Result<KeySet, FetchError> {
        let first = source.url();
        let uri = match source {
            KeySource::Uri(_) => first,
            KeySource::Issuer(issuer) => {
                let body = self.get(&first).await?;
                discovery::jwks_uri(issuer, &body).map_err(|error| FetchError::Discovery(first, error))?
            }
        };
        let body = self.get(&uri).await?;
        KeySet::checked(&body, SystemTime::now()).map_err(|error| FetchError::Keys(uri, error))
    }

    async fn get(&self, url: &str) -> Result<String, FetchError> {
        let is_tls = url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
        let client = if is_tls { self.tls.as_ref() } else { Ok(&self.plaintext) };
        let client = client.map_err(|error| GetError::Unreachable(url.to_owned(), error.clone()))?;
        Ok(client.get(url, ACCEPTED).await?)
    }
}

#[cfg(test)]
mod tests;
