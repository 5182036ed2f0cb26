//! One JWT rule, compiled: its keys are parsed once.

use super::claims::{self, SpaceDelimited};
use super::jwks::{self, PublicKey};
use super::key_url::check_key_url;
use super::location::{self, Location};
use crate::headers::is_token;
use crate::invalid::Errors;
use crate::wire;

/// Finds a rule's keys: [`inline_keys`] or [`checked_keys`]. A function, not a choice between the two: the module has the code of one alone.
pub(crate) type Keys = fn(&wire::JwtRule, &str, &mut Errors) -> Option<Vec<PublicKey>>;

#[derive(Debug, Clone)]
pub(crate) struct JwtRule {
    issuer: String,
    audiences: Vec<String>,
    keys: Vec<PublicKey>,
    locations: Vec<Location>,
    forward_original_token: bool,
    output_payload_to_header: Option<String>,
    /// Header, and the path of the claim.
    output_claims: Vec<(String, Vec<String>)>,
    space_delimited: SpaceDelimited,
}

impl JwtRule {
    #[inline(never)]
    pub(crate) fn compile(rule: &wire::JwtRule, keys: Keys, path: &str, errors: &mut Errors) -> Option<Self> {
        let wire::JwtRule {
            issuer,
            audiences,
            jwks_uri,
            jwks,
            from_headers: _,
            from_params: _,
            from_cookies: _,
            output_payload_to_header,
            output_claim_to_headers,
            forward_original_token,
            space_delimited_claims,
            timeout,
        } = rule;
        if issuer.is_empty() {
            errors.add(format!("{path}.issuer"), "found an empty string; the value of the token's `iss` is allowed");
        }
        if jwks.is_some() && jwks_uri.is_some() {
            errors.add(path, "found both `jwks` and `jwksUri`; one of them is allowed");
        }
        if timeout.is_some() && jwks.is_some() {
            errors.add(format!("{path}.timeout"), "found beside `jwks`, which needs no fetching; leave it out");
        }
        check_headers(rule, path, errors);
        check_lists(rule, path, errors);
        let keys = keys(rule, path, errors)?;
        let outputs = output_claim_to_headers.iter().flatten();
        Some(Self {
            issuer: issuer.clone(),
            audiences: audiences.clone().unwrap_or_default(),
            keys,
            locations: location::of(rule),
            forward_original_token: forward_original_token.unwrap_or_default(),
            output_payload_to_header: output_payload_to_header.as_ref().map(|header| header.to_ascii_lowercase()),
            output_claims: outputs.map(|output| (output.header.to_ascii_lowercase(), path_of(&output.claim))).collect(),
            space_delimited: claims::space_delimited(space_delimited_claims.as_deref().unwrap_or_default()),
        })
    }

    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(super) fn locations(&self) -> &[Location] {
        &self.locations
    }

    /// Headers in which tokens come.
    pub(crate) fn token_headers(&self) -> impl Iterator<Item = &str> {
        self.locations.iter().filter_map(Location::header)
    }

    /// Empty: any.
    pub(super) fn audiences(&self) -> &[String] {
        &self.audiences
    }

    pub(super) fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    pub(super) fn forwards_original_token(&self) -> bool {
        self.forward_original_token
    }

    pub(super) fn output_payload_to_header(&self) -> Option<&str> {
        self.output_payload_to_header.as_deref()
    }

    pub(super) fn output_claims(&self) -> &[(String, Vec<String>)] {
        &self.output_claims
    }

    pub(super) fn space_delimited(&self) -> SpaceDelimited {
        SpaceDelimited::clone(&self.space_delimited)
    }

    /// Headers that only a verified token may set.
    pub(crate) fn owned_headers(&self) -> impl Iterator<Item = &str> {
        self.output_payload_to_header.as_deref().into_iter().chain(self.output_claims.iter().map(|(header, _)| header.as_str()))
    }
}

/// Keys in the rule, perhaps none yet: what the module is given.
#[inline(never)]
pub(crate) fn inline_keys(rule: &wire::JwtRule, path: &str, errors: &mut Errors) -> Option<Vec<PublicKey>> {
    if rule.jwks_uri.is_some() {
        errors.add(format!("{path}.jwksUri"), "the module fetches nothing; the control plane puts the keys in `jwks`");
    }
    match &rule.jwks {
        Some(text) => errors.keep(format!("{path}.jwks"), jwks::parse_or_none(text)),
        None => {
            errors.add(format!("{path}.jwks"), "missing; a JSON Web Key Set is allowed");
            None
        }
    }
}

