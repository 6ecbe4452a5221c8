//! Manifests, indexes and configs as JSON (OCI image-spec 1.1).
//!
//! Own structs, because the `oci-spec` crate weighs more than these few: builders, validators
//! and a dozen dependencies for fields that nothing here reads. Docker's schema 2 has the same
//! shapes under other media types; both are read, OCI's are written.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::platform::{Platform, PlatformObject};
use super::reference::Digest;

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image index: one manifest per platform.
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Docker's name for a manifest.
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// Docker's name for an index.
pub(crate) const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// All kinds of manifests that are understood: what every manifest request accepts, since some
/// registries rewrite an index for a client that asks for single manifests alone.
pub(crate) const MANIFEST_TYPES: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST];

/// The annotation that names an image within a layout (OCI image-spec, annotations).
pub(crate) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The OCI name of a layer's media type; the bytes are the same under either name.
pub(crate) fn oci_layer_type(media_type: &str) -> &str {
    match media_type {
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => OCI_LAYER_GZIP,
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => {
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
        }
        "application/vnd.docker.image.rootfs.diff.tar" => "application/vnd.oci.image.layer.v1.tar",
        other => other,
    }
}

/// Points to content: what it is, its digest, its size in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    /// The content's size in bytes.
    pub(crate) size: u64,
    /// In an index: what the manifest says that it is (OCI image-spec 1.1, descriptor).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    /// In an index: what the manifest is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<PlatformObject>,
    /// Names and notes, sorted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
    /// Where else the content is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) urls: Vec<String>,
}

impl Descriptor {
    /// The descriptor of `content`, without platform and annotations.
    pub(crate) fn of(media_type: &str, content: &[u8]) -> Self {
        Descriptor::new(media_type, Digest::of(content), content.len() as u64)
    }

    /// A descriptor without platform and annotations.
    pub(crate) fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size,
            artifact_type: None,
            platform: None,
            annotations: BTreeMap::new(),
            urls: Vec::new(),
        }
    }

    /// The same content, for `platform`.
    pub(crate) fn for_platform(mut self, platform: &Platform) -> Self {
        self.platform = Some(platform.into());
        self
    }
}

/// One image for one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    /// Always 2.
    pub(crate) schema_version: u32,
    /// The manifest's own media type; OCI lets writers leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    /// What it is when it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    pub(crate) config: Descriptor,
    /// The layers, lowest first.
    pub(crate) layers: Vec<Descriptor>,
    /// The manifest that this one is attached to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<Box<Descriptor>>,
    /// Notes, sorted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Manifest {
    pub(crate) fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Manifest {
            schema_version: 2,
            media_type: Some(OCI_MANIFEST.to_owned()),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }

    /// The layers that a registry has to have: all but those that may not be distributed and name where
    /// they are instead (OCI image-spec, non-distributable layers).
    pub(crate) fn kept_layers(&self) -> impl Iterator<Item = &Descriptor> {
        let is_foreign = |kind: &str| kind.contains(".nondistributable.") || kind.contains(".foreign.");
        self.layers.iter().filter(move |layer| layer.urls.is_empty() || !is_foreign(&layer.media_type))
    }
}

/// Images of several platforms, or a layout's `index.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Index {
    /// Always 2.
    pub(crate) schema_version: u32,
    /// The index's own media type; OCI lets writers leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) media_type: Option<String>,
    pub(crate) manifests: Vec<Descriptor>,
    /// Notes, sorted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Index {
    pub(crate) fn new(manifests: Vec<Descriptor>) -> Self {
        Index { schema_version: 2, media_type: Some(OCI_INDEX.to_owned()), manifests, annotations: BTreeMap::new() }
    }
}

/// What a manifest reference can lead to.
// There are never many at once.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AnyManifest {
    Image(Manifest),
    Index(Index),
}

impl AnyManifest {
    /// Reads a manifest or an index. The document's own `mediaType` decides, else `media_type`
    /// (of the response or descriptor that led to it), and when that is empty, the shape.
    ///
    /// # Errors
    /// When it is not JSON, of an unknown kind, or has both `layers` and `manifests`: such a
    /// document means different images to different readers (CVE-2021-41190).
    pub(crate) fn parse(bytes: &[u8], media_type: &str) -> Result<Self> {
        let value: Value = serde_json::from_slice(bytes).context("the manifest is not JSON")?;
        let has = |key: &str| value.get(key).is_some_and(|value| !value.is_null());
        ensure!(
            !(has("manifests") && (has("layers") || has("config"))),
            "the manifest is ambiguous: it has both `manifests` and `layers`"
        );
        let named = value.get("mediaType").and_then(Value::as_str).unwrap_or(media_type);
        let named = match named {
            "" if has("manifests") => OCI_INDEX,
            "" if has("layers") => OCI_MANIFEST,
            named => named,
        };
        match named {
            OCI_INDEX | DOCKER_INDEX => {
                Ok(AnyManifest::Index(serde_json::from_value(value).context("bad image index")?))
            }
            OCI_MANIFEST | DOCKER_MANIFEST => {
                Ok(AnyManifest::Image(serde_json::from_value(value).context("bad image manifest")?))
            }
            other => bail!("manifests of type `{}` are not supported", other.escape_debug()),
        }
    }
}

