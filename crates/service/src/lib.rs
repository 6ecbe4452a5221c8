//! What every service of this workspace shares.
//!
//! A service builds its own routes and its [`Readiness`], wraps them with [`app`] and hands the
//! result to [`run`]:
//!
//! ```no_run
//! use service::{About, Readiness};
//!
//! fn main() -> std::process::ExitCode {
//!     service::run("127.0.0.1:8080", async {
//!         let about = About::from_env("example", "0.1.0");
//!         Ok(service::app(about, Readiness::always(), axum::Router::new()))
//!     })
//! }
//! ```
//!
//! [`app`] adds the endpoints below; unknown paths are answered with 404.
//!
//! | Path       | Answer                                                                          |
//! |------------|---------------------------------------------------------------------------------|
//! | `/health`  | 200 `ok` as long as the process serves requests                                 |
//! | `/ready`   | 200 `ok`, or 503 with the reason in plain text                                  |
//! | `/metrics` | requests, durations and build in the Prometheus (OpenMetrics) text format       |
//! | `/version` | JSON: name, version, commit and build date, taken from the environment at start |
//!
//! [`run`] logs JSON to standard output, serves until SIGTERM or SIGINT, lets requests that are
//! in flight finish for at most [`GRACE`], and turns an error into one line and exit code 1.

mod about;
mod app;
mod client;
mod logging;
mod metrics;
mod readiness;
mod run;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use about::About;
pub use app::app;
pub use client::{Client, Reply, base_url};
pub use metrics::Metrics;
pub use readiness::Readiness;
pub use run::{GRACE, run, serve};

/// The variables that every service reads, for the end of its `--help`.
pub const ENVIRONMENT_HELP: &str = "\
Environment:
  RUST_LOG    Log level, or a level per target such as `info,engine=debug` [default: info]
  VERSION     Version told by /version [default: the version of the package]
  COMMIT_SHA  Commit told by /version [default: unknown]
  BUILD_DATE  Build date told by /version [default: unknown]";
