//! The manifests of an application, read: workloads, Services, config maps, secrets.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use super::objects::{PodTemplate, Service};
use crate::kubernetes::ours::Repositories;
use crate::kubernetes::pinning::naming::{Namer, Scope, is_placeholder};
use crate::kubernetes::pinning::workload::{NAMES, Site};
use crate::kubernetes::yaml::document::{Document, NodeId};
use crate::kubernetes::yaml::json::to_json;
use crate::kubernetes::yaml::parse::parse;
use crate::workspace::settings::tidy;

/// Kinds that keep programs running, each with the path to its pods' template.
const WORKLOADS: &[(&str, &[&str])] = &[
    ("Deployment", &["spec", "template"]),
    ("StatefulSet", &["spec", "template"]),
    ("DaemonSet", &["spec", "template"]),
    ("ReplicaSet", &["spec", "template"]),
    ("Pod", &[]),
];

/// Keys of a kustomization that change nothing that matters here.
const HARMLESS: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "namespace",
    "resources",
    "bases",
    "images",
    "labels",
    "commonLabels",
    "commonAnnotations",
    "buildMetadata",
    "sortOptions",
    "replicas",
    "configMapGenerator",
    "generatorOptions",
];

/// Before the name of a component, in place of an image of ours. No reference has it.
const OURS: char = '\0';

/// What the manifests say.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Application {
    /// What runs, by name.
    pub(crate) workloads: Vec<Workload>,
    /// Names for what runs.
    pub(crate) services: Vec<Service>,
    /// Config maps by name.
    pub(crate) config_maps: BTreeMap<String, BTreeMap<String, String>>,
    /// Secrets by name.
    pub(crate) secrets: BTreeMap<String, BTreeMap<String, String>>,
    /// Kinds that are not run here, with the names of theirs that have containers: jobs and the like.
    pub(crate) not_run: Vec<(String, String)>,
}

/// A workload: one pod of it runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Workload {
    /// Its name.
    pub(crate) name: String,
    /// Its namespace; `default` when nothing names one.
    pub(crate) namespace: String,
    /// How many pods are wanted.
    pub(crate) replicas: u64,
    /// Its pods.
    pub(crate) template: PodTemplate,
}

/// The component of an image, as [`read`] leaves it; `None` for a foreign one.
pub(crate) fn component_of(image: &str) -> Option<&str> {
    image.strip_prefix(OURS)
}

/// Reads `files`: paths and texts. Where there is a kustomization, what it names is read, not all that lies
/// below it.
///
/// # Errors
/// With the file's name: no YAML, an object that is not what its kind should be, a kustomization that does
/// more than to name files and images, a workload that comes twice.
pub(crate) fn read(files: &[(Utf8PathBuf, String)], repositories: &Repositories) -> Result<Application> {
    let mut reader = Reader { repositories, files: BTreeMap::new(), aliases: HashMap::new() };
    for (path, text) in files {
        let documents = reader.documents(path, text).with_context(|| format!("cannot read `{path}`"))?;
        reader.files.insert(path.clone(), documents);
    }
    let chosen = reader.chosen()?;
    let mut application = Application::default();
    let mut seen = BTreeSet::new();
    for (path, namespace) in chosen {
        for document in reader.files.get(&path).into_iter().flatten() {
            reader
                .object(document, namespace.as_deref(), &mut application, &mut seen)
                .with_context(|| format!("cannot use `{path}`"))?;
        }
    }
    application.workloads.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(application)
}

struct Reader<'a> {
    repositories: &'a Repositories,
    files: BTreeMap<Utf8PathBuf, Vec<Value>>,
    /// Image names that kustomizations map to components.
    aliases: HashMap<String, String>,
}

