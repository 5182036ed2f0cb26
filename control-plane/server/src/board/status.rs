//! What `status` shows of a proxy, and what the rollover of a root looks at.

use std::collections::BTreeMap;

use meshwright_ca::ObservedProxy;
use meshwright_xds::{ResourceType, Snapshot};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::Entry;
use crate::refusals::Refused;

/// The secret that holds the roots.
const TRUST_BUNDLE: &str = "trust-bundle";

/// One proxy, as `status` shows it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ProxyStatus {
    pub(crate) node: String,
    pub(crate) identity: String,
    pub(crate) envoy: String,
    pub(crate) connected: bool,
    /// The revision of the configuration from which its target was made.
    pub(crate) revision: u64,
    /// Everything it should hold is acknowledged.
    pub(crate) in_sync: bool,
    pub(crate) certificate_expires: Option<String>,
    /// How many resources it should hold, and their bytes.
    pub(crate) resources: usize,
    pub(crate) bytes: usize,
    pub(crate) types: BTreeMap<&'static str, TypeStatus>,
    /// Why its newest target could not be made; the one before stays.
    pub(crate) error: Option<String>,
    /// Documents that it does not take: its target has their last good versions.
    pub(crate) refused: Vec<Refused>,
}

/// One resource type of one proxy.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct TypeStatus {
    /// How many resources it should hold.
    pub(crate) target: usize,
    /// How many of these it has acknowledged.
    pub(crate) acknowledged: usize,
    /// A hash of names and versions, the same for proxies that hold the same.
    pub(crate) version: String,
    pub(crate) nacks: Vec<Nack>,
}

/// A response that the proxy refused, with Envoy's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Nack {
    pub(crate) resources: Vec<String>,
    pub(crate) message: String,
}

impl Entry {
    pub(super) fn status(&self, node: &str) -> ProxyStatus {
        let types = ResourceType::ALL.iter().filter_map(|kind| Some((kind.short_name(), self.type_status(*kind)?))).collect();
        ProxyStatus {
            node: node.to_owned(),
            identity: self.identity.clone(),
            envoy: self.envoy.clone(),
            connected: self.streams > 0,
            revision: self.revision,
            in_sync: self.in_sync(),
            certificate_expires: self.certificate_expires.clone(),
            resources: self.target.iter().flat_map(|target| ResourceType::ALL.map(|kind| target.resources(kind).count())).sum(),
            bytes: self.target.iter().flat_map(|target| ResourceType::ALL.map(|kind| bytes(target, kind))).sum(),
            types,
            error: self.error.clone(),
            refused: self.refused.clone(),
        }
    }

    pub(super) fn observed(&self, node: &str) -> ObservedProxy {
        // What could not be made is not what it should hold.
        let wanted = self.target.as_ref().and_then(|target| target.get(ResourceType::Secret, TRUST_BUNDLE));
        let held = self.version_of(ResourceType::Secret, TRUST_BUNDLE);
        let holds = self.error.is_none() && wanted.is_some_and(|bundle| held == Some(bundle.version()));
        ObservedProxy { name: node.to_owned(), identity: self.identity.clone(), holds, away_since: self.away_since }
    }

    fn type_status(&self, kind: ResourceType) -> Option<TypeStatus> {
        let target = self.target.as_ref()?;
        let resources: Vec<_> = target.resources(kind).collect();
        let acknowledged = resources.len().saturating_sub(self.held.lacking(target, kind));
        let mut hash = Sha256::new();
        for resource in &resources {
            hash.update(resource.name());
            hash.update([0]);
            hash.update(resource.version());
            hash.update([0]);
        }
        let version = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let nacks = self.nacks.get(&kind).cloned().unwrap_or_default();
        Some(TypeStatus { target: resources.len(), acknowledged, version, nacks })
    }
}

fn bytes(target: &Snapshot, kind: ResourceType) -> usize {
    target.resources(kind).map(|resource| resource.body().len()).sum()
}
