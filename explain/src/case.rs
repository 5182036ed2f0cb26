//! A case: documents, a workload, and one request or connection that comes to it. Strict: what is not understood is an error.

mod wire;

use std::collections::BTreeMap;
use std::net::IpAddr;

use meshwright_policy::wire::Protocol;
use serde_json::Value;

/// One question.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    pub(crate) id: Value,
    pub(crate) source: Source,
    pub(crate) workload: Asked,
    pub(crate) connection: Connection,
    /// None for a TCP connection.
    pub(crate) request: Option<Request>,
    /// Seconds since the epoch; `None` is whatever time it is.
    pub(crate) now: Option<u64>,
}

/// Where the documents are.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// In the case itself.
    Text(String),
    Directory(String),
}

/// The workload that is called. What the case does not say is what the documents say of the WorkloadEntry of this name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) service_account: Option<String>,
    pub(crate) labels: Option<BTreeMap<String, String>>,
}

/// What the proxy knows of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) protocol: Protocol,
    /// The workload's.
    pub(crate) port: u16,
    pub(crate) destination_ip: Option<IpAddr>,
    /// Who opened it.
    pub(crate) source_ip: IpAddr,
    /// The SPIFFE ID of a verified certificate; `None` is plaintext.
    pub(crate) principal: Option<String>,
    /// Of the certificate; lower case hexadecimal digits, empty where the question does not say it.
    pub(crate) serial: String,
    pub(crate) sni: Option<String>,
}

/// The head of a request as it is on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) host: String,
    pub(crate) headers: Vec<(String, String)>,
    /// Instead of what `x-forwarded-for` says.
    pub(crate) remote_ip: Option<IpAddr>,
}

/// Why a line is no case.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct InvalidCase {
    pub(crate) id: Value,
    message: String,
}

impl Case {
    /// # Errors
    /// [`InvalidCase`] with the field that is wrong, and the case's id where it could be read.
    pub fn from_json(json: &[u8]) -> Result<Self, InvalidCase> {
        wire::read(json)
    }
}
