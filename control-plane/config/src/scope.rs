//! Which workloads a security document is for: those that its `selector` chooses, or those that serve the gateways of its `targetRefs`.

use crate::peer_authentication::read_selector;
use crate::reader::Reader;
use crate::workload::Labels;

/// Istio's limit.
const MOST_TARGETS: usize = 16;
const GATEWAY_GROUP: &str = "networking.istio.io";

/// Whom a document is for, within the namespaces that its own namespace reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every workload.
    Everyone,
    /// Workloads with these labels.
    Selected(Labels),
    /// Workloads that serve one of these Gateways of the document's namespace; never any other.
    Gateways(Vec<String>),
}

impl Scope {
    /// The names of the gateways; empty where the document is not for gateways.
    #[must_use]
    pub fn gateways(&self) -> &[String] {
        match self {
            Self::Gateways(names) => names,
            Self::Everyone | Self::Selected(_) => &[],
        }
    }

    /// Reads `selector` and `targetRefs` of a document in `namespace`.
    pub(crate) fn read(spec: &Reader<'_>, namespace: &str) -> Self {
        let targets = spec.get("targetRefs");
        let selected = read_selector(&spec.get("selector")).map_or(Self::Everyone, Self::Selected);
        if !targets.is_present() {
            return selected;
        }
        if spec.get("selector").is_present() {
            targets.fail("stands beside `selector`: one of the two is allowed");
        }
        let items = targets.required_items();
        if items.len() > MOST_TARGETS {
            targets.fail(format!("found {} entries, at most {MOST_TARGETS} are allowed", items.len()));
        }
        Self::Gateways(items.iter().filter_map(|item| read_target(item, namespace)).collect())
    }
}

fn read_target(field: &Reader<'_>, namespace: &str) -> Option<String> {
    let (group, kind) = (field.get("group"), field.get("kind"));
    if let Some(found) = kind.required_text() {
        let group_name = group.text().unwrap_or_default();
        match (group_name.as_str(), found.as_str()) {
            (GATEWAY_GROUP, "Gateway") => {}
            (_, "Gateway") => {
                group.fail(format!("found `{group_name}`, allowed: `{GATEWAY_GROUP}`, whose Gateways are what there is here"));
            }
            (_, "Service" | "ServiceEntry") => {
                kind.fail(format!("`{found}` is served by a waypoint, and there are none here: allowed is `Gateway`, or a `selector`"));
            }
            _ => kind.fail(format!("`{found}` is nothing that proxies serve here: allowed is `Gateway` of the group `{GATEWAY_GROUP}`")),
        }
    }
    let other = field.get("namespace");
    if let Some(found) = other.text().filter(|found| found != namespace) {
        other.fail(format!("`{found}`: a target is in the document's own namespace, `{namespace}`; Istio never matches any other"));
    }
    field.get("name").required_text()
}
