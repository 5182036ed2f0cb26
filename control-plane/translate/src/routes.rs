//! VirtualServices become Envoy routes.

mod matching;

use meshwright_config::{
    Destination, HeaderEdits, HeaderOperations, HttpAction, HttpMatch, HttpRoute, Retries, VirtualService, WeightedDestination,
};
use meshwright_envoy_config::route::{
    Action, Forward, HeaderChanges, Headers, HostRewrite, PathRewrite, Redirect, RedirectPath, RedirectStatus, Retry, Route, RouteMatch,
    WeightedCluster,
};

use crate::TranslateError;
use crate::catalog::Catalog;
use crate::names;

/// Istio's default retries, with or without a VirtualService.
const DEFAULT_ATTEMPTS: u32 = 2;
const DEFAULT_RETRY_ON: &str = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";

/// Everything to one cluster.
pub(crate) fn default_route(cluster: &str) -> Route {
    Route {
        name: "default".to_owned(),
        matches: RouteMatch::any(),
        action: Action::Forward(Forward { retry: Some(default_retry()), ..Forward::to(cluster) }),
        headers: Headers::default(),
    }
}

/// A VirtualService's routes for calls to this port, first match first.
pub(crate) fn of_virtual_service(service: &VirtualService, port: u16, catalog: &Catalog<'_>) -> Result<Vec<Route>, TranslateError> {
    let mut routes = Vec::new();
    for (index, http) in service.http().iter().enumerate() {
        let name = http.name().map_or_else(|| index.to_string(), str::to_owned);
        let name = format!("{}/{}/{name}", service.key().namespace(), service.key().name());
        for matches in matches(http, port) {
            routes.push(Route {
                name: name.clone(),
                action: action(service, http, port, catalog)?,
                headers: headers(http.headers()),
                matches,
            });
        }
    }
    Ok(routes)
}

fn matches(http: &HttpRoute, port: u16) -> Vec<RouteMatch> {
    if http.matches().is_empty() {
        return vec![RouteMatch::any()];
    }
    let here = |wanted: &&HttpMatch| wanted.port().is_none_or(|wanted| wanted == port);
    http.matches().iter().filter(here).map(matching::route_match).collect()
}

fn action(service: &VirtualService, http: &HttpRoute, port: u16, catalog: &Catalog<'_>) -> Result<Action, TranslateError> {
    match http.action() {
        HttpAction::Route(destinations) => {
            let rewrite = http.rewrite();
            Ok(Action::Forward(Forward {
                clusters: destinations.iter().map(|destination| weighted(destination, port, catalog)).collect(),
                timeout: http.timeout(),
                retry: http.retries().map_or_else(|| Some(default_retry()), retry),
                path: rewrite.and_then(|rewrite| rewrite.uri()).map(|uri| PathRewrite::Prefix(uri.to_owned())),
                host: rewrite.and_then(|rewrite| rewrite.authority()).map(|host| HostRewrite::Literal(host.to_owned())),
                hash: Vec::new(),
            }))
        }
        HttpAction::Redirect(redirect) => Ok(Action::Redirect(Redirect {
            host: redirect.authority().map(str::to_owned),
            port: redirect.port().map(u32::from),
            scheme: redirect.scheme().map(str::to_owned),
            path: redirect.uri().map(|uri| RedirectPath::Whole(uri.to_owned())),
            status: RedirectStatus::from_number(redirect.code().into())
                .ok_or_else(|| TranslateError::RedirectStatus { document: service.key().to_string(), status: redirect.code() })?,
        })),
    }
}

fn weighted(weighted: &WeightedDestination, port: u16, catalog: &Catalog<'_>) -> WeightedCluster {
    WeightedCluster {
        name: destination_cluster(weighted.destination(), port, catalog),
        weight: weighted.weight(),
        headers: headers(weighted.headers()),
    }
}

pub(crate) fn destination_cluster(destination: &Destination, port: u16, catalog: &Catalog<'_>) -> String {
    let host = destination.host().as_str();
    let implied = || catalog.get(host).and_then(|service| service.implied_port(port)).unwrap_or(port);
    names::outbound_cluster(destination.port().unwrap_or_else(implied), destination.subset(), host)
}

fn default_retry() -> Retry {
    Retry {
        attempts: DEFAULT_ATTEMPTS,
        on: DEFAULT_RETRY_ON.to_owned(),
        status_codes: Vec::new(),
        per_try_timeout: None,
        base_interval: None,
    }
}

fn retry(retries: &Retries) -> Option<Retry> {
    if retries.attempts() == 0 {
        return None;
    }
    let (codes, conditions): (Vec<&String>, Vec<&String>) = retries.retry_on().iter().partition(|entry| entry.parse::<u32>().is_ok());
    let mut conditions: Vec<&str> = conditions.into_iter().map(String::as_str).collect();
    let status_codes: Vec<u32> = codes.into_iter().filter_map(|code| code.parse().ok()).collect();
    if !status_codes.is_empty() && !conditions.contains(&"retriable-status-codes") {
        conditions.push("retriable-status-codes");
    }
    Some(Retry {
        attempts: retries.attempts(),
        on: if conditions.is_empty() { DEFAULT_RETRY_ON.to_owned() } else { conditions.join(",") },
        status_codes,
        per_try_timeout: retries.per_try_timeout(),
        base_interval: None,
    })
}

fn headers(operations: &HeaderOperations) -> Headers {
    Headers { request: edits(operations.request()), response: edits(operations.response()) }
}

fn edits(edits: &HeaderEdits) -> HeaderChanges {
    HeaderChanges { set: edits.set().to_vec(), add: edits.add().to_vec(), remove: edits.remove().to_vec() }
}
