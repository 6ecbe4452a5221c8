//! Arguments of `smoke`.

use std::time::Duration;

use camino::Utf8PathBuf;
use clap::Args;

use crate::image::reference::Registry;
use crate::kubernetes::smoke::selection::Selector;
use crate::workspace::duration::{duration, duration_or_none};

#[derive(Debug, Default, Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask smoke                                        check what runs now\n  \
    cargo xtask smoke --apply --context kind-ci              apply the manifests, then check\n  \
    cargo xtask smoke --apply --dry-run                      let the API server validate them\n  \
    cargo xtask smoke --context kind-ci --namespace shop --namespace jobs --ready-within 30s\n  \
    cargo xtask smoke --selector app=shop --exclude job/seed --fail-fast\n  \
    cargo xtask smoke --report smoke.json --report smoke.xml\n  \
    cargo xtask smoke --env staging                          an environment of the settings\n  \
    cargo xtask smoke --local                                no cluster: run the images' programs here\n  \
    cargo xtask smoke --local --keep-running                 and let them run on\n  \
    cargo xtask smoke --local --digests artifacts/docker/docker-image-digests.json    what was published\n\n\
    XTASK_IMAGES=placeholder makes a run green whose manifests hold placeholder images.\n\
    In GitHub's CI the table is added to the step summary as well.")]
pub(crate) struct SmokeArgs {
    /// Run the manifests' programs here, out of the images that `docker-build` made, without a cluster.
    #[arg(long, conflicts_with_all = [
        "namespace", "selector", "exclude", "context", "apply", "settle", "fail_fast", "tolerate_failures",
        "report", "allow_unverifiable", "env",
    ])]
    pub(crate) local: bool,

    /// With --local: let the programs run on, at the addresses shown, until Ctrl-C.
    #[arg(long, requires = "local")]
    pub(crate) keep_running: bool,

    /// Check this environment: with its manifests, context and namespace, and its own record.
    #[arg(long, value_name = "ENV")]
    pub(crate) env: Option<String>,

    /// Namespace to check; may be repeated [default: those of the manifests, else that of the kubectl context].
    #[arg(long, short, value_name = "NAME")]
    pub(crate) namespace: Vec<String>,

    /// Check only workloads with these labels, written as for kubectl, e.g. `app=shop,tier!=db`.
    #[arg(long, short = 'l', value_name = "LABELS", value_parser = Selector::parse)]
    pub(crate) selector: Option<Selector>,

    /// Leave out a workload or Service, `NAME` or `KIND/NAME`, a final `*` for any ending; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) exclude: Vec<String>,

    /// kubectl context to use [default: the current one].
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,

    /// Apply the manifests first: to the context that `--context` or the setting `smoke.contexts` names.
    #[arg(long)]
    pub(crate) apply: bool,

    /// With --apply: have the manifests validated, and change nothing.
    #[arg(long, requires = "apply")]
    pub(crate) dry_run: bool,

    /// Expect the images of this digest record [default: those that the manifests pin]; with --local, run them, out of
    /// the registry.
    #[arg(long, value_name = "FILE")]
    pub(crate) digests: Option<Utf8PathBuf>,

    /// Speak plain http with this registry, though it is not this machine. May be repeated.
    #[arg(long, value_name = "HOST")]
    pub(crate) insecure_registry: Vec<Registry>,

    /// How long the whole run may take, e.g. `90s`, `2m`, `1m30s`.
    #[arg(long, value_name = "TIME", default_value = "120s", value_parser = duration)]
    pub(crate) timeout: Duration,

    /// How long pods must have been ready [default: the setting `smoke.settle`, 8s]; `0s`: not at all.
    #[arg(long, value_name = "TIME", value_parser = duration_or_none)]
    pub(crate) settle: Option<Duration>,

    /// Decide at the first sign of trouble, also of one that may heal.
    #[arg(long, conflicts_with = "tolerate_failures")]
    pub(crate) fail_fast: bool,

    /// Decide only when time is up, also on trouble that never heals.
    #[arg(long)]
    pub(crate) tolerate_failures: bool,

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
    fn reports_are_told_by_their_ending() {
        assert!(report_file("a/smoke.json").is_ok() && report_file("smoke.xml").is_ok());
        assert!(report_file("smoke").is_err() && report_file("smoke.html").is_err());
    }
}
