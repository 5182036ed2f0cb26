//! Who may ask the admin API. On a loopback address in plaintext: whoever is on this machine, and no web page that a browser on it shows.
//! With a token: whoever has it. `/healthz` and `/readyz` tell nothing and are for everybody.

use std::net::IpAddr;
use std::path::Path;

use anyhow::Context as _;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest as _, Sha256};

use super::documents::problem;

/// Shorter ones can be guessed.
const SHORTEST_TOKEN: usize = 32;

/// What a request must show.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Access {
    /// That it comes from no web page.
    Local,
    /// The token with this hash; the token itself is not kept.
    Token([u8; 32]),
}

impl Access {
    /// The token in a file.
    ///
    /// # Errors
    /// When it cannot be read, is too short, or others than its owner may read it.
    pub(crate) fn token_file(file: &Path) -> anyhow::Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        let shown = file.display();
        let metadata = std::fs::metadata(file).with_context(|| format!("the admin token `{shown}` cannot be read"))?;
        anyhow::ensure!(metadata.permissions().mode() & 0o077 == 0, "others may read the admin token `{shown}`: `chmod 600` it");
        let text = std::fs::read_to_string(file).with_context(|| format!("the admin token `{shown}` cannot be read"))?;
        let token = text.trim();
        anyhow::ensure!(
            token.len() >= SHORTEST_TOKEN,
            "the admin token `{shown}` has {} bytes, at least {SHORTEST_TOKEN} are needed",
            token.len()
        );
        Ok(Self::Token(hash(token)))
    }

    fn permits(self, headers: &HeaderMap) -> Result<(), (StatusCode, &'static str)> {
        match self {
            Self::Local if headers.contains_key(header::ORIGIN) => Err((StatusCode::FORBIDDEN, "no web page may ask")),
            Self::Local if !is_local(headers) => Err((StatusCode::FORBIDDEN, "ask by address or as `localhost`")),
            Self::Local => Ok(()),
            Self::Token(expected) => {
                let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
                // Of hashes: how long the comparison takes tells nothing of the token.
                let good = shown.is_some_and(|token| hash(token) == expected);
                if good { Ok(()) } else { Err((StatusCode::UNAUTHORIZED, "`Authorization: Bearer TOKEN` is needed, with the admin token")) }
            }
        }
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// Named by address: a name may be made to resolve to this machine by anybody.
fn is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit())).map_or(host, |(name, _)| name);
    name == "localhost" || name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}

/// The middleware.
pub(super) async fn check(State(access): State<Access>, request: Request, next: Next) -> Response {
    match access.permits(request.headers()) {
        Ok(()) => next.run(request).await,
        Err((status, why)) => problem(status, why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (header::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn web_pages_may_not_ask() {
        for (found, permitted) in [
            (headers(&[]), true),
            (headers(&[("host", "127.0.0.1:15014")]), true),
            (headers(&[("host", "[::1]:15014")]), true),
            (headers(&[("host", "localhost")]), true),
            (headers(&[("host", "rebound.example:15014")]), false),
            (headers(&[("host", "127.0.0.1:15014"), ("origin", "https://evil.example")]), false),
        ] {
            assert_eq!(Access::Local.permits(&found).is_ok(), permitted, "{found:?}");
        }
    }

    #[test]
    fn a_token_is_all_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let token = "0123456789abcdef0123456789abcdef";
        std::fs::write(&file, format!("{token}\n")).unwrap();
        assert!(Access::token_file(&file).unwrap_err().to_string().contains("chmod 600"));
        let only_mine = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, only_mine).unwrap();
        let access = Access::token_file(&file).unwrap();
        for (shown, permitted) in [
            (format!("Bearer {token}"), true),
            (format!("Bearer {token}0"), false),
            ("Bearer ".to_owned(), false),
            (token.to_owned(), false),
        ] {
            assert_eq!(access.permits(&headers(&[("authorization", &shown)])).is_ok(), permitted, "{shown}");
        }
        assert!(access.permits(&headers(&[])).is_err());
        std::fs::write(&file, "short").unwrap();
        assert!(Access::token_file(&file).unwrap_err().to_string().contains("at least 32"));
        assert!(!format!("{access:?}").contains(token));
    }
}
