//! Metrics of a service.

use std::{sync::Arc, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{Method, header::CONTENT_TYPE},
    middleware::Next,
    response::{IntoResponse, Response},
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::About;

/// Upper bounds of the duration histogram, in seconds.
const BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// The text format of `prometheus-client`, which every Prometheus since 2.5 asks for.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Route label of requests that match no route: their paths are never labels, so that a client
/// cannot make up new time series.
const UNMATCHED: &str = "unmatched";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Handled {
    method: &'static str,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    method: &'static str,
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    name: String,
    version: String,
    commit: String,
    build_date: String,
}

/// The metrics of one service: requests, their durations and the build.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    requests: Family<Handled, Counter>,
    durations: Family<Route, Histogram, fn() -> Histogram>,
}

impl Metrics {
    /// Metrics of the service that `about` describes.
    #[must_use]
    pub fn new(about: &About) -> Self {
        let mut registry = Registry::default();
        let requests = Family::<Handled, Counter>::default();
        registry.register("http_requests", "Requests answered, by method, matched route and status", requests.clone());
        let durations = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> _);
        registry.register(
            "http_request_duration_seconds",
            "Time from a request to its answer, by method and matched route",
            durations.clone(),
        );
        let build = Family::<Build, Gauge>::default();
        build
            .get_or_create(&Build {
                name: about.name.clone(),
                version: about.version.clone(),
                commit: about.commit.clone(),
                build_date: about.build_date.clone(),
            })
            .set(1);
        registry.register("build_info", "Always 1; the labels tell the build", build);
        Self { registry: Arc::new(registry), requests, durations }
    }
}

/// Answers `/metrics`.
pub(crate) async fn metrics(State(metrics): State<Metrics>) -> Response {
    let mut body = String::new();
    match text::encode(&mut body, &metrics.registry) {
        Ok(()) => ([(CONTENT_TYPE, OPENMETRICS)], body).into_response(),
        Err(_) => axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Counts and times every request, and logs it at debug level.
pub(crate) async fn measure(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or(UNMATCHED, MatchedPath::as_str).to_owned();
    tracing::debug!(method, route, "request started");
    let start = Instant::now();
    let response = next.run(request).await;
    let seconds = start.elapsed().as_secs_f64();
    let status = response.status().as_u16();
    tracing::debug!(method, route, status, seconds, "request answered");
    metrics.durations.get_or_create(&Route { method, route: route.clone() }).observe(seconds);
    metrics.requests.get_or_create(&Handled { method, route, status }).inc();
    response
}

/// The method as a label: a fixed set, whatever clients send.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
