//! Which components a command is about: names, then `--affected`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::cli::Filter;
use crate::errors::first_line;
use crate::gather::revision::all_inputs;
use crate::gather::workspace::Workspace;
use crate::system::environment::variable;
use crate::system::files::TemporaryFolder;
use crate::system::git::Git;
use crate::workspace::affected::{Reason, affected};
use crate::workspace::components::{Component, select};
use crate::workspace::inputs::Inputs;
use crate::workspace::names::split_list;

/// Variables that name components when no argument does; the first one set wins.
const VARIABLES: &[&str] = &["CI_SERVICES", "CI_SERVICE_FILTER", "SERVICES"];

/// The components chosen, with the reason where `--affected` chose them.
pub(crate) struct Chosen<'a> {
    /// Chosen components, by name.
    pub(crate) components: Vec<&'a Component>,
    /// Why each is affected; empty without `--affected`.
    pub(crate) reasons: BTreeMap<String, Reason>,
}

/// Applies `filter` to the workspace's components.
///
/// # Errors
/// Unknown names; no git, or an unknown reference, for `--affected`.
pub(crate) fn choose<'a>(workspace: &'a Workspace, filter: &Filter) -> Result<Chosen<'a>> {
    let names = asked_names(&filter.components);
    let mut components = select(&workspace.components, &names)?;
    let mut reasons = BTreeMap::new();
    if let Some(reference) = &filter.affected {
        reasons = affected_since(workspace, reference)?;
        components.retain(|component| reasons.contains_key(&component.name));
    }
    Ok(Chosen { components, reasons })
}

/// The components asked for: `arguments`, else what the environment names; none for all.
pub(crate) fn asked_names(arguments: &[String]) -> Vec<String> {
    if !arguments.is_empty() {
        return arguments.to_vec();
    }
    VARIABLES.iter().find_map(|name| variable(name)).map(|text| split_list(&text)).unwrap_or_default()
}

/// Compares the inputs with those at the merge base, gathered the same way from a checkout of it.
fn affected_since(workspace: &Workspace, reference: &str) -> Result<BTreeMap<String, Reason>> {
    let git = Git::open(workspace.root())?
        .filter(|git| git.head.is_some())
        .with_context(|| format!("`--affected {reference}` needs git history, and there is none here"))?;
    let base = git.merge_base(reference)?;
    let folder = TemporaryFolder::create_in(&workspace.output().join("tmp"), "base")?;
    let root = git.check_out(&base, &folder.0)?;
    let ignored = git.ignored()?;
    let new: BTreeMap<String, Inputs> = workspace
        .components
        .iter()
        .map(|component| {
            let mut inputs = workspace.inputs(component)?;
            // A past commit cannot tell what these were.
            inputs.forget_files(|path| ignored.iter().any(|ignored| path.starts_with(ignored)));
            Ok((component.name.clone(), inputs))
        })
        .collect::<Result<_>>()?;
    match all_inputs(&root, workspace) {
        Ok(old) => Ok(affected(&new, &old)),
        Err(error) => {
            let why = format!("the state at {} cannot be read: {}", &base[..base.len().min(7)], first_line(&error));
            Ok(new.into_keys().map(|name| (name, Reason::Unsure(why.clone()))).collect())
        }
    }
}
