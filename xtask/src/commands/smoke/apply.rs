//! Applying the manifests, or having them validated.

use anyhow::{Context, Result};

use super::gather::Plan;
use super::view::View;
use crate::cluster::Kubectl;
use crate::commands::{Outcome, print};
use crate::kubernetes::kustomization::Entry;
use crate::system::process;

/// Applies all manifests; kubectl's lines are shown.
pub(super) fn apply(kubectl: &Kubectl, plan: &Plan, view: &View) -> Result<()> {
    let shell = kubectl.shell()?;
    for entry in &plan.manifests.entries {
        let command = kubectl.apply_command(&shell, entry.arguments(), named_namespace(plan, entry), None);
        let output =
            process::read_until(command, plan.deadline).context("the manifests are not, or not wholly, applied")?;
        output.lines().for_each(|line| view.say(&format!("apply: {line}")));
    }
    Ok(())
}

/// Has the API server validate the manifests, or kubectl alone where the namespace is still to be made.
pub(super) fn dry_run(kubectl: &Kubectl, plan: &Plan) -> Result<Outcome> {
    let shell = kubectl.shell()?;
    let namespace = &plan.namespaces[0];
    let asked = process::output(kubectl.command(
        &shell,
        ["get", "namespace", namespace, "--output=name", "--ignore-not-found", "--request-timeout=15s"],
    ))?;
    // Who may not look at namespaces may well apply to one.
    let may_not_look = asked.stderr.contains("Forbidden") || asked.stderr.contains("forbidden");
    if !asked.status.success() && !may_not_look {
        let error = process::failure("kubectl get namespace", asked.status, &asked.stderr);
        return Err(kubectl.unreachable(error));
    }
    let how = if asked.stdout.is_empty() && !may_not_look {
        eprintln!(
            "namespace `{namespace}` does not exist yet, so only kubectl validates the manifests, not the API server"
        );
        "client"
    } else {
        "server"
    };
    let mut text = String::new();
    for entry in &plan.manifests.entries {
        let command = kubectl.apply_command(&shell, entry.arguments(), named_namespace(plan, entry), Some(how));
        text.push_str(&process::read_until(command, plan.deadline).context("the manifests are not valid")?);
        text.push('\n');
    }
    print(&text)?;
    Ok(Outcome::Done)
}

/// The namespace that kubectl is told, unless the objects name theirs: it would refuse those that name another.
fn named_namespace<'a>(plan: &'a Plan, entry: &Entry) -> Option<&'a str> {
    plan.named_namespace.as_deref().filter(|_| !plan.manifests.name_their_namespaces(entry))
}
