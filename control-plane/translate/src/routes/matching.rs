//! Which requests a route takes.

use meshwright_config::{HeaderMatch, HttpMatch, StringMatch};
use meshwright_envoy_config::route::{self, PathMatch, QueryMatch, RouteMatch, TextMatch};

pub(super) fn route_match(wanted: &HttpMatch) -> RouteMatch {
    let mut headers = Vec::new();
    let pseudo = [(":scheme", wanted.scheme()), (":method", wanted.method()), (":authority", wanted.authority())];
    for (name, value) in pseudo.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        headers.push(route::HeaderMatch { name: name.to_owned(), value: text(value), invert: false });
    }
    headers.extend(wanted.headers().iter().map(|(name, value)| header(name, value, false)));
    headers.extend(wanted.without_headers().iter().map(|(name, value)| header(name, value, true)));
    RouteMatch {
        path: wanted.uri().map_or_else(|| RouteMatch::any().path, path),
        ignore_path_case: wanted.ignore_uri_case(),
        headers,
        query: wanted.query_params().iter().map(|(name, value)| QueryMatch { name: name.clone(), value: text(value) }).collect(),
    }
}

fn path(uri: &StringMatch) -> PathMatch {
    match uri {
        StringMatch::Exact(path) => PathMatch::Exact(path.clone()),
        // Istio's prefix is of characters: `/a` takes `/ab`.
        StringMatch::Prefix(prefix) => PathMatch::Prefix(prefix.clone()),
        StringMatch::Regex(regex) => PathMatch::Regex(regex.clone()),
    }
}

fn header(name: &str, value: &HeaderMatch, invert: bool) -> route::HeaderMatch {
    let value = match value {
        HeaderMatch::Present => TextMatch::Present,
        HeaderMatch::Value(value) => text(value),
    };
    route::HeaderMatch { name: name.to_owned(), value, invert }
}

fn text(value: &StringMatch) -> TextMatch {
    match value {
        StringMatch::Exact(value) => TextMatch::Exact(value.clone()),
        StringMatch::Prefix(value) => TextMatch::Prefix(value.clone()),
        StringMatch::Regex(regex) => TextMatch::Regex(regex.clone()),
    }
}
