//! Every field, each matched, not matched, absent, and negated.

use serde_json::{Value, json};

use crate::support::{Fixture, ISSUER, allows, one};

struct Field {
    /// The rule for the values, and the rule for their negation.
    rules: [Value; 2],
    yes: Vec<Fixture>,
    no: Vec<Fixture>,
    /// The attribute is not there.
    absent: Fixture,
}

fn source(name: &str, values: &Value, yes: Vec<Fixture>, no: Vec<Fixture>, absent: Fixture) -> Field {
    let rule = |name: &str| json!({"from": [{"source": {name: values}}]});
    Field { rules: [rule(name), rule(&negated(name))], yes, no, absent }
}

fn operation(name: &str, values: &Value, yes: Vec<Fixture>, no: Vec<Fixture>, absent: Fixture) -> Field {
    let rule = |name: &str| json!({"to": [{"operation": {name: values}}]});
    Field { rules: [rule(name), rule(&negated(name))], yes, no, absent }
}

fn when(key: &str, values: &Value, yes: Vec<Fixture>, no: Vec<Fixture>, absent: Fixture) -> Field {
    let rule = |name: &str| json!({"when": [{"key": key, name: values}]});
    Field { rules: [rule("values"), rule("notValues")], yes, no, absent }
}

fn negated(name: &str) -> String {
    format!("not{}{}", name[..1].to_uppercase(), &name[1..])
}

fn check(fields: Vec<Field>) {
    for Field { rules: [rule, negation], yes, no, absent } in fields {
        let [allow, deny] = ["ALLOW", "DENY"].map(|action| one("http", action, &json!([rule])));
        let [allow_not, deny_not] = ["ALLOW", "DENY"].map(|action| one("http", action, &json!([negation])));
        let matched = yes.iter().map(|fixture| (fixture, true));
        let unmatched = no.iter().chain([&absent]).map(|fixture| (fixture, false));
        for (fixture, matches) in matched.chain(unmatched) {
            assert_eq!(allows(&allow, fixture), matches, "ALLOW {rule} {fixture:?}");
            assert_eq!(allows(&deny, fixture), !matches, "DENY {rule} {fixture:?}");
            assert_eq!(allows(&allow_not, fixture), !matches, "ALLOW {negation} {fixture:?}");
            assert_eq!(allows(&deny_not, fixture), matches, "DENY {negation} {fixture:?}");
        }
    }
}

fn peer(identity: &str) -> Fixture {
    Fixture::new().peer(&[identity])
}

fn header(name: &str, value: &str) -> Fixture {
    Fixture::new().header(name, value)
}

fn claims(claims: Value) -> Fixture {
    Fixture::new().claims(claims)
}

#[test]
fn source_identities() {
    let plain = Fixture::new();
    let cart = "mesh.test/ns/shop/sa/cart";
    for (field, key, values, yes, no) in [
        ("principals", "source.principal", json!([cart]), vec![cart, "old.test/ns/shop/sa/cart"], vec!["x.test/ns/shop/sa/cart"]),
        ("principals", "source.principal", json!(["x/y", "mesh.test/ns/shop/*"]), vec![cart], vec!["mesh.test/ns/shops/sa/cart"]),
        ("principals", "source.principal", json!(["*/sa/cart"]), vec![cart, "any/ns/x/sa/cart"], vec!["mesh.test/ns/shop/sa/carts"]),
        ("principals", "source.principal", json!(["*"]), vec![cart, "x"], vec![]),
        ("namespaces", "source.namespace", json!(["x", "shop"]), vec![cart, "any/ns/shop/sa/x"], vec!["mesh.test/ns/shop2/sa/cart"]),
        ("namespaces", "source.namespace", json!(["sh*p"]), vec![cart], vec!["mesh.test/ns/shops/sa/cart", "mesh.test/shop"]),
        ("serviceAccounts", "source.serviceAccount", json!(["shop/cart"]), vec![cart], vec!["mesh.test/ns/shop/sa/x"]),
        ("serviceAccounts", "source.serviceAccount", json!(["x", "cart"]), vec!["a.test/ns/ns/sa/cart"], vec![cart]),
        ("trustDomains", "source.trustDomain", json!(["mesh.test"]), vec![cart, "old.test/x"], vec!["a.mesh.test/x", "mesh.test.a/x"]),
        ("trustDomains", "source.trustDomain", json!(["*.test"]), vec![cart, "any.test/x"], vec!["test/x"]),
    ] {
        let peers = |names: &[&str]| names.iter().map(|name| peer(name)).collect::<Vec<_>>();
        let (yes, no) = (peers(&yes), peers(&no));
        check(vec![source(field, &values, yes.clone(), no.clone(), plain.clone()), when(key, &values, yes, no, plain.clone())]);
    }
}

