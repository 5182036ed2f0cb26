//! DestinationRule: how a service is called once a route has chosen it.

use std::time::Duration;

use crate::host::Host;
use crate::key::DocumentKey;
use crate::reader::Reader;
use crate::record::{record, words};
use crate::workload::Labels;

words! {
    /// How one of a service's instances is chosen.
    LoadBalancer {
        LeastRequest = "LEAST_REQUEST",
        RoundRobin = "ROUND_ROBIN",
        Random = "RANDOM",
    }
}

words! {
    /// What the caller speaks below the application's protocol.
    ClientTlsMode {
        /// Plaintext.
        Disable = "DISABLE",
        /// TLS that authenticates the server only.
        Simple = "SIMPLE",
        /// Mutual TLS with the workload's own identity.
        IstioMutual = "ISTIO_MUTUAL",
    }
}

record! {
    /// `trafficPolicy.tls`.
    #[derive(Eq)]
    ClientTls {
        copy mode: ClientTlsMode,
        maybe_text sni,
        /// Names of which the server's certificate must have one; with none, see the mode.
        list subject_alt_names: String,
        /// File of the calling proxy with the roots that are trusted; the system's when there is none. Only with `SIMPLE`.
        maybe_text ca_certificates,
    }
}

record! {
    /// `trafficPolicy.connectionPool`: nothing is limited that is not said.
    #[derive(Eq, Default)]
    ConnectionPool {
        maybe_copy max_connections: u32,
        maybe_copy connect_timeout: Duration,
        maybe_copy http1_max_pending_requests: u32,
        maybe_copy http2_max_requests: u32,
        maybe_copy max_requests_per_connection: u32,
        maybe_copy max_retries: u32,
        maybe_copy http_idle_timeout: Duration,
    }
}

record! {
    /// `trafficPolicy.outlierDetection`, with Istio's defaults filled in.
    #[derive(Eq)]
    OutlierDetection {
        /// 0 switches it off.
        copy consecutive_5xx_errors: u32,
        /// Off unless told.
        maybe_copy consecutive_gateway_errors: u32,
        copy interval: Duration,
        copy base_ejection_time: Duration,
        copy max_ejection_percent: u32,
        copy min_health_percent: u32,
    }
}

record! {
    /// `trafficPolicy`, of a service or of one of its subsets.
    #[derive(Eq, Default)]
    TrafficPolicy {
        maybe_copy load_balancer: LoadBalancer,
        maybe connection_pool: ConnectionPool,
        maybe outlier_detection: OutlierDetection,
        maybe tls: ClientTls,
    }
}

record! {
    /// Some of a service's instances, chosen by labels.
    #[derive(Eq)]
    Subset {
        text name,
        plain labels: Labels,
        maybe traffic_policy: TrafficPolicy,
    }
}

record! {
    /// A DestinationRule.
    #[derive(Eq)]
    DestinationRule {
        plain key: DocumentKey,
        /// As written; a short name is completed when the state is assembled.
        plain host: Host,
        plain traffic_policy: TrafficPolicy,
        list subsets: Subset,
    }
}

impl DestinationRule {
    #[must_use]
    pub fn subset(&self, name: &str) -> Option<&Subset> {
        self.subsets.iter().find(|subset| subset.name == name)
    }

    /// The policy for a subset, or for the service as a whole: what a subset says replaces, block by block, what the service says.
    #[must_use]
    pub fn effective_traffic_policy(&self, subset: Option<&str>) -> TrafficPolicy {
        let own = subset.and_then(|name| self.subset(name)).and_then(Subset::traffic_policy).cloned().unwrap_or_default();
        let base = &self.traffic_policy;
        TrafficPolicy {
            load_balancer: own.load_balancer.or(base.load_balancer),
            connection_pool: own.connection_pool.or_else(|| base.connection_pool.clone()),
            outlier_detection: own.outlier_detection.or_else(|| base.outlier_detection.clone()),
            tls: own.tls.or_else(|| base.tls.clone()),
        }
    }

    pub(crate) fn read(spec: &Reader<'_>, key: DocumentKey) -> Option<Self> {
        let host = spec.get("host").required().and_then(|field| field.host());
        let fields = spec.get("subsets").items();
        let subsets: Vec<Subset> = fields.iter().filter_map(read_subset).collect();
        for (index, subset) in subsets.iter().enumerate() {
            if subsets.iter().take(index).any(|earlier| earlier.name == subset.name)
                && let Some(field) = fields.get(index)
            {
                field.get("name").fail(format!("the subset `{}` is listed twice", subset.name));
            }
        }
        Some(Self { traffic_policy: read_traffic_policy(&spec.get("trafficPolicy")), host: host?, subsets, key })
    }
}

