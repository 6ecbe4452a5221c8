//! The endpoints that every service has.

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{About, Metrics, Readiness, metrics};

/// Adds the common endpoints, the answer to unknown paths and the metrics to the routes of a
/// service.
///
/// # Panics
///
/// When `routes` already has one of the common paths.
pub fn app(about: About, readiness: Readiness, routes: Router) -> Router {
    let metrics = Metrics::new(&about);
    let common = Router::new()
        .route("/health", get(async || "ok"))
        .route("/ready", get(ready).with_state(readiness))
        .route("/version", get(version).with_state(about))
        .route("/metrics", get(metrics::metrics).with_state(metrics.clone()));
    routes
        .merge(common)
        .fallback(async || (StatusCode::NOT_FOUND, "not found"))
        .layer(middleware::from_fn_with_state(metrics, metrics::measure))
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    match readiness.check().await {
        Ok(()) => "ok".into_response(),
        Err(reason) => {
            tracing::warn!(reason, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, reason).into_response()
        }
    }
}

async fn version(State(about): State<About>) -> Json<About> {
    Json(about)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use axum::{body::Body, http::Request};
    use tower::ServiceExt;

    use super::*;
    use crate::testing::get as fetch;

    fn about() -> About {
        About { name: "example".into(), version: "1.2.3".into(), commit: "abc".into(), build_date: "2025-01-01".into() }
    }

    fn example() -> Router {
        let routes = Router::new().route("/items/{id}", get(async || "item"));
        app(about(), Readiness::always(), routes)
    }

    #[tokio::test]
    async fn common_endpoints_answer() {
        let app = example();
        assert_eq!(fetch(&app, "/health").await, (200, "ok".into()));
        assert_eq!(fetch(&app, "/ready").await, (200, "ok".into()));
        let (status, body) = fetch(&app, "/version").await;
        assert_eq!(status, 200);
        assert_eq!(serde_json::from_str::<About>(&body).unwrap(), about());
    }

    #[tokio::test]
    async fn unknown_paths_are_not_found() {
        assert_eq!(fetch(&example(), "/nothing").await, (404, "not found".into()));
    }

    #[tokio::test]
    async fn readiness_is_asked_each_time() {
        let up = Arc::new(AtomicBool::new(false));
        let seen = up.clone();
        let readiness = Readiness::new(move || {
            let up = seen.load(Ordering::SeqCst);
            async move {
                anyhow::ensure!(up, "the store is away");
                Ok(())
            }
        });
        let app = app(about(), readiness, Router::new());
        assert_eq!(fetch(&app, "/ready").await, (503, "the store is away".into()));
        up.store(true, Ordering::SeqCst);
        assert_eq!(fetch(&app, "/ready").await, (200, "ok".into()));
    }

    #[tokio::test]
    async fn metrics_count_by_matched_route() {
        let app = example();
        fetch(&app, "/items/1").await;
        fetch(&app, "/items/2").await;
        fetch(&app, "/nothing").await;
        let odd = Request::builder().method("BREW").uri("/health");
        let answer = app.clone().oneshot(odd.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.unwrap().status(), 405);

        let (status, body) = fetch(&app, "/metrics").await;
        assert_eq!(status, 200);
        for line in [
            r#"http_requests_total{method="GET",route="/items/{id}",status="200"} 2"#,
            r#"http_requests_total{method="GET",route="unmatched",status="404"} 1"#,
            r#"http_requests_total{method="other",route="/health",status="405"} 1"#,
            r#"http_request_duration_seconds_count{method="GET",route="/items/{id}"} 2"#,
            r#"http_request_duration_seconds_bucket{le="+Inf",method="GET",route="/items/{id}"} 2"#,
            r#"build_info{name="example",version="1.2.3",commit="abc",build_date="2025-01-01"} 1"#,
            "# EOF",
        ] {
            assert!(body.lines().any(|l| l == line), "no {line} in:\n{body}");
        }
    }
}
