//! The CI matrix: which runner builds for which platform.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use crate::errors::hinted;
use crate::image::platform::Platform;

/// GitHub's standard runners (docs.github.com, "GitHub-hosted runners reference") by architecture. Each
/// builds for itself: nothing is emulated.
const RUNNERS: [(&str, &str); 2] = [("amd64", "ubuntu-24.04"), ("arm64", "ubuntu-24.04-arm")];

/// What a workflow's `strategy.matrix` takes.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Matrix {
    /// One per platform.
    pub(crate) include: Vec<MatrixEntry>,
}

/// One job of the matrix.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct MatrixEntry {
    /// What it builds for.
    pub(crate) platform: Platform,
    /// The runner's label, for `runs-on`.
    pub(crate) runner: String,
    /// The platform as a part of a file's name, `linux-amd64`.
    pub(crate) slug: String,
}

/// The jobs for `platforms`, on the runners that the settings name, else on GitHub's.
pub(crate) fn matrix(platforms: &[Platform], runners: &BTreeMap<Platform, String>) -> Result<Matrix> {
    let include = platforms.iter().map(|platform| {
        let chosen = runners.iter().find(|(of, _)| of.accepts(platform)).map(|(_, runner)| runner.as_str());
        let known = || {
            let is_it = |name: &str| format!("linux/{name}").parse().is_ok_and(|of: Platform| of.accepts(platform));
            RUNNERS.iter().find(|(architecture, _)| is_it(architecture)).map(|(_, runner)| *runner)
        };
        let runner = chosen.or_else(known).ok_or_else(|| {
            let setting = format!("`runners = {{ \"{platform}\" = \"LABEL\" }}`");
            let hint = format!("name one in `[workspace.metadata.docker]`: {setting}");
            hinted(format!("no runner is known for `{platform}`"), hint)
        })?;
        let slug = platform.to_string().replace('/', "-");
        Ok(MatrixEntry { platform: platform.clone(), runner: runner.to_owned(), slug })
    });
    Ok(Matrix { include: include.collect::<Result<_>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_win_and_the_unknown_is_an_error() {
        let platforms = |list: &[&str]| list.iter().map(|text| text.parse().unwrap()).collect::<Vec<Platform>>();
        let own = BTreeMap::from([("linux/arm64".parse().unwrap(), "our-arm".to_owned())]);
        let none = BTreeMap::new();
        let runners = |list: &[&str], own| -> Vec<_> {
            let matrix = matrix(&platforms(list), own).unwrap();
            matrix.include.into_iter().map(|entry| (entry.slug, entry.runner)).collect()
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let (amd, arm) = (pair("linux-amd64", "ubuntu-24.04"), pair("linux-arm64", "ubuntu-24.04-arm"));
        assert_eq!(runners(&["linux/amd64", "linux/arm64"], &none), [amd, arm]);
        assert_eq!(runners(&["linux/arm64/v8"], &own), [pair("linux-arm64-v8", "our-arm")]);
        for platform in ["linux/s390x", "windows/amd64", "linux/amd64/v3"] {
            let error = matrix(&platforms(&[platform]), &own).unwrap_err().to_string();
            assert!(error.starts_with(&format!("no runner is known for `{platform}`")), "{error}");
        }
    }
}