#[test]
fn any_uri_name_of_the_peer_counts() {
    let both = Fixture::new().peer(&["x.test/other", "mesh.test/ns/shop/sa/cart"]);
    let yes = || vec![both.clone()];
    check(vec![
        source("principals", &json!(["mesh.test/ns/shop/sa/cart"]), yes(), vec![], Fixture::new()),
        source("namespaces", &json!(["shop"]), yes(), vec![], Fixture::new()),
        source("trustDomains", &json!(["x.test"]), yes(), vec![], Fixture::new()),
    ]);
}

#[test]
fn addresses() {
    let blocks = json!(["10.1.0.0/16", "192.0.2.7", "2001:db8::/32"]);
    let (inside, outside) = (["10.1.2.3", "192.0.2.7", "2001:db8::1", "::ffff:10.1.2.3"], ["10.2.0.0", "192.0.2.8", "2001:db9::1"]);
    let all = |ips: &[&str], with: fn(Fixture, &str) -> Fixture| ips.iter().map(|ip| with(Fixture::new(), ip)).collect::<Vec<_>>();
    // Whoever is named by the other address does not count.
    let forged = |with: fn(Fixture, &str) -> Fixture| with(Fixture::new(), "10.1.2.3");
    check(vec![
        source("ipBlocks", &blocks, all(&inside, Fixture::direct), all(&outside, Fixture::direct), forged(Fixture::remote)),
        source("remoteIpBlocks", &blocks, all(&inside, Fixture::remote), all(&outside, Fixture::remote), forged(Fixture::direct)),
        when("source.ip", &blocks, all(&inside, Fixture::direct), all(&outside, Fixture::direct), Fixture::new()),
        when("remote.ip", &blocks, all(&inside, Fixture::remote), all(&outside, Fixture::remote), Fixture::new()),
        source("ipBlocks", &json!(["::ffff:10.1.0.0/112"]), all(&inside[..1], Fixture::direct), vec![], Fixture::new()),
    ]);
    let to = |addresses: &[&str]| addresses.iter().map(|address| Fixture::new().destination(address)).collect::<Vec<_>>();
    check(vec![
        when("destination.ip", &blocks, to(&["10.1.9.9:1", "[2001:db8::5]:80"]), to(&["10.3.0.1:1"]), Fixture::new()),
        when("destination.port", &json!(["80", "443"]), to(&["1.1.1.1:80", "[::1]:443"]), to(&["1.1.1.1:8080"]), Fixture::new()),
        operation("ports", &json!(["80", "443"]), to(&["1.1.1.1:80", "[::1]:443"]), to(&["1.1.1.1:8080"]), Fixture::new()),
    ]);
}

#[test]
fn server_names() {
    let names = |names: &[&str]| names.iter().map(|name| Fixture::new().sni(name)).collect::<Vec<_>>();
    check(vec![
        when(
            "connection.sni",
            &json!(["a.test", "*.b.test"]),
            names(&["a.test", "x.b.test"]),
            names(&["A.test", "b.test"]),
            Fixture::new(),
        ),
        when("connection.sni", &json!(["*"]), names(&["a"]), names(&[""]), Fixture::new()),
    ]);
}

