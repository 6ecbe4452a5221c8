//! The setting `manifests`: files and folders of Kubernetes objects, and values in files of other tools.

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;
use serde_json::Value;

/// An entry of `manifests`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub(crate) enum ManifestSource {
    /// A folder or a file of manifests.
    Path(Utf8PathBuf),
    /// One value of a file that some other tool reads.
    Value(NamedValue),
}

/// A value in the file of another tool: Helm's values, Terraform's variables, a file of environment variables.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamedValue {
    /// The file, below the workspace's root.
    pub(crate) file: Utf8PathBuf,
    /// The variable; in YAML and JSON the path of keys, with dots between them.
    pub(crate) key: String,
    /// What it holds.
    #[serde(default)]
    pub(crate) value: ValueKind,
    /// Whose image it is about, where the value itself does not tell.
    pub(crate) component: Option<String>,
}

/// What a value holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ValueKind {
    /// `repository@digest`; or a mapping with `repository` and `tag` or `digest`.
    #[default]
    Image,
    /// The digest alone.
    Digest,
    /// The commit's tag alone.
    Tag,
}

impl ManifestSource {
    pub(crate) fn path(&self) -> &Utf8Path {
        match self {
            ManifestSource::Path(path) => path,
            ManifestSource::Value(value) => &value.file,
        }
    }

    /// The value, where it is one.
    pub(crate) fn value(&self) -> Option<&NamedValue> {
        match self {
            ManifestSource::Value(value) => Some(value),
            ManifestSource::Path(_) => None,
        }
    }
}

impl TryFrom<Value> for ManifestSource {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        match value {
            Value::String(path) => Ok(ManifestSource::Path(path.into())),
            Value::Object(_) => {
                serde_json::from_value(value).map(ManifestSource::Value).map_err(|error| error.to_string())
            }
            other => Err(format!("`{other}` is neither a path nor `{{ file = \"…\", key = \"…\" }}`")),
        }
    }
}
