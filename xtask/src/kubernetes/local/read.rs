//! The manifests of an application, read: workloads, Services, config maps, secrets.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::{Context, Result, anyhow, bail, ensure};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use crate::kubernetes::image_owners::{Repositories, without_selector};
use crate::kubernetes::kustomization;
use crate::kubernetes::manifest;
use crate::kubernetes::objects::{ConfigMap, Kind, Secret, Service, Workload};
use crate::kubernetes::pinning::naming::{Namer, Scope, is_placeholder};
use crate::kubernetes::pinning::sites::Site;
use crate::kubernetes::yaml::document::{Document, NodeId};
use crate::kubernetes::yaml::json::to_json;
use crate::kubernetes::yaml::parse::parse;
use crate::workspace::settings::tidy;

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

/// What the manifests say.
#[derive(Debug, Default)]
pub(crate) struct Application {
    /// What runs, by name, in the namespace that it would be in.
    pub(crate) workloads: Vec<Workload>,
    /// Names for what runs.
    pub(crate) services: Vec<Service>,
    pub(crate) config_maps: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) secrets: BTreeMap<String, BTreeMap<String, String>>,
    /// Kinds that are not run here, with the names of theirs that have containers: jobs and the like.
    pub(crate) not_run: Vec<(String, String)>,
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
        reader.files.insert(path, documents);
    }
    let chosen = reader.chosen()?;
    let mut application = Application::default();
    for (path, namespace) in chosen {
        for document in reader.documents_of(&path) {
            for (kind, object) in manifest::objects(&document.nodes) {
                reader
                    .object(document, kind, object, namespace.as_deref(), &mut application)
                    .with_context(|| format!("cannot use `{path}`"))?;
            }
        }
    }
    application.workloads.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    Ok(application)
}

struct Reader<'a> {
    repositories: &'a Repositories,
    files: BTreeMap<&'a Utf8Path, Vec<ParsedDocument<'a>>>,
    /// Image names that kustomizations map to components.
    aliases: HashMap<String, String>,
}

/// A document.
struct ParsedDocument<'a> {
    nodes: Document<'a>,
    value: Value,
    /// The components of images of ours.
    components: HashMap<NodeId, String>,
}

impl<'a> Reader<'a> {
    fn documents(&mut self, path: &Utf8Path, text: &'a str) -> Result<Vec<ParsedDocument<'a>>> {
        let documents = parse(text).map_err(|error| anyhow!("{error}"))?;
        let scope = Scope { repositories: self.repositories, image_paths: &[], adopted: &BTreeSet::new() };
        let namer = Namer { text, file: path.file_name().unwrap_or_default(), scope };
        documents.into_iter().map(|document| self.document(document, &namer)).collect()
    }

    fn document(&mut self, document: Document<'a>, namer: &Namer<'_>) -> Result<ParsedDocument<'a>> {
        let mut components: HashMap<NodeId, String> = HashMap::new();
        for (line, sites) in namer.by_line(&document) {
            let named = namer
                .line(&document, line, &sites)
                .map_err(|refusal| anyhow!("line {}: {}", refusal.line, refusal.message))?;
            for (site, component) in named.sites {
                // What kustomize rendered has no comments: then the container's name says whose a placeholder is.
                let by_container =
                    || is_placeholder(&document, site).then(|| namer.by_container(&document, site)).flatten();
                let Some(component) = component.or_else(|| by_container().map(str::to_owned)) else { continue };
                match site {
                    Site::Image(id) => drop(components.insert(document.target(id), component)),
                    Site::Kustomization(entry) => {
                        let name = document.get(entry, "name").and_then(|name| document.text(name));
                        self.aliases.extend(name.map(|name| (name.to_owned(), component)));
                    }
                }
            }
        }
        let value = document.root().map_or(Ok(Value::Null), |root| value(&document, root))?;
        Ok(ParsedDocument { nodes: document, value, components })
    }

    fn documents_of(&self, path: &Utf8Path) -> &[ParsedDocument<'a>] {
        self.files.get(path).map_or(&[], Vec::as_slice)
    }

