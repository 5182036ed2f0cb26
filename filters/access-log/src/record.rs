use std::borrow::Cow;

use meshwright_policy::wire::{AccessLogConfig, Direction, Protocol};
use meshwright_policy::{AuditRecord, AuditedCustom, AuditedDecision, AuditedMiss, AuditedRule};
use serde::Serialize;

use crate::text::{bounded, rfc3339};
use crate::{details, flags, trace};

/// Longest path that is written; longer ones are cut.
const LONGEST_PATH: usize = 4096;
/// Longest of every other value.
const LONGEST: usize = 1024;
const NANOSECONDS_PER_MILLISECOND: i64 = 1_000_000;
/// Where `authz` leaves what it decided.
pub(crate) const DECISION: [&str; 2] = ["filter_state", "wasm.meshwright.decision"];

/// Where a finished stream's attributes come from; `path` is one of Envoy's attribute paths.
pub(crate) trait Attributes {
    /// The attribute's bytes as the host encodes them; `None` when the stream does not have it.
    fn get(&self, path: &[&str]) -> Option<Vec<u8>>;
}

/// The request's headers, names in lower case.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Headers<'a>(pub(crate) &'a [(String, Vec<u8>)]);

impl<'a> Headers<'a> {
    fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_slice())
    }

    #[inline(never)]
    fn text(&self, name: &str, limit: usize) -> Option<String> {
        self.get(name).map(|value| bounded(value, limit))
    }
}

/// One line of the access log. A field that a stream does not have is left out.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Record {
    time: String,
    protocol: &'static str,
    direction: &'static str,
    namespace: String,
    workload: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    span_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<i64>,
    response_flags: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_code_details: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nearest_miss: Option<AuditedMiss<'static>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit: Option<AuditedRule<'static>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow: Option<AuditedDecision<'static>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    custom: Vec<AuditedCustom<'static>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt_issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt_subject: Option<String>,
    bytes_received: i64,
    bytes_sent: i64,
    duration_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_address: Option<String>,
}

impl Record {
    /// The record of a stream that has ended at `now` (nanoseconds since the epoch).
    #[inline(never)]
    pub(crate) fn of(config: &AccessLogConfig, attributes: &dyn Attributes, headers: Headers<'_>, now: i128) -> Self {
        let attribute = Attribute(attributes);
        let ends = Ends::of(config, attribute);
        let trace = trace::of(|name| headers.get(name));
        let decision = attributes.get(&DECISION);
        let duration = attribute.integer(&["request", "duration"]);
        let started =
            attribute.integer(&["request", "time"]).map_or_else(|| now.saturating_sub(i128::from(duration.unwrap_or(0))), i128::from);
        let mut record = Self {
            time: rfc3339(started),
            protocol: match config.protocol {
                Protocol::Http => "http",
                Protocol::Tcp => "tcp",
            },
            direction: match config.direction {
                Direction::Inbound => "inbound",
                Direction::Outbound => "outbound",
                Direction::Gateway => "gateway",
            },
            namespace: config.namespace.clone(),
            workload: config.workload.clone(),
            request_id: headers.text("x-request-id", LONGEST),
            trace_id: trace.trace_id,
            span_id: trace.span_id,
            source_principal: ends.source_principal,
            source_service: ends.source_service,
            source_address: attribute.text(&["source", "address"]),
            destination_principal: ends.destination_principal,
            destination_service: ends.destination_service,
            destination_address: attribute.text(&["destination", "address"]),
            method: headers.text(":method", LONGEST),
            host: headers.text(":authority", LONGEST),
            path: headers.text(":path", LONGEST_PATH),
            status: attribute.integer(&["response", "code"]).filter(|code| *code > 0),
            response_flags: flags::letters(attribute.integer(&["response", "flags"]).unwrap_or(0).cast_unsigned()),
            response_code_details: attribute.text(&["response", "code_details"]),
            bytes_received: attribute.integer(&["request", "size"]).unwrap_or(0),
            bytes_sent: attribute.integer(&["response", "size"]).unwrap_or(0),
            duration_ms: duration.unwrap_or(0) / NANOSECONDS_PER_MILLISECOND,
            upstream_address: attribute.text(&["upstream", "address"]),
            ..Self::default()
        };
        if let Some(decision) = decision.as_deref().and_then(|json| AuditRecord::from_json(json).ok()) {
            record.set_decision(decision);
        }
        record
    }
}

