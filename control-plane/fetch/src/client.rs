//! One fetch over HTTP: no redirects, no proxy, a bounded answer, and only addresses that were checked.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use meshwright_policy::check_key_url;
use reqwest::dns::Resolve;
use reqwest::header::ACCEPT;
use reqwest::{ClientBuilder, Url, redirect};
use rustls::{CertificateError, ClientConfig, OtherError, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::error::GetError;
use crate::resolver::{self, Checked, Refused};

/// More than any answer has that is waited for.
const LARGEST: usize = 1024 * 1024;

/// Asks servers that it authenticates in one way.
#[derive(Debug)]
pub struct Client(reqwest::Client);

impl Client {
    /// Servers are verified against the operating system's roots, and by their names.
    ///
    /// # Errors
    /// When the system has no roots, in words.
    pub fn with_system_roots() -> Result<Self, String> {
        let config = tls_versions().and_then(|config| Ok(config.with_platform_verifier()?.with_no_client_auth()));
        Self::with_tls(config.map_err(|error| error.to_string())?)
    }

    /// For URLs without TLS: no server has a certificate that is believed.
    ///
    /// # Errors
    /// When the client cannot be made, in words.
    pub fn without_roots() -> Result<Self, String> {
        let config = tls_versions().map(|config| config.with_root_certificates(RootCertStore::empty()).with_no_client_auth());
        Self::with_tls(config.map_err(|error| error.to_string())?)
    }

    /// Servers are authenticated as `config` does.
    ///
    /// # Errors
    /// When the client cannot be made, in words.
    pub fn with_tls(config: ClientConfig) -> Result<Self, String> {
        Self::resolving(config, Checked)
    }

    fn resolving(config: ClientConfig, resolver: impl Resolve + 'static) -> Result<Self, String> {
        client(config, resolver).map(Self).map_err(|error| words(&error))
    }

    /// The text at a URL, which is `https` or, as far as this client takes it, `http`.
    ///
    /// # Errors
    /// [`GetError`]: an address that is refused, or anything but 200 with a text that is not too large.
    pub async fn get(&self, text: &str, accepted: &str) -> Result<String, GetError> {
        let url = checked(text)?;
        let mut response = self.0.get(url).header(ACCEPT, accepted).send().await.map_err(|error| failure(text, &error))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(GetError::Redirect(text.to_owned(), status.as_u16()));
        }
        if status != reqwest::StatusCode::OK {
            return Err(GetError::Status(text.to_owned(), status.as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failure(text, &error))? {
            if body.len().saturating_add(chunk.len()) > LARGEST {
                return Err(GetError::TooLarge(text.to_owned(), LARGEST));
            }
            body.extend_from_slice(&chunk);
        }
        String::from_utf8(body).map_err(|_| GetError::NotText(text.to_owned()))
    }
}

/// Names are checked when they are resolved; an address in the URL itself is never resolved.
fn checked(text: &str) -> Result<Url, GetError> {
    let unusable = |error: String| GetError::Url(text.to_owned(), error);
    check_key_url(text).map_err(unusable)?;
    let url = Url::parse(text).map_err(|error| unusable(error.to_string()))?;
    let host = url.host_str().ok_or_else(|| unusable("it has no host".to_owned()))?;
    if let Ok(address) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        resolver::check(host, &[SocketAddr::new(address, 0)]).map_err(refused)?;
    }
    Ok(url)
}

fn refused(refused: Refused) -> GetError {
    GetError::RefusedAddress { host: refused.host, address: refused.address, why: refused.why }
}

/// Our own refusal is somewhere inside.
fn failure(text: &str, error: &reqwest::Error) -> GetError {
    let mut inner: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = inner {
        if let Some(found) = error.downcast_ref::<Refused>() {
            return refused(found.clone());
        }
        inner = error.source();
    }
    GetError::Unreachable(text.to_owned(), words(error))
}

/// The cause: the outer errors only say that something failed.
fn words(error: &reqwest::Error) -> String {
    let mut innermost: &(dyn Error + 'static) = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    // What stands in an `io::Error` is not its source.
    let mut cause = innermost;
    while let Some(inner) = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        cause = inner;
    }
    match cause.downcast_ref::<rustls::Error>() {
        // Rustls shows what a verifier of ours says as Rust would write it.
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(why)))) => why.to_string(),
        Some(_) | None => innermost.to_string(),
    }
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

/// How every client here begins: with the versions of TLS that are safe, and nothing said of who is believed.
///
/// # Errors
/// Never with this provider; rustls cannot say so in its types.
pub fn tls_versions() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, rustls::Error> {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider())).with_safe_default_protocol_versions()
}

#[cfg(test)]
mod tests;
