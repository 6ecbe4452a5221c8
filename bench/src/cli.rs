//! The command line: clap types, nothing else.

use std::fmt;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures `cargo xtask` beside its peers, all in one run, and writes a table, JSON and a plot.
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
        cargo run --release -p bench -- engine --peers chef --only nothing\n  \
        cargo run --release -p bench -- sizes --sizes 1,3\n\n\
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

    /// Folder for results.md, results.json and results.svg [default: target/bench].
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,

    /// Folder in which the temporary folder is made [default: the system's].
    #[arg(long, value_name = "DIR")]
    pub(crate) work: Option<PathBuf>,

    /// Leave the temporary folder and the images when done.
    #[arg(long)]
    pub(crate) keep: bool,

    /// engine: measure `cold`, which needs `docker buildx prune --all` before each run: it deletes
    /// all of the engine's build cache, also that of other projects. Images stay.
    #[arg(long)]
    pub(crate) prune: bool,

    /// engine: leave our images in the OCI layout; without this they are handed to the engine, as
    /// the peers' are.
    #[arg(long)]
    pub(crate) no_load: bool,

    /// engine: what to compare with.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PEER",
          default_values_t = [PeerKind::Chef, PeerKind::ChefPreinstalled, PeerKind::Naive])]
    pub(crate) peers: Vec<PeerKind>,

    /// sizes: binaries of each generated workspace.
    #[arg(long, value_delimiter = ',', value_name = "N", default_values_t = [1, 3, 10, 30],
          value_parser = clap::value_parser!(u16).range(1..=999))]
    pub(crate) sizes: Vec<u16>,

    /// native, engine: the dependency that changes and the released version it changes to. It
    /// should be used by one service, not by the others, and must not be by the xtask.
    #[arg(long, value_name = "CRATE@VERSION", default_value = "tower-http@0.7.0")]
    pub(crate) bump: String,
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

/// A Dockerfile per component, written as people write it by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PeerKind {
    /// cargo-chef as its README shows it: it installs itself in the image.
    Chef,
    /// The same, with cargo-chef in the builder image already.
    ChefPreinstalled,
    /// `COPY . .` and `cargo build`.
    Naive,
}

impl PeerKind {
    /// Its name in tables and image tags.
    pub(crate) fn label(self) -> &'static str {
        match self {
            PeerKind::Chef => "cargo-chef",
            PeerKind::ChefPreinstalled => "cargo-chef preinstalled",
            PeerKind::Naive => "naive COPY",
        }
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
        let load = if self.no_load { "kept in the OCI layout" } else { "loaded into the engine" };
        format!("medians of {} (cold: {}); engine images are {load}", self.runs, self.cold_runs)
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