impl Record {
    /// What `authz` recorded: it replies itself, and proxy-wasm's SDK gives it no way to name a reply, so that the details come from here.
    #[inline(never)]
    fn set_decision(&mut self, decision: AuditRecord<'_>) {
        let by_provider = self.response_code_details.as_deref().is_some_and(|details| details.starts_with("ext_authz_"));
        let decision = if by_provider { decision.denied_by_provider() } else { decision }.into_owned();
        let denied = decision.verdict == "DENY";
        if denied && self.response_code_details.is_none() && self.protocol == "http" {
            self.response_code_details = Some(details::of(&decision));
        }
        let text = |found: Cow<'_, str>| bounded(found.as_bytes(), LONGEST);
        self.source_serial = decision.serial.map(text);
        self.verdict = Some(decision.verdict.into_owned());
        self.policy = decision.policy.map(Cow::into_owned);
        self.rule = decision.rule;
        self.reason = Some(decision.reason.into_owned());
        self.policy_version = Some(decision.version.into_owned()).filter(|version| !version.is_empty());
        self.nearest_miss = decision.nearest_miss;
        self.audit = decision.audit;
        self.shadow = decision.shadow;
        self.custom = decision.custom;
        self.jwt_issuer = decision.jwt_issuer.map(text);
        self.jwt_subject = decision.jwt_subject.map(text);
    }
}

/// Typed reads of [`Attributes`] (proxy-wasm leaves the encoding of properties to the host: Envoy writes integers, times and durations as
/// eight bytes, little endian).
#[derive(Clone, Copy)]
struct Attribute<'a>(&'a dyn Attributes);

impl Attribute<'_> {
    /// `None` also for empty text.
    #[inline(never)]
    fn text(self, path: &[&str]) -> Option<String> {
        self.0.get(path).filter(|value| !value.is_empty()).map(|value| bounded(&value, LONGEST))
    }

    #[inline(never)]
    fn integer(self, path: &[&str]) -> Option<i64> {
        self.0.get(path)?.try_into().ok().map(i64::from_le_bytes)
    }
}

/// Who talked to whom, as far as this proxy can know: of the other side it knows the certificate, and by the cluster's name the service that
/// was called.
#[derive(Default)]
struct Ends {
    source_principal: Option<String>,
    source_service: Option<String>,
    destination_principal: Option<String>,
    destination_service: Option<String>,
}

impl Ends {
    #[inline(never)]
    fn of(config: &AccessLogConfig, attribute: Attribute<'_>) -> Self {
        let caller = || attribute.text(&["connection", "uri_san_peer_certificate"]);
        let called = || attribute.text(&["upstream", "uri_san_peer_certificate"]);
        let cluster = || attribute.text(&["xds", "cluster_name"]);
        match config.direction {
            Direction::Inbound => Self {
                source_principal: caller(),
                source_service: None,
                destination_principal: Some(config.principal.to_string()),
                destination_service: config.service.clone(),
            },
            Direction::Outbound => Self {
                source_principal: Some(config.principal.to_string()),
                source_service: config.service.clone(),
                destination_principal: called(),
                destination_service: cluster().as_deref().and_then(service_of),
            },
            Direction::Gateway => Self {
                source_principal: caller(),
                source_service: None,
                destination_principal: called(),
                destination_service: cluster().as_deref().and_then(service_of),
            },
        }
    }
}

