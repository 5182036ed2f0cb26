//! External authorizers of either kind, with all that can be said of them.

use std::time::Duration;

use meshwright_envoy_config::ext_authz::{Body, ExtAuthz, HttpService, Service};
use meshwright_envoy_config::names;

/// By gRPC, and by HTTP.
pub(crate) fn both() -> [ExtAuthz; 2] {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let service = HttpService {
        path_prefix: "/check".into(),
        from_request: names(&["x-tenant", "x-trace-*", "*-id"]),
        additional: [("x-mesh".to_owned(), "mesh.local".to_owned()), ("x-zone".to_owned(), "a".to_owned())].into(),
        to_upstream_on_allow: names(&["x-user"]),
        to_downstream_on_deny: names(&["*"]),
        to_downstream_on_allow: names(&["set-cookie"]),
    };
    let grpc = ExtAuthz {
        name: "opa".into(),
        cluster: names::XDS_CLUSTER.into(),
        authority: "opa.example".into(),
        timeout: Duration::from_secs(600),
        service: Service::Grpc,
        status_on_error: 403,
        body: None,
    };
    let body = Some(Body { max_bytes: 4096, partial: true, as_bytes: false });
    let http = ExtAuthz { name: "legacy".into(), service: Service::Http(Box::new(service)), status_on_error: 503, body, ..grpc.clone() };
    [grpc, http]
}
