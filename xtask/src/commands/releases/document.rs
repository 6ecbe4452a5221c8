//! A release as text for people: the body of a deployment's issue, the notes of a version.

use super::show::{facts, rows};
use crate::commands::table::markdown_table;
use crate::registry::StoredRelease;

const HEADER: [&str; 5] = ["COMPONENT", "VERSION", "SIZE", "PLATFORMS", "DIGEST"];

/// A release, and what it takes to judge it and to go back.
pub(super) struct Document<'a> {
    pub(super) found: &'a StoredRelease,
    /// The environment that was asked for.
    pub(super) environment: Option<&'a str>,
    /// What that ran before; without one, what the branch had before.
    pub(super) previous: Option<StoredRelease>,
    /// The commit's message, where git here knows it.
    pub(super) message: Option<String>,
    /// The commit's page.
    pub(super) link: Option<String>,
}

impl Document<'_> {
    /// The markdown.
    pub(super) fn text(&self) -> String {
        let components = &self.found.release.components;
        let images = rows(self.found, |image| format!("`{}`", image.digest));
        let pull: String = components.values().map(|one| format!("docker pull {}\n", one.image.image)).collect();
        format!(
            "{}\n{}{}\n## Pull\n\n```sh\n{pull}```\n\n## Roll back\n\n{}",
            self.facts(),
            self.message(),
            markdown_table(&HEADER, &images),
            self.roll_back()
        )
    }

    fn facts(&self) -> String {
        let previous = self.previous.as_ref().map(|previous| {
            let tag = previous.release.tags.first().map(|tag| format!(" (`{tag}`)")).unwrap_or_default();
            format!("`{}`{tag}", previous.digest)
        });
        let known = facts(self.found).into_iter().filter(|(name, _)| *name != "previous");
        let known = known.map(|(name, value)| match &self.link {
            Some(link) if name == "commit" => (name, format!("[`{value}`]({link})")),
            _ => (name, format!("`{value}`")),
        });
        let environment = self.environment.map(|name| ("environment", format!("`{name}`")));
        let all = environment.into_iter().chain(known).chain([("previous", previous.unwrap_or("none".to_owned()))]);
        all.map(|(name, value)| format!("- {name}: {value}\n")).collect()
    }

    /// Indented, so that it is text whatever it says: no mention, no link, no issue that it closes.
    fn message(&self) -> String {
        let lines = self.message.iter().flat_map(|message| message.lines());
        let lines: String = lines.map(|line| format!("    {line}").trim_end().to_owned() + "\n").collect();
        if lines.is_empty() { lines } else { lines + "\n" }
    }

    fn roll_back(&self) -> String {
        let Some(previous) = &self.previous else { return "There is nothing before it to go back to.\n".to_owned() };
        let command = match self.environment {
            Some(name) => format!("rollback {name} --to {}", previous.digest),
            None => format!("deploy ENVIRONMENT --release {}", previous.digest),
        };
        format!("```sh\ncargo xtask {command}\n```\n")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::image::record::{RecordedImage, RecordedPlatform};
    use crate::image::reference::{Digest, Tag};
    use crate::image::release::{Release, ReleasedComponent};

    fn stored(content: &str) -> StoredRelease {
        let digest = Digest::of(content.as_bytes());
        let platform = RecordedPlatform { digest: digest.clone(), config: digest.clone(), size: 2048 };
        let tags: Vec<Tag> = ["sha-9c68c4a", "main"].map(|tag| tag.parse().unwrap()).into();
        let platforms = BTreeMap::from([("linux/amd64".parse().unwrap(), platform)]);
        let repository = "ghcr.io/acme/engine".parse().unwrap();
        let image = RecordedImage::new(&repository, digest.clone(), tags[0].clone(), tags.clone(), platforms);
        let component = ReleasedComponent { version: "0.1.0".to_owned(), image };
        let components = BTreeMap::from([("engine".to_owned(), component)]);
        let commit = "9c68c4a1f1ab1b7b9b5a2ff1f1c7f4b4c4a6d8e0".to_owned();
        StoredRelease { digest, release: Release { commit, reference: None, tags, previous: None, components } }
    }

    #[test]
    fn it_says_what_runs_since_when_and_how_to_go_back() {
        let (now, before) = (stored("now"), stored("before"));
        let document = Document {
            found: &now,
            environment: Some("staging"),
            previous: Some(before.clone()),
            message: Some("Faster\n\n```\nfixes #12 for @everyone".to_owned()),
            link: Some("https://github.com/acme/shop/commit/9c68".to_owned()),
        };
        let (new, old) = (&now.digest, &before.digest);
        let expected = format!(
            "- environment: `staging`\n- release: `{new}`\n\
             - commit: [`9c68c4a1f1ab1b7b9b5a2ff1f1c7f4b4c4a6d8e0`](https://github.com/acme/shop/commit/9c68)\n\
             - tags: `sha-9c68c4a main`\n- previous: `{old}` (`sha-9c68c4a`)\n\n    \
             Faster\n\n    ```\n    fixes #12 for @everyone\n\n\
             | component | version | size | platforms | digest |\n| --- | --- | --- | --- | --- |\n\
             | engine | 0.1.0 | 2 KiB | linux/amd64 | `{new}` |\n\n\
             ## Pull\n\n```sh\ndocker pull ghcr.io/acme/engine@{new}\n```\n\n\
             ## Roll back\n\n```sh\ncargo xtask rollback staging --to {old}\n```\n"
        );
        assert_eq!(document.text(), expected);
        let version = Document { environment: None, ..document };
        assert!(version.text().ends_with(&format!("cargo xtask deploy ENVIRONMENT --release {old}\n```\n")));
        let first = Document { previous: None, ..version }.text();
        assert!(first.contains("- previous: none\n") && first.ends_with("There is nothing before it to go back to.\n"));
    }
}
