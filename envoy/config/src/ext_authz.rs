//! External authorizers: Envoy's own filters, which ask only about what the policy filter says they are to be asked about.
//!
//! The policy filter names them in the filter state [`names::CUSTOM_FILTER_STATE`], as `,one,two,`. Measured on Envoy 1.36 and 1.40: what a
//! Wasm filter sets is matched by `FilterStateInput` and by RBAC's `filter_state` alike.

use std::collections::BTreeMap;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::listener::v3 as listener;
use envoy_types::pb::envoy::config::rbac::v3 as rbac;
use envoy_types::pb::envoy::extensions::common::matching::v3::ExtensionWithMatcher;
use envoy_types::pb::envoy::extensions::filters::common::matcher::action::v3::SkipFilter;
use envoy_types::pb::envoy::extensions::filters::http::ext_authz::v3 as http;
use envoy_types::pb::envoy::extensions::filters::network;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::HttpFilter;
use envoy_types::pb::envoy::extensions::matching::common_inputs::network::v3::FilterStateInput;
use envoy_types::pb::envoy::r#type::matcher::v3 as matcher;
use envoy_types::pb::envoy::r#type::v3::HttpStatus;
use envoy_types::pb::google::protobuf::Any;
use envoy_types::pb::xds::core::v3::TypedExtensionConfig;
use envoy_types::pb::xds::r#type::matcher::v3 as xds;

use crate::filter::{http_filter, network_filter};
use crate::names;
use crate::well_known::{duration, pack};

/// One external authorizer. It fails closed: when it cannot be asked, the answer is no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtAuthz {
    /// By which policies and the policy filter call it: of letters, digits, `.`, `-` and `_`.
    pub name: String,
    pub cluster: String,
    /// What the requests to it say in `:authority` (gRPC).
    pub authority: String,
    pub timeout: Duration,
    pub service: Service,
    pub status_on_error: u16,
    pub body: Option<Body>,
}

/// How it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Service {
    Grpc,
    Http(Box<HttpService>),
}

/// What an HTTP service is shown, and what of its answer goes on. In a list of names, `*` may stand at the start or the end of one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpService {
    pub path_prefix: String,
    pub from_request: Vec<String>,
    pub additional: BTreeMap<String, String>,
    pub to_upstream_on_allow: Vec<String>,
    pub to_downstream_on_deny: Vec<String>,
    pub to_downstream_on_allow: Vec<String>,
}

/// How much of a request's body it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Body {
    pub max_bytes: u32,
    pub partial: bool,
    pub as_bytes: bool,
}

impl ExtAuthz {
    /// The HTTP filter. It stands after the policy filter, and is skipped unless that has named it.
    #[must_use]
    pub fn http_filter(&self) -> HttpFilter {
        let name = format!("meshwright.ext-authz/{}", self.name);
        let filter = core::TypedExtensionConfig { name: "envoy.filters.http.ext_authz".to_owned(), typed_config: Some(pack(&self.http())) };
        let gate =
            ExtensionWithMatcher { xds_matcher: Some(self.skip_unless_named()), extension_config: Some(filter), ..Default::default() };
        http_filter(&name, pack(&gate))
    }

    /// The network filters, after the policy filter's; only of gRPC services. A filter of connections has no matcher of its own: it looks at
    /// metadata, into which an RBAC filter that never denies writes what it found in the filter state.
    #[must_use]
    pub fn network_filters(&self) -> Vec<listener::Filter> {
        let prefix = format!("meshwright_{}_", self.name);
        let probe = network::rbac::v3::Rbac {
            stat_prefix: "meshwright.custom".to_owned(),
            shadow_rules_stat_prefix: prefix.clone(),
            shadow_rules: Some(self.named()),
            ..Default::default()
        };
        let segment = matcher::metadata_matcher::path_segment::Segment::Key(format!("{prefix}shadow_effective_policy_id"));
        let is_named = matcher::MetadataMatcher {
            filter: "envoy.filters.network.rbac".to_owned(),
            path: vec![matcher::metadata_matcher::PathSegment { segment: Some(segment) }],
            value: Some(matcher::ValueMatcher { match_pattern: Some(matcher::value_matcher::MatchPattern::StringMatch(exact(NAMED))) }),
            ..Default::default()
        };
        let config = network::ext_authz::v3::ExtAuthz {
            stat_prefix: format!("meshwright.{}", self.name),
            grpc_service: Some(self.grpc_service()),
            failure_mode_allow: false,
            transport_api_version: core::ApiVersion::V3.into(),
            filter_enabled_metadata: Some(is_named),
            ..Default::default()
        };
        let asking = network_filter("envoy.filters.network.ext_authz", pack(&config));
        vec![network_filter("envoy.filters.network.rbac", pack(&probe)), asking]
    }

    /// As the name stands in the filter state.
    fn framed(&self) -> String {
        format!(",{},", self.name)
    }

