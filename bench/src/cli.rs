//! The command line: clap types, nothing else.

use std::fmt;

use clap::{Parser, ValueEnum};

/// Measures `cargo xtask` beside its peers, all in one run, and writes a table and JSON
/// to `target/bench`.
///
/// It works on copies in a temporary folder; the workspace itself is only read.
#[derive(Debug, Parser)]
#[command(
    name = "bench",
    bin_name = "cargo run --release -p bench --",
    after_help = "Examples:\n  \
        cargo run --release -p bench                                all groups; `cold` in the engine is left out\n  \
        cargo run --release -p bench -- native --runs 5             one group, medians over five runs\n  \
        cargo run --release -p bench -- engine --prune              with `cold`: deletes the engine's build cache\n  \
        cargo run --release -p bench -- engine --only nothing\n\n\
        Exit code: 0 measured (whether or not the targets were reached), 1 failed, 2 wrong usage."
)]
pub(crate) struct Cli {
    /// Groups to run; all when none is named.
    #[arg(value_enum, value_name = "GROUP")]
    pub(crate) groups: Vec<Group>,

    /// Runs of each fast scenario; the median counts.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) runs: u16,

    /// Runs of each scenario that compiles everything.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) cold_runs: u16,

    /// Only scenarios whose name contains this text; may be repeated.
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Vec<String>,

    /// engine: measure `cold`, which needs `docker buildx prune --all` before each run: it deletes
    /// all of the engine's build cache, also that of other projects. Images stay.
    #[arg(long)]
    pub(crate) prune: bool,
}

/// What is measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Group {
    /// The xtask's own cold compile, what its dependencies cost, and `--help`.
    Xtask,
    /// `docker-build --builder native` beside plain cargo.
    Native,
    /// The same for generated workspaces of 1, 3, 10 and 30 binaries.
    Sizes,
    /// `manifests` over many files.
    Manifests,
    /// `publish` beside `skopeo copy`, and of what is published already; needs a registry.
    Publish,
    /// `smoke` beside kubectl; needs a cluster that `KUBECONFIG` names, and a registry it pulls from.
    Smoke,
    /// `docker-build --builder docker` beside cargo-chef's and naive Dockerfiles.
    Engine,
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Group::Xtask => "xtask",
            Group::Native => "native",
            Group::Sizes => "sizes",
            Group::Manifests => "manifests",
            Group::Publish => "publish",
            Group::Smoke => "smoke",
            Group::Engine => "engine",
        })
    }
}

impl Cli {
    /// The groups to run, each once, in the order in which they profit from each other.
    pub(crate) fn chosen_groups(&self) -> Vec<Group> {
        let all =
            [Group::Xtask, Group::Native, Group::Sizes, Group::Manifests, Group::Publish, Group::Smoke, Group::Engine];
        all.into_iter().filter(|group| self.groups.is_empty() || self.groups.contains(group)).collect()
    }

    /// Whether `--only` lets a scenario through.
    pub(crate) fn wants(&self, scenario: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|text| scenario.contains(text.as_str()))
    }

    /// The options that change what the numbers mean, for the report.
    pub(crate) fn describe(&self) -> String {
        format!("medians of {} (cold: {})", self.runs, self.cold_runs)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn groups_come_once_and_in_order() {
        let cli = Cli::parse_from(["bench", "engine", "native", "engine"]);
        assert_eq!(cli.chosen_groups(), [Group::Native, Group::Engine]);
        assert_eq!(Cli::parse_from(["bench"]).chosen_groups().len(), 7);
    }
}
