//! Requests as an app behind a sidecar sends them, and what came back in words.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Method, Proxy, Url};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(10);

/// What came back: a status and a body, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Reply {
        status: u16,
        body: String,
    },
    /// The connection was refused, closed or reset before a response.
    Closed,
}

impl Answer {
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Reply { status, .. } => Some(*status),
            Self::Closed => None,
        }
    }

    /// The body as JSON; null when it is not.
    #[must_use]
    pub fn json(&self) -> Value {
        match self {
            Self::Reply { body, .. } => serde_json::from_str(body).unwrap_or(Value::Null),
            Self::Closed => Value::Null,
        }
    }

    /// `200`, `403 RBAC: access denied`, `connection closed`: success needs no body, a refusal shows its own.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::Reply { status, .. } if *status < 300 => status.to_string(),
            Self::Reply { status, body } => format!("{status} {}", body.trim()).trim_end().to_owned(),
            Self::Closed => "connection closed".to_owned(),
        }
    }
}

/// Sends requests in one of the ways that a caller in the mesh can.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
}

impl Client {
    /// As the app beside a sidecar whose outbound listener is at `outbound`.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub fn behind(outbound: SocketAddr) -> anyhow::Result<Self> {
        let proxy = Proxy::http(format!("http://{outbound}"))?;
        Ok(Self { http: reqwest::Client::builder().proxy(proxy).timeout(TIMEOUT).build()? })
    }

    /// As somebody outside the mesh, with no identity.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub fn outside() -> anyhow::Result<Self> {
        Ok(Self { http: reqwest::Client::builder().no_proxy().timeout(TIMEOUT).build()? })
    }

    /// As a browser that finds `host` at `gateway` and trusts `root` (PEM).
    ///
    /// # Errors
    /// When `root` is not a certificate.
    pub fn browser(host: &str, gateway: SocketAddr, root_pem: &str) -> anyhow::Result<Self> {
        let root = reqwest::Certificate::from_pem(root_pem.as_bytes())?;
        let http = reqwest::Client::builder().no_proxy().timeout(TIMEOUT).resolve(host, gateway).tls_certs_only([root]).build()?;
        Ok(Self { http })
    }

    /// # Errors
    /// When the URL is not one, or no answer comes in time. A closed connection is an answer.
    pub async fn send(&self, method: &str, url: &str, headers: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let mut request = self.http.request(Method::from_bytes(method.as_bytes())?, Url::parse(url)?);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_timeout() || error.is_builder() => return Err(error.into()),
            Err(_closed) => return Ok(Answer::Closed),
        };
        let status = response.status().as_u16();
        match response.text().await {
            Ok(body) => Ok(Answer::Reply { status, body }),
            Err(_cut) => Ok(Answer::Closed),
        }
    }

    /// # Errors
    /// As [`Client::send`].
    pub async fn get(&self, url: &str) -> anyhow::Result<Answer> {
        self.send("GET", url, &[]).await
    }
}
