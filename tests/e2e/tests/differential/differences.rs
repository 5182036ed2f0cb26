//! Where our answer is not Envoy's: each difference by name, with its reason and a request that shows it.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::client::{Answer, Sent};
use crate::envoy::{PolicySet, SEEN};
use crate::tokens::{ISSUER_A, ISSUER_B, Issuers};

/// Every difference, and why it is one.
pub(crate) const DIFFERENCES: &[(&str, &str)] = &[
    ("realm-without-query", "the challenge names the URL that was asked for without its query, in which a token may be"),
    ("no-challenge-with-403", "a token for another audience is refused with 403, which takes no challenge (RFC 9110 section 15.5.4)"),
    ("appended-character", "one more character in the signature, of which no bit is used, makes another token, which nobody has signed"),
    ("padding", "base64url in a token has no padding (RFC 7515 section 2)"),
    ("behind-a-space", "what follows the token in its header belongs to it, so that nothing can be hidden from one of two readers"),
    ("critical-extensions", "a token that says `crit` must not be taken by one who does not know what it names (RFC 7515 section 4.1.11)"),
    ("expires-at-zero", "`exp` 0 is a time, long past; Envoy takes it for no expiry"),
    ("repeated-parameter", "all tokens of a location must be good, for nobody knows which of them the app reads; Envoy looks at the first"),
    ("repeated-cookie", "as for parameters"),
    (
        "cookie-token-removed",
        "without forwardOriginalToken the app does not get the token, wherever it was; Envoy leaves cookies as they are",
    ),
    ("first-token-counts", "of several good tokens of a rule the first is the one that is passed on and asked for; Istio leaves it open"),
    (
        "good-token-hides-bad",
        "one bad token of a rule refuses the request; Envoy removes the header when its last token is good, and so finds no token later",
    ),
    (
        "failed-rule-removes-token",
        "a rule that refuses a request changes nothing in it; Envoy has removed those of its tokens that were good",
    ),
    ("query-rewritten", "the query without the token is what it was; Envoy sorts its pairs, and writes an empty one as `=`"),
    (
        "repeated-header",
        "of a header's values, joined and each by itself, the reading holds that allows less; Envoy looks at each since 1.38",
    ),
    ("text-empty-signature", "401 on both sides; an empty signature is a part that does not verify, Envoy calls it a part too few"),
    ("text-base64", "401 on both sides; a character that base64url does not have is named as such, Envoy reads on without it"),
    ("one-of-several-defects", "refused on both sides; of several things that are wrong one is named, not always the same"),
];

/// A request that shows a difference, and what the two sides answer to it.
pub(crate) struct Shown {
    pub(crate) name: &'static str,
    pub(crate) set: PolicySet,
    pub(crate) request: Sent,
    pub(crate) ours: String,
    pub(crate) native: String,
    /// The minor version of the first Envoy that answers so; those before answer as we do.
    pub(crate) since: u32,
}

const OK: &str = "200 ok :path=/";
const DENIED: &str = "403 RBAC: access denied";

/// Status and body, the challenge in brackets, and what the app received.
pub(crate) fn summary(answer: &Answer) -> String {
    let challenge = answer.challenge.iter().map(|challenge| format!(" [{challenge}]"));
    let seen = answer.seen.iter().map(|(name, value)| format!(" {name}={value}"));
    format!("{} {}{}", answer.status, answer.body, challenge.chain(seen).collect::<String>())
}

fn refused(text: &str, path: &str) -> String {
    format!("401 {text} [Bearer realm=\"http://a.test{path}\", error=\"invalid_token\"]")
}

/// One RequestAuthentication with one rule for issuer A.
fn tokens(issuers: &Issuers, more: &Value) -> PolicySet {
    let mut rule = json!({"issuer": ISSUER_A, "jwks": issuers.jwks_a()});
    rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    PolicySet { authentication: vec![json!({"namespace": "test", "name": "tokens", "jwt_rules": [rule]})], authorization: Vec::new() }
}

