//! The release ledger, kept in an embedded SQLite database.
//!
//! The database is in memory unless `--database` or `DATABASE` names a file. That default fits a
//! container whose root file system is read-only and that has no volume; there, the ledger is
//! lost at the end of the process, which is logged as a warning at the start. To keep it, mount a
//! writable volume and name a file on it, for instance `DATABASE=/data/engine.db`. The file is
//! made when it is missing, its directory is not. SQLite keeps its journal next to the file and
//! everything temporary in memory, so nothing else has to be writable.
//!
//! The endpoints are those of [`service::app`]; `/ready` is answered with 200 when the database
//! answers a query.

mod ledger;

use std::path::PathBuf;

use axum::Router;
use clap::Parser;
use service::{About, Readiness};

pub use ledger::Ledger;

/// The release ledger.
#[derive(Clone, Debug, Parser)]
#[command(version, after_help = service::ENVIRONMENT_HELP)]
pub struct Args {
    /// IP address and port to listen on; port 0 picks a free one
    #[arg(long, env = "LISTEN", value_name = "IP:PORT", default_value = "0.0.0.0:8081")]
    pub listen: String,

    /// Database file, made when missing, on a writable volume; `:memory:` keeps nothing
    #[arg(
        long,
        env = "DATABASE",
        value_name = "FILE",
        default_value = ledger::IN_MEMORY
    )]
    pub database: PathBuf,
}

/// The router of the service.
pub fn app(about: About, ledger: Ledger) -> Router {
    let readiness = Readiness::new(move || {
        let ledger = ledger.clone();
        async move { ledger.check().await }
    });
    service::app(about, readiness, Router::new())
}
