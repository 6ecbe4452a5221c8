//! Which programs run, and how.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::probe::{LocalProbe, local_probe};
use super::read::Application;
use super::values::{Ports, Replacements, pairs};
use super::variables::{expand, last, missing, pod_name, variables};
use super::verdict::{LocalVerdict, State};
use crate::image::manifest::ContainerConfig;
use crate::kubernetes::objects::{Container, FilesSource, Probe, ProbeAction, ServicePort, Volume, Workload};

/// Kubernetes' default (PodSpec, `terminationGracePeriodSeconds`).
const GRACE_SECONDS: i64 = 30;
/// Nobody waits longer than this for a program on their own machine.
const MOST_GRACE: Duration = Duration::from_secs(5);

/// An image of the layout, unpacked.
#[derive(Debug, Clone, Default)]
pub(crate) struct LocalImage {
    pub(crate) digest: String,
    pub(crate) config: ContainerConfig,
    pub(crate) root: Utf8PathBuf,
    /// All its paths, absolute.
    pub(crate) paths: BTreeSet<Utf8PathBuf>,
    /// Whether its sources have changed since.
    pub(crate) is_outdated: bool,
}

/// Images by component, or why one is not there.
pub(crate) type LocalImages = BTreeMap<String, Result<LocalImage, String>>;

/// Where workloads listen, by their position: the ports of their manifests and those of this machine.
pub(crate) type LocalPorts = Vec<Ports>;

/// A workload's one pod.
#[derive(Debug, Default)]
pub(crate) struct LocalPod {
    /// Run to their end first, one after another.
    pub(crate) first: Vec<Program>,
    /// Run side by side.
    pub(crate) programs: Vec<Program>,
    /// A container of these that is not run, so that nothing after it is.
    pub(crate) blocked: Option<String>,
    /// What is not run, and why.
    pub(crate) not_run: Vec<LocalVerdict>,
    pub(crate) folders: BTreeSet<Utf8PathBuf>,
    pub(crate) files: BTreeMap<Utf8PathBuf, String>,
}

/// A program to start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Program {
    /// As [`LocalVerdict::name`].
    pub(crate) name: String,
    pub(crate) component: String,
    pub(crate) digest: String,
    pub(crate) executable: Utf8PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) variables: BTreeMap<String, String>,
    /// The folder to run it in.
    pub(crate) folder: Utf8PathBuf,
    /// Startup and liveness probes.
    pub(crate) health: Vec<LocalProbe>,
    pub(crate) ready: Option<LocalProbe>,
    /// What should be known even when all is well.
    pub(crate) notes: Vec<String>,
    /// Ports that it will listen on, since no variable and no argument says otherwise.
    pub(crate) fixed_ports: Vec<u16>,
    /// Its first port here.
    pub(crate) port: Option<u16>,
    /// How long it may take to end.
    pub(crate) grace: Duration,
}

/// The components whose images the application needs.
pub(crate) fn components(application: &Application) -> BTreeSet<String> {
    let containers = application.workloads.iter().flat_map(|workload| workload.containers());
    containers.filter_map(|container| container.component.clone()).collect()
}

/// The ports of each workload, and whether they can be moved: a variable or an argument tells its programs of them.
pub(crate) fn listening(application: &Application, images: &LocalImages) -> Vec<BTreeMap<u16, bool>> {
    let movable = |workload: &Workload, port: u16| {
        let only = Replacements::only(port);
        workload.template().spec.containers.iter().any(|container| {
            let Some(Ok(image)) = container.component.as_ref().and_then(|component| images.get(component)) else {
                return false;
            };
            let Ok(environment) = environment(application, workload, container, image, &[]) else { return false };
            let (command, arguments) = command(container, image, &environment);
            // Another program's port may have the same number.
            let services = |host: &str| {
                application.services.iter().any(|service| host.split('.').next() == Some(&*service.metadata.name))
            };
            let others: BTreeSet<String> = pairs(&environment, services).into_iter().map(|(_, port)| port).collect();
            let mut own = environment.iter().filter(|(name, _)| !others.contains(name));
            own.any(|(name, value)| only.apply(name, value) != *value)
                || only.apply_all(&arguments) != arguments
                || only.apply_all(&command) != command
        })
    };
    let ports = |workload: &Workload| ports_of(application, workload);
    let with_movable = |workload| ports(workload).into_iter().map(|port| (port, movable(workload, port))).collect();
    application.workloads.iter().map(with_movable).collect()
}

