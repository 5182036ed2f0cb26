//! One record of the access log, as far as a decision may depend on it. A line that is not exactly a record is an error.

use std::borrow::Cow;
use std::net::SocketAddr;

use meshwright_policy::wire::{Direction, Protocol};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::decision::{Decision, Word};

/// The log ends with it what was too long to be written whole.
const CUT: char = '…';
/// The log writes it for what is not UTF-8.
const NOT_UTF8: char = '\u{fffd}';

/// Borrowed from the line where it has no escapes.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// All fields that the access log writes, of its version here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "fields that decide nothing are named, so that others are errors")]
struct RecordWire<'a> {
    #[serde(borrow)]
    time: Text<'a>,
    protocol: Protocol,
    direction: Direction,
    #[serde(borrow)]
    namespace: Text<'a>,
    #[serde(borrow)]
    workload: Text<'a>,
    request_id: Option<IgnoredAny>,
    trace_id: Option<IgnoredAny>,
    span_id: Option<IgnoredAny>,
    #[serde(borrow)]
    source_principal: Option<Text<'a>>,
    #[serde(borrow)]
    source_serial: Option<Text<'a>>,
    source_service: Option<IgnoredAny>,
    #[serde(borrow)]
    source_address: Option<Text<'a>>,
    destination_principal: Option<IgnoredAny>,
    destination_service: Option<IgnoredAny>,
    #[serde(borrow)]
    destination_address: Option<Text<'a>>,
    #[serde(borrow)]
    method: Option<Text<'a>>,
    #[serde(borrow)]
    host: Option<Text<'a>>,
    #[serde(borrow)]
    path: Option<Text<'a>>,
    status: Option<IgnoredAny>,
    response_flags: IgnoredAny,
    response_code_details: Option<IgnoredAny>,
    verdict: Option<VerdictWire>,
    #[serde(borrow)]
    policy: Option<Text<'a>>,
    rule: Option<u32>,
    #[serde(borrow)]
    reason: Option<Text<'a>>,
    policy_version: Option<IgnoredAny>,
    nearest_miss: Option<IgnoredAny>,
    audit: Option<IgnoredAny>,
    shadow: Option<IgnoredAny>,
    #[serde(borrow)]
    custom: Option<Vec<CustomWire<'a>>>,
    #[serde(borrow)]
    jwt_issuer: Option<Text<'a>>,
    #[serde(borrow)]
    jwt_subject: Option<Text<'a>>,
    bytes_received: IgnoredAny,
    bytes_sent: IgnoredAny,
    duration_ms: IgnoredAny,
    upstream_address: Option<IgnoredAny>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum VerdictWire {
    Allow,
    Deny,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "as above")]
struct CustomWire<'a> {
    #[serde(borrow)]
    provider: Text<'a>,
    policy: IgnoredAny,
    rule: IgnoredAny,
}

/// What is known of one request or connection.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) time: Cow<'a, str>,
    pub(crate) protocol: Protocol,
    pub(crate) direction: Direction,
    pub(crate) namespace: Cow<'a, str>,
    pub(crate) workload: Cow<'a, str>,
    /// The peer's SPIFFE ID; `Ok(None)` is plaintext, `Err` one that the log does not hold whole.
    pub(crate) principal: Result<Option<Cow<'a, str>>, NotWhole>,
    /// Of the peer's certificate; none where the log does not have it.
    pub(crate) serial: Option<Cow<'a, str>>,
    /// Of HTTP who sent it, of TCP who connected.
    pub(crate) source: Option<SocketAddr>,
    pub(crate) destination: Option<SocketAddr>,
    pub(crate) method: Option<Cow<'a, str>>,
    pub(crate) host: Option<Cow<'a, str>>,
    /// With the query.
    pub(crate) path: Option<Cow<'a, str>>,
    /// `Err`: of a token that the log does not hold whole.
    pub(crate) token: Result<Option<Token<'a>>, NotWhole>,
    /// None: no filter has decided about it.
    pub(crate) decision: Option<Decision<'a>>,
}

/// The log has a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotWhole;

/// What the log says of a verified token.
#[derive(Debug, Clone)]
pub(crate) struct Token<'a> {
    pub(crate) issuer: Cow<'a, str>,
    pub(crate) subject: Option<Cow<'a, str>>,
}

