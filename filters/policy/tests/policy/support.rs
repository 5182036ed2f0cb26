//! Requests and policies in few words.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use meshwright_policy::{
    Algorithm, Authentication, Connection, Crypto, CryptoError, Decision, Evaluation, Headers, HttpRequest, Metadata, Peer, Policy,
    PublicKey, Request, TokenCache, Verdict,
};
use serde_json::{Value, json};

pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const ISSUER: &str = "https://issuer.test/a";

/// Takes every signature, so that tests of claims need no key.
#[derive(Debug)]
pub(crate) struct Trusting;

impl Crypto for Trusting {
    fn verify(&self, _: Algorithm, _: &PublicKey, _: &[u8], _: &[u8]) -> Result<bool, CryptoError> {
        Ok(true)
    }
}

/// A request as a test describes it.
#[derive(Debug, Clone)]
pub(crate) struct Fixture {
    pub(crate) connection: Connection,
    /// None: a TCP connection.
    pub(crate) headers: Option<Vec<(String, Vec<u8>)>>,
    pub(crate) claims: Option<Value>,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let connection = Connection {
            direct_ip: None,
            remote_ip: None,
            peer: Peer::Plaintext,
            sni: None,
            destination: None,
            metadata: Metadata::default(),
        };
        Self { connection, headers: Some(Vec::new()), claims: None }
    }

    pub(crate) fn tcp(mut self) -> Self {
        self.headers = None;
        self
    }

    /// `identities` are without the scheme.
    pub(crate) fn peer(mut self, identities: &[&str]) -> Self {
        let uri_sans = identities.iter().map(|identity| format!("spiffe://{identity}")).collect();
        self.connection.peer = Peer::Authenticated { uri_sans, dns_sans: Vec::new(), subject: None, serial: None };
        self
    }

    pub(crate) fn direct(mut self, ip: &str) -> Self {
        self.connection.direct_ip = Some(ip.parse().unwrap());
        self
    }

    pub(crate) fn remote(mut self, ip: &str) -> Self {
        self.connection.remote_ip = Some(ip.parse().unwrap());
        self
    }

    pub(crate) fn destination(mut self, address: &str) -> Self {
        self.connection.destination = Some(address.parse().unwrap());
        self
    }

    pub(crate) fn sni(mut self, name: &str) -> Self {
        self.connection.sni = Some(name.to_owned());
        self
    }

    /// A value that another filter has set, as the attribute has it.
    pub(crate) fn metadata(mut self, policy: &Policy, value: &[u8]) -> Self {
        self.connection.metadata = Metadata::read(policy.metadata(), &|_| Some(value.to_vec()));
        self
    }

    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.get_or_insert_with(Vec::new).push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// A token with these claims beside `iss`.
    pub(crate) fn claims(mut self, mut claims: Value) -> Self {
        if claims.get("iss").is_none() {
            claims["iss"] = json!(ISSUER);
        }
        self.claims = Some(claims);
        self
    }
}

/// A token that only [`Trusting`] takes.
pub(crate) fn unsigned(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.AAAA", encode(header), encode(claims))
}

/// A policy for `protocol` that takes the issuer's tokens.
pub(crate) fn compile(protocol: &str, authorization: &Value) -> Policy {
    let config = json!({
        "version": 1, "protocol": protocol, "trust_domain": "mesh.test", "trust_domain_aliases": ["old.test"],
        "request_authentication": [{"namespace": "ns", "name": "tokens", "jwt_rules": [{"issuer": ISSUER, "jwks": crate::keys::JWKS}]}],
        "authorization": authorization,
    });
    Policy::from_json(config.to_string().as_bytes()).unwrap()
}

/// One policy `ns/name`.
pub(crate) fn one(protocol: &str, action: &str, rules: &Value) -> Policy {
    compile(protocol, &json!([{"namespace": "ns", "name": "name", "action": action, "rules": rules}]))
}

pub(crate) fn authenticate(policy: &Policy, headers: &[(String, Vec<u8>)], crypto: &dyn Crypto) -> Authentication {
    authenticate_at(policy, headers, NOW, crypto, &mut TokenCache::default())
}

pub(crate) fn authenticate_at(
    policy: &Policy,
    headers: &[(String, Vec<u8>)],
    now: u64,
    crypto: &dyn Crypto,
    cache: &mut TokenCache,
) -> Authentication {
    let request = HttpRequest::new(Headers::from_pairs(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()))));
    policy.authenticate(&request, now, crypto, cache)
}

pub(crate) fn decide<'p>(policy: &'p Policy, fixture: &Fixture) -> Decision<'p> {
    with_request(policy, fixture, |request| meshwright_policy::decide(policy, request))
}

pub(crate) fn evaluate<'p>(policy: &'p Policy, fixture: &Fixture) -> Evaluation<'p> {
    with_request(policy, fixture, |request| meshwright_policy::evaluate(policy, request))
}

/// What a fixture describes, as the policy is given it.
pub(crate) fn with_request<T>(policy: &Policy, fixture: &Fixture, use_it: impl FnOnce(&Request<'_>) -> T) -> T {
    let mut headers = fixture.headers.clone();
    if let (Some(headers), Some(claims)) = (&mut headers, &fixture.claims) {
        let token = unsigned(&json!({"alg": "EdDSA"}), claims);
        headers.push(("authorization".to_owned(), format!("Bearer {token}").into_bytes()));
    }
    let http = headers
        .as_ref()
        .map(|headers| HttpRequest::new(Headers::from_pairs(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice())))));
    let authentication = headers.as_ref().map_or(Authentication::Anonymous, |headers| authenticate(policy, headers, &Trusting));
    use_it(&Request { connection: &fixture.connection, http: http.as_ref(), authentication: &authentication })
}

pub(crate) fn allows(policy: &Policy, fixture: &Fixture) -> bool {
    decide(policy, fixture).verdict == Verdict::Allow
}
