//! Sidecar: which services a workload's proxy is told of.

use crate::age::Age;
use crate::host::Host;
use crate::key::DocumentKey;
use crate::mesh::OutboundTrafficPolicy;
use crate::reader::Reader;
use crate::record::record;
use crate::workload::Labels;

/// Whose services an entry of `egress.hosts` means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum EgressNamespace {
    /// `*`.
    Any,
    /// `.`: the workload's own, which is the document's where that is not the root namespace.
    Own,
    Named(String),
}

record! {
    /// One entry of `egress.hosts`.
    #[derive(Eq)]
    EgressHost {
        plain namespace: EgressNamespace,
        plain host: Host,
    }
}

record! {
    /// A Sidecar.
    #[derive(Eq)]
    Sidecar {
        plain key: DocumentKey,
        /// None: every workload of the namespace, or of the mesh when it is the root namespace.
        maybe selector: Labels,
        /// None: every service. Some and empty: no service.
        maybe egress: Vec<EgressHost>,
        /// What the workload may call that no ServiceEntry names, where it is not as in the rest of the mesh.
        maybe_copy outbound_traffic_policy: OutboundTrafficPolicy,
        plain age: Age,
    }
}

impl Sidecar {
    /// Whether the proxy of a workload in `namespace` is told of a service of `owner` that has `host`.
    #[must_use]
    pub fn imports(&self, namespace: &str, owner: &str, host: &Host) -> bool {
        let Some(egress) = &self.egress else { return true };
        egress.iter().any(|entry| {
            let of_namespace = match &entry.namespace {
                EgressNamespace::Any => true,
                EgressNamespace::Own => owner == namespace,
                EgressNamespace::Named(name) => owner == name,
            };
            of_namespace && entry.host.overlaps(host)
        })
    }

    pub(crate) fn read(spec: &Reader<'_>, key: DocumentKey, age: Age) -> Option<Self> {
        let selector = spec.get("workloadSelector");
        let labels = Some(selector.get("labels").labels()).filter(|labels| !labels.is_empty());
        if selector.is_present() && labels.is_none() {
            selector.get("labels").fail("at least one label is needed: leave the selector out to mean the whole namespace");
        }
        let listeners = spec.get("egress");
        let egress = listeners.is_present().then(|| {
            let hosts = listeners.required_items().iter().flat_map(|listener| listener.get("hosts").required_items()).collect::<Vec<_>>();
            hosts.iter().filter_map(read_host).flatten().collect()
        });
        let mode = spec.get("outboundTrafficPolicy").get("mode").text();
        let outbound_traffic_policy = mode.and_then(|word| OutboundTrafficPolicy::from_word(&word));
        Some(Self { key, selector: labels, egress, outbound_traffic_policy, age })
    }
}

/// `namespace/host`; `None` inside where it stands for nothing (`~/*`).
fn read_host(field: &Reader<'_>) -> Option<Option<EgressHost>> {
    let text = field.text()?;
    let Some((namespace, host)) = text.split_once('/') else {
        field.fail(format!("found `{text}`, expected `namespace/host`, `./host`, `*/host` or `~/*`"));
        return None;
    };
    let namespace = match namespace {
        "~" if host == "*" => return Some(None),
        "" | "~" => {
            field.fail(format!("found `{text}`, expected `namespace/host`, `./host`, `*/host` or `~/*`"));
            return None;
        }
        "*" => EgressNamespace::Any,
        "." => EgressNamespace::Own,
        name => EgressNamespace::Named(name.to_owned()),
    };
    let host = Host::parse(host).map_err(|error| field.fail(format!("`{text}`: {error}"))).ok()?;
    Some(Some(EgressHost { namespace, host }))
}