impl<'a> Record<'a> {
    /// # Errors
    /// What is wrong with the line, with the field.
    pub(crate) fn read(line: &'a [u8]) -> Result<Self, String> {
        let wire: RecordWire<'a> = serde_json::from_slice(line).map_err(|error| in_line(&error.to_string()))?;
        let decision = decision(&wire)?;
        let issuer = wire.jwt_issuer.map(whole).transpose();
        let subject = wire.jwt_subject.map(whole).transpose();
        let token = match (issuer, subject) {
            (Ok(issuer), Ok(subject)) => Ok(issuer.map(|issuer| Token { issuer, subject })),
            (Err(NotWhole), _) | (_, Err(NotWhole)) => Err(NotWhole),
        };
        Ok(Self {
            time: wire.time.0,
            protocol: wire.protocol,
            direction: wire.direction,
            namespace: wire.namespace.0,
            workload: wire.workload.0,
            principal: wire.source_principal.map(whole).transpose(),
            serial: wire.source_serial.and_then(|text| whole(text).ok()),
            source: wire.source_address.map(|text| address("source_address", &text)).transpose()?,
            destination: wire.destination_address.map(|text| address("destination_address", &text)).transpose()?,
            method: wire.method.and_then(|text| whole(text).ok()),
            host: wire.host.and_then(|text| whole(text).ok()),
            path: wire.path.and_then(|text| whole(text).ok()),
            token,
            decision,
        })
    }

    /// In a few words, for people.
    pub(crate) fn summary(&self) -> String {
        let from = match &self.principal {
            Ok(Some(principal)) => principal,
            Ok(None) => "plaintext",
            Err(NotWhole) => "somebody",
        };
        let text = |part: &Option<Cow<'_, str>>| part.as_deref().unwrap_or("?").to_owned();
        let port = self.destination.map(|address| format!(":{}", address.port())).unwrap_or_default();
        let what = match self.protocol {
            Protocol::Http => format!("{} {}", text(&self.method), text(&self.path)),
            Protocol::Tcp => "a connection".to_owned(),
        };
        format!("{what} from {from} to {}/{}{port}", self.namespace, self.workload)
    }
}

/// The parser counts lines of the record, which is one.
fn in_line(message: &str) -> String {
    message.replace(" at line 1 column ", " at column ")
}

fn whole(text: Text<'_>) -> Result<Cow<'_, str>, NotWhole> {
    if text.0.ends_with(CUT) || text.0.contains(NOT_UTF8) { Err(NotWhole) } else { Ok(text.0) }
}

fn address(field: &str, text: &Text<'_>) -> Result<SocketAddr, String> {
    let parsed = text.0.parse::<SocketAddr>();
    let parsed = parsed.map_err(|_| format!("{field}: found `{}`, expected ADDRESS:PORT", text.0))?;
    Ok(SocketAddr::new(parsed.ip().to_canonical(), parsed.port()))
}

fn decision<'a>(wire: &RecordWire<'a>) -> Result<Option<Decision<'a>>, String> {
    let (verdict, reason) = match (wire.verdict, &wire.reason) {
        (None, None) => return Ok(None),
        (Some(verdict), Some(reason)) => (verdict, reason.0.clone()),
        (None, Some(_)) => return Err("verdict: missing beside `reason`".to_owned()),
        (Some(_), None) => return Err("reason: missing beside `verdict`".to_owned()),
    };
    let providers: Vec<String> = wire.custom.iter().flatten().map(|custom| custom.provider.0.clone().into_owned()).collect();
    let asked = reason == "custom_provider_denied" || (verdict == VerdictWire::Allow && !providers.is_empty());
    let word = match verdict {
        _ if asked => Word::Ask(providers),
        VerdictWire::Allow => Word::Allow,
        VerdictWire::Deny => Word::Deny,
    };
    Ok(Some(Decision { word, policy: wire.policy.as_ref().map(|policy| policy.0.clone()), rule: wire.rule, reason, exact: true }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = r#"{"time":"t","protocol":"http","direction":"inbound","namespace":"n","workload":"w","response_flags":"","bytes_received":0,"bytes_sent":0,"duration_ms":0"#;

    fn read(more: &str) -> Result<String, String> {
        let line = format!("{START}{more}}}");
        Record::read(line.as_bytes()).map(|record| format!("{:?} {:?}", record.path, record.principal))
    }

    #[test]
    fn what_is_no_record_is_an_error_with_its_field() {
        for (more, message) in [
            (r#","surplus":1"#, "unknown field `surplus`"),
            (r#","verdict":"MAYBE","reason":"x""#, "unknown variant `MAYBE`"),
            (r#","verdict":"ALLOW""#, "reason: missing"),
            (r#","reason":"x""#, "verdict: missing"),
            (r#","source_address":"10.0.0.1""#, "source_address: found `10.0.0.1`, expected ADDRESS:PORT"),
            (r#","time":"again""#, "duplicate field `time`"),
            (r#","rule":-1"#, "invalid value"),
        ] {
            let found = read(more).unwrap_err();
            assert!(found.contains(message), "{found}");
        }
        assert_eq!(Record::read(b"nonsense").unwrap_err(), "expected ident at column 2");
    }

    #[test]
    fn what_the_log_holds_in_part_is_not_known() {
        assert_eq!(read(r#","path":"/a","source_principal":"spiffe://m""#).unwrap(), r#"Some("/a") Ok(Some("spiffe://m"))"#);
        assert_eq!(read(r#","path":"/a…","source_principal":"spiffe://m…""#).unwrap(), "None Err(NotWhole)");
        assert_eq!(read("").unwrap(), "None Ok(None)");
    }
}
