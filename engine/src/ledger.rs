//! The database.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, anyhow, ensure};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::Mutex;

/// The name of a database that is in memory only.
pub(crate) const IN_MEMORY: &str = ":memory:";

/// How long a query waits for another process that has locked the database.
const BUSY: Duration = Duration::from_secs(1);

/// An open release ledger.
#[derive(Clone, Debug)]
pub struct Ledger(Arc<Mutex<Connection>>);

impl Ledger {
    /// Opens the database in the file `path`, or one in memory when `path` is `:memory:`.
    ///
    /// A database that another process has locked is fine: it is not ready yet.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened or made, is not writable, or is not a database.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        // SQLite takes an empty name for a temporary file.
        ensure!(!path.as_os_str().is_empty(), "the database has no name");
        if path.as_os_str() == IN_MEMORY {
            tracing::warn!("the ledger is in memory: it is lost when the process ends");
        }
        // No URI names: a path is a path.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        connect(path, flags)
            .map(|connection| Self(Arc::new(Mutex::new(connection))))
            .with_context(|| format!("cannot open the database {}", path.display()))
    }

    /// Checks that the database answers a query.
    ///
    /// # Errors
    ///
    /// When it does not, with the reason.
    pub async fn check(&self) -> anyhow::Result<()> {
        let connection = self.0.clone().lock_owned().await;
        tokio::task::spawn_blocking(move || query(&connection))
            .await
            .context("the query was cancelled")?
            .map_err(told)
            .context("the database does not answer")
    }
}

/// Opens the database and checks that it is one.
fn connect(path: &Path, flags: OpenFlags) -> anyhow::Result<Connection> {
    let connection = Connection::open_with_flags(path, flags).map_err(told)?;
    connection.busy_timeout(BUSY).map_err(told)?;
    connection.pragma_update(None, "temp_store", "MEMORY").map_err(told)?;
    ensure!(!connection.is_readonly("main").map_err(told)?, "it is read-only");
    match query(&connection) {
        Err(error) if error.sqlite_error_code() != Some(ErrorCode::DatabaseBusy) => Err(told(error)),
        _ => Ok(connection),
    }
}

/// Reads the schema: other than a constant, that makes SQLite read the file.
fn query(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
}

/// An error by its message, without its sources, which only repeat it.
fn told(error: rusqlite::Error) -> anyhow::Error {
    anyhow!(error.to_string())
}
