//! The page.

use askama::Template;
use axum::{
    extract::State,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY},
    },
    response::{Html, IntoResponse, Response},
};

use crate::backend::{Backends, Status};

/// Nothing but the page's own stylesheet and images.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(Template)]
#[template(path = "index.html")]
struct Page {
    services: [Status; 2],
}

/// Answers `/`: how the services are at this moment.
pub(crate) async fn page(State(backends): State<Backends>) -> Response {
    let page = Page { services: backends.status().await };
    match page.render() {
        Ok(html) => {
            let headers = [(CACHE_CONTROL, "no-store"), (CONTENT_SECURITY_POLICY, POLICY)];
            (headers, Html(html)).into_response()
        }
        Err(error) => {
            tracing::error!("cannot render the page: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
