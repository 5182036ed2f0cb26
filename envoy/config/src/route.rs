//! HTTP routes.

mod action;
mod matching;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::route::v3 as pb;

pub use action::{Action, Forward, HashKey, HostRewrite, PathRewrite, Redirect, RedirectPath, RedirectStatus, Retry, WeightedCluster};
pub use matching::{HeaderMatch, PathMatch, QueryMatch, RouteMatch, TextMatch};

/// A table of virtual hosts, RDS resource or inline.
#[must_use]
pub fn route_configuration(name: &str, virtual_hosts: &[VirtualHost]) -> pb::RouteConfiguration {
    pb::RouteConfiguration {
        name: name.to_owned(),
        virtual_hosts: virtual_hosts.iter().map(VirtualHost::build).collect(),
        ..Default::default()
    }
}

/// The routes of some hosts.
#[derive(Debug, Clone)]
pub struct VirtualHost {
    pub name: String,
    /// `host`, `host:port`, `*.suffix` or `*`; no two virtual hosts of a table may share one.
    pub domains: Vec<String>,
    /// The first that matches is taken.
    pub routes: Vec<Route>,
    /// Plain HTTP is redirected to HTTPS before any route is looked at.
    pub https_only: bool,
}

/// One route.
#[derive(Debug, Clone)]
pub struct Route {
    pub name: String,
    pub matches: RouteMatch,
    pub action: Action,
    pub headers: Headers,
}

/// Headers that a route, or one of its weighted clusters, changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers {
    pub request: HeaderChanges,
    pub response: HeaderChanges,
}

/// Changes of one direction, values taken literally.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderChanges {
    pub set: Vec<(String, String)>,
    pub add: Vec<(String, String)>,
    pub remove: Vec<String>,
}

impl VirtualHost {
    fn build(&self) -> pb::VirtualHost {
        pb::VirtualHost {
            name: self.name.clone(),
            domains: self.domains.clone(),
            routes: self.routes.iter().map(Route::build).collect(),
            require_tls: if self.https_only {
                pb::virtual_host::TlsRequirementType::All
            } else {
                pb::virtual_host::TlsRequirementType::None
            }
            .into(),
            include_request_attempt_count: true,
            ..Default::default()
        }
    }
}

impl Route {
    fn build(&self) -> pb::Route {
        pb::Route {
            name: self.name.clone(),
            r#match: Some(self.matches.build()),
            action: Some(self.action.build()),
            request_headers_to_add: self.headers.request.additions(),
            request_headers_to_remove: self.headers.request.remove.clone(),
            response_headers_to_add: self.headers.response.additions(),
            response_headers_to_remove: self.headers.response.remove.clone(),
            ..Default::default()
        }
    }
}

impl HeaderChanges {
    fn additions(&self) -> Vec<core::HeaderValueOption> {
        use core::header_value_option::HeaderAppendAction;
        let option = |(name, value): &(String, String), action: HeaderAppendAction| core::HeaderValueOption {
            header: Some(core::HeaderValue { key: name.clone(), value: literal(value), ..Default::default() }),
            append_action: action.into(),
            keep_empty_value: true,
            ..Default::default()
        };
        let set = self.set.iter().map(|pair| option(pair, HeaderAppendAction::OverwriteIfExistsOrAdd));
        set.chain(self.add.iter().map(|pair| option(pair, HeaderAppendAction::AppendIfExistsOrAdd))).collect()
    }
}

/// `%` starts a command in Envoy's header values; `%%` is the character.
fn literal(value: &str) -> String {
    value.replace('%', "%%")
}
