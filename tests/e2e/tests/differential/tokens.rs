//! Two issuers, and tokens of all kinds.

use meshwright_test_support::signing::{self, SigningKey};
use serde_json::{Value, json};

pub(crate) const ISSUER_A: &str = "https://a.test";
pub(crate) const ISSUER_B: &str = "https://b.test";

/// A signs with ES256 and RS256, B with EdDSA.
#[derive(Debug)]
pub(crate) struct Issuers {
    pub(crate) es256: SigningKey,
    rs256: SigningKey,
    eddsa: SigningKey,
    now: i64,
}

/// A token, and what it is for whoever reads a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) what: &'static str,
    pub(crate) text: String,
}

impl Issuers {
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self { es256: SigningKey::es256()?, rs256: SigningKey::rs256()?, eddsa: SigningKey::eddsa()?, now: signing::now()? })
    }

    pub(crate) fn jwks_a(&self) -> String {
        signing::jwks(&[&self.es256, &self.rs256])
    }

    pub(crate) fn jwks_b(&self) -> String {
        signing::jwks(&[&self.eddsa])
    }

    /// Claims of a good token of A.
    pub(crate) fn claims(&self) -> Value {
        json!({
            "iss": ISSUER_A, "sub": "me", "aud": "books", "azp": "app", "groups": ["customer", "reader"], "scope": "read write",
            "org": {"role": "admin"}, "exp": self.now + 3600, "iat": self.now,
        })
    }

    /// The claims with some changed; null takes one away.
    fn changed(&self, changes: &Value) -> Value {
        let mut claims = self.claims();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        claims
    }

    pub(crate) fn of_b(&self) -> anyhow::Result<String> {
        self.eddsa.token(&self.changed(&json!({"iss": ISSUER_B, "groups": ["admin"]})))
    }

    pub(crate) fn good(&self) -> anyhow::Result<Vec<Token>> {
        let now = self.now;
        let mut tokens = vec![
            Token { what: "RS256", text: self.rs256.token(&self.claims())? },
            Token { what: "EdDSA of B", text: self.of_b()? },
            Token { what: "no kid", text: self.es256.sign(r#"{"alg":"ES256"}"#, &self.claims().to_string())? },
        ];
        for (what, changes) in [
            ("ES256", json!({})),
            ("another subject", json!({"sub": "you", "groups": "customer", "aud": ["x", "books"], "azp": null})),
            ("no subject", json!({"sub": null, "groups": []})),
            ("an empty subject", json!({"sub": "", "aud": "other"})),
            ("numbers", json!({"groups": [7, "7"], "org": {"role": 1}, "scope": ["read", "write"]})),
            ("no audience", json!({"aud": null, "org": ["admin"]})),
            ("no expiry", json!({"exp": null})),
            ("expired within the skew", json!({"exp": now - 30})),
            ("valid within the skew", json!({"nbf": now + 30})),
        ] {
            tokens.push(Token { what, text: self.es256.token(&self.changed(&changes))? });
        }
        Ok(tokens)
    }

    pub(crate) fn bad(&self) -> anyhow::Result<Vec<Token>> {
        let now = self.now;
        let claims = self.claims().to_string();
        let good = self.es256.token(&self.claims())?;
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let other = self.es256.token(&self.changed(&json!({"sub": "eve"})))?;
        let first = if signature.starts_with('A') { 'B' } else { 'A' };
        let mut tokens = vec![
            Token { what: "a changed signature", text: format!("{signed}.{first}{}", &signature[1..]) },
            Token { what: "another token's signature", text: format!("{}.{signature}", other.rsplit_once('.').unwrap().0) },
            Token { what: "no signature", text: format!("{signed}.") },
            Token { what: "two parts", text: signed.to_owned() },
            Token { what: "A's token by B's key", text: self.eddsa.token(&self.claims())? },
            Token { what: "an unknown kid", text: self.es256.sign(r#"{"alg":"ES256","kid":"other"}"#, &claims)? },
            Token { what: "alg none", text: self.es256.sign(r#"{"alg":"none"}"#, &claims)? },
            Token { what: "another key's algorithm", text: self.es256.sign(r#"{"alg":"RS256","kid":"ES256"}"#, &claims)? },
            Token { what: "not a token", text: "a.b.c".to_owned() },
            Token { what: "a word", text: "garbage".to_owned() },
        ];
        for (what, changes) in [
            ("expired", json!({"exp": now - 3600})),
            ("not yet valid", json!({"nbf": now + 3600})),
            ("an unknown issuer", json!({"iss": "https://c.test"})),
            ("no issuer", json!({"iss": null})),
        ] {
            tokens.push(Token { what, text: self.es256.token(&self.changed(&changes))? });
        }
        Ok(tokens)
    }

    /// A good token of A with some claims changed.
    pub(crate) fn with(&self, changes: &Value) -> anyhow::Result<String> {
        self.es256.token(&self.changed(changes))
    }
}
