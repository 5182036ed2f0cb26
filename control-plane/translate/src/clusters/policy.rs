//! A DestinationRule's traffic policy, but for TLS.

use std::time::Duration;

use meshwright_config::{ConnectionPool, LoadBalancer, OutlierDetection, TrafficPolicy};
use meshwright_envoy_config::cluster::{self, CircuitBreakers, Cluster, Discovery, UpstreamTls};

/// Istio's `connectTimeout` where none is said.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A cluster of the defaults, without endpoints.
pub(crate) fn base_cluster(name: &str) -> Cluster {
    Cluster {
        name: name.to_owned(),
        discovery: Discovery::Nowhere,
        tls: UpstreamTls::None,
        http: None,
        connect_timeout: CONNECT_TIMEOUT,
        load_balancer: cluster::LoadBalancer::LeastRequest,
        circuit_breakers: CircuitBreakers::default(),
        outlier_detection: None,
        tcp_keepalive: None,
    }
}

pub(super) fn apply(cluster: Cluster, traffic: &TrafficPolicy) -> Cluster {
    Cluster {
        load_balancer: match traffic.load_balancer() {
            None | Some(LoadBalancer::LeastRequest) => cluster::LoadBalancer::LeastRequest,
            Some(LoadBalancer::RoundRobin) => cluster::LoadBalancer::RoundRobin,
            Some(LoadBalancer::Random) => cluster::LoadBalancer::Random,
        },
        connect_timeout: traffic.connection_pool().and_then(ConnectionPool::connect_timeout).unwrap_or(CONNECT_TIMEOUT),
        circuit_breakers: traffic.connection_pool().map(limits).unwrap_or_default(),
        outlier_detection: traffic.outlier_detection().map(outliers),
        ..cluster
    }
}

pub(crate) fn limits(pool: &ConnectionPool) -> CircuitBreakers {
    CircuitBreakers {
        max_connections: pool.max_connections(),
        max_pending_requests: pool.http1_max_pending_requests(),
        max_requests: pool.http2_max_requests(),
        max_retries: pool.max_retries(),
    }
}

fn outliers(detection: &OutlierDetection) -> cluster::OutlierDetection {
    cluster::OutlierDetection {
        consecutive_5xx: detection.consecutive_5xx_errors(),
        consecutive_gateway_errors: detection.consecutive_gateway_errors().unwrap_or(0),
        consecutive_local_origin_failures: None,
        interval: detection.interval(),
        base_ejection_time: detection.base_ejection_time(),
        max_ejection_percent: detection.max_ejection_percent(),
        min_health_percent: detection.min_health_percent(),
    }
}
