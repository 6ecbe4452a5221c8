//! The endpoints of the engine, against real databases.

use std::{fs, path::Path};

use clap::CommandFactory;
use engine::{Args, Ledger, app};
use rusqlite::Connection;
use service::{About, testing::get};

fn about() -> About {
    About::from_env("engine", "0.1.0")
}

#[test]
fn defaults_fit_a_container_without_a_volume() {
    let mut command = Args::command();
    command.build();
    let defaults: Vec<_> = command.get_arguments().flat_map(clap::Arg::get_default_values).collect();
    assert_eq!(defaults, ["0.0.0.0:8081", ":memory:"]);
}

#[tokio::test]
async fn ready_in_memory() {
    let app = app(about(), Ledger::open(Path::new(":memory:")).unwrap());
    assert_eq!(get(&app, "/ready").await, (200, "ok".into()));
    assert_eq!(get(&app, "/health").await, (200, "ok".into()));
    assert_eq!(get(&app, "/nothing").await.0, 404);
    let (_, version) = get(&app, "/version").await;
    assert!(version.contains(r#""name":"engine""#), "{version}");
    let (_, metrics) = get(&app, "/metrics").await;
    assert!(metrics.contains(r#"route="/ready",status="200"} 1"#));
}

#[tokio::test]
async fn not_ready_while_the_database_is_locked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine.db");
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();

    // A locked database does not keep the service from starting.
    let app = app(about(), Ledger::open(&path).unwrap());
    assert_eq!(get(&app, "/ready").await, (503, "the database does not answer: database is locked".into()));
    assert_eq!(get(&app, "/health").await.0, 200);

    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(get(&app, "/ready").await, (200, "ok".into()));
}

#[tokio::test]
async fn not_ready_when_the_file_is_no_longer_a_database() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("engine.db");
    let app = app(about(), Ledger::open(&path).unwrap());
    assert_eq!(get(&app, "/ready").await.0, 200);
    fs::write(&path, "x".repeat(4096)).unwrap();
    let (status, reason) = get(&app, "/ready").await;
    assert_eq!(status, 503);
    assert!(reason.contains("not a database"), "{reason}");
}

#[test]
fn databases_that_cannot_be_used_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = folder.path().join("garbage.db");
    fs::write(&garbage, "x".repeat(4096)).unwrap();
    let missing = folder.path().join("missing/engine.db");
    for (path, reason) in [
        (garbage.as_path(), "not a database"),
        (missing.as_path(), "unable to open database file"),
        (folder.path(), "unable to open database file"),
        (Path::new(""), "has no name"),
    ] {
        let error = format!("{:#}", Ledger::open(path).unwrap_err());
        assert!(error.contains(reason), "{error}");
    }
}