/// The same with one policy, of one condition on a header.
fn with_header(mut set: PolicySet, action: &str, name: &str, condition: &Value) -> PolicySet {
    let mut condition = condition.clone();
    condition["key"] = json!(format!("request.headers[{name}]"));
    set.authorization = vec![json!({"namespace": "test", "name": "headers", "action": action, "rules": [{"when": [condition]}]})];
    set
}

fn get(path: &str, headers: &[(&'static str, &str)]) -> Sent {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Sent { source: Ipv4Addr::LOCALHOST, method: "GET", path: path.to_owned(), host: "a.test", headers }
}

fn bearer(token: &str) -> Sent {
    get("/", &[("authorization", &format!("Bearer {token}"))])
}

fn case(name: &'static str, set: PolicySet, request: Sent, ours: impl Into<String>, native: impl Into<String>) -> Shown {
    Shown { name, set, request, ours: ours.into(), native: native.into(), since: 0 }
}

pub(crate) fn shown(issuers: &Issuers) -> anyhow::Result<Vec<Shown>> {
    Ok([of_one_token(issuers)?, of_several_tokens(issuers)?, of_policies()].into_iter().flatten().collect())
}

fn of_one_token(issuers: &Issuers) -> anyhow::Result<Vec<Shown>> {
    let good = issuers.with(&json!({}))?;
    let (expired, eternal) = (issuers.with(&json!({"exp": 1}))?, issuers.with(&json!({"exp": 0}))?);
    let critical = issuers.es256.sign(r#"{"alg":"ES256","crit":["x"],"x":1}"#, &issuers.claims().to_string())?;
    let (signed, _) = good.rsplit_once('.').unwrap();
    let plain = || tokens(issuers, &json!({}));
    let invalid = |part: &str| refused(&format!("Jwt {part} is an invalid Base64url encoded"), "/");
    let late = |path| refused("Jwt is expired", path);
    let asking = get("/?q=1", &[("authorization", &format!("Bearer {expired}"))]);
    let mugs = tokens(issuers, &json!({"audiences": ["mugs"]}));
    let audience = "403 Audiences in Jwt are not allowed";
    let challenged = format!("{audience} [Bearer realm=\"http://a.test/\", error=\"invalid_token\"]");
    let parts = refused("Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections", "/");
    let no_prefix = tokens(issuers, &json!({"fromHeaders": [{"name": "x-token"}]}));
    let session = tokens(issuers, &json!({"fromCookies": ["session"]}));
    let cookie = format!("a=b; session={good}");
    Ok(vec![
        case("realm-without-query", plain(), asking, late("/"), late("/?q=1")),
        case("no-challenge-with-403", mugs, bearer(&good), audience, challenged),
        case("appended-character", plain(), bearer(&format!("{good}A")), refused("Jwt verification fails", "/"), OK),
        case("padding", plain(), bearer(&format!("{good}==")), invalid("signature"), OK),
        case("behind-a-space", plain(), bearer(&format!("{good} x")), invalid("signature"), OK),
        case("critical-extensions", plain(), bearer(&critical), refused("Jwt header [crit] is not supported", "/"), OK),
        case("expires-at-zero", plain(), bearer(&eternal), late("/"), OK),
        case(
            "cookie-token-removed",
            session,
            get("/", &[("cookie", &cookie)]),
            format!("{OK} cookie=a=b"),
            format!("{OK} cookie={cookie}"),
        ),
        case("query-rewritten", plain(), get(&format!("/?&access_token={good}"), &[]), format!("{OK}?"), format!("{OK}?=")),
        case("text-empty-signature", plain(), bearer(&format!("{signed}.")), refused("Jwt verification fails", "/"), parts),
        case("text-base64", no_prefix, get("/", &[("x-token", &format!("Key {good}"))]), invalid("header"), {
            refused("Jwt header is an invalid JSON", "/")
        }),
    ])
}

fn of_several_tokens(issuers: &Issuers) -> anyhow::Result<Vec<Shown>> {
    let (good, other) = (issuers.with(&json!({}))?, issuers.with(&json!({"sub": "you"}))?);
    let (expired, unknown) = (issuers.with(&json!({"exp": 1}))?, issuers.with(&json!({"iss": "https://c.test"}))?);
    let late = refused("Jwt is expired", "/");
    let header = json!([{"name": "x-token"}]);
    let and_of_b = |mut set: PolicySet| {
        let rule = json!({"issuer": ISSUER_B, "jwks": issuers.jwks_b(), "fromHeaders": [{"name": "authorization", "prefix": "Bearer "}]});
        set.authentication.push(json!({"namespace": "test", "name": "b", "jwt_rules": [rule]}));
        set
    };
    let session = tokens(issuers, &json!({"fromCookies": ["session"]}));
    let cookie = format!("session={good}; session={expired}");
    let payload = |token: &str| format!("{OK} x-payload={}", token.split('.').nth(1).unwrap());
    let (two_rules, both_rules) = (and_of_b(tokens(issuers, &json!({"fromHeaders": header}))), and_of_b(tokens(issuers, &json!({}))));
    let twice = |first: &str, second: &str| get("/", &[("x-token", first), ("x-token", second)]);
    Ok(vec![
        case(
            "repeated-parameter",
            tokens(issuers, &json!({})),
            get(&format!("/?access_token={good}&access_token={expired}"), &[]),
            late.clone(),
            OK,
        ),
        case("repeated-cookie", session, get("/", &[("cookie", &cookie)]), late.clone(), format!("{OK} cookie={cookie}")),
        case(
            "first-token-counts",
            tokens(issuers, &json!({"outputPayloadToHeader": "x-payload"})),
            get(&format!("/?access_token={other}"), &[("authorization", &format!("Bearer {good}"))]),
            payload(&good),
            payload(&other),
        ),
        case("good-token-hides-bad", two_rules, twice(&expired, &good), late.clone(), OK),
        case(
            "failed-rule-removes-token",
            both_rules,
            get(&format!("/?access_token={good}"), &[("authorization", &format!("Bearer {}", issuers.of_b()?))]),
            format!("{OK}?access_token={good}"),
            OK,
        ),
        case(
            "one-of-several-defects",
            tokens(issuers, &json!({"fromHeaders": header})),
            twice(&unknown, &expired),
            refused("Jwt issuer is not configured", "/"),
            late,
        ),
    ])
}

fn of_policies() -> Vec<Shown> {
    let none = PolicySet { authentication: Vec::new(), authorization: Vec::new() };
    let admin = json!({"values": ["admin"]});
    let twice = get("/", &[("x-role", "user"), ("x-role", "admin")]);
    vec![Shown { since: 38, ..case("repeated-header", with_header(none, "ALLOW", "x-role", &admin), twice, DENIED, OK) }]
}

/// The names of the differences that make Envoy's answer ours; none when something else is different.
pub(crate) fn explain(set: &PolicySet, request: &Sent, tokens: &[&str], ours: &Answer, native: &Answer) -> Option<Vec<&'static str>> {
    let (mut names, mut expected) = (Vec::new(), native.clone());
    if let Some((realm, error)) = expected.challenge.as_deref().and_then(|challenge| challenge.split_once("\", error"))
        && let Some((url, _query)) = realm.split_once('?')
    {
        names.push("realm-without-query");
        expected.challenge = Some(format!("{url}\", error{error}"));
    }
    match (ours.status, native.status) {
        (403, 403) if native.body != ours.body => return other_tokens(set, request, tokens, native).map(|name| vec![name]),
        (403, 403) if native.challenge.is_some() => {
            names.push("no-challenge-with-403");
            expected.challenge = None;
        }
        (401, 401) if ours.body != native.body => {
            names.push(other_text(request, tokens, native)?);
            expected.body.clone_from(&ours.body);
        }
        (200, 200) => names.extend(other_request(tokens, ours, &mut expected)),
        (403, 401) if ours.body.starts_with("Audiences") && tokens.len() > 1 => return Some(vec!["one-of-several-defects"]),
        (200, 403) | (403, 200) => return other_decision(set, request, ours).map(|name| vec![name]),
        (401, 200 | 403) => return other_tokens(set, request, tokens, native).map(|name| vec![name]),
        _ => {}
    }
    (expected == *ours).then_some(names)
}

fn sent_twice(request: &Sent, header: &str) -> bool {
    request.headers.iter().filter(|(name, _)| *name == header).count() > 1
}

/// Both take the tokens; one rule holds for one side only.
fn other_decision(set: &PolicySet, request: &Sent, ours: &Answer) -> Option<&'static str> {
    let rules = json!(set.authorization).to_string();
    let asks = |header: &str| rules.contains(&format!("request.headers[{header}]"));
    (ours.status == 403 && sent_twice(request, "X-A") && asks("x-a")).then_some("repeated-header")
}

/// Envoy takes tokens of which we refuse one.
fn other_tokens(set: &PolicySet, request: &Sent, tokens: &[&str], native: &Answer) -> Option<&'static str> {
    let rules: usize = set.authentication.iter().map(|document| document["jwt_rules"].as_array().unwrap().len()).sum();
    let parameter = |name: &str| request.path.split(['?', '&']).filter(|pair| pair.starts_with(name)).count() > 1;
    if parameter("access_token=") || parameter("t=") {
        return Some("repeated-parameter");
    }
    if sent_twice(request, "cookie") {
        return Some("repeated-cookie");
    }
    if native.body.starts_with("Audiences") && tokens.len() > 1 {
        return Some("one-of-several-defects");
    }
    (tokens.len() > 1 && rules > 1).then_some("good-token-hides-bad")
}

