//! What a route does with the requests it takes.

use std::time::Duration;

use envoy_types::pb::envoy::config::route::v3 as pb;
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use envoy_types::pb::envoy::r#type::matcher::v3::RegexMatchAndSubstitute;
use pb::redirect_action::{PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier};
use pb::route_action::{ClusterSpecifier, HashPolicy, HostRewriteSpecifier, hash_policy};

use super::Headers;
use super::matching::re2;
use crate::secret;
use crate::well_known::{duration, pack, uint32};

/// One of three.
#[derive(Debug, Clone)]
pub enum Action {
    Forward(Forward),
    Redirect(Redirect),
    Respond { status: u32, body: Option<String> },
}

/// Sends the request on.
#[derive(Debug, Clone)]
pub struct Forward {
    /// At least one; one gets everything, whatever its weight.
    pub clusters: Vec<WeightedCluster>,
    /// None: no limit.
    pub timeout: Option<Duration>,
    pub retry: Option<Retry>,
    pub path: Option<PathRewrite>,
    pub host: Option<HostRewrite>,
    /// What a cluster with consistent hashing hashes, in order.
    pub hash: Vec<HashKey>,
}

#[derive(Debug, Clone)]
pub struct WeightedCluster {
    pub name: String,
    pub weight: u32,
    pub headers: Headers,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathRewrite {
    /// Replaces what the route's prefix matched, or the whole of an exact path.
    Prefix(String),
    /// RE2 and a substitution with `\1`.
    Regex { pattern: String, substitution: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostRewrite {
    Literal(String),
}

/// What is hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    Header(String),
    Cookie { name: String, path: String, ttl: Option<Duration> },
    QueryParameter(String),
    SourceIp,
}

/// When a failed request is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    pub attempts: u32,
    /// Envoy's condition names, comma separated.
    pub on: String,
    pub status_codes: Vec<u32>,
    pub per_try_timeout: Option<Duration>,
    pub base_interval: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    pub host: Option<String>,
    pub port: Option<u32>,
    pub scheme: Option<String>,
    pub path: Option<RedirectPath>,
    pub status: RedirectStatus,
}

/// The statuses that Envoy redirects with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectStatus {
    MovedPermanently,
    Found,
    SeeOther,
    TemporaryRedirect,
    PermanentRedirect,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedirectPath {
    Whole(String),
    Prefix(String),
}

impl Action {
    pub(super) fn build(&self) -> pb::route::Action {
        match self {
            Self::Forward(forward) => pb::route::Action::Route(forward.build()),
            Self::Redirect(redirect) => pb::route::Action::Redirect(redirect.build()),
            Self::Respond { status, body } => pb::route::Action::DirectResponse(pb::DirectResponseAction {
                status: *status,
                body: body.as_deref().map(secret::inline),
                ..Default::default()
            }),
        }
    }
}

impl Forward {
    /// To one cluster, without limits or changes.
    #[must_use]
    pub fn to(cluster: &str) -> Self {
        let only = WeightedCluster { name: cluster.to_owned(), weight: 1, headers: Headers::default() };
        Self { clusters: vec![only], timeout: None, retry: None, path: None, host: None, hash: Vec::new() }
    }

    fn build(&self) -> pb::RouteAction {
        let mut action = pb::RouteAction {
            cluster_specifier: Some(self.clusters()),
            // Zero is no limit; leaving it out would be Envoy's 15 seconds.
            timeout: duration(self.timeout.unwrap_or_default()),
            retry_policy: self.retry.as_ref().map(Retry::build),
            host_rewrite_specifier: self
                .host
                .as_ref()
                .map(|HostRewrite::Literal(host)| HostRewriteSpecifier::HostRewriteLiteral(host.clone())),
            hash_policy: self.hash.iter().map(HashKey::build).collect(),
            ..Default::default()
        };
        match &self.path {
            None => {}
            Some(PathRewrite::Prefix(prefix)) => action.prefix_rewrite.clone_from(prefix),
            Some(PathRewrite::Regex { pattern, substitution }) => {
                action.regex_rewrite = Some(RegexMatchAndSubstitute { pattern: Some(re2(pattern)), substitution: substitution.clone() });
            }
        }
        action
    }

