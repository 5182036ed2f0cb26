//! The form of a case on the wire, and the way from it to a [`Case`].

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use meshwright_identity::SpiffeId;
use meshwright_policy::wire::Protocol;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Asked, Case, Connection, InvalidCase, Request, Source};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct WireCase {
    id: Value,
    documents: Option<String>,
    config: Option<String>,
    workload: WireWorkload,
    connection: WireConnection,
    request: Option<WireRequest>,
    now: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "an object")]
struct WireWorkload {
    namespace: String,
    name: String,
    service_account: Option<String>,
    labels: Option<Labels>,
}

/// Each name once: of two values neither is what was meant.
struct Labels(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LabelsVisitor).map(Self)
    }
}

struct LabelsVisitor;

impl<'de> Visitor<'de> for LabelsVisitor {
    type Value = BTreeMap<String, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("labels")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut labels = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, String>()? {
            if labels.contains_key(&name) {
                return Err(de::Error::custom(format!("`{name}` is there twice")));
            }
            labels.insert(name, value);
        }
        Ok(labels)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "an object")]
struct WireConnection {
    protocol: Protocol,
    port: u16,
    destination_ip: Option<IpAddr>,
    source_ip: IpAddr,
    tls: Option<WireTls>,
    sni: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
struct WireTls {
    principal: String,
    serial: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", expecting = "an object")]
struct WireRequest {
    method: String,
    path: String,
    host: String,
    headers: Vec<(String, String)>,
    remote_ip: Option<IpAddr>,
}

pub(super) fn read(json: &[u8]) -> Result<Case, InvalidCase> {
    let wire: WireCase = serde_json::from_slice(json).map_err(|_| InvalidCase { id: id_of(json), message: problem_of(json) })?;
    let id = if matches!(wire.id, Value::String(_) | Value::Number(_)) { wire.id.clone() } else { Value::Null };
    case(wire).map_err(|message| InvalidCase { id, message })
}

fn case(wire: WireCase) -> Result<Case, String> {
    if !matches!(wire.id, Value::String(_) | Value::Number(_)) {
        return Err("id: expected a text or a number".to_owned());
    }
    let source = match (wire.documents, wire.config) {
        (Some(text), None) => Source::Text(text),
        (None, Some(directory)) => Source::Directory(directory),
        (Some(_), Some(_)) => return Err("config: `documents` is there too; one of the two is allowed".to_owned()),
        (None, None) => return Err("documents: missing; `documents` or `config` is required".to_owned()),
    };
    let connection = connection(wire.connection)?;
    match (connection.protocol, &wire.request) {
        (Protocol::Http, None) => return Err("request: missing; a connection of `http` carries one".to_owned()),
        (Protocol::Tcp, Some(_)) => return Err("request: found one; a connection of `tcp` carries none that a proxy sees".to_owned()),
        (Protocol::Http, Some(_)) | (Protocol::Tcp, None) => {}
    }
    let WireWorkload { namespace, name, service_account, labels } = wire.workload;
    let request =
        wire.request.map(|WireRequest { method, path, host, headers, remote_ip }| Request { method, path, host, headers, remote_ip });
    Ok(Case {
        id: wire.id,
        source,
        workload: Asked { namespace, name, service_account, labels: labels.map(|labels| labels.0) },
        connection,
        request,
        now: wire.now.as_deref().map(seconds).transpose()?,
    })
}

fn connection(wire: WireConnection) -> Result<Connection, String> {
    let WireConnection { protocol, port, destination_ip, source_ip, tls, sni } = wire;
    if port == 0 {
        return Err("connection.port: found 0, expected 1 to 65535".to_owned());
    }
    let serial = tls.as_ref().and_then(|tls| tls.serial.as_deref()).map(serial).transpose()?.unwrap_or_default();
    let principal = tls.map(|tls| principal(&tls.principal)).transpose()?;
    let canonical = |ip: IpAddr| ip.to_canonical();
    Ok(Connection {
        protocol,
        port,
        destination_ip: destination_ip.map(canonical),
        source_ip: source_ip.to_canonical(),
        principal,
        serial,
        sni,
    })
}

/// As a certificate has it, or as AuthorizationPolicy writes it: without the scheme.
fn principal(text: &str) -> Result<String, String> {
    let id = if text.starts_with("spiffe://") { text.to_owned() } else { format!("spiffe://{text}") };
    SpiffeId::parse(&id).map_err(|error| format!("connection.tls.principal: found `{text}`: {error}"))?;
    Ok(id)
}

/// As `openssl x509 -serial` prints it, or a deny list has it.
fn serial(text: &str) -> Result<String, String> {
    let digits: String = text.chars().filter(|c| *c != ':').map(|c| c.to_ascii_lowercase()).collect();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!("connection.tls.serial: found `{text}`, expected hexadecimal digits"));
    }
    Ok(digits)
}

fn seconds(text: &str) -> Result<u64, String> {
    let time = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|error| format!("now: found `{text}`, expected a time as RFC 3339 has it: {error}"))?;
    u64::try_from(time.unix_timestamp()).map_err(|_| format!("now: found `{text}`, expected a time from 1970 on"))
}

/// The first field that is wrong, with its path. Read a second time, because paths cost time that good cases need not pay.
fn problem_of(json: &[u8]) -> String {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    match serde_path_to_error::deserialize::<_, WireCase>(&mut deserializer) {
        Err(error) => {
            let path = error.path().to_string();
            let inner = error.into_inner();
            if path == "." { inner.to_string() } else { format!("{path}: {inner}") }
        }
        Ok(_) => match deserializer.end() {
            Err(error) => error.to_string(),
            Ok(()) => "not a case".to_owned(),
        },
    }
}

