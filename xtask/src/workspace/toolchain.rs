//! What a toolchain file asks for.

use anyhow::{Result, bail, ensure};

use crate::errors::hinted;
use crate::image::time::parse_rfc3339;

/// The files that rustup reads, the stronger one first.
pub(crate) const TOOLCHAIN_FILES: &[&str] = &["rust-toolchain", "rust-toolchain.toml"];

/// Components that no build needs, or that every toolchain has.
const NEEDLESS: &[&str] = &["cargo", "clippy", "rust-analyzer", "rust-docs", "rust-std", "rustc", "rustfmt"];

/// A toolchain file.
#[derive(Debug, Clone)]
pub(crate) struct ToolchainFile {
    /// Its name.
    pub(crate) name: String,
    /// What it asks for.
    pub(crate) channel: Channel,
    /// Components that a build may need beside the compiler, such as `rust-src`.
    pub(crate) components: Vec<String>,
}

/// A toolchain, as far as its name tells what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Channel {
    /// None asked for.
    Any,
    /// Whatever is the newest.
    Stable,
    /// `1.95`: any of its patches.
    Version(String),
    /// `1.95.0`.
    Exact(String),
    Beta,
    Nightly,
    /// `nightly-2026-11-01`.
    Dated(String),
    /// Any other name, and a path.
    Other(String),
}

impl ToolchainFile {
    /// Reads the text of the file called `name`.
    ///
    /// # Errors
    /// Names that no toolchain and no component has.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self> {
        let table = toml::from_str::<toml::Table>(text).ok();
        // The old file may hold the channel alone.
        let (channel, components) = match table.as_ref().map(|table| table.get("toolchain")) {
            None => (Some(text.trim().to_owned()), Vec::new()),
            Some(toolchain) => {
                let text = |key| Some(toolchain?.get(key)?.as_str()?.to_owned());
                let list = toolchain.and_then(|all| all.get("components")).and_then(toml::Value::as_array);
                let list = list.into_iter().flatten().filter_map(toml::Value::as_str).map(str::to_owned);
                (text("channel").or_else(|| text("path")), list.collect())
            }
        };
        let is_plain = |text: &String| text.chars().all(|c| c.is_ascii_alphanumeric() || "._-/+".contains(c));
        for text in channel.iter().chain(&components) {
            ensure!(is_plain(text), "`{name}` names `{}`, which no toolchain is called", text.escape_debug());
        }
        let components = components.into_iter().filter(|name| !NEEDLESS.contains(&name.as_str())).collect();
        let channel = channel.map_or(Channel::Any, Channel::parse);
        Ok(ToolchainFile { name: name.to_owned(), channel, components })
    }

    /// The builder image that has it; nothing where any stable one will do.
    ///
    /// # Errors
    /// No public image is known to have it.
    pub(crate) fn builder_image(&self) -> Result<Option<String>> {
        match &self.channel {
            // Rustup adds a dated one.
            Channel::Any | Channel::Stable | Channel::Dated(_) => Ok(None),
            Channel::Version(version) | Channel::Exact(version) => Ok(Some(format!("rust:{version}-bookworm"))),
            Channel::Nightly => Ok(Some("rustlang/rust:nightly-bookworm".to_owned())),
            Channel::Beta | Channel::Other(_) => bail!(hinted(
                format!("`{}` asks for Rust `{}`, and no builder image is known that has it", self.name, self.channel),
                "name one: `builder-image = \"…\"` in `[workspace.metadata.docker]` of `Cargo.toml`"
            )),
        }
    }

    /// Why `rustc`, by the first line that it says of itself, is another than this file asks for.
    pub(crate) fn mismatch(&self, rustc: &str) -> Option<String> {
        let mut words = rustc.lines().next().unwrap_or_default().split_whitespace().skip(1);
        let release = words.next().unwrap_or_default();
        let commit_date = words.nth(1).unwrap_or_default().trim_end_matches(')');
        let channel = self.channel.of_any_machine();
        if channel.is_it(release, commit_date) {
            return None;
        }
        let of = if matches!(channel, Channel::Dated(_)) { format!(" of {commit_date}") } else { String::new() };
        Some(format!("`{}` asks for Rust `{}`, and what compiles here is {release}{of}", self.name, self.channel))
    }
}

impl Channel {
    fn parse(name: String) -> Self {
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let date = name.strip_prefix("nightly-").filter(|date| date.len() == 10 && date.split('-').all(is_number));
        match name.as_str() {
            "stable" => Channel::Stable,
            "beta" => Channel::Beta,
            "nightly" => Channel::Nightly,
            _ if date.is_some() => Channel::Dated(name),
            _ if !name.split('.').all(is_number) => Channel::Other(name),
            _ => match name.split('.').count() {
                2 => Channel::Version(name),
                3 => Channel::Exact(name),
                _ => Channel::Other(name),
            },
        }
    }

    /// Without the machine that a name may end in: `1.95.0-x86_64-unknown-linux-gnu`.
    fn of_any_machine(&self) -> Channel {
        let Channel::Other(name) = self else { return self.clone() };
        let begins = name.match_indices('-').rev().map(|(at, _)| Channel::parse(name[..at].to_owned()));
        begins.into_iter().find(|channel| !matches!(channel, Channel::Other(_))).unwrap_or_else(|| self.clone())
    }