#[test]
fn metadata_of_other_filters() {
    let key = "experimental.envoy.filters.http.x[tables]";
    // A list of one item, and a text.
    let (list, text): (&[u8], &[u8]) = (b"\x01\0\0\0\x01\0\0\0\0\0\0\0a\0\0", b"a");
    let asked = one("http", "ALLOW", &json!([{"when": [{"key": key, "values": ["x"]}]}]));
    let has = |value: &[u8]| Fixture::new().metadata(&asked, value);
    check(vec![
        when(key, &json!(["x", "[a]"]), vec![has(list)], vec![has(text), has(b"")], Fixture::new()),
        when(key, &json!(["a*"]), vec![has(text), has(b"ab")], vec![has(list), has(b"b")], Fixture::new()),
        when(key, &json!(["*"]), vec![has(text)], vec![has(list), has(b"")], Fixture::new()),
    ]);
    let paths: Vec<[&str; 4]> = asked.metadata().map(|key| key.property()).collect();
    assert_eq!(paths, [["metadata", "filter_metadata", "envoy.filters.http.x", "tables"]]);
}

#[test]
fn operations() {
    let of = |name: &str, values: &[&str]| values.iter().map(|value| header(name, value)).collect::<Vec<_>>();
    let none = Fixture::new;
    check(vec![
        operation("methods", &json!(["GET", "P*"]), of(":method", &["GET", "POST", "PUT"]), of(":method", &["get", "DELETE"]), none()),
        operation("methods", &json!(["*"]), of(":method", &["GET"]), vec![], none()),
        operation(
            "hosts",
            &json!(["a.test", "*.b.test:80"]),
            of(":authority", &["A.TEST", "x.B.test:80"]),
            of(":authority", &["a.test:80", ""]),
            none(),
        ),
        operation("hosts", &json!(["a.*"]), of(":authority", &["a.x", "A.y:1"]), of(":authority", &["b.a.x"]), none()),
        operation("hosts", &json!(["*"]), of(":authority", &["x", ""]), vec![], none()),
        operation(
            "paths",
            &json!(["/a", "/b/*"]),
            of(":path", &["/a", "/a?b=c", "/a#f", "/b/", "/b/c"]),
            of(":path", &["/A", "/a/", "/b"]),
            none(),
        ),
        operation("paths", &json!(["*.html"]), of(":path", &["/x.html?y"]), of(":path", &["/x?y.html"]), none()),
        operation("paths", &json!(["*"]), of(":path", &["/"]), vec![], none()),
        operation("paths", &json!(["/a/{*}/c/{**}"]), of(":path", &["/a/b/c/", "/a/b/c/d/e"]), of(":path", &["/a/b/c", "/a//c/"]), none()),
    ]);
}

#[test]
fn request_headers() {
    let twice = header("x-a", "1").header("X-A", "2");
    check(vec![
        when("request.headers[X-a]", &json!(["1"]), vec![header("x-A", "1")], vec![header("x-a", "11")], Fixture::new()),
        when(
            "request.headers[x-a]",
            &json!(["1,2"]),
            vec![twice.clone(), header("x-a", "1,2")],
            vec![header("x-a", "2,1")],
            Fixture::new(),
        ),
        when("request.headers[x-a]", &json!(["1*"]), vec![twice.clone(), header("x-a", "1")], vec![header("x-a", "21")], Fixture::new()),
        when("request.headers[x-a]", &json!(["*2"]), vec![twice, header("x-a", "2")], vec![header("x-a", "21")], Fixture::new()),
        when("request.headers[x-a]", &json!(["*"]), vec![header("x-a", ""), header("x-a", "x")], vec![header("x-b", "x")], Fixture::new()),
        when("request.headers[:method]", &json!(["GET"]), vec![header(":method", "GET")], vec![header(":method", "PUT")], Fixture::new()),
        // By that name Envoy's headers have the authority, and a policy written for Envoy means it.
        when(
            "request.headers[Host]",
            &json!(["a.test"]),
            vec![header(":authority", "a.test")],
            vec![header(":authority", "A.test")],
            Fixture::new(),
        ),
    ]);
}