/// Keys in the rule, or to be fetched: what a document says. A rule whose keys are elsewhere compiles to one that refuses every token.
pub(crate) fn checked_keys(rule: &wire::JwtRule, path: &str, errors: &mut Errors) -> Option<Vec<PublicKey>> {
    match (&rule.jwks, &rule.jwks_uri) {
        (Some(text), _) => errors.keep(format!("{path}.jwks"), jwks::parse(text)),
        (None, Some(uri)) => errors.keep(format!("{path}.jwksUri"), check_key_url(uri)).map(|()| Vec::new()),
        // Said already, and more clearly, that there is no issuer.
        (None, None) if rule.issuer.is_empty() => None,
        (None, None) => {
            let wrong =
                |error| format!("without `jwks` and `jwksUri` keys are found through the issuer (OpenID Connect Discovery): {error}");
            errors.keep(format!("{path}.issuer"), check_issuer(&rule.issuer).map_err(wrong)).map(|()| Vec::new())
        }
    }
}

/// OpenID Connect Discovery 1.0 section 3: no query and no fragment.
fn check_issuer(issuer: &str) -> Result<(), String> {
    check_key_url(issuer)?;
    if issuer.contains('?') { Err(format!("found `{issuer}`, which has a query; a URL without one is allowed")) } else { Ok(()) }
}

#[inline(never)]
fn path_of(claim: &str) -> Vec<String> {
    claim.split('.').map(str::to_owned).collect()
}

/// Headers that say to whom a request goes, how it is framed, or which of its headers are for one hop (RFC 9110 section 7.6.1): a claim
/// written into one would change the request itself.
const NOT_TO_WRITE: [&str; 9] =
    ["host", "content-length", "transfer-encoding", "connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"];

#[inline(never)]
fn check_headers(rule: &wire::JwtRule, path: &str, errors: &mut Errors) {
    for (index, from) in rule.from_headers.iter().flatten().enumerate() {
        if !is_token(&from.name) || from.name.eq_ignore_ascii_case("host") {
            let message = format!("found `{}`; a header name (RFC 9110 section 5.1) other than Host is allowed", from.name);
            errors.add(format!("{path}.fromHeaders[{index}].name"), message);
        }
    }
    let mut written: Vec<String> = Vec::new();
    let mut write = |field: String, name: &str| {
        let name = name.to_ascii_lowercase();
        if !is_token(&name) || NOT_TO_WRITE.contains(&name.as_str()) {
            let message = format!("found `{name}`; a header name (RFC 9110 section 5.1) that has no meaning to HTTP itself is allowed");
            errors.add(format!("{path}.{field}"), message);
        } else if location::of(rule).iter().any(|location| location.header() == Some(&name)) {
            errors.add(
                format!("{path}.{field}"),
                format!("found `{name}`, from which the rule's tokens are taken; another header is allowed"),
            );
        } else if written.contains(&name) {
            errors.add(format!("{path}.{field}"), format!("found `{name}` again; one value for each header is allowed"));
        }
        written.push(name);
    };
    if let Some(name) = &rule.output_payload_to_header {
        write("outputPayloadToHeader".to_owned(), name);
    }
    for (index, output) in rule.output_claim_to_headers.iter().flatten().enumerate() {
        write(format!("outputClaimToHeaders[{index}].header"), &output.header);
    }
    for (index, output) in rule.output_claim_to_headers.iter().flatten().enumerate() {
        if output.claim.split('.').any(str::is_empty) {
            let message = format!("found `{}`; claim names, one behind the other with `.`, are allowed", output.claim);
            errors.add(format!("{path}.outputClaimToHeaders[{index}].claim"), message);
        }
    }
}

#[inline(never)]
fn check_lists(rule: &wire::JwtRule, path: &str, errors: &mut Errors) {
    let mut not_empty = |field: &str, length: Option<usize>| {
        if length == Some(0) {
            errors.add(format!("{path}.{field}"), "found an empty list; leave the field out for its default");
        }
    };
    not_empty("fromHeaders", rule.from_headers.as_ref().map(Vec::len));
    not_empty("outputClaimToHeaders", rule.output_claim_to_headers.as_ref().map(Vec::len));
    let lists = [
        ("audiences", &rule.audiences),
        ("fromParams", &rule.from_params),
        ("fromCookies", &rule.from_cookies),
        ("spaceDelimitedClaims", &rule.space_delimited_claims),
    ];
    for (field, list) in lists {
        not_empty(field, list.as_ref().map(Vec::len));
    }
    for (field, list) in lists {
        for (index, _) in list.iter().flatten().enumerate().filter(|(_, value)| value.is_empty()) {
            errors.add(format!("{path}.{field}[{index}]"), "found an empty string; a name is allowed");
        }
    }
}