    fn clusters(&self) -> ClusterSpecifier {
        match self.clusters.as_slice() {
            [only] if only.headers == Headers::default() => ClusterSpecifier::Cluster(only.name.clone()),
            [only] => weighted(std::slice::from_ref(&WeightedCluster { weight: 1, ..only.clone() })),
            several => weighted(several),
        }
    }
}

fn weighted(clusters: &[WeightedCluster]) -> ClusterSpecifier {
    let weights = clusters.iter().map(|cluster| pb::weighted_cluster::ClusterWeight {
        name: cluster.name.clone(),
        weight: uint32(cluster.weight),
        request_headers_to_add: cluster.headers.request.additions(),
        request_headers_to_remove: cluster.headers.request.remove.clone(),
        response_headers_to_add: cluster.headers.response.additions(),
        response_headers_to_remove: cluster.headers.response.remove.clone(),
        ..Default::default()
    });
    ClusterSpecifier::WeightedClusters(pb::WeightedCluster { clusters: weights.collect(), ..Default::default() })
}

impl Retry {
    fn build(&self) -> pb::RetryPolicy {
        // Another endpoint each time, as far as there is one.
        let predicate = pb::retry_policy::RetryHostPredicate {
            name: "envoy.retry_host_predicates.previous_hosts".to_owned(),
            config_type: Some(pb::retry_policy::retry_host_predicate::ConfigType::TypedConfig(pack(&PreviousHostsPredicate {}))),
        };
        pb::RetryPolicy {
            retry_on: self.on.clone(),
            num_retries: uint32(self.attempts),
            per_try_timeout: self.per_try_timeout.and_then(duration),
            retriable_status_codes: self.status_codes.clone(),
            retry_host_predicate: vec![predicate],
            host_selection_retry_max_attempts: 5,
            retry_back_off: self
                .base_interval
                .map(|base| pb::retry_policy::RetryBackOff { base_interval: duration(base), max_interval: None }),
            ..Default::default()
        }
    }
}

impl HashKey {
    fn build(&self) -> HashPolicy {
        let specifier = match self {
            Self::Header(name) => {
                hash_policy::PolicySpecifier::Header(hash_policy::Header { header_name: name.clone(), ..Default::default() })
            }
            Self::Cookie { name, path, ttl } => hash_policy::PolicySpecifier::Cookie(hash_policy::Cookie {
                name: name.clone(),
                path: path.clone(),
                ttl: ttl.and_then(duration),
                ..Default::default()
            }),
            Self::QueryParameter(name) => hash_policy::PolicySpecifier::QueryParameter(hash_policy::QueryParameter { name: name.clone() }),
            Self::SourceIp => hash_policy::PolicySpecifier::ConnectionProperties(hash_policy::ConnectionProperties { source_ip: true }),
        };
        HashPolicy { policy_specifier: Some(specifier), ..Default::default() }
    }
}

impl RedirectStatus {
    /// The status with this number, if Envoy redirects with it.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        match number {
            301 => Some(Self::MovedPermanently),
            302 => Some(Self::Found),
            303 => Some(Self::SeeOther),
            307 => Some(Self::TemporaryRedirect),
            308 => Some(Self::PermanentRedirect),
            _ => None,
        }
    }
}

impl Redirect {
    fn build(&self) -> pb::RedirectAction {
        let code = match self.status {
            RedirectStatus::MovedPermanently => RedirectResponseCode::MovedPermanently,
            RedirectStatus::Found => RedirectResponseCode::Found,
            RedirectStatus::SeeOther => RedirectResponseCode::SeeOther,
            RedirectStatus::TemporaryRedirect => RedirectResponseCode::TemporaryRedirect,
            RedirectStatus::PermanentRedirect => RedirectResponseCode::PermanentRedirect,
        };
        pb::RedirectAction {
            host_redirect: self.host.clone().unwrap_or_default(),
            port_redirect: self.port.unwrap_or_default(),
            response_code: code.into(),
            scheme_rewrite_specifier: self.scheme.clone().map(SchemeRewriteSpecifier::SchemeRedirect),
            path_rewrite_specifier: self.path.as_ref().map(|path| match path {
                RedirectPath::Whole(path) => PathRewriteSpecifier::PathRedirect(path.clone()),
                RedirectPath::Prefix(prefix) => PathRewriteSpecifier::PrefixRewrite(prefix.clone()),
            }),
            ..Default::default()
        }
    }
}
