//! One case of a file, as `meshwright-explain` is asked it, and what must come of it.

use std::net::IpAddr;

use meshwright_config::{InboundPort, State, Workload};
use meshwright_explain::Case as Question;
use meshwright_test_files::Wrong;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::keys::Keys;
use crate::table::Row;
use crate::wire::{ExpectWire, FileWire, HeaderValues, Short, TestWire, WorkloadWire};

/// Of a workload of which the documents say nothing.
const DEFAULT_PORT: u16 = 8080;
const DEFAULT_ADDRESS: &str = "127.0.0.1";
const DEFAULT_NOW: &str = "2026-01-01T00:00:00Z";

/// Ready to be asked.
#[derive(Debug)]
pub(crate) struct Case {
    /// Within the file.
    pub(crate) name: String,
    pub(crate) line: u64,
    /// The request in a few words.
    pub(crate) summary: String,
    pub(crate) question: Question,
    pub(crate) expected: ExpectWire,
}

/// What all cases of a file share.
#[derive(Debug)]
pub(crate) struct Setting<'a> {
    pub(crate) file: &'a FileWire,
    pub(crate) keys: &'a Keys,
    pub(crate) state: &'a State,
}

impl Setting<'_> {
    pub(crate) fn case(&self, name: &str, row: Row) -> Result<Case, Wrong> {
        let Row { number, line, test } = row;
        let name = number.map_or_else(|| name.to_owned(), |number| format!("{name} #{number}"));
        let workload = self.workload(&test)?;
        let expected = expectation(&test)?;
        let port = self.port(&test, &workload)?;
        let tcp = match test.tcp {
            Some(tcp) => tcp,
            None => self.inbound(&workload).into_iter().any(|inbound| inbound.number() == port && !inbound.protocol().is_http()),
        };
        let principal = self.principal(&test)?;
        let request = if tcp { only_connection(&test)? } else { self.request(&test, &workload)? };
        let known = self.known(&workload).is_some_and(|workload| workload.address().to_string().parse::<IpAddr>().is_ok());
        let destination = test.destination_ip.map(|ip| ip.to_string()).or((!known).then(|| DEFAULT_ADDRESS.to_owned()));
        let question = json!({
            "id": name, "documents": "", "workload": workload,
            "connection": {
                "protocol": if tcp { "tcp" } else { "http" }, "port": port, "destinationIp": destination,
                "sourceIp": test.source_ip.map_or_else(|| DEFAULT_ADDRESS.to_owned(), |ip| ip.to_string()),
                "tls": principal.as_ref().map(|principal| json!({"principal": principal})), "sni": test.sni,
            },
            "request": request, "now": self.now(&test),
        });
        let question = Question::from_json(question.to_string().as_bytes()).map_err(|error| Wrong::new("", error.to_string()))?;
        let target = if tcp { "a connection".to_owned() } else { format!("{} {}", method(&test), path(&test)) };
        let summary =
            format!("{target} from {} to {}/{}:{port}", principal.as_deref().unwrap_or("plaintext"), workload.namespace, workload.name);
        Ok(Case { name, line, summary, question, expected })
    }

    fn workload(&self, test: &TestWire) -> Result<WorkloadWire, Wrong> {
        let Some(Short(workload)) = &test.workload else { return Err(Wrong::new("workload", "missing; who is called is needed")) };
        if workload.labels.is_none() && self.known(workload).is_none() {
            let known: Vec<String> = self.state.workloads().iter().map(|known| format!("{}/{}", known.namespace(), known.name())).collect();
            let message = format!(
                "no WorkloadEntry `{}/{}` (there are: {}; a workload without one is allowed with `labels`)",
                workload.namespace,
                workload.name,
                known.join(", ")
            );
            return Err(Wrong::new("workload", message));
        }
        Ok(workload.clone())
    }

    fn known(&self, workload: &WorkloadWire) -> Option<&Workload> {
        self.state.workload(&workload.namespace, &workload.name)
    }

    fn inbound(&self, workload: &WorkloadWire) -> Vec<InboundPort<'_>> {
        self.known(workload).map(|known| self.state.inbound_ports(known)).unwrap_or_default()
    }

    fn port(&self, test: &TestWire, workload: &WorkloadWire) -> Result<u16, Wrong> {
        match test.port {
            Some(0) => Err(Wrong::new("port", "found 0 (allowed: 1 to 65535)")),
            Some(port) => Ok(port),
            None => Ok(self.inbound(workload).first().map_or(DEFAULT_PORT, InboundPort::number)),
        }
    }

    fn principal(&self, test: &TestWire) -> Result<Option<String>, Wrong> {
        let Some(from) = test.from.as_deref().filter(|from| *from != "plaintext") else { return Ok(None) };
        if from.starts_with("spiffe://") {
            return Ok(Some(from.to_owned()));
        }
        match (from.split_once('/'), self.state.mesh()) {
            (Some((namespace, account)), Some(mesh)) if !namespace.is_empty() && !account.is_empty() && !account.contains('/') => {
                Ok(Some(format!("spiffe://{}/ns/{namespace}/sa/{account}", mesh.trust_domain())))
            }
            _ => Err(Wrong::new("from", format!("found `{from}` (allowed: `NAMESPACE/SERVICE-ACCOUNT`, `spiffe://…` or `plaintext`)"))),
        }
    }

    fn now(&self, test: &TestWire) -> String {
        test.now.clone().or_else(|| self.file.now.clone()).unwrap_or_else(|| DEFAULT_NOW.to_owned())
    }

    fn request(&self, test: &TestWire, workload: &WorkloadWire) -> Result<Value, Wrong> {
        let mut headers: Vec<(String, String)> = Vec::new();
        for (name, HeaderValues(values)) in &test.headers {
            headers.extend(values.iter().map(|value| (name.clone(), value.clone())));
        }
        if let Some(name) = &test.token {
            let known = || self.file.tokens.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let missing = || Wrong::new("token", format!("no token `{name}` (named under `tokens`: {})", known()));
            let Short(token) = self.file.tokens.get(name).ok_or_else(missing)?;
            let now = seconds(&self.now(test))?;
            let token = self.keys.token(token, now).map_err(|wrong| wrong.below(&format!("tokens.{name}")))?;
            headers.push(("authorization".to_owned(), format!("Bearer {token}")));
        }
        let host = test.host.clone().unwrap_or_else(|| format!("{}.{}", workload.name, workload.namespace));
        Ok(json!({"method": method(test), "path": path(test), "host": host, "headers": headers, "remoteIp": test.remote_ip}))
    }
}

