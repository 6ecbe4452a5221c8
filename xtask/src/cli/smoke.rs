//! Arguments of `smoke`.

use std::time::Duration;

use camino::Utf8PathBuf;
use clap::Args;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask smoke                                        check what runs now\n  \
    cargo xtask smoke --apply                                apply the manifests, then check\n  \
    cargo xtask smoke --apply --dry-run                      let the API server validate them\n  \
    cargo xtask smoke --context kind-ci --namespace staging --ready-within 30s\n  \
    cargo xtask smoke --report smoke.json --report smoke.xml\n  \
    cargo xtask smoke --local                                no cluster: run the images' programs here\n  \
    cargo xtask smoke --local --keep-running                 and let them run on\n\n\
    XTASK_IMAGES=placeholder makes a run green whose manifests hold placeholder images.\n\
    In GitHub's CI the table is added to the step summary as well.")]
pub(crate) struct SmokeArgs {
    /// Run the manifests' programs here, out of the images that `docker-build` made, without a cluster.
    #[arg(long, conflicts_with_all = ["namespace", "context", "apply", "digests", "report", "allow_unverifiable"])]
    pub(crate) local: bool,

    /// With --local: let the programs run on, at the addresses shown, until Ctrl-C.
    #[arg(long, requires = "local")]
    pub(crate) keep_running: bool,

    /// Namespace to check [default: that of the manifests, else that of the kubectl context].
    #[arg(long, short, value_name = "NAME")]
    pub(crate) namespace: Option<String>,

    /// kubectl context to use [default: the current one].
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,

    /// Apply the manifests first.
    #[arg(long)]
    pub(crate) apply: bool,

    /// With --apply: have the manifests validated, and change nothing.
    #[arg(long, requires = "apply")]
    pub(crate) dry_run: bool,

    /// The digest record [default: artifacts/docker/docker-image-digests.json].
    #[arg(long, value_name = "FILE")]
    pub(crate) digests: Option<Utf8PathBuf>,

    /// How long to wait for everything, e.g. `90s`, `2m`, `1m30s`.
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = duration)]
    pub(crate) timeout: Duration,

    /// Fail when a pod took longer from its creation to being ready, e.g. `30s`.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) ready_within: Option<Duration>,

    /// Write a report: JSON to a `.json` file, JUnit to a `.xml` file. May be repeated.
    #[arg(long, value_name = "FILE", value_parser = report_file)]
    pub(crate) report: Vec<Utf8PathBuf>,

    /// Let images pass whose identity neither the kubelet nor the registry can tell.
    #[arg(long)]
    pub(crate) allow_unverifiable: bool,

    /// Print the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Reads `500ms`, `30s`, `2m`, `1h`, and these joined, largest first: `1m30s`.
fn duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("`{text}` is no time; write for example `30s` or `2m`");
    let (mut rest, mut total, mut last) = (text, Duration::ZERO, u64::MAX);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
        let number: u64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            _ => return Err(invalid()),
        };
        if unit >= last {
            return Err(invalid());
        }
        (rest, last) = (&rest[end..], unit);
        let part = number.checked_mul(unit).map(Duration::from_millis);
        total = part.and_then(|part| total.checked_add(part)).ok_or_else(invalid)?;
    }
    if total.is_zero() {
        return Err(invalid());
    }
    Ok(total)
}

/// A path whose ending names a format we write.
fn report_file(text: &str) -> Result<Utf8PathBuf, String> {
    let path = Utf8PathBuf::from(text);
    match path.extension() {
        Some("json" | "xml") => Ok(path),
        _ => Err("the file's name must end in `.json` (JSON) or `.xml` (JUnit)".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let cases = [("30s", 30_000), ("2m", 120_000), ("1m30s", 90_000), ("500ms", 500), ("1h1m", 3_660_000)];
        for (text, milliseconds) in cases {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "30", "s", "0s", "-1s", "30s1m", "1 m", "1.5m", "99999999999999999999h"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reports_are_told_by_their_ending() {
        assert!(report_file("a/smoke.json").is_ok() && report_file("smoke.xml").is_ok());
        assert!(report_file("smoke").is_err() && report_file("smoke.html").is_err());
    }
}
