//! PeerAuthentication: whether workloads take mutual TLS, plaintext, or both.

use std::collections::BTreeMap;

use crate::age::Age;
use crate::key::DocumentKey;
use crate::reader::Reader;
use crate::record::{record, words};
use crate::workload::Labels;

words! {
    /// What a workload takes. What says `UNSET` has none and inherits.
    MtlsMode {
        Disable = "DISABLE",
        Permissive = "PERMISSIVE",
        Strict = "STRICT",
    }
}

record! {
    /// A PeerAuthentication.
    #[derive(Eq)]
    PeerAuthentication {
        plain key: DocumentKey,
        /// None: the whole namespace, or the mesh when it is the root namespace.
        maybe selector: Labels,
        maybe_copy mode: MtlsMode,
        /// By workload port.
        plain port_modes: BTreeMap<u16, Option<MtlsMode>>,
        plain age: Age,
    }
}

impl PeerAuthentication {
    pub(crate) fn read(spec: &Reader<'_>, key: DocumentKey, age: Age) -> Option<Self> {
        let selector = read_selector(&spec.get("selector"));
        let ports = spec.get("portLevelMtls");
        let port_modes: BTreeMap<u16, Option<MtlsMode>> =
            ports.entries().into_iter().filter_map(|(number, field)| Some((port_number(&number, &field)?, read_mode(&field)))).collect();
        if ports.is_present() {
            if selector.is_none() {
                ports.fail("needs a `selector` with labels: ports are those of chosen workloads");
            }
            if port_modes.is_empty() {
                ports.fail("needs at least one port");
            }
        }
        Some(Self { key, selector, mode: read_mode(&spec.get("mtls")), port_modes, age })
    }
}

/// A policy's `selector`; an empty one is as good as none.
pub(crate) fn read_selector(field: &Reader<'_>) -> Option<Labels> {
    Some(field.get("matchLabels").labels()).filter(|labels| !labels.is_empty())
}

fn read_mode(field: &Reader<'_>) -> Option<MtlsMode> {
    field.get("mode").word(MtlsMode::from_word)
}

fn port_number(text: &str, field: &Reader<'_>) -> Option<u16> {
    let number = text.parse::<u16>().ok().filter(|number| *number > 0);
    if number.is_none() {
        field.fail(format!("found the port `{text}`, expected 1 to 65535"));
    }
    number
}