#[test]
fn request_principals() {
    let subject = |subject: &str| claims(json!({"sub": subject}));
    let nobody = claims(json!({"aud": "x"}));
    for (values, yes, no) in [
        (json!([format!("{ISSUER}/me")]), vec![subject("me")], vec![subject("you"), nobody.clone()]),
        (json!(["x/y", format!("{ISSUER}/m*")]), vec![subject("me"), subject("m")], vec![subject("em")]),
        (json!([format!("{ISSUER}/*")]), vec![subject("me")], vec![nobody.clone(), subject("")]),
        (json!(["*/me"]), vec![subject("me")], vec![subject("you")]),
        (json!(["*.test/a/me"]), vec![subject("me")], vec![subject("you")]),
        (json!(["https:*"]), vec![subject("me")], vec![subject("")]),
        (json!(["*"]), vec![subject("me")], vec![nobody]),
    ] {
        check(vec![
            source("requestPrincipals", &values, yes.clone(), no.clone(), Fixture::new()),
            when("request.auth.principal", &values, yes, no, Fixture::new()),
        ]);
    }
}

#[test]
fn request_claims() {
    let none = Fixture::new;
    check(vec![
        when(
            "request.auth.audiences",
            &json!(["a"]),
            vec![claims(json!({"aud": "a"})), claims(json!({"aud": ["b", "a"]}))],
            vec![claims(json!({"aud": "b"})), claims(json!({}))],
            none(),
        ),
        when("request.auth.presenter", &json!(["a*"]), vec![claims(json!({"azp": "ab"}))], vec![claims(json!({"azp": "b"}))], none()),
        when(
            "request.auth.claims[roles]",
            &json!(["admin"]),
            vec![claims(json!({"roles": "admin"})), claims(json!({"roles": [1, "x", "admin"]}))],
            vec![claims(json!({"roles": {"admin": true}})), claims(json!({"roles": "admins"})), claims(json!({"roles": [["admin"]]}))],
            none(),
        ),
        when(
            "request.auth.claims[a.b/c][d]",
            &json!(["*"]),
            vec![claims(json!({"a.b/c": {"d": "x"}}))],
            vec![claims(json!({"a": {"b/c": {"d": "x"}}})), claims(json!({"a.b/c": {"d": ""}}))],
            none(),
        ),
        when(
            "request.auth.claims[n]",
            &json!(["1", "true"]),
            vec![claims(json!({"n": "1"}))],
            vec![claims(json!({"n": 1})), claims(json!({"n": true}))],
            none(),
        ),
        when(
            "request.auth.claims[scope]",
            &json!(["write"]),
            vec![claims(json!({"scope": "read write"}))],
            vec![claims(json!({"scope": "writer"}))],
            none(),
        ),
        // Only the claim itself is a list in one string, nothing inside one of its name.
        when(
            "request.auth.claims[scope][deep]",
            &json!(["read write", "x"]),
            vec![claims(json!({"scope": {"deep": "read write"}})), claims(json!({"scope": {"deep": ["x"]}}))],
            vec![claims(json!({"scope": {"deep": "x y"}})), claims(json!({"scope": "x"}))],
            none(),
        ),
    ]);
}

/// One value among several: whoever reads it first, last or joined, a DENY rule is not evaded and an ALLOW rule not fooled.
#[test]
fn of_a_repeated_header_the_reading_holds_that_allows_less() {
    let twice = Fixture::new().header("x-role", "user").header("X-Role", "admin");
    for (action, field, allowed) in
        [("ALLOW", "values", false), ("DENY", "values", false), ("ALLOW", "notValues", false), ("DENY", "notValues", false)]
    {
        for value in ["user", "admin"] {
            let policy = one("http", action, &json!([{"when": [{"key": "request.headers[x-role]", field: [value]}]}]));
            assert_eq!(allows(&policy, &twice), allowed, "{action} {field} {value}");
        }
    }
    let joined = one("http", "ALLOW", &json!([{"when": [{"key": "request.headers[x-role]", "values": ["user,admin"]}]}]));
    assert!(allows(&joined, &twice), "joined they are one value");
}
