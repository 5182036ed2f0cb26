//! A test file as it is written. Unknown fields are errors.

mod short;

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

pub(crate) use short::{HeaderValues, Short};

/// Tests of the policies of one mesh.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
#[schemars(rename = "PolicyTests")]
pub(crate) struct FileWire {
    /// What this is about, for readers.
    pub(crate) description: Option<String>,
    /// Files and folders of documents, relative to this file; its own folder if not said. Of a folder every `*.yaml` and `*.yml` is read; a
    /// file that is named, whatever it is called.
    pub(crate) documents: Option<Vec<String>>,
    /// When everything happens, as RFC 3339 writes it; 2026-01-01T00:00:00Z if not said.
    pub(crate) now: Option<String>,
    /// Keys to sign tokens with, by name. The same name and algorithm are the same key in every run.
    pub(crate) keys: BTreeMap<String, AlgorithmWire>,
    /// Issuers whose keys, in these tests, are the named ones instead of those that RequestAuthentication says.
    pub(crate) issuers: BTreeMap<String, Vec<String>>,
    /// Tokens, by name: to be signed, or a text that is sent as it is.
    pub(crate) tokens: BTreeMap<String, Short<TokenWire>>,
    /// At least one.
    #[schemars(with = "Vec<TestWire>")]
    pub(crate) tests: Vec<Spanned<TestWire>>,
}

/// An algorithm of RFC 7518 section 3.1 or RFC 8037.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(rename = "Algorithm")]
pub(crate) enum AlgorithmWire {
    #[serde(rename = "RS256")]
    Rs256,
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "EdDSA")]
    EdDsa,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
#[schemars(rename = "Token")]
pub(crate) struct TokenWire {
    /// The claim `iss`.
    pub(crate) issuer: String,
    /// Whose signature it has; the first of the issuer's if not said.
    pub(crate) key: Option<String>,
    /// Seconds after `now` at which it ends, negative for one that is over; 3600 if not said.
    pub(crate) expires_in: Option<i64>,
    /// All others, such as `sub` and `aud`. One that is null is left out, also `iss`, `iat` and `exp`.
    pub(crate) claims: Map<String, Value>,
    /// Not signed, but as it is.
    #[serde(skip)]
    #[schemars(skip)]
    pub(crate) text: Option<String>,
}

/// One request or connection and what must become of it, or a table of them that have all but the columns in common.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
#[schemars(rename = "Test")]
pub(crate) struct TestWire {
    /// Each test of a file has another.
    pub(crate) name: Option<String>,
    /// Who is called: `NAMESPACE/NAME` of a WorkloadEntry, or a workload that there need not be.
    pub(crate) workload: Option<Short<WorkloadWire>>,
    /// The workload's port; the first that its services have if not said, else 8080.
    #[schemars(range(min = 1))]
    pub(crate) port: Option<u16>,
    /// A TCP connection instead of a request. If not said, what the workload's services say of the port.
    pub(crate) tcp: Option<bool>,
    /// Who calls: `NAMESPACE/SERVICE-ACCOUNT` of the mesh, a SPIFFE ID with `spiffe://`, or `plaintext`, which it is if not said.
    pub(crate) from: Option<String>,
    /// `GET` if not said.
    pub(crate) method: Option<String>,
    /// As on the wire, with the query; `/` if not said.
    pub(crate) path: Option<String>,
    /// `NAME.NAMESPACE` of the workload if not said.
    pub(crate) host: Option<String>,
    pub(crate) headers: BTreeMap<String, HeaderValues>,
    /// The name of a token, sent as `authorization: Bearer`.
    pub(crate) token: Option<String>,
    /// Who opens the connection; 127.0.0.1 if not said.
    pub(crate) source_ip: Option<IpAddr>,
    /// Who sent the request; what `x-forwarded-for` says if not said, else the source.
    pub(crate) remote_ip: Option<IpAddr>,
    /// The WorkloadEntry's address if not said, else 127.0.0.1.
    pub(crate) destination_ip: Option<IpAddr>,
    /// The server name that the caller's TLS asks for.
    pub(crate) sni: Option<String>,
    /// Instead of the file's.
    pub(crate) now: Option<String>,
    /// What must become of it: `allow`, `deny` or `ask` (allowed if an external authorizer agrees), or more.
    pub(crate) expect: Option<Short<ExpectWire>>,
    /// The rest of each case: rows under columns.
    #[serde(skip_serializing)]
    pub(crate) table: Option<TableWire>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Table")]
pub(crate) struct TableWire {
    /// Fields of a test: `path`, `headers.x-user`, `expect`, `expect.reason`.
    pub(crate) columns: Vec<String>,
    /// One case each: a value for every column, of which null is as if the field were not there.
    #[schemars(with = "Vec<Vec<Value>>")]
    pub(crate) rows: Vec<Spanned<Vec<Value>>>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
#[schemars(rename = "Workload")]
pub(crate) struct WorkloadWire {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The WorkloadEntry's if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service_account: Option<String>,
    /// The WorkloadEntry's if not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) labels: Option<BTreeMap<String, String>>,
}

/// What must become of a case; what is not said may be anything.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
#[schemars(rename = "Expectation")]
pub(crate) struct ExpectWire {
    pub(crate) decision: Option<DecisionWire>,
    /// What the client gets: 200, 400, 401 or 403.
    pub(crate) status: Option<u16>,
    /// `NAMESPACE/NAME` of the AuthorizationPolicy that decides.
    pub(crate) policy: Option<String>,
    /// Index of the rule in it, from 0.
    pub(crate) rule: Option<u32>,
    /// As in the access log.
    pub(crate) reason: Option<String>,
    /// As policies see it, without query.
    pub(crate) path: Option<String>,
    /// `ISSUER/SUBJECT` of the verified token.
    pub(crate) request_principal: Option<String>,
    /// Headers as the app receives them; null for one that it must not receive.
    pub(crate) headers: BTreeMap<String, Option<HeaderValues>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Decision")]
pub(crate) enum DecisionWire {
    Allow,
    Deny,
    Ask,
}

impl DecisionWire {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Ask => "ask",
        }
    }
}

/// The JSON Schema of test files, for editors.
#[must_use]
pub fn schema() -> Value {
    let mut schema = schemars::generate::SchemaSettings::draft07().into_generator().into_root_schema_for::<FileWire>();
    schema.insert("title".to_owned(), "Meshwright policy tests".into());
    schema.to_value()
}
