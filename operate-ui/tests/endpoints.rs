//! The endpoints of the dashboard, over real services of this machine.

use std::{net::SocketAddr, path::Path};

use axum::{Router, http::StatusCode, routing::get as route};
use operate_ui::{Backends, app};
use service::{
    About, Readiness,
    testing::{closed_address, get, spawn},
};

fn about(name: &str) -> About {
    About {
        name: name.to_owned(),
        version: format!("1.2.3-{name}"),
        commit: format!("commit-{name}"),
        build_date: "2025-01-01T00:00:00Z".to_owned(),
    }
}

/// The dashboard over services at these addresses.
fn dashboard(engine: SocketAddr, runtime: SocketAddr) -> Router {
    let backends = Backends::new(&format!("http://{engine}"), &format!("http://{runtime}"));
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("static");
    app(about("operate-ui"), backends.unwrap(), &files).unwrap()
}

async fn backend(name: &str, readiness: Readiness) -> SocketAddr {
    spawn(service::app(about(name), readiness, Router::new())).await
}

#[tokio::test]
async fn ready_when_both_services_are_healthy() {
    let engine = backend("engine", Readiness::always()).await;
    // Alive is enough: not ready is for its own users to heed.
    let unready = Readiness::new(async || anyhow::bail!("no cluster"));
    let runtime = backend("runtime", unready).await;
    let app = dashboard(engine, runtime);
    assert_eq!(get(&app, "/ready").await, (200, "ok".into()));
    assert_eq!(get(&app, "/health").await, (200, "ok".into()));
    assert_eq!(get(&app, "/nothing").await.0, 404);
    let (_, version) = get(&app, "/version").await;
    assert!(version.contains(r#""name":"operate-ui""#), "{version}");
}

#[tokio::test]
async fn not_ready_without_a_service() {
    let engine = backend("engine", Readiness::always()).await;
    let (status, reason) = get(&dashboard(engine, closed_address()), "/ready").await;
    assert_eq!(status, 503);
    assert!(reason.starts_with("runtime: no answer from"), "{reason}");
    assert!(reason.contains("refused"), "{reason}");

    let health = async || StatusCode::INTERNAL_SERVER_ERROR;
    let broken = spawn(Router::new().route("/health", route(health))).await;
    let (status, reason) = get(&dashboard(broken, closed_address()), "/ready").await;
    assert_eq!(status, 503);
    let first = "engine: /health answers 500 Internal Server Error; runtime: no answer";
    assert!(reason.starts_with(first), "{reason}");
}

#[tokio::test]
async fn the_page_shows_both_services() {
    let engine = backend("engine", Readiness::always()).await;
    let unready = Readiness::new(async || anyhow::bail!("<no> cluster"));
    let runtime = backend("runtime", unready).await;
    let (status, html) = get(&dashboard(engine, runtime), "/").await;
    assert_eq!(status, 200);
    let rows: Vec<_> = html.split("<tr>").skip(2).collect();
    assert_eq!(rows.len(), 2, "{html}");
    for (row, name, address, state) in [
        (rows[0], "engine", engine, r#"<strong class="up">ready</strong></td>"#),
        (rows[1], "runtime", runtime, r#"<strong class="down">not ready</strong>: &#60;no&#62; cluster</td>"#),
    ] {
        for part in [
            &format!(r#"<th scope="row">{name}</th>"#),
            &format!(r#"<a href="http://{address}">http://{address}</a>"#),
            state,
            &format!("<td>1.2.3-{name}</td>"),
            &format!("<code>commit-{name}</code>"),
            "<td>2025-01-01T00:00:00Z</td>",
        ] {
            assert!(row.contains(part), "no {part} in {row}");
        }
    }
}

#[tokio::test]
async fn the_page_shows_why_a_service_does_not_answer() {
    let other = spawn(Router::new()).await;
    let (status, html) = get(&dashboard(closed_address(), other), "/").await;
    assert_eq!(status, 200);
    let rows: Vec<_> = html.split("<tr>").skip(2).collect();
    assert!(rows[0].contains("refused"), "{html}");
    assert!(rows[0].contains("<td>not told</td>"), "{html}");
    assert!(rows[1].contains("</strong>: 404 Not Found"), "{html}");
    assert!(rows[1].contains("<td>not told</td>"), "{html}");
}

#[tokio::test]
async fn everything_the_page_refers_to_is_served() {
    let app = dashboard(closed_address(), closed_address());
    let (_, html) = get(&app, "/").await;
    let files: Vec<_> = ["href=\"/", "src=\"/"]
        .iter()
        .flat_map(|start| html.split(start).skip(1))
        .map(|rest| format!("/{}", rest.split('"').next().unwrap()))
        .collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for file in &files {
        assert_eq!(get(&app, file).await.0, 200, "{file}");
    }
    assert_eq!(get(&app, "/static/missing.css").await.0, 404);
    assert_eq!(get(&app, "/static/..%2fCargo.toml").await.0, 404);

    let (_, metrics) = get(&app, "/metrics").await;
    let count = r#"{method="GET",route="/static/{*file}",status="200"} 3"#;
    assert!(metrics.contains(count), "{metrics}");
}

#[test]
fn wrong_configuration_is_told() {
    for url in ["engine:8081", "https://engine", ""] {
        let error = Backends::new(url, "http://runtime").unwrap_err();
        assert!(error.to_string().contains("http://HOST[:PORT]"), "{error}");
    }
    let backends = Backends::new("http://engine", "http://runtime").unwrap();
    let error = app(about("operate-ui"), backends, Path::new("/missing")).unwrap_err();
    assert!(error.to_string().contains("/missing"), "{error}");
}
