//! The dashboard over the engine and the runtime.
//!
//! `/` is a page with one table: each service with its URL, whether it is ready (or why not), and
//! its version, commit and build date, asked for anew each time. `/static/` has the stylesheet and
//! the logo, from the folder given by `--static-dir` or `STATIC_DIR`; run from the root of the
//! workspace, that is `--static-dir operate-ui/static`.
//!
//! The other endpoints are those of [`service::app`]; `/ready` is answered with 200 when both
//! services answer their `/health`.

mod backend;
mod page;

use std::path::{Path, PathBuf};

use anyhow::ensure;
use axum::{Router, routing::get};
use clap::Parser;
use service::{About, Readiness};
use tower_http::services::ServeDir;

pub use backend::Backends;

/// The dashboard over the engine and the runtime.
#[derive(Clone, Debug, Parser)]
#[command(version, after_help = service::ENVIRONMENT_HELP)]
pub struct Args {
    /// IP address and port to listen on; port 0 picks a free one
    #[arg(long, env = "LISTEN", value_name = "IP:PORT", default_value = "0.0.0.0:3000")]
    pub listen: String,

    /// URL of the engine
    #[arg(long, env = "ENGINE_URL", value_name = "URL", default_value = "http://engine:8081")]
    pub engine_url: String,

    /// URL of the runtime
    #[arg(long, env = "RUNTIME_URL", value_name = "URL", default_value = "http://runtime:8080")]
    pub runtime_url: String,

    /// Folder of the stylesheet and the logo
    #[arg(long, env = "STATIC_DIR", value_name = "FOLDER", default_value = "/app/static")]
    pub static_dir: PathBuf,
}

/// The router of the service.
///
/// # Errors
///
/// When there is no folder `static_dir`.
pub fn app(about: About, backends: Backends, static_dir: &Path) -> anyhow::Result<Router> {
    ensure!(static_dir.is_dir(), "the folder {} does not exist: set --static-dir", static_dir.display());
    let checked = backends.clone();
    let readiness = Readiness::new(move || {
        let backends = checked.clone();
        async move { backends.check().await }
    });
    let files = Router::new().route_service("/{*file}", ServeDir::new(static_dir));
    let routes = Router::new().route("/", get(page::page).with_state(backends)).nest("/static", files);
    Ok(service::app(about, readiness, routes))
}