fn other_text(request: &Sent, tokens: &[&str], native: &Answer) -> Option<&'static str> {
    let with_space = request.headers.iter().any(|(name, value)| *name == "x-token" && value.starts_with("Key "));
    match tokens {
        [_, _, ..] => Some("one-of-several-defects"),
        ["no signature"] if native.body.starts_with("Jwt is not in the form") => Some("text-empty-signature"),
        [_] if with_space && native.body == "Jwt header is an invalid JSON" => Some("text-base64"),
        _ => None,
    }
}

/// What the app receives; `expected` becomes `ours` where the difference has a name.
fn other_request(tokens: &[&str], ours: &Answer, expected: &mut Answer) -> Vec<&'static str> {
    let mut names = Vec::new();
    let claimed = |name: &str| ["x-payload", "x-user"].contains(&name);
    let of_claims = |answer: &Answer| answer.seen.iter().filter(|(name, _)| claimed(name)).cloned().collect::<Vec<_>>();
    if tokens.len() > 1 && of_claims(ours) != of_claims(expected) {
        names.push("first-token-counts");
        expected.seen.retain(|(name, _)| !claimed(name));
        expected.seen.extend(of_claims(ours));
        expected.seen.sort_by_key(|(name, _)| SEEN.iter().position(|seen| seen == name));
    }
    for (name, value) in &mut expected.seen {
        let Some((_, found)) = ours.seen.iter().find(|(found, _)| found == name) else { continue };
        let name = match name.as_str() {
            "cookie" if value.contains("session=") && !found.contains("session=") => "cookie-token-removed",
            ":path" if pairs(value) == pairs(found) => "query-rewritten",
            ":path" if tokens.len() > 1 && found.len() > value.len() && without_tokens(found) == *value => "failed-rule-removes-token",
            _ => continue,
        };
        if found != value {
            names.push(name);
            value.clone_from(found);
        }
    }
    names
}

/// The path and what its query says, in any order.
fn pairs(path: &str) -> Vec<&str> {
    let mut pairs: Vec<&str> = path.split(['?', '&']).map(|pair| pair.trim_end_matches('=')).collect();
    pairs.sort_unstable();
    pairs
}

/// A path without the parameters that hold tokens.
fn without_tokens(path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let others: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("access_token=") && !pair.starts_with("t=")).collect();
    if others.is_empty() { path.to_owned() } else { format!("{path}?{}", others.join("&")) }
}
