//! The shapes of routes.

use std::time::Duration;

use meshwright_envoy_config::hcm::{PathNormalization, Position, Routes};
use meshwright_envoy_config::listener::{ChainMatch, Direction, Inspection, Listener};
use meshwright_envoy_config::names;
use meshwright_envoy_config::route::{
    Action, Forward, HashKey, HeaderChanges, HeaderMatch, Headers, HostRewrite, PathMatch, PathRewrite, QueryMatch, Redirect, RedirectPath,
    RedirectStatus, Retry, Route, RouteMatch, TextMatch, VirtualHost, WeightedCluster, route_configuration,
};

use crate::{chain, golden, goldens, hcm, json_of, with_static};

fn rich_route() -> Route {
    let headers = |name: &str| Headers {
        request: HeaderChanges {
            set: vec![(format!("x-{name}"), "100%".into())],
            add: vec![("x-more".into(), "b".into())],
            remove: vec!["x-gone".into()],
        },
        response: HeaderChanges { set: vec![("x-by".into(), name.into())], add: vec![], remove: vec!["server".into()] },
    };
    let to = |name: &str, weight| WeightedCluster { name: name.into(), weight, headers: headers(name) };
    Route {
        name: "books/catalog/0".into(),
        matches: RouteMatch {
            path: PathMatch::Prefix("/books/".into()),
            ignore_path_case: true,
            headers: vec![
                HeaderMatch { name: ":method".into(), value: TextMatch::Exact("GET".into()), invert: false },
                HeaderMatch { name: "x-user".into(), value: TextMatch::Regex("a.*|b".into()), invert: true },
                HeaderMatch { name: "x-debug".into(), value: TextMatch::Present, invert: true },
            ],
            query: vec![
                QueryMatch { name: "page".into(), value: TextMatch::Prefix("1".into()) },
                QueryMatch { name: "all".into(), value: TextMatch::Present },
            ],
        },
        action: Action::Forward(Forward {
            clusters: vec![to(names::XDS_CLUSTER, 80), to(names::SDS_CLUSTER, 20)],
            timeout: Some(Duration::from_millis(1500)),
            retry: Some(Retry {
                attempts: 2,
                on: "connect-failure,refused-stream,retriable-status-codes".into(),
                status_codes: vec![503],
                per_try_timeout: Some(Duration::from_millis(500)),
                base_interval: Some(Duration::from_millis(25)),
            }),
            path: Some(PathRewrite::Prefix("/".into())),
            host: Some(HostRewrite::Literal("catalog.example".into())),
            hash: vec![
                HashKey::Header("x-user".into()),
                HashKey::Cookie { name: "session".into(), path: "/".into(), ttl: Some(Duration::from_secs(60)) },
                HashKey::QueryParameter("user".into()),
                HashKey::SourceIp,
            ],
        }),
        headers: headers("route"),
    }
}

#[test]
fn routes() {
    let simple = |name: &str, path, action| Route {
        name: name.into(),
        matches: RouteMatch { path, ..RouteMatch::any() },
        action,
        headers: Headers::default(),
    };
    let regex = Forward {
        path: Some(PathRewrite::Regex { pattern: "^/v1/(.*)".into(), substitution: "/\\1".into() }),
        ..Forward::to(names::XDS_CLUSTER)
    };
    let redirect = Redirect {
        host: Some("new.example".into()),
        port: Some(8443),
        scheme: Some("https".into()),
        path: Some(RedirectPath::Whole("/moved".into())),
        status: RedirectStatus::PermanentRedirect,
    };
    let prefix = Redirect { path: Some(RedirectPath::Prefix("/b".into())), status: RedirectStatus::Found, ..redirect.clone() };
    let hosts = [
        VirtualHost {
            name: "catalog".into(),
            domains: vec!["catalog.books.svc".into(), "catalog.books.svc:8080".into()],
            routes: vec![
                rich_route(),
                simple("regex", PathMatch::Regex("/v[0-9]/.*".into()), Action::Forward(regex)),
                simple("redirect", PathMatch::Exact("/old".into()), Action::Redirect(redirect)),
                simple("redirect-prefix", PathMatch::Prefix("/a".into()), Action::Redirect(prefix)),
                simple("respond", PathMatch::Exact("/health".into()), Action::Respond { status: 200, body: Some("ok".into()) }),
                simple("rest", PathMatch::Prefix("/".into()), Action::Forward(Forward::to(names::XDS_CLUSTER))),
            ],
            https_only: false,
        },
        VirtualHost {
            name: "block_all".into(),
            domains: vec!["*".into()],
            routes: vec![simple("block_all", PathMatch::Prefix("/".into()), Action::Respond { status: 502, body: None })],
            https_only: true,
        },
    ];
    let table = route_configuration("outbound", &hosts);
    golden("routes", &table);
    let listener = Listener {
        name: "outbound".into(),
        address: "127.0.0.1:15001".parse().unwrap(),
        direction: Direction::Outbound,
        inspection: Inspection::None,
        filter_chains: vec![chain(
            "",
            ChainMatch::Any,
            vec![hcm(Position::Outbound, PathNormalization::Base, Routes::Inline(Box::new(table))).build()],
        )],
    };
    goldens::accepted("routes", &with_static("listeners", vec![json_of(&listener.build())]));
}
