//! Generated requests.

use std::net::Ipv4Addr;

use proptest::prelude::*;
use proptest::sample::select;

use crate::client::Sent;
use crate::tokens::Token;

const SOURCES: &[Ipv4Addr] = &[Ipv4Addr::LOCALHOST, Ipv4Addr::new(127, 0, 0, 77), Ipv4Addr::new(127, 9, 9, 9)];
const METHODS: &[&str] = &["GET", "GET", "POST", "PUT", "OPTIONS", "PATCH", "get"];
const HOSTS: &[&str] = &["a.test", "A.TEST", "a.test:18080", "b.test", "b.test:80"];
const PATHS: &[&str] = &[
    "/",
    "/a",
    "/a/b",
    "/a/b?x=/a",
    "/A",
    "/a/",
    "//a",
    "/a//b",
    "/a/./b",
    "/a/../b",
    "/%61",
    "/a%2Fb",
    "/a%2fb",
    "/a;x=1",
    "/a/b.html",
    "/b#/a",
    "/caf%C3%A9",
    "/a?",
    "/a%00",
    "/a\\b",
    "/a/x/y/c",
    "/..",
    "/%2e%2e/b",
];
const FORWARDED: &[&str] = &["10.0.0.1", "10.0.0.1, 192.0.2.7", "192.0.2.7, 10.0.0.1", "2001:db8::1", "not an address", "127.0.0.1", ""];

/// Where a token can be.
#[derive(Debug, Clone, Copy)]
enum Place {
    Bearer,
    LowerCaseBearer,
    Header,
    KeyHeader,
    Parameter(&'static str),
    Cookie,
}

const PLACES: &[Place] = &[
    Place::Bearer,
    Place::Bearer,
    Place::Bearer,
    Place::Bearer,
    Place::LowerCaseBearer,
    Place::Header,
    Place::Header,
    Place::KeyHeader,
    Place::Parameter("access_token"),
    Place::Parameter("t"),
    Place::Cookie,
];

impl Place {
    fn put(self, token: &str, request: &mut Sent) {
        let mut header = |name, value| request.headers.push((name, value));
        match self {
            Self::Bearer => header("authorization", format!("Bearer {token}")),
            Self::LowerCaseBearer => header("authorization", format!("bearer {token}")),
            Self::Header => header("x-token", token.to_owned()),
            Self::KeyHeader => header("x-token", format!("Key {token}")),
            Self::Cookie => header("cookie", format!("a=b; session={token}")),
            Self::Parameter(name) => {
                // A fragment stays at the end.
                if !request.path.contains('#') {
                    let separator = if request.path.contains('?') { '&' } else { '?' };
                    request.path = format!("{}{separator}{name}={token}", request.path);
                }
            }
        }
    }
}

/// Mostly one token, mostly a good one.
fn tokens(good: &[Token], bad: &[Token]) -> impl Strategy<Value = Vec<(Place, Token)>> + use<> {
    let token = prop_oneof![2 => select(good.to_vec()), 1 => select(bad.to_vec())];
    let placed = (select(PLACES), token);
    prop_oneof![3 => prop::collection::vec(placed.clone(), 1), 1 => Just(Vec::new()), 1 => prop::collection::vec(placed, 2)]
}

/// A request, and what its tokens are.
pub(crate) fn request(good: &[Token], bad: &[Token]) -> impl Strategy<Value = (Sent, Vec<&'static str>)> + use<> {
    let parts = (
        select(SOURCES),
        select(METHODS),
        select(HOSTS),
        select(PATHS),
        prop::collection::vec(select(&["1", "2", "1,2", ""][..]), 0..3),
        prop::option::weighted(0.4, select(FORWARDED)),
        prop::bool::weighted(0.3),
        tokens(good, bad),
    );
    parts.prop_map(|(source, method, host, path, values, forwarded, preflight, tokens)| {
        let mut sent = Sent { source, method, path: path.to_owned(), host, headers: Vec::new() };
        sent.headers.extend(values.iter().map(|value| ("X-A", (*value).to_owned())));
        sent.headers.extend(forwarded.map(|value| ("x-forwarded-for", value.to_owned())));
        if preflight {
            sent.headers.extend([("origin", "https://a.test".to_owned()), ("access-control-request-method", "GET".to_owned())]);
        }
        let what = tokens.iter().map(|(_, token)| token.what).collect();
        tokens.iter().for_each(|(place, token)| place.put(&token.text, &mut sent));
        (sent, what)
    })
}
