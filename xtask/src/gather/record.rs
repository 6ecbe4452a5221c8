//! The file of the digest record: where it is, and what is said when it is not there or not right.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use anyhow::{Context, Error, Result, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use crate::errors::{hinted, hinted_cause};
use crate::image::promotion::record_path;
use crate::image::record::{DigestRecord, RECORD_PATH};
use crate::system::files::write_durably;
use crate::workspace::names::known_names;

/// The file that `--digests` names, else the usual one of the workspace at `root`.
pub(crate) fn path(root: &Utf8Path, named: Option<&Utf8Path>) -> Utf8PathBuf {
    named.map_or_else(|| root.join(RECORD_PATH), Utf8Path::to_owned)
}

/// As [`path`], absolute: what is written is shown so.
///
/// # Errors
/// There is no current folder.
pub(crate) fn absolute_path(root: &Utf8Path, named: Option<&Utf8Path>) -> Result<Utf8PathBuf> {
    let path = path(root, named);
    camino::absolute_utf8(&path).with_context(|| format!("cannot find `{path}`"))
}

/// The file that `--digests` names, else that of the environment `--env` names, else the usual one.
pub(crate) fn path_in(root: &Utf8Path, named: Option<&Utf8Path>, environment: Option<&str>) -> Utf8PathBuf {
    match (named, environment) {
        (None, Some(environment)) => root.join(record_path(environment)),
        _ => path(root, named),
    }
}

/// The record.
///
/// # Errors
/// It is missing, cannot be read, or is none.
pub(crate) fn read(path: &Utf8Path) -> Result<DigestRecord> {
    read_if_there(path)?.ok_or_else(|| missing(path, None))
}

/// As [`read`]; nothing when there is no such file.
pub(crate) fn read_if_there(path: &Utf8Path) -> Result<Option<DigestRecord>> {
    read_as(path, DigestRecord::parse)
}

/// As [`read`], at [`path_in`]; nothing when no file is named and there is none.
pub(crate) fn read_named(
    root: &Utf8Path,
    named: Option<&Utf8Path>,
    environment: Option<&str>,
) -> Result<Option<DigestRecord>> {
    let path = path_in(root, named, environment);
    if named.is_some() { read(&path).map(Some) } else { read_if_there(&path) }
}

/// Of a record from `path`, some components alone: all when none is named.
///
/// # Errors
/// The record lacks one of them.
pub(crate) fn only(mut record: DigestRecord, path: &Utf8Path, names: &[String]) -> Result<DigestRecord> {
    known_names(names, record.images.keys().map(String::as_str), &format!("`{path}`"))?;
    record.images.retain(|name, _| names.is_empty() || names.contains(name));
    Ok(record)
}

/// The entries, each to be looked at by itself.
///
/// # Errors
/// As [`read`], but for what is wrong in an entry; there is none. Nothing when there is no such file.
pub(crate) fn read_entries(path: &Utf8Path) -> Result<Option<BTreeMap<String, Value>>> {
    let entries = read_as(path, DigestRecord::entries)?;
    ensure!(entries.as_ref().is_none_or(|entries| !entries.is_empty()), empty(path));
    Ok(entries)
}

/// Writes the record, whole or not at all.
pub(crate) fn write(path: &Utf8Path, record: &DigestRecord) -> Result<()> {
    write_durably(path, record.to_text().as_bytes())
}

/// That there is no such file, and why nothing takes its place.
pub(crate) fn missing(path: &Utf8Path, cause: Option<Error>) -> Error {
    let error = format!("there is no digest record `{path}`");
    let hint =
        "`cargo xtask publish` writes it, `cargo xtask releases fetch` gets a release's, `--digests` names another";
    match cause {
        Some(cause) => hinted_cause(cause, error, hint),
        None => hinted(error, hint),
    }
}

/// That the record has no component.
pub(crate) fn empty(path: &Utf8Path) -> Error {
    Error::msg(format!("the digest record `{path}` names no image"))
}

fn read_as<T>(path: &Utf8Path, parse: impl FnOnce(&str) -> Result<T>) -> Result<Option<T>> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.with_context(|| format!("cannot read the digest record `{path}`"))?,
    };
    let wrong = |cause| {
        let hint = "delete it to begin a new record, or fetch it again: `cargo xtask releases fetch`";
        hinted_cause(cause, format!("the digest record `{path}` cannot be used"), hint)
    };
    parse(&text).map(Some).map_err(wrong)
}
