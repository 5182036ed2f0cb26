//! Receipts of documents, and the release of removals that are held back.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use meshwright_config::{DocumentKey, Kind};
use serde::Deserialize;
use serde_json::json;

use super::asked::{Asked, Named};
use super::{Admin, LONGEST_WAIT};

/// How long to wait for it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    #[serde(default)]
    timeout_ms: u64,
}

/// How far a document has come. The directory is read first: whoever has saved a file and asks is not told of the version before.
pub(super) async fn receipt(
    State(admin): State<Admin>,
    Named((kind, namespace, name)): Named<(String, String, String)>,
    Asked(wait): Asked<Wait>,
) -> Response {
    let Some(kind) = Kind::ALL.into_iter().find(|known| known.as_str() == kind) else {
        return problem(StatusCode::NOT_FOUND, &format!("`{kind}` is no kind: `{}` are", Kind::WORDS.join("`, `")));
    };
    let key = DocumentKey::new(kind, namespace, name);
    refresh(&admin).await;
    let (publisher, asked) = (Arc::clone(&admin.publisher), key.clone());
    // Translating takes long enough to keep others from this thread.
    let question = tokio::task::spawn_blocking(move || publisher.question(&asked)).await.ok().flatten();
    let Some(question) = question else {
        return problem(StatusCode::NOT_FOUND, &format!("the configuration has no {key}"));
    };
    let timeout = Duration::from_millis(wait.timeout_ms).min(LONGEST_WAIT);
    Json(admin.board.wait_receipt(&question, timeout).await).into_response()
}

/// Lets a removal pass.
pub(super) async fn release(State(admin): State<Admin>, Named(name): Named<String>) -> Response {
    refresh(&admin).await;
    if !admin.source.release(&name).await {
        return problem(StatusCode::NOT_FOUND, &format!("no removal `{name}` is held: `meshwright status` names the one that is"));
    }
    admin.publisher.publish();
    Json(json!({"released": name, "revision": admin.board.revision()})).into_response()
}

/// What was saved before this call is in force, or refused, after it.
async fn refresh(admin: &Admin) {
    if !admin.source.reload().await {
        tracing::error!("the configuration directory is not watched any more");
    }
    admin.publisher.publish();
}

pub(super) fn problem(status: StatusCode, error: &str) -> Response {
    (status, Json(json!({"error": error}))).into_response()
}