fn read_subset(field: &Reader<'_>) -> Option<Subset> {
    let name = field.get("name").required_text();
    if name.as_deref().is_some_and(|name| name.contains('|')) {
        field.get("name").fail("a subset's name has no `|`");
    }
    let policy = field.get("trafficPolicy");
    Some(Subset {
        name: name?,
        labels: field.get("labels").labels(),
        traffic_policy: policy.is_present().then(|| read_traffic_policy(&policy)),
    })
}

fn read_traffic_policy(field: &Reader<'_>) -> TrafficPolicy {
    let (pool, outliers, tls) = (field.get("connectionPool"), field.get("outlierDetection"), field.get("tls"));
    TrafficPolicy {
        load_balancer: read_load_balancer(&field.get("loadBalancer")),
        connection_pool: pool.is_present().then(|| read_connection_pool(&pool)),
        outlier_detection: outliers.is_present().then(|| read_outlier_detection(&outliers)),
        tls: if tls.is_present() { read_tls(&tls) } else { None },
    }
}

fn read_load_balancer(field: &Reader<'_>) -> Option<LoadBalancer> {
    if !field.is_present() {
        return None;
    }
    match field.get("simple").required()?.text()?.as_str() {
        // Istio: unspecified is LEAST_REQUEST.
        "UNSPECIFIED" => Some(LoadBalancer::LeastRequest),
        word => LoadBalancer::from_word(word),
    }
}

fn read_connection_pool(field: &Reader<'_>) -> ConnectionPool {
    let (tcp, http) = (field.get("tcp"), field.get("http"));
    // Istio reads 0 as unset. A limit of 0 can as well be meant as "none at all", so it is not taken.
    let count = |field: Reader<'_>| field.integer(1..=i64::from(i32::MAX));
    ConnectionPool {
        max_connections: count(tcp.get("maxConnections")),
        connect_timeout: tcp.get("connectTimeout").duration(),
        http1_max_pending_requests: count(http.get("http1MaxPendingRequests")),
        http2_max_requests: count(http.get("http2MaxRequests")),
        max_requests_per_connection: count(http.get("maxRequestsPerConnection")),
        max_retries: count(http.get("maxRetries")),
        http_idle_timeout: http.get("idleTimeout").duration(),
    }
}

fn read_outlier_detection(field: &Reader<'_>) -> OutlierDetection {
    let percent = |name: &str| field.get(name).integer(0..=100);
    let seconds = |name: &str, otherwise| field.get(name).duration().unwrap_or(Duration::from_secs(otherwise));
    let count = |name: &str| field.get(name).integer(0..=i64::from(u32::MAX));
    OutlierDetection {
        consecutive_5xx_errors: count("consecutive5xxErrors").unwrap_or(5),
        consecutive_gateway_errors: count("consecutiveGatewayErrors").filter(|count| *count > 0),
        interval: seconds("interval", 10),
        base_ejection_time: seconds("baseEjectionTime", 30),
        max_ejection_percent: percent("maxEjectionPercent").unwrap_or(10),
        min_health_percent: percent("minHealthPercent").unwrap_or(0),
    }
}

fn read_tls(field: &Reader<'_>) -> Option<ClientTls> {
    let mode = field.get("mode").required().and_then(|mode| mode.word(ClientTlsMode::from_word));
    let ca = field.get("caCertificates");
    if let (true, Some(ClientTlsMode::Disable | ClientTlsMode::IstioMutual)) = (ca.is_present(), mode) {
        ca.fail("is only for mode `SIMPLE`");
    }
    if mode == Some(ClientTlsMode::Disable) {
        for name in ["sni", "subjectAltNames"] {
            if field.get(name).is_present() {
                field.get(name).fail("has no meaning with mode `DISABLE`");
            }
        }
    }
    Some(ClientTls {
        mode: mode?,
        sni: field.get("sni").non_empty_text(),
        subject_alt_names: field.get("subjectAltNames").texts(),
        ca_certificates: ca.non_empty_text(),
    })
}
