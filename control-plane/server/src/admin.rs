//! The admin API: JSON, and metrics. What is secret is taken out before it gets here or in [`dump`]; who may ask is [`access`]'s.

mod access;
mod asked;
mod documents;
mod dump;
mod proxies;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use meshwright_ca::RolloverStatus;
use meshwright_sources::SourceHandle;
use serde::Deserialize;
use serde_json::{Value, json};

pub(crate) use access::Access;
use asked::Asked;

use crate::board::Board;
use crate::denials::Denials;
use crate::publisher::Publisher;
use crate::trust::Trust;

/// The longest that a request may wait.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) board: Arc<Board>,
    pub(crate) publisher: Arc<Publisher>,
    pub(crate) trust: Trust,
    pub(crate) source: SourceHandle,
    pub(crate) denials: Arc<Denials>,
}

pub(crate) fn router(admin: Admin, access: &Access) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/v1/status", get(status))
        .route("/v1/enforced", get(enforced))
        .route("/v1/rules", get(rules))
        .route("/v1/scope", get(scope))
        .route("/v1/ca", get(ca))
        .route("/v1/documents/{kind}/{namespace}/{name}", get(documents::receipt))
        .route("/v1/held/{name}/release", post(documents::release))
        .route("/v1/proxies/{namespace}/{workload}", get(proxies::snapshot))
        .route("/v1/proxies/{namespace}/{workload}/config", get(proxies::config))
        .route("/v1/diff", get(proxies::diff))
        .layer(axum::middleware::from_fn_with_state((access.clone(), admin.clone()), access::check))
        .route("/healthz", get(async || "ok\n"))
        // The listener opens once the first complete snapshot can be made: to be reached is to be ready.
        .route("/readyz", get(async || "ready\n"))
        .fallback(async || documents::problem(StatusCode::NOT_FOUND, "there is nothing at this path"))
        .method_not_allowed_fallback(async || documents::problem(StatusCode::METHOD_NOT_ALLOWED, "this path takes another method"))
        .with_state(admin)
}

async fn status(State(admin): State<Admin>) -> Json<Value> {
    let mut status = admin.publisher.status(&admin.board.proxies());
    if let Some(fields) = status.as_object_mut() {
        // A rollover changes them while this process runs.
        let authority = &admin.trust.authority;
        fields.insert("root_expires".to_owned(), meshwright_ca::utc(authority.expiries().0).into());
        fields.insert("root_fingerprint".to_owned(), authority.root_fingerprint().to_string().into());
        fields.insert("ca".to_owned(), admin.trust.status());
        fields.insert("denied".to_owned(), admin.denials.status().into());
    }
    Json(status)
}

/// Where a rollover of the root stands.
async fn ca(State(admin): State<Admin>) -> Json<RolloverStatus> {
    Json(admin.trust.rollover())
}

/// What becomes of each rule of the state in force on each port: `rules` for machines, `lines` for people.
async fn rules(State(admin): State<Admin>) -> Json<Value> {
    let loaded = admin.publisher.loaded();
    Json(json!({"rules": loaded.state().rule_statuses(), "lines": loaded.state().rule_lines()}))
}

/// What each proxy is told, and what it would be without scoping.
async fn scope(State(admin): State<Admin>) -> impl IntoResponse {
    // A translation for each proxy takes long enough to keep others from this thread.
    match tokio::task::spawn_blocking(move || admin.publisher.scopes()).await {
        Ok(proxies) => Json(json!({"proxies": proxies})).into_response(),
        Err(_) => documents::problem(StatusCode::INTERNAL_SERVER_ERROR, "the scopes cannot be found out"),
    }
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    let content = [("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    match admin.board.metrics() {
        Ok(text) => (StatusCode::OK, content, text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// What to wait for, and for how long.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wait {
    /// Every connected proxy has acknowledged this revision or a later one.
    #[serde(default)]
    revision: u64,
    /// At least so many proxies are connected.
    #[serde(default)]
    proxies: usize,
    #[serde(default)]
    timeout_ms: u64,
}

async fn enforced(State(admin): State<Admin>, Asked(wait): Asked<Wait>) -> Json<Value> {
    let timeout = Duration::from_millis(wait.timeout_ms).min(LONGEST_WAIT);
    let enforced = admin.board.wait_enforced(wait.revision, wait.proxies, timeout).await;
    let proxies = admin.board.proxies();
    let in_sync = proxies.iter().filter(|proxy| proxy.connected && proxy.in_sync).count();
    Json(
        json!({"enforced": enforced, "revision": admin.board.revision(), "proxies": in_sync, "connected": proxies.iter().filter(|p| p.connected).count()}),
    )
}
