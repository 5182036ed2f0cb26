//! WorkloadEntry: one instance of a service, its address, labels and identity.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use crate::host::Host;
use crate::key::DocumentKey;
use crate::reader::Reader;
use crate::record::record;

/// Labels of a workload, or those a selector asks for.
pub type Labels = BTreeMap<String, String>;

/// Where a workload listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    Ip(IpAddr),
    /// Resolved by the proxy that calls it.
    Name(Host),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(host) => host.fmt(f),
        }
    }
}

record! {
    /// `region/zone/subzone`; what is missing on the right is empty.
    #[derive(Eq)]
    Locality {
        text region,
        text zone,
        text subzone,
    }
}

/// One instance of a service: a WorkloadEntry, or an endpoint that a ServiceEntry lists itself. There are many, and each edit makes a new list
/// of them: a copy shares what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload(Arc<WorkloadFields>);

impl Deref for Workload {
    type Target = WorkloadFields;

    fn deref(&self) -> &WorkloadFields {
        &self.0
    }
}

record! {
    /// What is known of a [`Workload`].
    #[derive(Eq)]
    WorkloadFields {
        /// The WorkloadEntry, or the ServiceEntry that lists it.
        plain key: DocumentKey,
        plain address: Address,
        /// By the name of the service's port: the number on which this instance serves it.
        plain ports: BTreeMap<String, u16>,
        plain labels: Labels,
        /// With the namespace, the identity: `spiffe://<trust domain>/ns/<namespace>/sa/<service account>`.
        text service_account,
        maybe locality: Locality,
        /// Share of the load relative to the service's other instances; 1 unless told.
        copy weight: u32,
    }
}

/// The service account of a workload that does not name one.
pub const DEFAULT_SERVICE_ACCOUNT: &str = "default";

/// Label by which a workload says that no proxy is in front of it; Istio's.
const TLS_MODE_LABEL: &str = "security.istio.io/tlsMode";

impl Workload {
    /// Whether a proxy of the mesh takes what comes for it.
    #[must_use]
    pub fn has_proxy(&self) -> bool {
        self.labels.get(TLS_MODE_LABEL).is_none_or(|mode| mode != "disabled")
    }

    #[must_use]
    pub fn namespace(&self) -> &str {
        self.key.namespace()
    }

    #[must_use]
    pub fn name(&self) -> &str {
        self.key.name()
    }

    /// Reads a WorkloadEntry's `spec`, or one of a ServiceEntry's `endpoints`. `labels`: those of the document's metadata.
    pub(crate) fn read(spec: &Reader<'_>, key: DocumentKey, labels: &Labels) -> Option<Self> {
        let address = spec.get("address").required().and_then(|field| read_address(&field));
        let ports = spec.get("ports").entries().into_iter().filter_map(|(name, port)| Some((name, port.port()?))).collect();
        let account = spec.get("serviceAccount");
        let service_account = account.text().unwrap_or_else(|| DEFAULT_SERVICE_ACCOUNT.to_owned());
        if !is_path_segment(&service_account) {
            account.fail(format!("`{service_account}` cannot be part of an identity: `A-Z`, `a-z`, `0-9`, `.`, `-` and `_` are allowed"));
        }
        // Istio: a workload's labels are those of its spec over those of its metadata.
        let mut all = labels.clone();
        all.extend(spec.get("labels").labels());
        Some(Self(Arc::new(WorkloadFields {
            key,
            address: address?,
            ports,
            labels: all,
            service_account,
            locality: read_locality(&spec.get("locality")),
            weight: spec.get("weight").integer(1..=i64::from(u32::MAX)).unwrap_or(1),
        })))
    }

    /// Whether it differs from another only in its name, where it is and what share of the load it takes.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.namespace() == other.namespace()
            && self.labels == other.labels
            && self.ports == other.ports
            && self.service_account == other.service_account
    }
}

fn read_address(field: &Reader<'_>) -> Option<Address> {
    let text = field.text()?;
    if text.starts_with("unix:") {
        field.fail("a Unix socket is not supported yet: an IP address or a DNS name is allowed");
        return None;
    }
    if let Ok(ip) = text.parse() {
        return Some(Address::Ip(ip));
    }
    match Host::parse(&text) {
        Ok(host) if host.is_wildcard() => field.fail(format!("`{text}` has a wildcard: an IP address or a DNS name is allowed")),
        Ok(host) => return Some(Address::Name(host)),
        Err(error) => field.fail(format!("found `{text}`, expected an IP address or a DNS name: {error}")),
    }
    None
}

fn read_locality(field: &Reader<'_>) -> Option<Locality> {
    let text = field.text()?;
    let mut parts = text.split('/');
    let mut next = || parts.next().unwrap_or_default().to_owned();
    let locality = Locality { region: next(), zone: next(), subzone: next() };
    if locality.region.is_empty() || parts.next().is_some() {
        field.fail(format!("found `{text}`, expected `region`, `region/zone` or `region/zone/subzone`"));
    }
    Some(locality)
}

fn is_path_segment(text: &str) -> bool {
    !text.is_empty() && text != "." && text != ".." && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}
