use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use serde_json::{Map, Value, json};

use crate::call::Caller;
use crate::instructions::{Instructions, InvalidInstruction};

/// What every request is answered from.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) caller: Caller,
}

pub(crate) async fn answer(app: Arc<App>, peer: SocketAddr, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, mut body) = request.into_parts();
    let instructions = match Instructions::read(&parts.uri, &parts.headers) {
        Ok(instructions) => instructions,
        Err(InvalidInstruction(error)) => return Ok(reply(StatusCode::BAD_REQUEST, &json!({"error": error}))),
    };
    let mut size: usize = 0;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Ok(reply(StatusCode::BAD_REQUEST, &json!({"error": "the body breaks off"})));
        };
        size = size.saturating_add(frame.data_ref().map_or(0, Bytes::len));
    }
    tokio::time::sleep(instructions.delay).await;
    let mut calls = Vec::new();
    for url in &instructions.calls {
        calls.push(app.caller.get(url, &parts.headers).await);
    }
    for address in &instructions.tcp {
        calls.push(app.caller.line(*address, &instructions.line).await);
    }
    let authority = parts.uri.authority().map(ToString::to_string);
    let received = json!({
        "service": app.name,
        "version": app.version,
        "method": parts.method.as_str(),
        "path": parts.uri.path(),
        "query": parts.uri.query(),
        "protocol": format!("{:?}", parts.version),
        // HTTP/2 has no Host header but the pseudo-header `:authority`.
        "authority": authority.or_else(|| parts.headers.get(header::HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned())),
        "headers": headers(&parts.headers),
        "body_bytes": size,
        "peer": peer.to_string(),
        "calls": calls,
    });
    Ok(reply(instructions.status, &received))
}

/// Names to values; several values of one name are joined with `, ` (RFC 9110, section 5.3).
fn headers(headers: &HeaderMap) -> Map<String, Value> {
    let joined = |name| {
        let values: Vec<_> = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        values.join(", ")
    };
    headers.keys().map(|name| (name.to_string(), Value::String(joined(name)))).collect()
}

fn reply(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{body}\n"))));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}