/// The id of what is otherwise wrong, even if the JSON breaks off behind it.
fn id_of(json: &[u8]) -> Value {
    let mut id = Value::Null;
    // Whether the rest can be read is not asked.
    let _ = serde_json::Deserializer::from_slice(json).deserialize_map(IdVisitor(&mut id));
    if matches!(id, Value::String(_) | Value::Number(_)) { id } else { Value::Null }
}

struct IdVisitor<'a>(&'a mut Value);

impl<'de> Visitor<'de> for IdVisitor<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut found = false;
        while let Some(key) = map.next_key::<String>()? {
            if key != "id" {
                map.next_value::<IgnoredAny>()?;
            } else if found {
                *self.0 = Value::Null;
                return Err(de::Error::duplicate_field("id"));
            } else {
                found = true;
                *self.0 = map.next_value()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn good() -> Value {
        json!({
            "id": "a", "documents": "", "workload": {"namespace": "shop", "name": "cart", "serviceAccount": "cart", "labels": {"app": "cart"}},
            "connection": {"protocol": "http", "port": 8080, "destinationIp": "10.0.0.2", "sourceIp": "10.0.0.1",
                "tls": {"principal": "spiffe://mesh.test/ns/shop/sa/web"}, "sni": null},
            "request": {"method": "GET", "path": "/", "host": "cart", "headers": [["a", "b"]], "remoteIp": null},
            "now": "2026-01-01T00:00:00Z",
        })
    }

    type Change = fn(&mut Value);

    fn error(change: impl FnOnce(&mut Value)) -> (Value, String) {
        let mut case = good();
        change(&mut case);
        let invalid = read(case.to_string().as_bytes()).unwrap_err();
        (invalid.id, invalid.message)
    }

    #[test]
    fn a_case_is_read_whole() {
        let case = read(good().to_string().as_bytes()).unwrap();
        assert_eq!(case.now, Some(1_767_225_600));
        assert_eq!(case.connection.principal.as_deref(), Some("spiffe://mesh.test/ns/shop/sa/web"));
        let mut short = good();
        short["connection"]["tls"]["principal"] = json!("mesh.test/ns/shop/sa/web");
        short["connection"]["sourceIp"] = json!("::ffff:10.0.0.1");
        assert_eq!(read(short.to_string().as_bytes()).unwrap(), case);
    }

    #[test]
    fn what_is_not_understood_is_an_error_that_names_the_field() {
        let cases: Vec<(Change, &str)> = vec![
            (|case| case["surplus"] = json!(1), "surplus: unknown field `surplus`"),
            (|case| case["connection"]["tls"]["san"] = json!(1), "connection.tls.san: unknown field"),
            (|case| case["connection"]["protocol"] = json!("udp"), "connection.protocol: unknown variant `udp`"),
            (|case| case["connection"]["port"] = json!(0), "connection.port: found 0"),
            (|case| case["connection"]["port"] = json!(70_000), "connection.port: invalid value"),
            (|case| case["connection"]["sourceIp"] = json!("10.0.0"), "connection.sourceIp: invalid IP address"),
            (|case| case["connection"]["tls"]["serial"] = json!("xyz"), "connection.tls.serial: found `xyz`"),
            (|case| case["connection"]["tls"]["principal"] = json!("a b"), "connection.tls.principal: found `a b`"),
            (|case| case["request"]["headers"][0] = json!(["a"]), "request.headers[0]: invalid length 1"),
            (|case| case["workload"] = json!(null), "workload: invalid type: null, expected an object"),
            (|case| case["connection"]["tls"] = json!(true), "connection.tls: invalid type: boolean `true`, expected an object"),
            (|case| case["request"] = json!(null), "request: missing"),
            (|case| case["connection"]["protocol"] = json!("tcp"), "request: found one"),
            (|case| case["config"] = json!("dir"), "config: `documents` is there too"),
            (|case| case["documents"] = json!(null), "documents: missing"),
            (|case| case["now"] = json!("yesterday"), "now: found `yesterday`"),
            (|case| case["now"] = json!("1969-01-01T00:00:00Z"), "now: found `1969-01-01T00:00:00Z`"),
        ];
        for (change, message) in cases {
            let (id, found) = error(change);
            assert!(found.starts_with(message), "{found}");
            assert_eq!(id, json!("a"), "{found}");
        }
        let twice = good().to_string().replace(r#""app":"cart""#, r#""app":"cart","app":"x""#);
        assert!(read(twice.as_bytes()).unwrap_err().message.starts_with("workload.labels: `app` is there twice"));
        assert_eq!(error(|case| case["id"] = json!([])), (json!(null), "id: expected a text or a number".to_owned()));
    }

    #[test]
    fn the_id_is_found_in_what_breaks_off() {
        for (json, id) in [
            (r#"{"id": "x", "documents": "#, json!("x")),
            (r#"{"documents": {}, "id": 7, "#, json!(7)),
            (r#"{"id": "x"} trailing"#, json!("x")),
            (r#"{"id": "x", "id": "y"}"#, json!(null)),
            ("", json!(null)),
            ("[]", json!(null)),
            ("\u{0}", json!(null)),
        ] {
            let invalid = read(json.as_bytes()).unwrap_err();
            assert_eq!(invalid.id, id, "{json}");
            assert!(!invalid.message.is_empty(), "{json}");
        }
        assert_eq!(read(b"{\"id\": \"\xff\"}").unwrap_err().id, json!(null));
    }
}
