//! What each proxy should hold and what it has: names and versions, differences, and the resources themselves with their secrets taken out.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use meshwright_xds::{ResourceType, Snapshot};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::asked::{Asked, Named};
use super::documents::problem;
use super::{Admin, dump};
use crate::board::{Holdings, Versions};
use crate::receipts::label;

/// Type and name → version.
type Listing = BTreeMap<(ResourceType, String), String>;

/// `GET /v1/proxies/NAMESPACE/WORKLOAD`.
pub(super) async fn snapshot(State(admin): State<Admin>, Named((namespace, workload)): Named<(String, String)>) -> Response {
    let Some(found) = holdings(&admin, &namespace, &workload) else { return unknown(&namespace, &workload) };
    let mut types = Map::new();
    for kind in ResourceType::ALL {
        let acknowledged = found.acknowledged.get(&kind);
        let resources: Map<String, Value> = found
            .target
            .resources(kind)
            .map(|resource| {
                let held = acknowledged.and_then(|held| held.get(resource.name()));
                let bytes = resource.body().len();
                (resource.name().to_owned(), json!({"version": resource.version(), "acknowledged": held, "bytes": bytes}))
            })
            .collect();
        types.insert(kind.short_name().to_owned(), Value::Object(resources));
    }
    Json(json!({"proxy": format!("{namespace}/{workload}"), "revision": found.revision, "resources": types})).into_response()
}

/// Which resources to show; all without.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Chosen {
    /// `CDS`, `EDS`, `LDS`, `RDS`, `SDS` or `ECDS`.
    r#type: Option<String>,
    name: Option<String>,
}

/// `GET /v1/proxies/NAMESPACE/WORKLOAD/config`.
pub(super) async fn config(
    State(admin): State<Admin>,
    Named((namespace, workload)): Named<(String, String)>,
    Asked(chosen): Asked<Chosen>,
) -> Response {
    let Some(found) = holdings(&admin, &namespace, &workload) else { return unknown(&namespace, &workload) };
    if let Some(wrong) = chosen.r#type.as_ref().filter(|wanted| ResourceType::ALL.iter().all(|kind| kind.short_name() != *wanted)) {
        let known = ResourceType::ALL.map(ResourceType::short_name).join("`, `");
        return problem(StatusCode::BAD_REQUEST, &format!("`{wrong}` is no type: `{known}` are"));
    }
    // The first dump reads all descriptors, which takes long enough to keep others from this thread.
    let dumped = tokio::task::spawn_blocking(move || {
        let kinds = ResourceType::ALL.into_iter().filter(|kind| chosen.r#type.as_deref().is_none_or(|wanted| wanted == kind.short_name()));
        let resources = kinds.flat_map(|kind| found.target.resources(kind));
        resources
            .filter(|resource| chosen.name.as_deref().is_none_or(|wanted| wanted == resource.name()))
            .map(|r| dump::resource(r))
            .collect::<Vec<Value>>()
    });
    match dumped.await {
        Ok(resources) => Json(json!({"proxy": format!("{namespace}/{workload}"), "resources": resources})).into_response(),
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "the resources cannot be shown"),
    }
}

/// What to compare: `NAMESPACE/WORKLOAD`, with `@target` (what it should hold, also without), `@previous` (what it should have held
/// before) or `@acknowledged` (what it holds).
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sides {
    left: String,
    right: String,
}

/// `GET /v1/diff`.
pub(super) async fn diff(State(admin): State<Admin>, Asked(sides): Asked<Sides>) -> Response {
    let (left, right) = match (side(&admin, &sides.left), side(&admin, &sides.right)) {
        (Ok(left), Ok(right)) => (left, right),
        (Err(refused), _) | (_, Err(refused)) => return *refused,
    };
    let only = |these: &Listing, those: &Listing| -> Vec<String> {
        these.keys().filter(|key| !those.contains_key(*key)).map(|(kind, name)| label(*kind, name)).collect()
    };
    let both: Vec<(String, &String, &String)> =
        left.iter().filter_map(|(key, version)| Some((label(key.0, &key.1), version, right.get(key)?))).collect();
    let different: Vec<Value> = both
        .iter()
        .filter(|(_, left, right)| left != right)
        .map(|(resource, left, right)| json!({"resource": resource, "left": left, "right": right}))
        .collect();
    let same = both.len().saturating_sub(different.len());
    let answer = json!({"left": sides.left, "right": sides.right, "only_left": only(&left, &right), "only_right": only(&right, &left),
        "different": different, "same": same});
    Json(answer).into_response()
}

fn side(admin: &Admin, text: &str) -> Result<Listing, Box<Response>> {
    let (proxy, which) = text.split_once('@').unwrap_or((text, "target"));
    let (namespace, workload) = proxy
        .split_once('/')
        .ok_or_else(|| bad(format!("`{text}` is not NAMESPACE/WORKLOAD, with `@target`, `@previous` or `@acknowledged`")))?;
    let found = holdings(admin, namespace, workload).ok_or_else(|| Box::new(unknown(namespace, workload)))?;
    match which {
        "target" => Ok(listing(&found.target)),
        "previous" => Ok(listing(&found.previous)),
        "acknowledged" => {
            let of_type = |(kind, held): (&ResourceType, &Versions)| {
                let kind = *kind;
                held.iter().map(move |(name, version)| ((kind, name.to_string()), version.to_string())).collect::<Vec<_>>()
            };
            Ok(found.acknowledged.iter().flat_map(of_type).collect())
        }
        other => Err(bad(format!("`@{other}`: `@target`, `@previous` and `@acknowledged` are allowed"))),
    }
}

fn bad(why: String) -> Box<Response> {
    Box::new(problem(StatusCode::BAD_REQUEST, &why))
}

fn listing(snapshot: &Snapshot) -> Listing {
    let of_type = |kind| snapshot.resources(kind).map(move |resource| ((kind, resource.name().to_owned()), resource.version().to_owned()));
    ResourceType::ALL.into_iter().flat_map(of_type).collect()
}

fn holdings(admin: &Admin, namespace: &str, workload: &str) -> Option<Holdings> {
    admin.board.holdings(&format!("{}{namespace}/{workload}", crate::service::NODE_PREFIX))
}

fn unknown(namespace: &str, workload: &str) -> Response {
    problem(StatusCode::NOT_FOUND, &format!("no proxy of `{namespace}/{workload}` has connected"))
}
