//! Platforms as OCI writes them: `os/architecture` or `os/architecture/variant`.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// What an image runs on. Written `linux/amd64`, `linux/arm/v7` (OCI image-spec, image index,
/// `platform` property; the values are Go's `GOOS` and `GOARCH`). Ordered by its text's parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl Platform {
    pub(crate) fn os(&self) -> &str {
        &self.os
    }

    /// The processor family, `amd64`.
    pub(crate) fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The processor's variant, `v7` of `linux/arm/v7`.
    pub(crate) fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }

    /// Whether an image for `offered` runs where `self` is asked for.
    ///
    /// A missing variant stands for the family's usual one (`arm64` is `arm64/v8`, `arm` is
    /// `arm/v7`, `amd64` is `amd64/v1`), as in containerd's platform normalization.
    pub(crate) fn accepts(&self, offered: &Platform) -> bool {
        self.os == offered.os
            && self.architecture == offered.architecture
            && self.usual_variant() == offered.usual_variant()
    }

    fn usual_variant(&self) -> Option<&str> {
        self.variant().or(match self.architecture.as_str() {
            "arm64" => Some("v8"),
            "arm" => Some("v7"),
            "amd64" => Some("v1"),
            _ => None,
        })
    }

    fn new(os: &str, architecture: &str, variant: Option<&str>) -> Result<Self> {
        for part in [Some(os), Some(architecture), variant].into_iter().flatten() {
            let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
            // The first character keeps a platform from looking like a flag.
            if !part.bytes().next().is_some_and(alphanumeric)
                || !part.bytes().all(|b| alphanumeric(b) || b"._-".contains(&b))
            {
                bail!("`{}` is no part of a platform", part.escape_debug());
            }
        }
        Ok(Platform { os: os.to_owned(), architecture: architecture.to_owned(), variant: variant.map(str::to_owned) })
    }
}

impl FromStr for Platform {
    type Err = anyhow::Error;

    /// # Errors
    /// When `text` has other than two or three parts, or a part has other characters than lower
    /// case letters, digits, `.`, `_` and `-`.
    fn from_str(text: &str) -> Result<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let parsed = match parts[..] {
            [os, architecture] => Platform::new(os, architecture, None),
            [os, architecture, variant] => Platform::new(os, architecture, Some(variant)),
            _ => Err(anyhow::anyhow!("it has {} parts", parts.len())),
        };
        parsed.with_context(|| {
            format!("`{}` is not a platform, write it like `linux/amd64` or `linux/arm/v7`", text.escape_debug())
        })
    }
}

impl TryFrom<String> for Platform {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Platform> for String {
    fn from(platform: Platform) -> Self {
        platform.to_string()
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

/// A platform as the object that descriptors hold (OCI image-spec, image index). Fields that do
/// not decide where an image runs here (`os.version`, `features`) are passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlatformObject {
    architecture: String,
    os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
}

impl PlatformObject {
    /// The platform, or `None` when the object holds none: attestations say `unknown/unknown`,
    /// and other people's indexes may hold anything.
    pub(crate) fn platform(&self) -> Option<Platform> {
        let variant = self.variant.as_deref().filter(|variant| !variant.is_empty());
        Platform::new(&self.os, &self.architecture, variant)
            .ok()
            .filter(|platform| platform.os != "unknown" && platform.architecture != "unknown")
    }
}

impl From<&Platform> for PlatformObject {
    fn from(platform: &Platform) -> Self {
        PlatformObject {
            architecture: platform.architecture.clone(),
            os: platform.os.clone(),
            variant: platform.variant.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints() {
        for text in ["linux/amd64", "linux/arm64", "linux/arm/v7", "windows/amd64"] {
            let platform: Platform = text.parse().unwrap();
            assert_eq!(platform.to_string(), text);
            let json = serde_json::to_string(&platform).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Platform>(&json).unwrap(), platform);
        }
    }

    #[test]
    fn refuses_junk() {
        for text in ["", "linux", "linux/", "/amd64", "linux/amd64/v1/x", "Linux/amd64", "linux/amd64\n", "--push/x"] {
            let error = text.parse::<Platform>().unwrap_err();
            assert!(error.to_string().contains("is not a platform"), "{text:?}: {error}");
        }
    }

    #[test]
    fn usual_variants_are_the_same_platform() {
        let accepts =
            |asked: &str, offered: &str| asked.parse::<Platform>().unwrap().accepts(&offered.parse().unwrap());
        assert!(accepts("linux/arm64", "linux/arm64/v8"));
        assert!(accepts("linux/arm/v7", "linux/arm"));
        assert!(!accepts("linux/arm/v6", "linux/arm"));
        assert!(!accepts("linux/amd64", "linux/arm64"));
        assert!(!accepts("linux/amd64", "linux/amd64/v3"));
    }
}
