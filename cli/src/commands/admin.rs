//! The control plane's admin API, as commands ask it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use meshwright_ca::Fingerprint;
use reqwest::{Method, StatusCode};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Where it is.
#[derive(Debug, clap::Args)]
pub(crate) struct Admin {
    /// The control plane's admin API.
    #[arg(long = "admin", value_name = "URL", env = "MESHWRIGHT_ADMIN", default_value = "http://127.0.0.1:15014")]
    url: String,
    /// A file with the admin token, where the admin API asks for one.
    #[arg(long = "admin-token-file", value_name = "FILE", env = "MESHWRIGHT_ADMIN_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// The root certificate's fingerprint, by which an `https` admin API is known; `meshwright status` shows it beside the control plane.
    #[arg(long = "admin-fingerprint", value_name = "SHA256", env = "MESHWRIGHT_ADMIN_FINGERPRINT", value_parser = fingerprint)]
    root: Option<Fingerprint>,
    /// A certificate of the mesh to show, where the admin API knows who may ask by it: a PEM file, leaf first, as `meshwright cert join` writes.
    #[arg(long = "admin-certificate", value_name = "FILE", env = "MESHWRIGHT_ADMIN_CERTIFICATE", requires_all = ["key", "root"])]
    certificate: Option<PathBuf>,
    /// The private key of that certificate, a PEM file.
    #[arg(long = "admin-key", value_name = "FILE", env = "MESHWRIGHT_ADMIN_KEY", requires = "certificate")]
    key: Option<PathBuf>,
}

/// `KIND/NAMESPACE/NAME`.
#[derive(Debug, Clone)]
pub(crate) struct DocumentName(String);

impl FromStr for DocumentName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'));
        let parts: Vec<&str> = text.split('/').collect();
        if parts.len() == 3 && parts.iter().all(|found| part(found)) {
            return Ok(Self(text.to_owned()));
        }
        Err("expected KIND/NAMESPACE/NAME, as in `AuthorizationPolicy/bookshop/catalog`".to_owned())
    }
}

impl fmt::Display for DocumentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Admin {
    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, Duration::ZERO).await
    }

    pub(crate) async fn post(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::POST, path, Duration::ZERO).await
    }

    /// How far a document has come, as soon as waiting longer cannot change it, or after `wait`.
    pub(crate) async fn receipt(&self, document: &DocumentName, wait: Duration) -> anyhow::Result<Value> {
        self.ask(Method::GET, &format!("/v1/documents/{document}?timeout_ms={}", wait.as_millis()), wait).await
    }

    fn tls(&self, root: Fingerprint) -> anyhow::Result<rustls::ClientConfig> {
        let Some((certificate, key)) = self.certificate.as_ref().zip(self.key.as_ref()) else {
            return Ok(meshwright_ca::client::tls_config(root, None)?);
        };
        let unreadable = |file: &Path| format!("`{}` cannot be read as PEM", file.display());
        let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
        let chain = chain.with_context(|| unreadable(certificate))?;
        anyhow::ensure!(!chain.is_empty(), "there is no certificate in `{}`", certificate.display());
        let der = PrivateKeyDer::from_pem_file(key).with_context(|| unreadable(key))?;
        let config = meshwright_ca::client::tls_config(root, Some((chain, der)));
        config.with_context(|| format!("`{}` and `{}` cannot be used together", certificate.display(), key.display()))
    }

    async fn ask(&self, method: Method, path: &str, wait: Duration) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let mut builder = reqwest::Client::builder().no_proxy().timeout(TIMEOUT.saturating_add(wait));
        if let Some(root) = self.root {
            builder = builder.tls_backend_preconfigured(self.tls(root)?);
        }
        let client = builder.build()?;
        let token = self
            .token_file
            .as_ref()
            .map(|file| std::fs::read_to_string(file).with_context(|| format!("the admin token `{}` cannot be read", file.display())));
        let token = token.transpose()?;
        let request = client.request(method, &url);
        let request = if let Some(token) = &token { request.bearer_auth(token.trim()) } else { request };
        let hint = || format!("no answer from `{url}`; is the control plane running, and is --admin its admin address?");
        let response = request.send().await.with_context(hint)?;
        let status = response.status();
        let answer: Value = response.json().await.with_context(hint)?;
        match answer.get("error").and_then(Value::as_str) {
            Some(error) if status != StatusCode::OK => anyhow::bail!("{error}"),
            _ => anyhow::ensure!(status == StatusCode::OK, "`{url}` answered {status}"),
        }
        Ok(answer)
    }
}

fn fingerprint(text: &str) -> Result<Fingerprint, String> {
    Fingerprint::parse(text).ok_or_else(|| "expected the 64 hexadecimal digits of a SHA-256".to_owned())
}
