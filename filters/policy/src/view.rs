use crate::request::{HttpRequest, Request};

/// What rules see of a request: what the app gets, without the headers that held tokens and with those that claims were written to. In Istio
/// jwt_authn, which does this, stands before rbac.
pub(crate) fn as_rules_see_it<T>(request: &Request<'_>, look: impl FnOnce(&Request<'_>) -> T) -> T {
    let changes = request.authentication.changes();
    match request.http {
        Some(http) if !changes.is_empty() => {
            let http = HttpRequest::new(http.headers().changed(changes));
            look(&Request { http: Some(&http), ..*request })
        }
        Some(_) | None => look(request),
    }
}