    /// The files to read, each with the namespace that its kustomization sets.
    fn chosen(&self) -> Result<Vec<(Utf8PathBuf, Option<String>)>> {
        let roots: Vec<&Utf8Path> = self.files.keys().copied().filter(|path| kustomization::is_file(path)).collect();
        let governed = |path: &Utf8Path| {
            let folders = path.ancestors().skip(1);
            roots.iter().any(|root| *root != path && folders.clone().any(|folder| Some(folder) == root.parent()))
        };
        let named: BTreeSet<Utf8PathBuf> =
            roots.iter().map(|root| self.named_by(root)).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        let mut chosen = Vec::new();
        for path in self.files.keys().copied() {
            match (kustomization::is_file(path), governed(path)) {
                (false, false) => chosen.push((path.to_owned(), None)),
                (true, false) if !named.contains(path) => self.follow(path, None, 0, &mut chosen)?,
                _ => {}
            }
        }
        if let Some(first) = roots.first().filter(|_| chosen.iter().all(|(path, _)| !kustomization::is_file(path))) {
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
        for document in self.documents_of(path) {
            let unknown = document.value.as_object().into_iter().flatten().map(|(key, _)| key.as_str());
            if let Some(key) = unknown.into_iter().find(|key| !HARMLESS.contains(key)) {
                bail!("`{path}`: `{key}` is not understood without kubectl, which is not installed");
            }
        }
        let own = self.documents_of(path).iter().find_map(|document| document.value["namespace"].as_str());
        let namespace = namespace.or(own);
        for named in self.named_by(path)? {
            if kustomization::is_file(&named) {
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
        for document in self.documents_of(path) {
            let lists = ["resources", "bases"].into_iter().filter_map(|key| document.value[key].as_array());
            for entry in lists.flatten().filter_map(Value::as_str) {
                let mut candidates = kustomization::candidates(tidy(&folder.join(entry)));
                let found = candidates.find(|path| self.files.contains_key(path.as_path()));
                files.push(
                    found.with_context(|| format!("`{path}` names `{entry}`, which is not among the manifests"))?,
                );
            }
        }
        Ok(files)
    }

    fn object(
        &self,
        document: &ParsedDocument<'a>,
        kind: &str,
        object: NodeId,
        namespace: Option<&str>,
        application: &mut Application,
    ) -> Result<()> {
        let value = value(&document.nodes, object)?;
        let name = value["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let wrong = || format!("{kind} `{name}` is not as a {kind} should be");
        match (kind, Kind::of_name(kind)) {
            ("Service", _) => application.services.push(serde_json::from_value(value).with_context(wrong)?),
            ("ConfigMap", _) => {
                let map: ConfigMap = serde_json::from_value(value).with_context(wrong)?;
                application.config_maps.insert(name, map.entries());
            }
            ("Secret", _) => {
                let secret: Secret = serde_json::from_value(value).with_context(wrong)?;
                application.secrets.insert(name.clone(), secret.entries().with_context(wrong)?);
            }
            ("Kustomization" | "", _) => generated(&value, application)?,
            ("Job" | "CronJob" | "ReplicationController", _) => application.not_run.push((kind.to_owned(), name)),
            // What it runs may be another object's to say.
            ("Rollout", _) | (_, None) => {}
            (_, Some(of)) => {
                let mut workload = Workload::read(of, value).with_context(wrong)?;
                let is_there = application.workloads.iter().any(|other| other.metadata.name == name);
                ensure!(!is_there, "`{name}` comes twice among the manifests");
                let own = Some(&*workload.metadata.namespace).filter(|own| !own.is_empty());
                workload.metadata.namespace = namespace.or(own).unwrap_or("default").to_owned();
                self.fill_in_components(document, object, &mut workload);
                application.workloads.push(workload);
            }
        }
        Ok(())
    }

    /// Whose image each container runs, by its place in the text, or by the name that a kustomization replaces.
    fn fill_in_components(&self, document: &ParsedDocument<'_>, object: NodeId, workload: &mut Workload) {
        let nodes = &document.nodes;
        let places = manifest::containers(nodes, object, workload.kind);
        for (container, place) in workload.spec.template.spec.all_mut().zip(places) {
            let image = nodes.get(place, "image").map(|image| nodes.target(image));
            let own = image.and_then(|image| document.components.get(&image));
            container.component = own.or_else(|| self.aliases.get(without_selector(&container.image))).cloned();
        }
    }
}

fn value(document: &Document<'_>, node: NodeId) -> Result<Value> {
    to_json(document, node).map_err(|line| anyhow!("line {line}: nested too deeply, or a key that is no text"))
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

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
