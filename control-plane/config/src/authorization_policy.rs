//! AuthorizationPolicy: who may do what. The rules are those of `meshwright_policy`, which also checks them.

use crate::key::DocumentKey;
use crate::peer_authentication::read_selector;
use crate::reader::Reader;
use crate::record::record;
use crate::workload::Labels;

record! {
    /// An AuthorizationPolicy.
    AuthorizationPolicy {
        plain key: DocumentKey,
        /// None: every workload in scope.
        maybe selector: Labels,
        list rules: serde_json::Value,
    }
}

impl AuthorizationPolicy {
    pub(crate) fn read(root: &Reader<'_>, key: DocumentKey) -> Option<Self> {
        let spec = root.get("spec");
        Some(Self { selector: read_selector(&spec.get("selector")), rules: Vec::new(), key })
    }
}