impl Reader<'_> {
    /// The documents of a file, images of ours replaced by [`OURS`] and the component.
    fn documents(&mut self, path: &Utf8Path, text: &str) -> Result<Vec<Value>> {
        let documents = parse(text).map_err(|error| anyhow::anyhow!("{error}"))?;
        let scope = Scope { repositories: self.repositories, image_paths: &[], adopted: &BTreeSet::new() };
        let namer = Namer { text, file: path.file_name().unwrap_or_default(), scope };
        documents.iter().map(|document| self.document(document, &namer)).collect()
    }

    fn document(&mut self, document: &Document<'_>, namer: &Namer<'_>) -> Result<Value> {
        let mut components: HashMap<NodeId, String> = HashMap::new();
        for (line, sites) in namer.by_line(document) {
            let named = namer
                .line(document, line, &sites)
                .map_err(|refusal| anyhow::anyhow!("line {}: {}", refusal.line, refusal.message))?;
            for (site, component) in named.sites {
                // What kustomize rendered has no comments: then the container's name says whose a placeholder is.
                let unsaid = || is_placeholder(document, site).then(|| namer.unsaid(document, site)).flatten();
                let Some(component) = component.or_else(|| unsaid().map(str::to_owned)) else { continue };
                match site {
                    Site::Image(id) => drop(components.insert(document.target(id), component)),
                    Site::Kustomization(entry) => {
                        let name = document.get(entry, "name").and_then(|name| document.text(name));
                        self.aliases.extend(name.map(|name| (name.to_owned(), component)));
                    }
                }
            }
        }
        to_json(document, &|id| components.get(&id).map(|component| format!("{OURS}{component}")))
            .map_err(|line| anyhow::anyhow!("line {line}: nested too deeply, or a key that is no text"))
    }

    /// The files to read, each with the namespace that its kustomization sets.
    fn chosen(&self) -> Result<Vec<(Utf8PathBuf, Option<String>)>> {
        let roots: Vec<&Utf8PathBuf> = self.files.keys().filter(|path| is_kustomization(path)).collect();
        let governed = |path: &Utf8Path| {
            let folders = path.ancestors().skip(1);
            roots
                .iter()
                .any(|root| root.as_path() != path && folders.clone().any(|folder| Some(folder) == root.parent()))
        };
        let named: BTreeSet<Utf8PathBuf> =
            roots.iter().map(|root| self.named_by(root)).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        let mut chosen = Vec::new();
        for path in self.files.keys() {
            match (is_kustomization(path), governed(path)) {
                (false, false) => chosen.push((path.clone(), None)),
                (true, false) if !named.contains(path) => self.follow(path, None, 0, &mut chosen)?,
                _ => {}
            }
        }
        if let Some(first) = roots.first().filter(|_| chosen.iter().all(|(path, _)| !is_kustomization(path))) {
            bail!("`{first}` leads to itself");
        }
        Ok(chosen)
    }

    /// Adds what a kustomization names; the outermost namespace wins.
    fn follow(
        &self,
        path: &Utf8Path,
        namespace: Option<&str>,
        depth: usize,
        chosen: &mut Vec<(Utf8PathBuf, Option<String>)>,
    ) -> Result<()> {
        ensure!(depth < 20, "`{path}` leads to itself");
        for document in self.files.get(path).into_iter().flatten() {
            let unknown = document.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
            if let Some(key) = unknown.into_iter().find(|key| !HARMLESS.contains(key)) {
                bail!("`{path}`: `{key}` is not understood without kubectl, which is not installed");
            }
        }
        let own = self.files.get(path).into_iter().flatten().find_map(|document| document["namespace"].as_str());
        let namespace = namespace.or(own);
        for named in self.named_by(path)? {
            if is_kustomization(&named) {
                self.follow(&named, namespace, depth + 1, chosen)?;
            } else {
                chosen.push((named, namespace.map(str::to_owned)));
            }
        }
        // Its own document holds the config maps that it makes.
        chosen.push((path.to_owned(), namespace.map(str::to_owned)));
        Ok(())
    }

    /// The files that a kustomization names; for a folder, the kustomization in it.
    fn named_by(&self, path: &Utf8Path) -> Result<Vec<Utf8PathBuf>> {
        let folder = path.parent().unwrap_or(Utf8Path::new(""));
        let mut files = Vec::new();
        for document in self.files.get(path).into_iter().flatten() {
            let lists = ["resources", "bases"].into_iter().filter_map(|key| document[key].as_array());
            for entry in lists.flatten().filter_map(Value::as_str) {
                let wanted = tidy(&folder.join(entry));
                let mut candidates = std::iter::once(wanted.clone()).chain(NAMES.iter().map(|name| wanted.join(name)));
                let found = candidates.find(|path| self.files.contains_key(path));
                files.push(
                    found.with_context(|| format!("`{path}` names `{entry}`, which is not among the manifests"))?,
                );
            }
        }
        Ok(files)
    }

    fn object(
        &self,
        value: &Value,
        namespace: Option<&str>,
        application: &mut Application,
        seen: &mut BTreeSet<String>,
    ) -> Result<()> {
        let kind = value["kind"].as_str().unwrap_or_default();
        if let Some(items) = value["items"].as_array().filter(|_| kind.ends_with("List")) {
            return items.iter().try_for_each(|item| self.object(item, namespace, application, seen));
        }
        let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let wrong = || format!("{kind} `{name}` is not as a {kind} should be");
        if let Some((_, path)) = WORKLOADS.iter().find(|(known, _)| *known == kind) {
            let template = path.iter().fold(value, |value, key| &value[*key]);
            let mut template: PodTemplate = serde_json::from_value(template.clone()).with_context(wrong)?;
            self.resolve_aliases(&mut template);
            ensure!(seen.insert(name.clone()), "`{name}` comes twice among the manifests");
            let own = value["metadata"]["namespace"].as_str();
            application.workloads.push(Workload {
                namespace: namespace.or(own).unwrap_or("default").to_owned(),
                replicas: value["spec"]["replicas"].as_u64().unwrap_or(1),
                template,
                name,
            });
            return Ok(());
        }
        match kind {
            "Service" => application.services.push(serde_json::from_value(value.clone()).with_context(wrong)?),
            "ConfigMap" => drop(application.config_maps.insert(name, texts(&value["data"]))),
            "Secret" => drop(application.secrets.insert(name.clone(), secret(value).with_context(wrong)?)),
            "Kustomization" | "" => generated(value, application)?,
            "Job" | "CronJob" | "ReplicationController" => application.not_run.push((kind.to_owned(), name)),
            _ => {}
        }
        Ok(())
    }

    /// Images that a kustomization gives another name.
    fn resolve_aliases(&self, template: &mut PodTemplate) {
        let spec = &mut template.spec;
        for container in spec.containers.iter_mut().chain(&mut spec.init_containers) {
            let name = container.image.split('@').next().unwrap_or_default();
            let slash = name.rfind('/').map_or(0, |slash| slash + 1);
            let name = name[slash..].find(':').map_or(name, |colon| &name[..slash + colon]);
            if let Some(component) = self.aliases.get(name) {
                container.image = format!("{OURS}{component}");
            }
        }
    }
}