    fn skip_unless_named(&self) -> xds::Matcher {
        use xds::matcher::matcher_list::{FieldMatcher, Predicate, predicate};
        use xds::matcher::{MatcherList, MatcherType, OnMatch, on_match};
        let input = FilterStateInput { key: names::CUSTOM_FILTER_STATE.to_owned(), ..Default::default() };
        let contains =
            xds::StringMatcher { match_pattern: Some(xds::string_matcher::MatchPattern::Contains(self.framed())), ..Default::default() };
        let single = predicate::SinglePredicate {
            input: Some(xds_extension("envoy.matching.inputs.filter_state", pack(&input))),
            matcher: Some(predicate::single_predicate::Matcher::ValueMatch(contains)),
        };
        let named = Predicate { match_type: Some(predicate::MatchType::SinglePredicate(single)) };
        let unnamed = Predicate { match_type: Some(predicate::MatchType::NotMatcher(Box::new(named))) };
        let skip = on_match::OnMatch::Action(xds_extension("skip", pack(&SkipFilter {})));
        let matcher = FieldMatcher { predicate: Some(unnamed), on_match: Some(OnMatch { on_match: Some(skip), ..Default::default() }) };
        xds::Matcher { matcher_type: Some(MatcherType::MatcherList(MatcherList { matchers: vec![matcher] })), on_no_match: None }
    }

    /// An RBAC policy [`NAMED`] that matches when the policy filter has named this authorizer.
    fn named(&self) -> rbac::Rbac {
        let contains = matcher::StringMatcher {
            match_pattern: Some(matcher::string_matcher::MatchPattern::Contains(self.framed())),
            ..Default::default()
        };
        let state = matcher::FilterStateMatcher {
            key: names::CUSTOM_FILTER_STATE.to_owned(),
            matcher: Some(matcher::filter_state_matcher::Matcher::StringMatch(contains)),
        };
        let policy = rbac::Policy {
            permissions: vec![rbac::Permission { rule: Some(rbac::permission::Rule::Any(true)) }],
            principals: vec![rbac::Principal { identifier: Some(rbac::principal::Identifier::FilterState(state)) }],
            ..Default::default()
        };
        rbac::Rbac { action: rbac::rbac::Action::Deny.into(), policies: [(NAMED.to_owned(), policy)].into(), ..Default::default() }
    }

    fn http(&self) -> http::ExtAuthz {
        let (services, allowed_headers) = match &self.service {
            Service::Grpc => (http::ext_authz::Services::GrpcService(self.grpc_service()), None),
            // Beside method, path, host and `authorization`, which it is always shown.
            Service::Http(service) => (http::ext_authz::Services::HttpService(self.http_service(service)), patterns(&service.from_request)),
        };
        http::ExtAuthz {
            transport_api_version: core::ApiVersion::V3.into(),
            failure_mode_allow: false,
            with_request_body: self.body.map(|body| http::BufferSettings {
                max_request_bytes: body.max_bytes,
                allow_partial_message: body.partial,
                pack_as_bytes: body.as_bytes,
            }),
            status_on_error: Some(HttpStatus { code: self.status_on_error.into() }),
            allowed_headers,
            services: Some(services),
            ..Default::default()
        }
    }

    fn http_service(&self, service: &HttpService) -> http::HttpService {
        let header =
            |(name, value): (&String, &String)| core::HeaderValue { key: name.clone(), value: value.clone(), ..Default::default() };
        http::HttpService {
            server_uri: Some(core::HttpUri {
                uri: format!("http://{}", self.authority),
                timeout: duration(self.timeout),
                http_upstream_type: Some(core::http_uri::HttpUpstreamType::Cluster(self.cluster.clone())),
            }),
            path_prefix: service.path_prefix.clone(),
            authorization_request: Some(http::AuthorizationRequest {
                headers_to_add: service.additional.iter().map(header).collect(),
                ..Default::default()
            }),
            authorization_response: Some(http::AuthorizationResponse {
                allowed_upstream_headers: patterns(&service.to_upstream_on_allow),
                allowed_client_headers: patterns(&service.to_downstream_on_deny),
                allowed_client_headers_on_success: patterns(&service.to_downstream_on_allow),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn grpc_service(&self) -> core::GrpcService {
        let target =
            core::grpc_service::EnvoyGrpc { cluster_name: self.cluster.clone(), authority: self.authority.clone(), ..Default::default() };
        core::GrpcService {
            timeout: duration(self.timeout),
            target_specifier: Some(core::grpc_service::TargetSpecifier::EnvoyGrpc(target)),
            ..Default::default()
        }
    }
}

/// The one policy of the probe.
const NAMED: &str = "named";

fn xds_extension(name: &str, config: Any) -> TypedExtensionConfig {
    TypedExtensionConfig { name: name.to_owned(), typed_config: Some(config) }
}

fn exact(text: &str) -> matcher::StringMatcher {
    matcher::StringMatcher { match_pattern: Some(matcher::string_matcher::MatchPattern::Exact(text.to_owned())), ..Default::default() }
}

/// Envoy refuses a list without a pattern.
fn patterns(names: &[String]) -> Option<matcher::ListStringMatcher> {
    use matcher::string_matcher::MatchPattern;
    let pattern = |name: &String| {
        let found = match (name.strip_prefix('*'), name.strip_suffix('*')) {
            // Envoy refuses an empty prefix.
            (Some(""), _) => MatchPattern::SafeRegex(matcher::RegexMatcher { regex: ".+".to_owned(), ..Default::default() }),
            (Some(suffix), _) => MatchPattern::Suffix(suffix.to_owned()),
            (None, Some(prefix)) => MatchPattern::Prefix(prefix.to_owned()),
            (None, None) => MatchPattern::Exact(name.clone()),
        };
        matcher::StringMatcher {
            match_pattern: Some(found),
            // Names of headers; Envoy refuses it of a regex.
            ignore_case: name != "*",
        }
    };
    (!names.is_empty()).then(|| matcher::ListStringMatcher { patterns: names.iter().map(pattern).collect() })
}
