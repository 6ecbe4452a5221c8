//! Image references: parsed once at the edge, typed from there on.
//!
//! The grammar is that of the OCI distribution-spec ("pulling manifests") and of
//! `distribution/reference`, which every engine follows: `[registry/]repository[:tag][@digest]`.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The registry that a reference without one means.
const DOCKER_HUB: &str = "docker.io";

/// Gives a type that wraps checked text its common parts.
macro_rules! text_type {
    ($name:ident) => {
        impl $name {
            /// The text, as it is written in a reference.
            pub(crate) fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        string_serde!($name);
    };
}

/// Reads and writes a type as the string that `FromStr` and `Display` agree on.
macro_rules! string_serde {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = anyhow::Error;

            fn try_from(text: String) -> Result<Self> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}

/// A registry's host and port: `ghcr.io`, `localhost:5000`, `[::1]:5000`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Registry(String);
text_type!(Registry);

impl Registry {
    /// The host without the port and without an IPv6 address' brackets.
    pub(crate) fn host(&self) -> &str {
        match self.0.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _port)) => address,
            None => self.0.split_once(':').map_or(&self.0, |(host, _port)| host),
        }
    }

    /// Whether the registry is this machine: the only kind that plain http is spoken with.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self.host();
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<core::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Whether this is Docker Hub, whose API and credentials live under other names.
    pub(crate) fn is_docker_hub(&self) -> bool {
        self.0 == DOCKER_HUB
    }
}

impl FromStr for Registry {
    type Err = anyhow::Error;

    /// # Errors
    /// When `text` is more than a host and an optional port, or not a valid host.
    fn from_str(text: &str) -> Result<Self> {
        let shown = text.escape_debug();
        ensure!(!text.contains("://"), "`{shown}` is not a registry: write the host without `http://` or `https://`");
        ensure!(!text.contains('/'), "`{shown}` is not a registry: write the host without a path");
        let host = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) =
                    rest.split_once(']').with_context(|| format!("`{shown}` is not a registry: `]` is missing"))?;
                ensure!(
                    address.parse::<core::net::Ipv6Addr>().is_ok(),
                    "`{shown}` is not a registry: no IPv6 address between the brackets"
                );
                check_port(port).with_context(|| format!("`{shown}` is not a registry"))?;
                return Ok(Registry(text.to_ascii_lowercase()));
            }
            None => {
                let (host, port) = text.find(':').map_or((text, ""), |colon| text.split_at(colon));
                check_port(port).with_context(|| format!("`{shown}` is not a registry"))?;
                host
            }
        };
        let valid_label = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        ensure!(
            host.len() <= 253 && host.split('.').all(valid_label),
            "`{shown}` is not a registry: the host is not a valid name"
        );
        // Hosts are the same in either case; one spelling makes them comparable.
        let registry = text.to_ascii_lowercase();
        Ok(Registry(if registry == "index.docker.io" { DOCKER_HUB.to_owned() } else { registry }))
    }
}

/// Checks `""` or `":5000"`.
fn check_port(port: &str) -> Result<()> {
    let valid = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| {
            !digits.is_empty()
                && digits.bytes().all(|b| b.is_ascii_digit())
                && digits.parse::<u16>().is_ok_and(|number| number > 0)
        });
    ensure!(valid, "the port must be a number from 1 to 65535");
    Ok(())
}

/// A repository's path within its registry: `acme/demon-engine`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Repository(String);
text_type!(Repository);

impl FromStr for Repository {
    type Err = anyhow::Error;

