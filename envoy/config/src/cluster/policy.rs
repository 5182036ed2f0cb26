//! The traffic policy of a cluster: load balancing, limits, ejection.

use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3 as pb;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::google::protobuf::UInt64Value;
use pb::cluster::{LbConfig, LbPolicy, MaglevLbConfig, RingHashLbConfig};

use crate::well_known::{duration, uint32};

/// How an endpoint is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadBalancer {
    LeastRequest,
    RoundRobin,
    Random,
    /// Consistent hashing; the route says of what.
    RingHash {
        minimum_ring_size: u64,
    },
    /// Consistent hashing; the route says of what.
    Maglev {
        table_size: u64,
    },
}

/// Limits of a cluster. None: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CircuitBreakers {
    pub max_connections: Option<u32>,
    pub max_pending_requests: Option<u32>,
    pub max_requests: Option<u32>,
    pub max_retries: Option<u32>,
}

/// When an endpoint that fails is left out for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutlierDetection {
    /// Zero: never for this reason.
    pub consecutive_5xx: u32,
    /// Zero: never for this reason.
    pub consecutive_gateway_errors: u32,
    /// Connect failures, counted apart from responses; none: counted among them.
    pub consecutive_local_origin_failures: Option<u32>,
    pub interval: Duration,
    pub base_ejection_time: Duration,
    pub max_ejection_percent: u32,
    /// Below this share of healthy endpoints all of them are used.
    pub min_health_percent: u32,
}

/// TCP keepalive probes; none: the operating system's value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TcpKeepalive {
    pub probes: Option<u32>,
    pub time: Option<Duration>,
    pub interval: Option<Duration>,
}

impl LoadBalancer {
    pub(super) fn build(self) -> (LbPolicy, Option<LbConfig>) {
        match self {
            Self::LeastRequest => (LbPolicy::LeastRequest, None),
            Self::RoundRobin => (LbPolicy::RoundRobin, None),
            Self::Random => (LbPolicy::Random, None),
            Self::RingHash { minimum_ring_size } => {
                let size = Some(UInt64Value { value: minimum_ring_size });
                (LbPolicy::RingHash, Some(LbConfig::RingHashLbConfig(RingHashLbConfig { minimum_ring_size: size, ..Default::default() })))
            }
            Self::Maglev { table_size } => {
                let table_size = Some(UInt64Value { value: table_size });
                (LbPolicy::Maglev, Some(LbConfig::MaglevLbConfig(MaglevLbConfig { table_size })))
            }
        }
    }
}

impl CircuitBreakers {
    /// Envoy's own defaults are 1024 of each and 3 retries; Istio's, and so ours, are none.
    pub(super) fn build(self) -> pb::CircuitBreakers {
        let limit = |limit: Option<u32>| uint32(limit.unwrap_or(u32::MAX));
        pb::CircuitBreakers {
            thresholds: vec![pb::circuit_breakers::Thresholds {
                max_connections: limit(self.max_connections),
                max_pending_requests: limit(self.max_pending_requests),
                max_requests: limit(self.max_requests),
                max_retries: limit(self.max_retries),
                track_remaining: true,
                ..Default::default()
            }],
            ..Default::default()
        }
    }
}

impl OutlierDetection {
    pub(super) fn build(&self) -> pb::OutlierDetection {
        let enforcing = |threshold: u32| uint32(if threshold == 0 { 0 } else { 100 });
        let counted = |threshold: u32| if threshold == 0 { None } else { uint32(threshold) };
        let local = self.consecutive_local_origin_failures;
        pb::OutlierDetection {
            consecutive_5xx: counted(self.consecutive_5xx),
            enforcing_consecutive_5xx: enforcing(self.consecutive_5xx),
            consecutive_gateway_failure: counted(self.consecutive_gateway_errors),
            enforcing_consecutive_gateway_failure: enforcing(self.consecutive_gateway_errors),
            split_external_local_origin_errors: local.is_some(),
            consecutive_local_origin_failure: local.and_then(counted),
            enforcing_consecutive_local_origin_failure: local.and_then(enforcing),
            interval: duration(self.interval),
            base_ejection_time: duration(self.base_ejection_time),
            max_ejection_percent: uint32(self.max_ejection_percent),
            // Istio has no statistical ejection.
            enforcing_success_rate: uint32(0),
            ..Default::default()
        }
    }

    pub(super) fn panic_threshold(&self) -> pb::cluster::CommonLbConfig {
        pb::cluster::CommonLbConfig {
            healthy_panic_threshold: Some(envoy_types::pb::envoy::r#type::v3::Percent { value: f64::from(self.min_health_percent) }),
            ..Default::default()
        }
    }
}

impl TcpKeepalive {
    pub(super) fn build(self) -> core::TcpKeepalive {
        let seconds = |time: Option<Duration>| time.and_then(|time| uint32(u32::try_from(time.as_secs()).unwrap_or(u32::MAX)));
        core::TcpKeepalive {
            keepalive_probes: self.probes.and_then(uint32),
            keepalive_time: seconds(self.time),
            keepalive_interval: seconds(self.interval),
        }
    }
}