/// Declared ports, and those that probes and Services speak to.
fn ports_of(application: &Application, workload: &Workload) -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    for container in &workload.template().spec.containers {
        ports.extend(container.ports.iter().map(|port| port.container_port));
        ports.extend(container.probes().filter_map(|probe| container.action(probe).ok()??.port()));
        let services = application.services.iter().filter(|service| service.selects(workload.pod_labels()));
        ports.extend(services.flat_map(|service| &service.spec.ports).filter_map(|port| port.number_in(container)));
    }
    ports
}

/// The pods to run; `folder` is theirs.
pub(crate) fn pods(
    application: &Application,
    images: &LocalImages,
    ports: &LocalPorts,
    movable: &[BTreeMap<u16, bool>],
    folder: &Utf8Path,
) -> Vec<LocalPod> {
    let services = services(application, ports);
    let workloads = application.workloads.iter().zip(ports).zip(movable);
    workloads
        .map(|((workload, ports), movable)| {
            let planner = Planner { application, images, services: &services, workload, ports, movable, folder };
            planner.pod()
        })
        .collect()
}

/// The ports of each Service's pods here, by each name that a pod can call it: short ones reach Services of the
/// pod's own namespace, and all is one namespace here.
fn services(application: &Application, ports: &LocalPorts) -> BTreeMap<String, Ports> {
    let mut found = BTreeMap::new();
    for service in &application.services {
        let selected =
            application.workloads.iter().zip(ports).find(|(workload, _)| service.selects(workload.pod_labels()));
        let Some((workload, local)) = selected else { continue };
        let to_local = |port: &ServicePort| {
            let containers = &workload.template().spec.containers;
            let number = containers.iter().find_map(|container| port.number_in(container))?;
            Some((port.port, *local.get(&number)?))
        };
        let ports: Ports = service.spec.ports.iter().filter_map(to_local).collect();
        let (name, namespace) = (&service.metadata.name, &workload.metadata.namespace);
        for suffix in
            ["", &format!(".{namespace}"), &format!(".{namespace}.svc"), &format!(".{namespace}.svc.cluster.local")]
        {
            found.insert(format!("{name}{suffix}"), ports.clone());
        }
    }
    found
}

struct Planner<'a> {
    application: &'a Application,
    images: &'a LocalImages,
    services: &'a BTreeMap<String, Ports>,
    workload: &'a Workload,
    ports: &'a Ports,
    movable: &'a BTreeMap<u16, bool>,
    folder: &'a Utf8Path,
}