/// Objects by key: whether `serde_json` keeps the order of a document depends on which other
/// crates the program is built with, and the digest must not.
pub(crate) fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let by_key: BTreeMap<String, Value> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(by_key.into_iter().collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// An image's config (OCI image-spec, image configuration).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ConfigFile {
    /// When the image was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    pub(crate) architecture: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) variant: Option<String>,
    pub(crate) os: String,
    #[serde(default)]
    pub(crate) config: ContainerConfig,
    /// The layers' digests, uncompressed.
    pub(crate) rootfs: RootFs,
    /// Where the layers came from, lowest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) history: Vec<History>,
}

/// How a container of the image starts (OCI image-spec, image configuration, `config`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct ContainerConfig {
    /// `user[:group]`, names or numbers.
    #[serde(skip_serializing_if = "is_empty_text")]
    pub(crate) user: Option<String>,
    /// `3000/tcp`, each with an empty object.
    #[serde(skip_serializing_if = "is_empty_map")]
    pub(crate) exposed_ports: Option<BTreeMap<String, Value>>,
    /// `NAME=value`.
    #[serde(skip_serializing_if = "is_empty_list")]
    pub(crate) env: Option<Vec<String>>,
    /// The command's fixed part.
    #[serde(skip_serializing_if = "is_empty_list")]
    pub(crate) entrypoint: Option<Vec<String>>,
    /// The command's default arguments.
    #[serde(skip_serializing_if = "is_empty_list")]
    pub(crate) cmd: Option<Vec<String>>,
    /// The folder the command starts in.
    #[serde(skip_serializing_if = "is_empty_text")]
    pub(crate) working_dir: Option<String>,
    /// Notes, sorted.
    #[serde(skip_serializing_if = "is_empty_map")]
    pub(crate) labels: Option<BTreeMap<String, String>>,
    /// What a base sets beyond these (`StopSignal`, `Volumes`, `Healthcheck`, …), kept as is.
    #[serde(flatten)]
    pub(crate) rest: BTreeMap<String, Value>,
}

// Other tools write `null`, empty and absent alike; one spelling keeps digests stable.
fn is_empty_text(value: &Option<String>) -> bool {
    value.as_ref().is_none_or(String::is_empty)
}

fn is_empty_list(value: &Option<Vec<String>>) -> bool {
    value.as_ref().is_none_or(Vec::is_empty)
}

fn is_empty_map<V>(value: &Option<BTreeMap<String, V>>) -> bool {
    value.as_ref().is_none_or(BTreeMap::is_empty)
}

/// The layers' digests, uncompressed, lowest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The digests of the uncompressed tar files.
    pub(crate) diff_ids: Vec<Digest>,
}

/// Where one layer came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct History {
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) comment: Option<String>,
    /// Whether the step made no layer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) empty_layer: bool,
}

/// Writes a document: the same value gives the same bytes, since fields have a fixed order and
/// maps are sorted.
pub(crate) fn to_json<T: Serialize>(document: &T) -> Vec<u8> {
    serde_json::to_vec(document).expect("these types have text keys and no failing parts")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(media_type: &str) -> Descriptor {
        Descriptor::of(media_type, b"content")
    }

    #[test]
    fn reads_both_kinds_under_both_names() {
        let image = to_json(&Manifest::new(descriptor(OCI_CONFIG), vec![descriptor(OCI_LAYER_GZIP)]));
        let index = to_json(&Index::new(vec![descriptor(OCI_MANIFEST)]));
        assert!(matches!(AnyManifest::parse(&image, "text/plain"), Ok(AnyManifest::Image(_))));
        assert!(matches!(AnyManifest::parse(&index, ""), Ok(AnyManifest::Index(_))));
        let docker = String::from_utf8(image).unwrap().replace(OCI_MANIFEST, DOCKER_MANIFEST);
        assert!(matches!(AnyManifest::parse(docker.as_bytes(), ""), Ok(AnyManifest::Image(_))));
        let bare = br#"{"schemaVersion":2,"manifests":[]}"#;
        assert!(matches!(AnyManifest::parse(bare, DOCKER_INDEX), Ok(AnyManifest::Index(_))));
        assert!(matches!(AnyManifest::parse(bare, ""), Ok(AnyManifest::Index(_))));
    }

    #[test]
    fn refuses_what_it_cannot_trust() {
        let both = br#"{"schemaVersion":2,"manifests":[],"layers":[]}"#;
        let error = AnyManifest::parse(both, OCI_INDEX).unwrap_err().to_string();
        assert!(error.contains("ambiguous"), "{error}");
        let old = br#"{"schemaVersion":1}"#;
        let schema1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
        let error = AnyManifest::parse(old, schema1).unwrap_err().to_string();
        assert!(error.contains("not supported"), "{error}");
        assert!(AnyManifest::parse(b"<html>", OCI_INDEX).is_err());
    }

    #[test]
    fn unknown_settings_of_a_base_survive() {
        let text = r#"{"architecture":"amd64","os":"linux","config":{"Env":null,"StopSignal":"SIGQUIT"},"rootfs":{"type":"layers","diff_ids":[]}}"#;
        let config: ConfigFile = serde_json::from_str(text).unwrap();
        let written = String::from_utf8(to_json(&config)).unwrap();
        assert!(written.contains(r#""config":{"StopSignal":"SIGQUIT"}"#), "{written}");
    }
}
