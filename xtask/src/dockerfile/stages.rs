//! What a Dockerfile says, before it is text: a plan that the engine builder reads too.

use std::collections::BTreeMap;

use crate::image::platform::Platform;
use crate::workspace::components::Component;
use crate::workspace::context::Context;
use crate::workspace::rust_target::RustTarget;
use crate::workspace::settings::Linkage;
use crate::workspace::toolchain::ToolchainFile;

/// Everything that decides the Dockerfile of one package.
#[derive(Debug, Clone)]
pub(crate) struct DockerfilePlan<'a> {
    /// The package's components; the default one is built when no stage is named.
    pub(crate) components: Vec<&'a Component>,
    /// All components of the workspace: their dependencies are built together.
    pub(crate) all: &'a [Component],
    /// `-p a -p b --features x`.
    pub(crate) selection: Vec<String>,
    /// What the build may read.
    pub(crate) context: Context,
    /// A builder stage for each platform.
    pub(crate) builders: BTreeMap<Platform, BuilderStage>,
    /// The workspace's toolchain file.
    pub(crate) toolchain: Option<ToolchainFile>,
    /// How executables are linked.
    pub(crate) linkage: Linkage,
    /// apt or apk packages, of all components: the builder stage is shared.
    pub(crate) build_packages: Vec<String>,
    /// `scratch` or a reference; nothing leaves the image stages out.
    pub(crate) runtime_image: Option<String>,
    /// What images say of it.
    pub(crate) base_labels: BTreeMap<String, String>,
    /// Further `ARG`s of the compiling stages, in their environment.
    pub(crate) build_args: Vec<String>,
}

/// The image that compiles for one platform.
#[derive(Debug, Clone)]
pub(crate) struct BuilderStage {
    /// Reference of the builder image.
    pub(crate) image: String,
    /// The target it compiles for.
    pub(crate) target: RustTarget,
    /// The workspace's own rustflags for that target.
    pub(crate) rustflags: Vec<String>,
}

/// The name of a stage for `component`: `build`, or `build-NAME` where its package has several `components`.
pub(crate) fn stage(kind: &str, component: &Component, components: &[&Component]) -> String {
    match components.len() {
        1 => kind.to_owned(),
        _ => format!("{kind}-{}", component.name.to_lowercase()),
    }
}

impl DockerfilePlan<'_> {
    /// The name of a stage for `component`.
    pub(crate) fn stage(&self, kind: &str, component: &Component) -> String {
        stage(kind, component, &self.components)
    }

    /// The components, the default one last.
    pub(crate) fn ordered(&self) -> Vec<&Component> {
        let mut ordered = self.components.clone();
        ordered.sort_by_key(|component| component.is_default);
        ordered
    }
}