impl Planner<'_> {
    fn pod(&self) -> LocalPod {
        let mut pod = LocalPod::default();
        let spec = &self.workload.template().spec;
        if self.workload.replicas() == 0 {
            let verdict =
                LocalVerdict::not_run(self.workload.metadata.name.clone(), None, State::Skipped, "zero replicas");
            pod.not_run.push(verdict);
            return pod;
        }
        for container in spec.run_once() {
            let program = self.container(container, &mut pod);
            pod.first.extend(program);
            // Foreign ones are passed over: what they do is not ours to know.
            pod.blocked =
                pod.not_run.iter().find(|verdict| !verdict.state.passes()).map(|verdict| verdict.name.clone());
        }
        for container in spec.long_running() {
            let program = self.container(container, &mut pod);
            pod.programs.extend(program);
        }
        pod
    }

    /// Plans a container; what is not run goes to the pod's verdicts.
    fn container(&self, container: &Container, pod: &mut LocalPod) -> Option<Program> {
        let name = match &self.workload.metadata.name {
            name if container.name == *name => name.clone(),
            name => format!("{name}/{}", container.name),
        };
        let mut not_run = |component: Option<&str>, state, message: String| {
            pod.not_run.push(LocalVerdict::not_run(name.clone(), component.map(str::to_owned), state, message));
            None
        };
        let Some(component) = container.component.as_deref() else {
            return not_run(None, State::Skipped, format!("`{}` is a foreign image", container.image));
        };
        let image = match self.images.get(component) {
            Some(Ok(image)) => image,
            Some(Err(why)) => return not_run(Some(component), State::NoImage, why.clone()),
            None => return not_run(Some(component), State::NoImage, "there is no such image".to_owned()),
        };
        let (mut folders, mut files) = (BTreeSet::new(), BTreeMap::new());
        let mounts = match self.mounts(container, &mut folders, &mut files) {
            Ok(mounts) => mounts,
            Err(why) => return not_run(Some(component), State::NeedsCluster, why),
        };
        let links = match self.workload.template().spec.enable_service_links {
            Some(false) => Vec::new(),
            _ => self.service_links(),
        };
        let variables = match environment(self.application, self.workload, container, image, &links) {
            Ok(variables) => variables,
            Err(why) => return not_run(Some(component), State::NeedsCluster, why),
        };
        match self.program(name.clone(), component, container, image, mounts, variables) {
            Ok(program) => {
                pod.folders.extend(folders);
                pod.files.extend(files);
                Some(program)
            }
            Err(why) => not_run(Some(component), State::CannotStart, why),
        }
    }

    fn program(
        &self,
        name: String,
        component: &str,
        container: &Container,
        image: &LocalImage,
        mounts: Vec<(Utf8PathBuf, Utf8PathBuf)>,
        variables: Vec<(String, String)>,
    ) -> Result<Program, String> {
        let replacements = Replacements {
            own: self.ports.clone(),
            services: self.services.clone(),
            mounts,
            image_paths: image.paths.clone(),
            image_root: image.root.clone(),
        };
        let (mut command, arguments) = command(container, image, &variables);
        if command.is_empty() {
            return Err("neither its image nor its manifest says what to run".to_owned());
        }
        let program = command.remove(0);
        let file = executable(&program, image, &variables)
            .or_else(|| replacements.path(Utf8Path::new(&program)))
            .ok_or_else(|| format!("`{program}` is not in the image"))?;
        let folder = [&container.working_dir, image.config.working_dir.as_ref().unwrap_or(&String::new())]
            .into_iter()
            .find(|folder| !folder.is_empty())
            .and_then(|folder| replacements.path(Utf8Path::new(folder)))
            .unwrap_or_else(|| image.root.clone());
        let ask = |probe: &Option<Probe>| {
            let Some(probe) = probe else { return Ok(None) };
            let mut probe = local_probe(container, probe, self.ports)?;
            if let Some(LocalProbe { action: ProbeAction::Exec(words), .. }) = &mut probe {
                let program = words.first().ok_or("a probe runs no command")?;
                let here = executable(program, image, &variables)
                    .ok_or_else(|| format!("a probe runs `{program}`, which is not in the image"))?;
                *words = replacements.apply_all(words);
                words[0] = here.into_string();
            }
            Ok::<_, String>(probe)
        };
        let health = [ask(&container.startup_probe)?, ask(&container.liveness_probe)?];
        let own = container.ports.iter().map(|port| port.container_port);
        let asked = container.probes().filter(|probe| probe.http_get.is_some());
        let own: BTreeSet<u16> = own.chain(asked.filter_map(|probe| container.action(probe).ok()??.port())).collect();
        let seconds = self.workload.template().spec.termination_grace_period_seconds.unwrap_or(GRACE_SECONDS);
        let words: Vec<String> = command.iter().chain(&arguments).cloned().collect();
        let mut notes = Vec::new();
        if image.is_outdated {
            notes.push(format!("its image is older than its sources: `cargo xtask docker-build {component}`"));
        }
        if container.probes().any(|probe| matches!(local_probe(container, probe, self.ports), Ok(None))) {
            notes.push("a probe of it asks another host, which was not done".to_owned());
        }
        if container.probes().any(|probe| probe.grpc.is_some()) {
            notes.push("of its gRPC probe the connection alone was asked".to_owned());
        }
        Ok(Program {
            name,
            component: component.to_owned(),
            digest: image.digest.clone(),
            executable: file,
            arguments: replacements.apply_all(&words),
            variables: replacements.apply_variables(&variables),
            folder,
            health: health.into_iter().flatten().collect(),
            ready: ask(&container.readiness_probe)?,
            fixed_ports: own.iter().copied().filter(|port| self.movable.get(port) == Some(&false)).collect(),
            notes,
            port: own.iter().find_map(|port| self.ports.get(port)).copied(),
            grace: Duration::from_secs(seconds.max(0).unsigned_abs()).min(MOST_GRACE),
        })
    }

    /// Host and port of each Service, as Kubernetes tells them to every pod.
    fn service_links(&self) -> Vec<(String, String)> {
        let mut links = Vec::new();
        for (name, ports) in self.services.iter().filter(|(name, _)| !name.contains('.')) {
            let prefix = name.to_ascii_uppercase().replace('-', "_");
            let first = ports.values().next();
            links.extend(first.map(|port| (format!("{prefix}_SERVICE_PORT"), port.to_string())));
            links.push((format!("{prefix}_SERVICE_HOST"), "127.0.0.1".to_owned()));
        }
        links
    }

    /// Folders of the container's volumes: path there, path here.
    fn mounts(
        &self,
        container: &Container,
        folders: &mut BTreeSet<Utf8PathBuf>,
        files: &mut BTreeMap<Utf8PathBuf, String>,
    ) -> Result<Vec<(Utf8PathBuf, Utf8PathBuf)>, String> {
        let mut mounts = Vec::new();
        for mount in &container.volume_mounts {
            let folder = self.folder.join(&self.workload.metadata.name).join(&mount.name);
            let volumes = &self.workload.template().spec.volumes;
            // What has no volume is a claim of a StatefulSet: a folder.
            if let Some(volume) = volumes.iter().find(|volume| volume.name == mount.name) {
                self.fill(volume, &folder, files)?;
            }
            let sub = mount.sub_path.trim_matches('/');
            let place = if sub.is_empty() { folder } else { folder.join(sub) };
            if !files.contains_key(&place) {
                folders.insert(place.clone());
            }
            mounts.push((Utf8PathBuf::from(&mount.mount_path), place));
        }
        Ok(mounts)
    }

    /// Adds a volume's files.
    fn fill(
        &self,
        volume: &Volume,
        folder: &Utf8Path,
        files: &mut BTreeMap<Utf8PathBuf, String>,
    ) -> Result<(), String> {
        let Some((kind, source)) = volume.source.iter().next() else { return Ok(()) };
        let (what, maps) = match kind.as_str() {
            "emptyDir" | "persistentVolumeClaim" | "ephemeral" => return Ok(()),
            "configMap" => ("config map", &self.application.config_maps),
            "secret" => ("secret", &self.application.secrets),
            _ => return Err(format!("volume `{}` is a `{kind}`", volume.name)),
        };
        let source: FilesSource = serde_json::from_value(source.clone())
            .map_err(|error| format!("volume `{}` is wrong: {error}", volume.name))?;
        let name = if source.name.is_empty() { &source.secret_name } else { &source.name };
        let entries = match maps.get(name) {
            Some(entries) => entries,
            None if source.optional => return Ok(()),
            None => return Err(missing(what, name)),
        };
        if source.items.is_empty() {
            files.extend(entries.iter().map(|(key, value)| (folder.join(key), value.clone())));
        }
        for item in &source.items {
            let value = entries.get(&item.key).ok_or_else(|| format!("{what} `{name}` has no key `{}`", item.key))?;
            files.insert(folder.join(&item.path), value.clone());
        }
        Ok(())
    }
}

