//! Images of one platform: layers, config and manifest.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::base::BaseImage;
use super::layer::{BuiltLayer, LayerSpec, build_layer};
use super::layout::Layout;
use crate::image::assembled::{AssembledPlatform, LayerSummary};
use crate::image::labels::{BASE_DIGEST, BASE_NAME};
use crate::image::manifest::{
    ConfigFile, ContainerConfig, Descriptor, History, Manifest, OCI_CONFIG, OCI_MANIFEST, RootFs, oci_layer_type,
    sorted, to_json,
};
use crate::image::platform::Platform;
use crate::image::time::rfc3339;

/// What decides an image of one platform: the same specification and files give the same digest.
#[derive(Clone, Debug)]
pub(crate) struct ImageSpec {
    pub(crate) platform: Platform,
    /// What it builds on; `None` is `scratch`.
    pub(crate) base: Option<BaseImage>,
    /// The layers above the base, lowest first. Empty ones are left out.
    pub(crate) layers: Vec<LayerSpec>,
    /// How its containers start.
    pub(crate) config: ImageConfig,
    /// When it was made, and when all its files were changed; unix seconds.
    pub(crate) created: i64,
}

/// How containers of an image start.
#[derive(Clone, Debug, Default)]
pub(crate) struct ImageConfig {
    /// `user[:group]`.
    pub(crate) user: String,
    /// The folder the entrypoint starts in; `None` keeps the base's.
    pub(crate) working_dir: Option<String>,
    /// The command, one argument each.
    pub(crate) entrypoint: Vec<String>,
    /// Names and values; they override the base's by name.
    pub(crate) env: Vec<(String, String)>,
    /// TCP ports, added to the base's.
    pub(crate) ports: Vec<u16>,
    /// Labels; they override the base's by name.
    pub(crate) labels: BTreeMap<String, String>,
}

/// Puts the image's layers, config and manifest into `layout`. It gets its name, and stays, by
/// [`Layout::put`].
///
/// # Errors
/// As [`build_layer`]; a base of another platform.
pub(crate) fn assemble(layout: &Layout, spec: &ImageSpec) -> Result<AssembledPlatform> {
    let mut layers = Vec::new();
    let mut summaries = Vec::new();
    if let Some(base) = &spec.base {
        ensure!(
            spec.platform.accepts(base.platform()),
            "base image `{}` is for `{}`, not for `{}`",
            base.name(),
            base.platform(),
            spec.platform
        );
        for layer in base.layers() {
            ensure!(
                layout.has_blob(&layer.digest, layer.size),
                "layer `{}` of base image `{}` is not in the image layout",
                layer.digest,
                base.name()
            );
            let media_type = oci_layer_type(&layer.media_type);
            layers.push(Descriptor::new(media_type, layer.digest.clone(), layer.size));
            summaries.push(LayerSummary {
                name: "base".to_owned(),
                digest: layer.digest.clone(),
                size: layer.size,
                uncompressed: None,
            });
        }
    }
    let mut built = Vec::new();
    for layer in spec.layers.iter().filter(|layer| !layer.entries.is_empty()) {
        let done = build_layer(layout, layer, spec.created)?;
        layers.push(done.descriptor.clone());
        summaries.push(LayerSummary {
            name: layer.name.clone(),
            digest: done.descriptor.digest.clone(),
            size: done.descriptor.size,
            uncompressed: Some(done.uncompressed),
        });
        built.push((layer.name.as_str(), done));
    }

    let config = to_json(&config_file(spec, spec.base.as_ref().map(BaseImage::config), &built));
    let config = Descriptor::of(OCI_CONFIG, &config).stored(layout, &config)?;
    let config_digest = config.digest.clone();
    let config_size = config.size;
    let layers_size: u64 = layers.iter().map(|layer| layer.size).sum();
    let manifest = to_json(&Manifest::new(config, layers));
    let manifest = Descriptor::of(OCI_MANIFEST, &manifest).stored(layout, &manifest)?;
    Ok(AssembledPlatform {
        platform: spec.platform.clone(),
        size: layers_size + config_size + manifest.size,
        manifest,
        config: config_digest,
        layers: summaries,
    })
}

impl Descriptor {
    /// Puts the content that this describes into `layout`.
    fn stored(self, layout: &Layout, content: &[u8]) -> Result<Self> {
        layout.write_bytes(content).context("cannot write to the image layout")?;
        Ok(self)
    }
}

/// The config (OCI image-spec, image configuration) of `spec` on `base`. Pure.
fn config_file(spec: &ImageSpec, base: Option<&ConfigFile>, layers: &[(&str, BuiltLayer)]) -> ConfigFile {
    let created = rfc3339(spec.created);
    let (mut diff_ids, mut history) = match base {
        Some(base) => (base.rootfs.diff_ids.clone(), base_history(base)),
        None => (Vec::new(), Vec::new()),
    };
    for (name, layer) in layers {
        diff_ids.push(layer.diff_id.clone());
        history.push(History {
            created: Some(created.clone()),
            created_by: Some(format!("cargo xtask: {name}")),
            ..History::default()
        });
    }
    let base_container = base.map(|base| base.config.clone()).unwrap_or_default();
    ConfigFile {
        created: Some(created),
        architecture: spec.platform.architecture().to_owned(),
        variant: spec.platform.variant().map(str::to_owned),
        os: spec.platform.os().to_owned(),
        config: container_config(&spec.config, base_container),
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids },
        history,
    }
}

/// The base's history; made up when it does not name as many layers as there are, since engines
/// refuse an image whose history and layers differ in number.
fn base_history(base: &ConfigFile) -> Vec<History> {
    let named = base.history.iter().filter(|entry| !entry.empty_layer).count();
    if named == base.rootfs.diff_ids.len() {
        return base.history.clone();
    }
    let entry =
        History { created: base.created.clone(), created_by: Some("base image".to_owned()), ..History::default() };
    vec![entry; base.rootfs.diff_ids.len()]
}

fn container_config(ours: &ImageConfig, base: ContainerConfig) -> ContainerConfig {
    let mut env = base.env.unwrap_or_default();
    for (name, value) in &ours.env {
        let line = format!("{name}={value}");
        let same_name = |line: &String| line.split('=').next() == Some(name);
        match env.iter_mut().find(|line| same_name(line)) {
            Some(existing) => *existing = line,
            None => env.push(line),
        }
    }
    let mut ports = base.exposed_ports.unwrap_or_default();
    for port in &ours.ports {
        ports.insert(format!("{port}/tcp"), Value::Object(serde_json::Map::new()));
    }
    let mut labels = base.labels.unwrap_or_default();
    // The base's own base is not ours.
    labels.retain(|name, _| ![BASE_NAME, BASE_DIGEST].contains(&name.as_str()));
    labels.extend(ours.labels.clone());
    // The base's `Cmd` holds arguments for the base's entrypoint.
    let (entrypoint, cmd) =
        if ours.entrypoint.is_empty() { (base.entrypoint, base.cmd) } else { (Some(ours.entrypoint.clone()), None) };
    let mut rest: BTreeMap<String, Value> = base.rest.into_iter().map(|(key, value)| (key, sorted(value))).collect();
    // Instructions for building on the base; we just did.
    rest.remove("OnBuild");
    ContainerConfig {
        user: if ours.user.is_empty() { base.user } else { Some(ours.user.clone()) },
        exposed_ports: Some(ports),
        env: Some(env),
        entrypoint,
        cmd,
        working_dir: ours.working_dir.clone().or(base.working_dir),
        labels: Some(labels),
        rest,
    }
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
