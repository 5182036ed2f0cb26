//! What the authority keeps beside its keys, in `state.json`: where a rollover stands, and how long leaves may live.

use std::io;
use std::path::Path;

use meshwright_identity::TrustDomain;
use serde::{Deserialize, Serialize};

use super::OpenError;
use crate::rollover::Phase;
use crate::store::{self, StoreError, io_error};

pub(super) const STATE: &str = "state.json";
const VERSION: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    version: u32,
    pub(super) trust_domain: TrustDomain,
    pub(super) phase: Phase,
    /// The longest life, in seconds, of leaves that the last process issued.
    pub(super) leaf_ttl: u64,
    /// Leaves of processes before that with a longer one end by then: seconds since 1970.
    pub(super) leaves_until: u64,
}

impl State {
    pub(super) fn new(trust_domain: TrustDomain, phase: Phase, leaf_ttl: u64) -> Self {
        Self { version: VERSION, trust_domain, phase, leaf_ttl, leaves_until: 0 }
    }

    pub(super) fn load(dir: &Path) -> Result<Option<Self>, OpenError> {
        let path = dir.join(STATE);
        let Some(content) = store::read(&path)? else { return Ok(None) };
        let invalid = |reason: String| OpenError::State { path: path.clone(), reason };
        let state: Self = serde_json::from_slice(&content).map_err(|error| invalid(error.to_string()))?;
        if state.version == VERSION {
            return Ok(Some(state));
        }
        Err(invalid(format!("version: found {}, allowed {VERSION}", state.version)))
    }

    pub(super) fn save(&self, dir: &Path) -> Result<(), StoreError> {
        let content = serde_json::to_vec_pretty(self).map_err(|error| io_error(&dir.join(STATE), "written")(io::Error::other(error)))?;
        store::write(dir, STATE, &content)
    }
}