    /// # Errors
    /// When `text` does not match the distribution-spec's `<name>`, or is longer than 255
    /// characters (`distribution/reference`'s limit).
    fn from_str(text: &str) -> Result<Self> {
        let shown = text.escape_debug();
        ensure!(!text.is_empty(), "a repository cannot be empty");
        ensure!(text.len() <= 255, "repository `{shown}` is longer than 255 characters");
        ensure!(
            !text.bytes().any(|b| b.is_ascii_uppercase()),
            "repository `{shown}` has upper case letters, write `{}`",
            text.to_ascii_lowercase().escape_debug()
        );
        ensure!(
            text.split('/').all(valid_component),
            "repository `{shown}` is not valid: between slashes come lower case letters and \
             digits, with one `.`, one or two `_` or any number of `-` between them"
        );
        Ok(Repository(text.to_owned()))
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn valid_component(component: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = component.split(alphanumeric).filter(|run| !run.is_empty());
    component.starts_with(alphanumeric)
        && component.ends_with(alphanumeric)
        && separators.into_iter().all(|run| matches!(run, "." | "_" | "__") || run.bytes().all(|b| b == b'-'))
}

/// A tag: `v1.2.3`, `latest`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Tag(String);
text_type!(Tag);

impl FromStr for Tag {
    type Err = anyhow::Error;

    /// # Errors
    /// When `text` does not match `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}` (distribution-spec).
    fn from_str(text: &str) -> Result<Self> {
        let shown = text.escape_debug();
        ensure!(!text.is_empty(), "a tag cannot be empty");
        ensure!(text.len() <= 128, "tag `{shown}` is longer than 128 characters");
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        ensure!(
            text.bytes().next().is_some_and(word) && text.bytes().all(|b| word(b) || b == b'.' || b == b'-'),
            "tag `{shown}` is not valid: it consists of letters, digits, `_`, `.` and `-`, and \
             begins with none of the last two"
        );
        Ok(Tag(text.to_owned()))
    }
}

/// A SHA-256 digest: `sha256:` and 64 lower case hexadecimal digits (OCI image-spec,
/// descriptor). Other algorithms are refused, because nothing here could verify them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Digest(String);
text_type!(Digest);

impl Digest {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Digest::finish(Sha256::new_with_prefix(bytes))
    }

    /// The digest of all that was fed to `hasher`.
    pub(crate) fn finish(hasher: Sha256) -> Self {
        use fmt::Write;
        let mut text = String::with_capacity(71);
        text.push_str("sha256:");
        for byte in hasher.finalize() {
            write!(text, "{byte:02x}").expect("a string takes all");
        }
        Digest(text)
    }

    /// The hexadecimal digits.
    pub(crate) fn hex(&self) -> &str {
        &self.0["sha256:".len()..]
    }
}

impl FromStr for Digest {
    type Err = anyhow::Error;

    /// # Errors
    /// When `text` is anything but a full SHA-256 digest.
    fn from_str(text: &str) -> Result<Self> {
        let shown = text.escape_debug();
        let Some(hex) = text.strip_prefix("sha256:") else {
            bail!("`{shown}` is not a digest: it does not begin with `sha256:`");
        };
        ensure!(
            hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
            "`{shown}` is not a digest: after `sha256:` come 64 lower case hexadecimal digits"
        );
        Ok(Digest(text.to_owned()))
    }
}

/// `registry/repository[:tag][@digest]`. Displayed with the registry, always.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct ImageReference {
    pub(crate) registry: Registry,
    /// The path within the registry.
    pub(crate) repository: Repository,
    /// A name that may move.
    pub(crate) tag: Option<Tag>,
    /// The content. When there is a tag too, the digest decides and the tag is for readers.
    pub(crate) digest: Option<Digest>,
}
string_serde!(ImageReference);

impl ImageReference {
    /// The reference to a whole repository.
    pub(crate) fn new(registry: Registry, repository: Repository) -> Self {
        ImageReference { registry, repository, tag: None, digest: None }
    }

    /// The same repository's `tag`.
    pub(crate) fn with_tag(&self, tag: Tag) -> Self {
        ImageReference { tag: Some(tag), digest: None, ..self.clone() }
    }

    /// The same repository's content `digest`.
    pub(crate) fn with_digest(&self, digest: Digest) -> Self {
        ImageReference { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// `registry/repository`, without tag and digest.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// What the distribution API calls `<reference>`: the digest, else the tag, else `latest`.
    pub(crate) fn selector(&self) -> &str {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.as_str(),
            (None, Some(tag)) => tag.as_str(),
            (None, None) => "latest",
        }
    }
}

impl FromStr for ImageReference {
    type Err = anyhow::Error;

    /// Without a registry, Docker Hub is meant, and `library/` for a name of one part.
    ///
    /// # Errors
    /// When a part does not match its grammar; the message names the part.
    fn from_str(text: &str) -> Result<Self> {
        parse_reference(text).with_context(|| format!("`{}` is not an image reference", text.escape_debug()))
    }
}

fn parse_reference(text: &str) -> Result<ImageReference> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest.parse()?)),
        None => (text, None),
    };
    // A first part is a registry when it cannot be a repository's: by a dot, a colon, upper
    // case, or by being `localhost`. Of `name:tag` there is only one part.
    let (registry, rest) = match rest.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':']) || first == "localhost" || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (first.parse()?, rest)
        }
        _ => (Registry(DOCKER_HUB.to_owned()), rest),
    };
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) => (path, Some(tag.parse()?)),
        None => (rest, None),
    };
    let repository = if registry.is_docker_hub() && !path.contains('/') && !path.is_empty() {
        path.parse::<Repository>()?;
        Repository(format!("library/{path}"))
    } else {
        path.parse()?
    };
    Ok(ImageReference { registry, repository, tag, digest })
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "reference_tests.rs"]
mod tests;
