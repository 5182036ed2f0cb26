//! Requests that come again: alike to the last byte, but for what tracing writes into each. What was done about one is done about the next,
//! for as long as its token is good; nothing of it is looked at again. A proxy is mostly busy with few kinds of requests, and what reads one
//! whole is twenty times as much code as what compares one, which a request waits for longer than it runs.

use std::ops::Range;
use std::rc::Rc;

use meshwright_policy::{Authentication, Connection, GoodUntil, HeaderChange, Headers, Policy};

use crate::recent::Recent;
use crate::tally::Tally;
use crate::usual::Known;

/// What proxies and clients write into each request anew: no part of what is asked for, unless the policy names it.
const VARYING: [&str; 6] = ["x-request-id", "traceparent", "tracestate", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid"];
/// Of those that are not known one in so many is remembered: where all differ, that costs nothing.
const ONE_IN: usize = 16;
/// Longer ones are read each time, so that this stays small.
const LONGEST: usize = 4096;

/// A request that passed, and all that it takes to let the next of its kind pass.
#[derive(Debug)]
pub(crate) struct Repeated {
    /// As the host serialized them.
    headers: Vec<u8>,
    /// Where in them values stand that nobody looks at, in order.
    ignored: Vec<Range<usize>>,
    connection: Connection,
    /// Of its token, if it has one.
    lasts: Option<GoodUntil>,
    known: Rc<Known>,
    changes: Vec<HeaderChange>,
}

impl Repeated {
    /// For the access log.
    pub(crate) fn record(&self) -> &Rc<[u8]> {
        self.known.record()
    }

    /// What to do to the request's headers, in order.
    pub(crate) fn changes(&self) -> &[HeaderChange] {
        &self.changes
    }

    fn is(&self, connection: &Connection, headers: &[u8]) -> bool {
        if self.headers.len() != headers.len() {
            return false;
        }
        let mut start = 0;
        for Range { start: end, end: next } in &self.ignored {
            if self.headers.get(start..*end) != headers.get(start..*end) {
                return false;
            }
            start = *next;
        }
        self.headers.get(start..) == headers.get(start..) && self.connection.is_same(connection)
    }
}

/// What a request leaves that may be repeated.
#[derive(Debug)]
pub(crate) struct Lasting {
    known: Rc<Known>,
    lasts: Option<GoodUntil>,
}

impl Lasting {
    /// None: it is to be decided anew each time.
    pub(crate) fn new(known: Rc<Known>, authentication: &Authentication) -> Option<Self> {
        let lasts = match authentication {
            Authentication::Anonymous => None,
            Authentication::Token(_) => Some(authentication.lasts()?),
            Authentication::Refused(_) => return None,
        };
        Some(Self { known, lasts })
    }
}

/// The requests of late.
#[derive(Debug)]
pub(crate) struct Alike {
    recent: Recent<Rc<Repeated>>,
    ignored: Vec<&'static str>,
    unknown: usize,
    /// How many had a token, since the last time.
    tokens: u64,
}

impl Alike {
    pub(crate) fn new(policy: &Policy) -> Self {
        let ignored = VARYING.into_iter().filter(|name| !policy.looks_at_header(name)).collect();
        Self { recent: Recent::default(), ignored, unknown: 0, tokens: 0 }
    }

    /// The same request of before, which is counted. `now` is in seconds since the epoch, and asked for only if there is a token.
    #[inline(never)]
    pub(crate) fn find(&mut self, connection: &Connection, headers: &[u8], now: impl FnOnce() -> u64) -> Option<Rc<Repeated>> {
        let found = self.recent.iter().find(|repeated| repeated.is(connection, headers))?;
        if let Some(lasts) = found.lasts {
            if !lasts.includes(now()) {
                return None;
            }
            self.tokens = self.tokens.saturating_add(1);
        }
        found.known.count();
        Some(Rc::clone(found))
    }

    /// For the next of its kind. Gives back the decision of which it was the last to know.
    #[inline(never)]
    pub(crate) fn remember(
        &mut self,
        lasting: Lasting,
        connection: Connection,
        headers: &[u8],
        changes: &[HeaderChange],
    ) -> Option<Rc<Known>> {
        let is_chosen = self.unknown == 0 && headers.len() <= LONGEST;
        self.unknown = self.unknown.saturating_add(1) % ONE_IN;
        if !is_chosen {
            return None;
        }
        let Lasting { known, lasts } = lasting;
        let repeated =
            Repeated { headers: headers.to_vec(), ignored: self.ignored_in(headers), connection, lasts, known, changes: changes.to_vec() };
        self.recent.push(Rc::new(repeated)).map(|oldest| Rc::clone(&oldest.known))
    }

    #[inline(never)]
    fn ignored_in(&self, headers: &[u8]) -> Vec<Range<usize>> {
        let Ok(parsed) = Headers::parse(headers) else { return Vec::new() };
        // Values stand behind one another, each with its name before it and a zero byte behind both: from the end they are found again.
        let mut end = headers.len();
        let mut found = Vec::new();
        for (name, value) in parsed.iter().rev() {
            let last = end.saturating_sub(1);
            let first = last.saturating_sub(value.len());
            if self.ignored.iter().any(|ignored| ignored.as_bytes() == *name) {
                found.push(first..last);
            }
            end = first.saturating_sub(name.len()).saturating_sub(1);
        }
        found.reverse();
        found
    }

    /// Tells the tally what was counted. Gives back how many tokens were found in no cache but this.
    pub(crate) fn settle(&mut self, tally: &mut Tally) -> u64 {
        self.recent.iter().for_each(|repeated| repeated.known.settle(tally));
        let tokens = std::mem::take(&mut self.tokens);
        tally.tokens(tokens);
        tokens
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use meshwright_policy::{Metadata, Peer, SoftwareCrypto};
    use serde_json::{Value, json};

    use super::*;
    use crate::engine::{Engine, Outcome};
    use crate::headers::Received;
    use crate::headers::tests::map;

    const ID: &str = "x-request-id";

    fn policy(when: Value) -> Policy {
        let rule = json!({"to": [{"operation": {"paths": ["/a*"]}}], "from": [{"source": {"notPrincipals": ["mesh.local/ns/n/sa/bad"]}}], "when": when});
        let policy = json!({"version": 1, "protocol": "http", "trust_domain": "mesh.local", "authorization": [
            {"namespace": "n", "name": "p", "action": "ALLOW", "rules": [rule]},
        ]});
        Policy::from_json(policy.to_string().as_bytes()).unwrap()
    }

    fn no_condition() -> Policy {
        policy(json!([{"key": "request.headers[x-tenant]", "values": ["a*"]}]))
    }

    fn connection(account: &str) -> Connection {
        let uri_sans = vec![format!("spiffe://mesh.local/ns/n/sa/{account}")];
        let peer = Peer::Authenticated { uri_sans, dns_sans: Vec::new(), subject: None, serial: None };
        let direct_ip = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
        Connection { direct_ip, remote_ip: None, peer, sni: None, destination: None, metadata: Metadata::default() }
    }

    fn request(path: &str, tenant: &str, id: &str) -> Vec<u8> {
        map(&[
            (":method", b"GET"),
            (":path", path.as_bytes()),
            (ID, id.as_bytes()),
            ("x-tenant", tenant.as_bytes()),
            ("traceparent", id.as_bytes()),
        ])
    }

    fn engine(policy: Policy) -> Engine<SoftwareCrypto> {
        Engine::new(policy, SoftwareCrypto)
    }

    fn decide(engine: &Engine<SoftwareCrypto>, connection: &Connection, bytes: &[u8]) -> Outcome {
        let received = Received::parse(bytes, engine.policy().owned_headers()).unwrap();
        engine.request(Ok(connection), received.into_headers(), || 0)
    }

    fn learn(engine: &Engine<SoftwareCrypto>, connection: &Connection, bytes: &[u8]) {
        engine.remember(&mut decide(engine, connection, bytes), connection.clone(), bytes);
    }

    #[test]
    fn only_what_is_the_same_in_all_that_may_matter_is_known_again() {
        let (engine, good) = (engine(no_condition()), connection("good"));
        let is_known = |connection: &Connection, bytes: &[u8]| engine.again(connection, bytes, || 0).is_some();
        let first = request("/a", "a1", "0001");
        assert!(!is_known(&good, &first));
        learn(&engine, &good, &first);
        assert!(is_known(&good, &first) && is_known(&good, &request("/a", "a1", "0002")));
        let moved = map(&[(":method", b"GET"), (":path", b"/a"), ("x-tenant", b"a1"), (ID, b"0001"), ("traceparent", b"0001")]);
        for other in [request("/b", "a1", "0001"), request("/a", "a2", "0001"), request("/a", "a1", "00001"), moved, Vec::new()] {
            assert!(!is_known(&good, &other), "{}", other.escape_ascii());
        }
        assert!(!is_known(&connection("bad"), &first));
        assert!(!is_known(&Connection { direct_ip: None, ..good }, &first));
    }

    #[test]
    fn what_the_policy_names_is_never_ignored() {
        let (engine, good) = (engine(policy(json!([{"key": "request.headers[X-Request-ID]", "values": ["0*"]}]))), connection("good"));
        learn(&engine, &good, &request("/a", "a", "0001"));
        assert!(engine.again(&good, &request("/a", "a", "0001"), || 0).is_some());
        assert!(engine.again(&good, &request("/a", "a", "1001"), || 0).is_none());
    }

    #[test]
    fn what_is_denied_is_decided_each_time() {
        let (engine, bad) = (engine(no_condition()), connection("bad"));
        learn(&engine, &bad, &request("/a", "a", "0001"));
        assert!(engine.again(&bad, &request("/a", "a", "0001"), || 0).is_none());
    }

    #[test]
    fn memory_changes_no_answer() {
        let engine = engine(no_condition());
        let (mut state, mut known) = (7_u32, 0);
        for _ in 0..3000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let pick = |shift: u32, of: &'static [&'static str]| of[usize::try_from(state >> shift).unwrap() % of.len()];
            let connection = connection(pick(20, &["good", "good", "bad"]));
            let bytes = request(pick(22, &["/a", "/a1", "/b"]), pick(24, &["a", "b"]), pick(26, &["0001", "0002"]));
            let expected = decide(&self::engine(no_condition()), &connection, &bytes);
            if let Some(repeated) = engine.again(&connection, &bytes, || 0) {
                known += 1;
                assert_eq!((repeated.record(), repeated.changes(), None), (&expected.record, &*expected.changes, expected.denial));
            } else {
                let mut outcome = decide(&engine, &connection, &bytes);
                assert_eq!((&outcome.record, &outcome.changes, &outcome.denial), (&expected.record, &expected.changes, &expected.denial));
                engine.remember(&mut outcome, connection, &bytes);
            }
        }
        assert!(known > 500, "{known}");
    }

    #[test]
    fn each_is_counted() {
        let (engine, good) = (engine(no_condition()), connection("good"));
        let count = || engine.pending("meshwright.decisions;verdict=ALLOW;policy=n/p;reason=allow_rule_matched");
        // So many that what is remembered is replaced several times.
        for number in 0..400 {
            let bytes = request(&format!("/a{number}"), "a", "0001");
            learn(&engine, &good, &bytes);
            if number % ONE_IN == 0 {
                assert!(engine.again(&good, &bytes, || 0).is_some());
            }
        }
        assert_eq!(count(), 400 + 400 / 16);
    }
}
