//! Which requests a route takes.

use envoy_types::pb::envoy::config::route::v3 as pb;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher, string_matcher::MatchPattern};
use pb::{header_matcher::HeaderMatchSpecifier, query_parameter_matcher::QueryParameterMatchSpecifier, route_match::PathSpecifier};

use crate::well_known::boolean;

/// Everything in it must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteMatch {
    pub path: PathMatch,
    /// Not for a regex, which has `(?i)`.
    pub ignore_path_case: bool,
    /// Pseudo-headers such as `:method` too.
    pub headers: Vec<HeaderMatch>,
    pub query: Vec<QueryMatch>,
}

/// The path without its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathMatch {
    Prefix(String),
    Exact(String),
    /// RE2, of the whole path.
    Regex(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderMatch {
    pub name: String,
    pub value: TextMatch,
    /// Must not match; a missing header has no value to match.
    pub invert: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryMatch {
    pub name: String,
    pub value: TextMatch,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextMatch {
    Present,
    Exact(String),
    Prefix(String),
    /// RE2, of the whole value.
    Regex(String),
}

impl RouteMatch {
    /// Every request.
    #[must_use]
    pub fn any() -> Self {
        Self { path: PathMatch::Prefix("/".to_owned()), ignore_path_case: false, headers: Vec::new(), query: Vec::new() }
    }

    pub(super) fn build(&self) -> pb::RouteMatch {
        let path = match &self.path {
            PathMatch::Prefix(prefix) => PathSpecifier::Prefix(prefix.clone()),
            PathMatch::Exact(path) => PathSpecifier::Path(path.clone()),
            PathMatch::Regex(regex) => PathSpecifier::SafeRegex(re2(regex)),
        };
        pb::RouteMatch {
            path_specifier: Some(path),
            case_sensitive: if self.ignore_path_case { boolean(false) } else { None },
            headers: self.headers.iter().map(HeaderMatch::build).collect(),
            query_parameters: self.query.iter().map(QueryMatch::build).collect(),
            ..Default::default()
        }
    }
}

impl HeaderMatch {
    fn build(&self) -> pb::HeaderMatcher {
        let specifier = self.value.pattern().map_or(HeaderMatchSpecifier::PresentMatch(true), HeaderMatchSpecifier::StringMatch);
        pb::HeaderMatcher {
            name: self.name.clone(),
            invert_match: self.invert,
            // Or a request without the header would match neither a value nor its opposite.
            treat_missing_header_as_empty: self.invert && self.value != TextMatch::Present,
            header_match_specifier: Some(specifier),
        }
    }
}

impl QueryMatch {
    fn build(&self) -> pb::QueryParameterMatcher {
        let specifier =
            self.value.pattern().map_or(QueryParameterMatchSpecifier::PresentMatch(true), QueryParameterMatchSpecifier::StringMatch);
        pb::QueryParameterMatcher { name: self.name.clone(), query_parameter_match_specifier: Some(specifier) }
    }
}

impl TextMatch {
    fn pattern(&self) -> Option<StringMatcher> {
        let pattern = match self {
            Self::Present => return None,
            Self::Exact(value) => MatchPattern::Exact(value.clone()),
            Self::Prefix(value) => MatchPattern::Prefix(value.clone()),
            Self::Regex(regex) => MatchPattern::SafeRegex(re2(regex)),
        };
        Some(StringMatcher { match_pattern: Some(pattern), ..Default::default() })
    }
}

pub(super) fn re2(regex: &str) -> RegexMatcher {
    RegexMatcher { regex: regex.to_owned(), ..Default::default() }
}
