//! A component's image: which layers it has, and how its containers start. Pure.

use super::base::BaseImage;
use super::image::{ImageConfig, ImageSpec};
use super::layer::LayerSpec;
use crate::image::entry::{Entry, EntryKind, Source};
use crate::image::labels::{INPUT_HASH, INPUTS, NETWORK, base_labels};
use crate::image::platform::Platform;
use crate::image::reference::ImageReference;
use crate::image::root_files::{NONROOT, root_files, with_parents};
use crate::workspace::components::Component;
use crate::workspace::input_summary::InputSummary;
use crate::workspace::labels::labels;

/// Where `PATH` leads on `scratch`: what engines and shells take by themselves.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Everything that a component's image of one platform is made of.
pub(crate) struct ComponentImage<'a> {
    /// The component, with its settings.
    pub(crate) component: &'a Component,
    pub(crate) platform: Platform,
    /// What it builds on; `None` is `scratch`.
    pub(crate) base: Option<BaseImage>,
    /// The base as the settings name it, where that is a registry's image.
    pub(crate) base_name: Option<&'a ImageReference>,
    pub(crate) assets: Vec<Entry>,
    pub(crate) program: Source,
    /// VERSION, COMMIT_SHA and BUILD_DATE as the image says them.
    pub(crate) version: &'a str,
    pub(crate) commit: &'a str,
    pub(crate) build_date: &'a str,
    /// Unix seconds of its layers.
    pub(crate) created: i64,
    /// The input hash, for its label.
    pub(crate) input_hash: String,
    /// What of the inputs its label says.
    pub(crate) inputs: InputSummary,
    /// Whether the build could use the network, so that another may give another image.
    pub(crate) had_network: bool,
}

impl ComponentImage<'_> {
    pub(crate) fn spec(self) -> ImageSpec {
        let root_files = if self.base.is_none() { root_files() } else { Vec::new() };
        self.spec_with(root_files)
    }

    /// As [`ComponentImage::spec`], with these root files below all else.
    pub(super) fn spec_with(self, root_files: Vec<Entry>) -> ImageSpec {
        let settings = &self.component.package.settings;
        let program = format!("/usr/local/bin/{}", self.component.name);
        let is_scratch = self.base.is_none();
        let executable = Entry::new(program.trim_start_matches('/'), 0o755, EntryKind::File(self.program));
        // On a base the parents are its own: an entry for `/bin` would replace a link of that name.
        let layer = |name: &str, entries: Vec<Entry>| LayerSpec {
            name: name.to_owned(),
            entries: if is_scratch { with_parents(entries) } else { entries },
        };
        let layers =
            vec![layer("root files", root_files), layer("assets", self.assets), layer("executable", vec![executable])];

        let mut env = Vec::new();
        if is_scratch {
            env.push(("PATH".to_owned(), PATH.to_owned()));
        }
        env.extend(settings.env.clone());
        let said = [("VERSION", self.version), ("COMMIT_SHA", self.commit), ("BUILD_DATE", self.build_date)];
        env.extend(said.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let mut labels = labels(self.component, self.version, self.commit, self.build_date);
        labels.insert(INPUT_HASH.into(), self.input_hash);
        labels.insert(INPUTS.into(), self.inputs.to_label());
        if let Some(base) = &self.base {
            labels.extend(base_labels(self.base_name, Some(base.digest())));
        }
        if self.had_network {
            labels.insert(NETWORK.into(), "allowed".into());
        }
        ImageSpec {
            platform: self.platform,
            base: self.base,
            layers,
            config: ImageConfig {
                user: NONROOT.into(),
                working_dir: is_scratch.then(|| "/".to_owned()),
                entrypoint: vec![program],
                env,
                ports: settings.port.into_iter().collect(),
                labels,
            },
            created: self.created,
        }
    }
}