/// The variables of a container, before anything is replaced: the image's, the pod's name, `links`, the manifest's.
fn environment(
    application: &Application,
    workload: &Workload,
    container: &Container,
    image: &LocalImage,
    links: &[(String, String)],
) -> Result<Vec<(String, String)>, String> {
    let of_image = image.config.env.iter().flatten().filter_map(|line| line.split_once('='));
    let mut all: Vec<_> = of_image.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    all.push(("HOSTNAME".to_owned(), pod_name(workload)));
    all.extend(links.iter().cloned());
    all.extend(variables(application, workload, container)?);
    // Each once, with its last value.
    let names: BTreeSet<String> = all.iter().map(|(name, _)| name.clone()).collect();
    Ok(names.into_iter().filter_map(|name| last(&all, &name).map(|value| (name, value))).collect())
}

/// Command and arguments: the manifest's, else the image's (Kubernetes API, Container, `command`).
fn command(container: &Container, image: &LocalImage, variables: &[(String, String)]) -> (Vec<String>, Vec<String>) {
    let expanded = |texts: &[String]| texts.iter().map(|text| expand(text, |name| last(variables, name))).collect();
    let of_image = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    match (container.command.is_empty(), container.args.is_empty()) {
        (true, true) => (of_image(&image.config.entrypoint), of_image(&image.config.cmd)),
        (true, false) => (of_image(&image.config.entrypoint), expanded(&container.args)),
        (false, _) => (expanded(&container.command), expanded(&container.args)),
    }
}

/// The image's file that `program` means, by the image's `PATH` when it is a bare name.
fn executable(program: &str, image: &LocalImage, variables: &[(String, String)]) -> Option<Utf8PathBuf> {
    let folder = image.config.working_dir.as_deref().unwrap_or("/");
    let candidates: Vec<Utf8PathBuf> = if program.contains('/') {
        vec![Utf8Path::new(folder).join(program)]
    } else {
        let path = last(variables, "PATH").unwrap_or_default();
        path.split(':').map(|folder| Utf8Path::new(folder).join(program)).collect()
    };
    let found = candidates.into_iter().find(|path| image.paths.contains(path))?;
    Some(image.root.join(found.as_str().trim_start_matches('/')))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
