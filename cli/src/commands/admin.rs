//! The control plane's admin API, as commands ask it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Method, StatusCode};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Where it is.
#[derive(Debug, clap::Args)]
pub(crate) struct Admin {
    /// The control plane's admin API.
    #[arg(long = "admin", value_name = "URL", env = "MESHWRIGHT_ADMIN", default_value = "http://127.0.0.1:15014")]
    url: String,
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

    async fn ask(&self, method: Method, path: &str, wait: Duration) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT.saturating_add(wait)).build()?;
        let hint = || format!("no answer from `{url}`; is the control plane running, and is --admin its admin address?");
        let response = client.request(method, &url).send().await.with_context(hint)?;
        let status = response.status();
        let answer: Value = response.json().await.with_context(hint)?;
        match answer.get("error").and_then(Value::as_str) {
            Some(error) if status != StatusCode::OK => anyhow::bail!("{error}"),
            _ => anyhow::ensure!(status == StatusCode::OK, "`{url}` answered {status}"),
        }
        Ok(answer)
    }
}
