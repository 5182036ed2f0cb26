//! What is known of each proxy: what it should hold, what it has acknowledged, what it refused. Fed by stream events and by the publisher,
//! read by the admin API. Holds no configuration and makes no decision.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use meshwright_xds::{ResourceType, Snapshot, StreamEvent, StreamId};
use serde::Serialize;
use tokio::sync::watch;

/// Name → version.
pub(crate) type Versions = BTreeMap<String, String>;

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
    pub(crate) types: BTreeMap<&'static str, TypeStatus>,
    /// Why its newest target could not be made; the one before stays.
    pub(crate) error: Option<String>,
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
