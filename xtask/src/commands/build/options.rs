//! What flags and variables ask for, and what this machine has to build with.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use camino::Utf8Path;

use crate::cli::{BuildOptions, BuilderChoice};
use crate::compile::engine::Engine;
use crate::errors::first_line;
use crate::image::platform::Platform;
use crate::image::reference::Tag;
use crate::system::cargo::{HostToolchain, host_toolchain};
use crate::system::environment::variable;
use crate::system::parallel;
use crate::system::progress::Progress;
use crate::workspace::names::split_list;

/// `--platform`, else `CI_IMAGE_PLATFORM`, else none.
pub(crate) fn platforms(flag: &[Platform]) -> Result<Vec<Platform>> {
    if !flag.is_empty() {
        return Ok(flag.to_vec());
    }
    let list = variable("CI_IMAGE_PLATFORM").map(|text| split_list(&text)).unwrap_or_default();
    list.iter().map(|platform| platform.parse().context("`CI_IMAGE_PLATFORM` is wrong")).collect()
}

/// `--tag`, else `CI_IMAGE_TAG`.
pub(crate) fn tags(flag: &[String]) -> Result<Vec<Tag>> {
    let texts: Vec<String> = match flag.is_empty() {
        true => variable("CI_IMAGE_TAG").into_iter().collect(),
        false => flag.to_vec(),
    };
    texts.iter().map(|tag| tag.parse()).collect()
}

/// `--build-arg`, else `CI_BUILD_ARGS`.
pub(super) fn build_args(options: &BuildOptions) -> Result<BTreeMap<String, String>> {
    let mut list = options.build_arg.clone();
    if list.is_empty() {
        list = variable("CI_BUILD_ARGS").map(|text| split_list(&text)).unwrap_or_default();
    }
    list.iter()
        .map(|argument| {
            let (name, value) = argument
                .split_once('=')
                .with_context(|| format!("build argument `{argument}` is not of the form NAME=VALUE"))?;
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            if name.is_empty() || !name.chars().all(plain) || name.starts_with(|c: char| c.is_ascii_digit()) {
                bail!("`{name}` in build argument `{argument}` is no name of a variable");
            }
            Ok((name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// What this machine has to build with, found out while cargo resolves.
pub(crate) struct Machine {
    /// The engine, or why there is none.
    pub(super) engine: Result<Engine>,
    /// What rustc says of itself.
    pub(super) toolchain: Result<HostToolchain>,
}

/// Looks for an engine, if one could be wanted, and asks rustc.
pub(crate) fn look_around(root: &Utf8Path, options: &BuildOptions, load: bool) -> Machine {
    let wants_engine = options.builder != BuilderChoice::Native || load;
    let find = || match wants_engine {
        true => Engine::find(options.buildx_builder.as_deref()),
        false => Err(anyhow::anyhow!("no container engine is wanted")),
    };
    let (engine, toolchain) = parallel::both(find, || host_toolchain(root));
    Machine { engine, toolchain }
}

/// The engine that compiles, unless cargo does here, and the one that images are loaded into, if they are.
pub(super) fn choose_engines(
    engine: Result<Engine>,
    options: &BuildOptions,
    load: bool,
    progress: &Progress,
) -> Result<(Option<Engine>, Option<Engine>)> {
    let both = |engine: Engine| (Some(engine.clone()), load.then_some(engine));
    match options.builder {
        BuilderChoice::Docker => engine.context("`--builder docker` needs a container engine").map(both),
        BuilderChoice::Native if options.buildx_builder.is_some() => {
            bail!("`--buildx-builder` is about an engine, and `--builder native` uses none")
        }
        BuilderChoice::Native if load => Ok((None, Some(engine.context("`--load` needs a container engine")?))),
        BuilderChoice::Native => Ok((None, None)),
        BuilderChoice::Auto => match engine {
            Ok(engine) => {
                progress.say(&format!("builder: `{}` answers, so it compiles", engine.program));
                Ok(both(engine))
            }
            Err(error) if load || options.buildx_builder.is_some() => {
                Err(error.context("`--load` and `--buildx-builder` need a container engine"))
            }
            Err(error) => {
                progress.say(&format!("builder: native ({})", first_line(&error)));
                Ok((None, None))
            }
        },
    }
}