fn is_kustomization(path: &Utf8Path) -> bool {
    path.file_name().is_some_and(|name| NAMES.contains(&name))
}

/// Config maps that a kustomization makes of literals.
fn generated(value: &Value, application: &mut Application) -> Result<()> {
    for map in value["configMapGenerator"].as_array().into_iter().flatten() {
        let name = map["name"].as_str().unwrap_or_default().to_owned();
        let unknown =
            map.as_object().into_iter().flatten().find(|(key, _)| !["name", "literals"].contains(&key.as_str()));
        if let Some((key, _)) = unknown {
            bail!("config map `{name}`: `{key}` is not understood without kubectl, only `literals` is");
        }
        let literals = map["literals"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let entries = literals.filter_map(|literal| literal.split_once('='));
        let entries = entries.map(|(key, value)| (key.to_owned(), value.trim_matches(['"', '\'']).to_owned()));
        application.config_maps.insert(name, entries.collect());
    }
    Ok(())
}

fn texts(map: &Value) -> BTreeMap<String, String> {
    let entries = map.as_object().into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn secret(value: &Value) -> Result<BTreeMap<String, String>> {
    let mut entries = BTreeMap::new();
    for (key, encoded) in texts(&value["data"]) {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(encoded.split_whitespace().collect::<String>())
            // The decoder's message shows what it could not read.
            .map_err(|_| anyhow::anyhow!("`{key}` in `data` is no base64"))?;
        entries.insert(key, String::from_utf8_lossy(&bytes).into_owned());
    }
    entries.extend(texts(&value["stringData"]));
    Ok(entries)
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
