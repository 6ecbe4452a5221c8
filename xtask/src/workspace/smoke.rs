//! Settings of `smoke`.

use std::time::Duration;

use serde::Deserialize;

use super::duration::duration_or_none;

/// What `smoke` does without being told, `[workspace.metadata.docker.smoke]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct SmokeSettings {
    /// kubectl's contexts that `--apply` may go to without `--context`.
    pub(crate) contexts: Vec<String>,
    /// Workloads and Services that are not looked at.
    pub(crate) exclude: Vec<String>,
    /// How long pods must have been ready.
    #[serde(deserialize_with = "time")]
    pub(crate) settle: Duration,
}

impl Default for SmokeSettings {
    fn default() -> Self {
        // Longer than most programs that start and then find out that they cannot go on.
        SmokeSettings { contexts: Vec::new(), exclude: Vec::new(), settle: Duration::from_secs(8) }
    }
}

fn time<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    duration_or_none(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
}
