//! Any bytes as a serialized header map: refused, or read without loss; and each rule and its negation split all requests in two.

use std::sync::LazyLock;

use meshwright_policy::{Authentication, Connection, Headers, HttpRequest, Metadata, Peer, Policy, Request, Verdict, decide};
use serde_json::{Value, json};

/// Each rule beside its negation, as (ALLOW, DENY) of both.
static RULES: LazyLock<Vec<[Policy; 4]>> = LazyLock::new(|| {
    let operation = |name: &str, negated: &str, values: Value| {
        [json!({"to": [{"operation": {name: values}}]}), json!({"to": [{"operation": {negated: values}}]})]
    };
    let header = |name: &str, values: Value| {
        let key = format!("request.headers[{name}]");
        [json!({"when": [{"key": key, "values": values}]}), json!({"when": [{"key": key, "notValues": values}]})]
    };
    [
        operation("hosts", "notHosts", json!(["a.test", "*.B", "c*"])),
        operation("methods", "notMethods", json!(["GET", "P*", "*T"])),
        operation("paths", "notPaths", json!(["/a", "/b*", "*/c", "/d/{*}/e/{**}/f"])),
        header("x", json!(["a", "b,*", "*,c"])),
        header("X-a", json!(["*"])),
        header(":path", json!(["*"])),
    ]
    .map(|[rule, negation]| {
        let of = |action, rule: &Value| {
            let document = json!({"namespace": "n", "name": "a", "action": action, "rules": [rule]});
            let config = json!({"version": 1, "protocol": "http", "trust_domain": "a", "authorization": [document]});
            Policy::from_json(config.to_string().as_bytes()).unwrap()
        };
        [of("ALLOW", &rule), of("DENY", &rule), of("ALLOW", &negation), of("DENY", &negation)]
    })
    .into()
});

pub(crate) fn run(bytes: &[u8]) {
    let Ok(headers) = Headers::parse(bytes) else { return };
    let pairs: Vec<(&[u8], &[u8])> = headers.iter().copied().collect();
    assert_eq!(serialize(&pairs), if bytes.is_empty() { &[0; 4] } else { bytes });
    for name in pairs.iter().filter_map(|(name, _)| std::str::from_utf8(name).ok()) {
        let all: Vec<&[u8]> = headers.all(name).collect();
        assert_eq!(headers.joined(name).as_deref(), Some(all.join(b",".as_slice()).as_slice()));
        assert_eq!(headers.first(name), all.first().copied());
    }
    let request = HttpRequest::new(headers);
    assert!(request.target().starts_with(request.path()) && request.target().len() >= request.path().len() + request.query().len());
    assert!(!request.path().iter().any(|byte| matches!(byte, b'?' | b'#')) && !request.query().contains(&b'#'));
    let connection =
        Connection { direct_ip: None, remote_ip: None, peer: Peer::Plaintext, sni: None, destination: None, metadata: Metadata::default() };
    let request = Request { connection: &connection, http: Some(&request), authentication: &Authentication::Anonymous };
    let repeats =
        pairs.iter().enumerate().any(|(index, (name, _))| pairs[..index].iter().any(|(known, _)| known.eq_ignore_ascii_case(name)));
    for policies in RULES.iter() {
        let [allow, deny, allow_not, deny_not] = policies.each_ref().map(|policy| decide(policy, &request).verdict == Verdict::Allow);
        assert_eq!([allow_not, deny_not], [deny, allow], "{:?}", request.http);
        // Of a repeated header both may refuse, never both allow.
        assert!(if repeats { !(allow && deny) } else { allow != deny }, "{:?}", request.http);
    }
}

/// As a host writes it: a count, the lengths, then each text and a zero byte.
pub(crate) fn serialize(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
    let texts = || pairs.iter().flat_map(|(name, value)| [*name, *value]);
    let lengths: Vec<u8> = texts().flat_map(|text| number(text.len())).collect();
    let texts: Vec<u8> = texts().flat_map(|text| [text, b"\0"].concat()).collect();
    [number(pairs.len()).to_vec(), lengths, texts].concat()
}