fn method(test: &TestWire) -> &str {
    test.method.as_deref().unwrap_or("GET")
}

fn path(test: &TestWire) -> &str {
    test.path.as_deref().unwrap_or("/")
}

fn seconds(now: &str) -> Result<i64, Wrong> {
    let time = OffsetDateTime::parse(now, &Rfc3339)
        .map_err(|error| Wrong::new("now", format!("found `{now}`, expected a time as RFC 3339 has it: {error}")))?;
    Ok(time.unix_timestamp())
}

/// What only a request has is nothing that a connection could be tested with.
fn only_connection(test: &TestWire) -> Result<Value, Wrong> {
    let given = [
        ("method", test.method.is_some()),
        ("path", test.path.is_some()),
        ("host", test.host.is_some()),
        ("headers", !test.headers.is_empty()),
        ("token", test.token.is_some()),
        ("remoteIp", test.remote_ip.is_some()),
    ];
    match given.into_iter().find(|(_, given)| *given) {
        Some((field, _)) => {
            Err(Wrong::new(field, "found for a TCP connection, of which no proxy sees it (`tcp: false` makes it a request)"))
        }
        None => Ok(Value::Null),
    }
}

/// One that expects nothing would never fail.
fn expectation(test: &TestWire) -> Result<ExpectWire, Wrong> {
    let Some(Short(expected)) = &test.expect else { return Err(Wrong::new("expect", "missing; what must become of it is needed")) };
    let ExpectWire { decision, status, policy, rule, reason, path, request_principal, headers } = expected;
    let texts = [policy, reason, path, request_principal];
    if decision.is_none() && status.is_none() && rule.is_none() && texts.iter().all(|text| text.is_none()) && headers.is_empty() {
        return Err(Wrong::new("expect", "says nothing (allowed: `allow`, `deny`, `ask`, or a map of at least one expectation)"));
    }
    Ok(expected.clone())
}
