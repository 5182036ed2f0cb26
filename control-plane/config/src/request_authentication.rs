//! RequestAuthentication: whose tokens are taken. The rules are those of `meshwright_policy`, which also checks them.

use crate::key::DocumentKey;
use crate::peer_authentication::read_selector;
use crate::reader::Reader;
use crate::record::record;
use crate::workload::Labels;

record! {
    /// A RequestAuthentication.
    RequestAuthentication {
        plain key: DocumentKey,
        maybe selector: Labels,
        list jwt_rules: serde_json::Value,
    }
}

impl RequestAuthentication {
    pub(crate) fn read(spec: &Reader<'_>, key: DocumentKey) -> Option<Self> {
        Some(Self { selector: read_selector(&spec.get("selector")), jwt_rules: Vec::new(), key })
    }
}