/// The host in `outbound|<port>|<subset>|<host>`.
fn service_of(cluster: &str) -> Option<String> {
    let mut parts = cluster.splitn(4, '|');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("outbound"), Some(_), Some(_), Some(host)) if !host.is_empty() => Some(host.to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::{Value, json};

    use super::*;

    const NOW: i128 = 1_700_000_010_000_000_000;
    const ALLOWED: &str =
        r#"{"verdict":"ALLOW","policy":"shop/web","rule":2,"reason":"allow_rule_matched","jwt_issuer":"https://i","jwt_subject":"ada"}"#;
    const DENIED: &str = r#"{"verdict":"DENY","reason":"no_allow_rule_matched"}"#;

    #[derive(Default)]
    struct Fake(HashMap<String, Vec<u8>>);

    impl Fake {
        fn text(mut self, path: &str, value: &str) -> Self {
            self.0.insert(path.to_owned(), value.as_bytes().to_vec());
            self
        }

        fn integer(mut self, path: &str, value: i64) -> Self {
            self.0.insert(path.to_owned(), value.to_le_bytes().to_vec());
            self
        }
    }

    impl Attributes for Fake {
        fn get(&self, path: &[&str]) -> Option<Vec<u8>> {
            self.0.get(&path.join("/")).cloned()
        }
    }

    fn config(direction: &str, protocol: &str) -> AccessLogConfig {
        serde_json::from_value(json!({
            "version": 1, "direction": direction, "protocol": protocol, "namespace": "shop", "workload": "cart-1",
            "service": "cart.shop.mesh", "principal": "spiffe://mesh.local/ns/shop/sa/cart", "trust_domain": "mesh.local",
        }))
        .unwrap()
    }

    fn check(config: &AccessLogConfig, fake: &Fake, headers: &[(&str, &[u8])], expected: Value) {
        let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
        let record = Record::of(config, fake, Headers(&headers), NOW);
        let json: Value = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
        assert_eq!(json, expected);
    }

    #[test]
    fn an_inbound_request() {
        let fake = Fake::default()
            .integer("request/time", 1_700_000_000_123_000_000)
            .integer("request/duration", 12_345_678)
            .integer("request/size", 3)
            .integer("response/size", 5)
            .integer("response/code", 200)
            .integer("response/flags", 0)
            .text("response/code_details", "via_upstream")
            .text("source/address", "10.0.0.1:5")
            .text("destination/address", "10.0.0.2:80")
            .text("upstream/address", "127.0.0.1:8080")
            .text("xds/cluster_name", "inbound|80||")
            .text("connection/uri_san_peer_certificate", "spiffe://mesh.local/ns/shop/sa/web")
            .text("filter_state/wasm.meshwright.decision", ALLOWED);
        let headers: &[(&str, &[u8])] = &[
            (":method", b"GET"),
            (":path", b"/a\"b\n\xff"),
            (":authority", b"cart.shop.mesh"),
            ("x-request-id", b"id-1"),
            ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ];
        check(
            &config("inbound", "http"),
            &fake,
            headers,
            json!({
                "time": "2023-11-14T22:13:20.123Z", "protocol": "http", "direction": "inbound", "namespace": "shop", "workload": "cart-1",
                "request_id": "id-1", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7",
                "source_principal": "spiffe://mesh.local/ns/shop/sa/web", "source_address": "10.0.0.1:5",
                "destination_principal": "spiffe://mesh.local/ns/shop/sa/cart", "destination_service": "cart.shop.mesh",
                "destination_address": "10.0.0.2:80",
                "method": "GET", "host": "cart.shop.mesh", "path": "/a\"b\n\u{fffd}", "status": 200, "response_flags": "",
                "response_code_details": "via_upstream",
                "verdict": "ALLOW", "policy": "shop/web", "rule": 2, "reason": "allow_rule_matched", "jwt_issuer": "https://i", "jwt_subject": "ada",
                "bytes_received": 3, "bytes_sent": 5, "duration_ms": 12, "upstream_address": "127.0.0.1:8080",
            }),
        );
    }

    #[test]
    fn an_outbound_request_names_the_called_service() {
        let fake = Fake::default()
            .integer("response/code", 503)
            .integer("response/flags", 1 << 5)
            .text("xds/cluster_name", "outbound|80|v1|orders.shop.mesh")
            .text("upstream/uri_san_peer_certificate", "spiffe://mesh.local/ns/shop/sa/orders");
        check(
            &config("outbound", "http"),
            &fake,
            &[(":method", b"POST")],
            json!({
                "time": "2023-11-14T22:13:30.000Z", "protocol": "http", "direction": "outbound", "namespace": "shop", "workload": "cart-1",
                "source_principal": "spiffe://mesh.local/ns/shop/sa/cart", "source_service": "cart.shop.mesh",
                "destination_principal": "spiffe://mesh.local/ns/shop/sa/orders", "destination_service": "orders.shop.mesh",
                "method": "POST", "status": 503, "response_flags": "UF",
                "bytes_received": 0, "bytes_sent": 0, "duration_ms": 0,
            }),
        );
    }

    #[test]
    fn a_tcp_connection_that_was_denied() {
        let fake = Fake::default().integer("request/size", 2).text("filter_state/wasm.meshwright.decision", DENIED);
        check(
            &config("inbound", "tcp"),
            &fake,
            &[],
            json!({
                "time": "2023-11-14T22:13:30.000Z", "protocol": "tcp", "direction": "inbound", "namespace": "shop", "workload": "cart-1",
                "destination_principal": "spiffe://mesh.local/ns/shop/sa/cart", "destination_service": "cart.shop.mesh",
                "response_flags": "", "verdict": "DENY", "reason": "no_allow_rule_matched",
                "bytes_received": 2, "bytes_sent": 0, "duration_ms": 0,
            }),
        );
    }

    #[test]
    fn long_and_strange_values_are_bounded() {
        let fake = Fake::default()
            .text("source/address", &"a".repeat(LONGEST + 1))
            .text("filter_state/wasm.meshwright.decision", "not json")
            .text("request/size", "three");
        let headers = vec![(":path".to_owned(), vec![b'p'; 1_000_000]), (":method".to_owned(), vec![0xff; 2000])];
        let record = Record::of(&config("gateway", "http"), &fake, Headers(&headers), i128::MIN);
        assert_eq!(record.path.as_ref().unwrap().len(), LONGEST_PATH + "…".len());
        assert_eq!(record.source_address.as_ref().unwrap().len(), LONGEST + "…".len());
        assert_eq!(record.method.as_ref().unwrap().chars().count(), LONGEST + 1);
        assert_eq!((record.bytes_received, record.verdict.as_deref(), record.time.as_str()), (0, None, ""));
        assert!(serde_json::to_string(&record).unwrap().len() < 32 * 1024);
    }
}
