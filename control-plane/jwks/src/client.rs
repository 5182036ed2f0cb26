//! One fetch over HTTP: no redirects, no proxy, a bounded answer, and only addresses that were checked.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use meshwright_config::KeySource;
use meshwright_policy::check_key_url;
use reqwest::dns::Resolve;
use reqwest::header::ACCEPT;
use reqwest::{ClientBuilder, Url, redirect};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::discovery;
use crate::error::FetchError;
use crate::key_set::KeySet;
use crate::resolver::{self, Checked, Refused};

/// More than any key set or configuration has.
const LARGEST: usize = 1024 * 1024;

/// Fetches keys. Issuers' certificates are verified against the operating system's roots.
#[derive(Debug)]
pub(crate) struct Client {
    plaintext: reqwest::Client,
    /// None with a reason: without roots there is no TLS, and sources without TLS go on.
    tls: Result<reqwest::Client, String>,
}

impl Client {
    pub(crate) fn new() -> Result<Self, String> {
        let made = |config: Result<ClientConfig, rustls::Error>| {
            config.map_err(|error| error.to_string()).and_then(|config| client(config, Checked).map_err(|error| words(&error)))
        };
        Ok(Self { plaintext: made(no_roots())?, tls: made(roots_of_the_system()) })
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

    async fn get(&self, text: &str) -> Result<String, FetchError> {
        let url = checked(text)?;
        let client = if url.scheme() == "https" { self.tls.as_ref() } else { Ok(&self.plaintext) };
        let client = client.map_err(|error| FetchError::Unreachable(text.to_owned(), error.clone()))?;
        let accepted = "application/jwk-set+json, application/json";
        let mut response = client.get(url).header(ACCEPT, accepted).send().await.map_err(|error| failure(text, &error))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(FetchError::Redirect(text.to_owned(), status.as_u16()));
        }
        if status != reqwest::StatusCode::OK {
            return Err(FetchError::Status(text.to_owned(), status.as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failure(text, &error))? {
            if body.len().saturating_add(chunk.len()) > LARGEST {
                return Err(FetchError::TooLarge(text.to_owned(), LARGEST));
            }
            body.extend_from_slice(&chunk);
        }
        String::from_utf8(body).map_err(|_| FetchError::NotText(text.to_owned()))
    }
}

/// Names are checked when they are resolved; an address in the URL itself is never resolved.
fn checked(text: &str) -> Result<Url, FetchError> {
    let unusable = |error: String| FetchError::Url(text.to_owned(), error);
    check_key_url(text).map_err(unusable)?;
    let url = Url::parse(text).map_err(|error| unusable(error.to_string()))?;
    let host = url.host_str().ok_or_else(|| unusable("it has no host".to_owned()))?;
    if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        resolver::check(host, &[SocketAddr::new(address, 0)]).map_err(refused)?;
    }
    Ok(url)
}

fn refused(refused: Refused) -> FetchError {
    FetchError::RefusedAddress { host: refused.host, address: refused.address, why: refused.why }
}

/// Our own refusal is somewhere inside.
fn failure(text: &str, error: &reqwest::Error) -> FetchError {
    let mut inner: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = inner {
        if let Some(found) = error.downcast_ref::<Refused>() {
            return refused(found.clone());
        }
        inner = error.source();
    }
    FetchError::Unreachable(text.to_owned(), words(error))
}

/// The cause: the outer errors only say that something failed.
fn words(error: &reqwest::Error) -> String {
    let mut innermost: &dyn Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn client(tls: ClientConfig, resolver: impl Resolve + 'static) -> Result<reqwest::Client, reqwest::Error> {
    ClientBuilder::new()
        .tls_backend_preconfigured(tls)
        .dns_resolver(Arc::new(resolver))
        .redirect(redirect::Policy::none())
        // A proxy would resolve the name itself, behind our back.
        .no_proxy()
        // Fetches are minutes apart; a kept connection would outlive the check of its address.
        .pool_max_idle_per_host(0)
        .user_agent(concat!("meshwright/", env!("CARGO_PKG_VERSION")))
        .build()
}

fn with_versions() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, rustls::Error> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider())).with_safe_default_protocol_versions()
}

fn roots_of_the_system() -> Result<ClientConfig, rustls::Error> {
    Ok(with_versions()?.with_platform_verifier()?.with_no_client_auth())
}

/// For URLs without TLS.
fn no_roots() -> Result<ClientConfig, rustls::Error> {
    Ok(with_versions()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

#[cfg(test)]
mod tests;