    /// Whether a compiler of this release, made from a commit of this day, is what is asked for.
    fn is_it(&self, release: &str, commit_date: &str) -> bool {
        let is_stable = !release.contains('-');
        match self {
            Channel::Stable => is_stable,
            Channel::Version(version) => is_stable && release.starts_with(&format!("{version}.")),
            Channel::Exact(version) => release == version,
            Channel::Beta => release.contains("-beta"),
            Channel::Nightly => release.ends_with("-nightly"),
            Channel::Dated(name) => release.ends_with("-nightly") && is_made_of(name, commit_date),
            Channel::Any | Channel::Other(_) => true,
        }
    }
}

/// Whether a dated nightly may be of a commit of this day. It is made at midnight of what was merged the day before, and
/// that may have waited for its tests over another midnight.
fn is_made_of(nightly: &str, commit_date: &str) -> bool {
    let day = |date: &str| Some(parse_rfc3339(&format!("{date}T00:00:00Z"))? / 86_400);
    let made = nightly.strip_prefix("nightly-").and_then(day);
    made.zip(day(commit_date)).is_some_and(|(made, of)| (of..=of + 2).contains(&made))
}

impl std::fmt::Display for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Channel::Any => "any",
            Channel::Stable => "stable",
            Channel::Beta => "beta",
            Channel::Nightly => "nightly",
            Channel::Version(name) | Channel::Exact(name) | Channel::Dated(name) | Channel::Other(name) => name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(channel: &str) -> ToolchainFile {
        ToolchainFile::parse("rust-toolchain.toml", &format!("[toolchain]\nchannel = \"{channel}\"\n")).unwrap()
    }

    #[test]
    fn the_builder_image_follows_or_none_is_known() {
        let image = |channel: &str| file(channel).builder_image().unwrap();
        assert_eq!(image("1.95").as_deref(), Some("rust:1.95-bookworm"));
        assert_eq!(image("1.95.1").as_deref(), Some("rust:1.95.1-bookworm"));
        assert_eq!(image("nightly").as_deref(), Some("rustlang/rust:nightly-bookworm"));
        assert_eq!((image("stable"), image("nightly-2026-11-01")), (None, None));
        for channel in ["beta", "esp", "nightly-2026", "1", "1.95.0-x86_64-unknown-linux-gnu"] {
            let error = file(channel).builder_image().unwrap_err().to_string();
            assert!(error.starts_with(&format!("`rust-toolchain.toml` asks for Rust `{channel}`, and")), "{error}");
        }
        let old = ToolchainFile::parse("rust-toolchain", "1.95.0\n").unwrap();
        assert_eq!(old.channel, Channel::Exact("1.95.0".into()));
        assert!(ToolchainFile::parse("rust-toolchain", "1.95 $(id)").is_err());
        let text = "[toolchain]\ncomponents = [\"clippy\", \"rust-src\"]\n";
        let bare = ToolchainFile::parse("rust-toolchain.toml", text).unwrap();
        assert_eq!((bare.channel, bare.components), (Channel::Any, vec!["rust-src".to_owned()]));
    }

    #[test]
    fn another_compiler_than_the_file_asks_for_is_told() {
        let cases = [
            ("1.95", "1.95.3", "1.96.0"),
            ("1.9", "1.9.0", "1.95.0"),
            ("1.95.0", "1.95.0", "1.95.0-nightly"),
            ("stable", "1.95.0", "1.96.0-beta.1"),
            ("beta", "1.96.0-beta.1", "1.96.0"),
            ("nightly", "1.97.0-nightly", "1.97.0"),
            ("1.95.0-x86_64-unknown-linux-gnu", "1.95.0", "1.95.1"),
            ("nightly-aarch64-unknown-linux-gnu", "1.97.0-nightly", "1.97.0"),
            ("esp", "1.97.0-dev", ""),
        ];
        for (channel, good, bad) in cases {
            assert_eq!(file(channel).mismatch(&format!("rustc {good} (59807616e 2026-04-14)")), None, "{channel}");
            if bad.is_empty() {
                continue;
            }
            let text = format!("`rust-toolchain.toml` asks for Rust `{channel}`, and what compiles here is {bad}");
            assert_eq!(file(channel).mismatch(&format!("rustc {bad} (59807616e 2026-04-14)")), Some(text));
        }
    }

    #[test]
    fn a_dated_nightly_is_of_its_day() {
        let of = |rustc: &str| file("nightly-2026-11-01").mismatch(rustc);
        for date in ["2026-10-30", "2026-10-31", "2026-11-01"] {
            assert_eq!(of(&format!("rustc 1.97.0-nightly (59807616e {date})\nhost: x")), None, "{date}");
        }
        let asks = "`rust-toolchain.toml` asks for Rust `nightly-2026-11-01`, and what compiles here is";
        for (rustc, is) in [
            ("1.97.0-nightly (59807616e 2026-11-02)", "1.97.0-nightly of 2026-11-02"),
            ("1.97.0-nightly (59807616e 2026-10-29)", "1.97.0-nightly of 2026-10-29"),
            ("1.95.0 (59807616e 2026-10-31)", "1.95.0 of 2026-10-31"),
            ("1.97.0-nightly", "1.97.0-nightly of "),
        ] {
            assert_eq!(of(&format!("rustc {rustc}")), Some(format!("{asks} {is}")));
        }
        let text = "rustc 1.97.0-nightly (59807616e 2026-10-29)";
        assert!(file("nightly-2026-11-01-x86_64-unknown-linux-gnu").mismatch(text).is_some());
    }
}
