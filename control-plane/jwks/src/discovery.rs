//! An issuer's own configuration (OpenID Connect Discovery 1.0), of which only the place of its keys counts.

use meshwright_policy::check_key_url;
use serde::Deserialize;

/// Everything else in it is for clients that sign users in.
#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

/// The URL of the key set.
///
/// # Errors
/// When `body` is no configuration, another issuer's, or names a place that keys are not fetched from.
pub fn jwks_uri(issuer: &str, body: &str) -> Result<String, String> {
    let found: Configuration = serde_json::from_str(body).map_err(|error| format!("it is no OpenID configuration: {error}"))?;
    // Section 4.3: "The issuer value returned MUST be identical".
    if found.issuer != issuer {
        return Err(format!("it is that of the issuer `{}`, not of `{issuer}`", found.issuer.escape_debug()));
    }
    check_key_url(&found.jwks_uri).map_err(|error| format!("jwks_uri: {}", error.escape_debug()))?;
    let is_tls = |url: &str| url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
    if is_tls(issuer) && !is_tls(&found.jwks_uri) {
        return Err(format!("jwks_uri: found `{}`; an issuer at https has its keys at https too", found.jwks_uri));
    }
    Ok(found.jwks_uri)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_issuers_own_and_nothing_less_protected() {
        let body = |issuer: &str, uri: &str| json!({"issuer": issuer, "jwks_uri": uri, "scopes_supported": ["openid"]}).to_string();
        assert_eq!(jwks_uri("https://i", &body("https://i", "https://k/keys")).as_deref(), Ok("https://k/keys"));
        assert_eq!(jwks_uri("http://i", &body("http://i", "http://k/keys")).as_deref(), Ok("http://k/keys"));
        for (body, words) in [
            (body("https://i/", "https://k"), "not of `https://i`"),
            (body("https://i", "http://k"), "https too"),
            (body("https://i", "https://169.254.169.254/"), "link-local"),
            (body("https://i", "/keys"), "absolute"),
            ("{}".to_owned(), "no OpenID configuration"),
            ("<html>".to_owned(), "no OpenID configuration"),
        ] {
            let error = jwks_uri("https://i", &body).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
