//! The steps, in their order.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::apply::apply;
use super::gather::Plan;
use super::namespace::{NamespaceResult, check};
use super::registry::Lookup;
use super::timing::{Steps, Times};
use super::view::View;
use crate::cli::SmokeArgs;
use crate::cluster::{Api, ApiFailure, Kubectl, NamespaceState};
use crate::errors::hinted;
use crate::kubernetes::objects::Kind;
use crate::kubernetes::smoke::expected_images::Place;
use crate::kubernetes::smoke::report::{Check, Report};
use crate::system::parallel;
use crate::system::progress::Progress;

/// How long an API server may be away before its first answer.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Runs all steps; what is wrong with the images is in the report.
///
/// # Errors
/// No cluster, no namespace, missing rights: nothing can be told.
pub(super) fn run(plan: &Plan, kubectl: Kubectl, arguments: &SmokeArgs, times: Times) -> Result<Report> {
    let view = View::new(Progress::new());
    let (namespaces, context) = (plan.namespaces.clone(), kubectl.context.clone());
    let word = if namespaces.len() == 1 { "namespace" } else { "namespaces" };
    view.say(&format!("smoke: {word} {}, context {context}, {}", namespaces.join(", "), kubectl.server));
    for pin in &plan.expectations.unrecorded {
        view.say(&format!("note: the manifests pin {pin}, which the digest record does not know"));
    }
    let mut report = Report { namespaces, context, ..Report::default() };
    let mut steps = Steps::new(times.started);

    let client = Arc::clone(&plan.client);
    let images = plan.expectations.all_images().into_iter();
    let images = images.map(|(component, image)| (component.to_owned(), image.clone())).collect();
    let images = Lookup::start(&client, images, times.started);
    let (api, states) = connect(kubectl, plan, times)?;
    let _closing = CloseOnDrop(api.clone());
    api.keep_asking();
    steps.end("connect");
    for (namespace, state) in plan.namespaces.iter().zip(&states) {
        check_namespace(namespace, *state, &report.context, arguments.apply)?;
    }
    // What ended before now is not this rollout's.
    let since = api.cluster_time().unwrap_or(0);
    if arguments.apply {
        report.checks = images.checks(times);
        steps.end("registry");
        // What the cluster could not pull, or nobody can tell, must not replace what runs.
        if report.checks.iter().any(|check| !check.passed) {
            view.say("smoke: nothing is applied, since the registry does not have all images");
            return Ok(finish(report, steps, times));
        }
        report.checks.extend(unpinned(plan, times.started.elapsed().as_secs_f64()));
        if report.checks.iter().any(|check| !check.passed) {
            view.say("smoke: nothing is applied, since not all images are pinned");
            return Ok(finish(report, steps, times));
        }
        apply(api.kubectl(), plan, &view)?;
        steps.end("apply");
    }
    let found = parallel::map(plan.namespaces.clone(), plan.namespaces.len(), |namespace| {
        check(plan, &api.in_namespace(&namespace), &client, &view, arguments, times, since)
    });
    drop(view);
    let found = found.into_iter().collect::<Result<Vec<NamespaceResult>>>()?;
    // Those of the namespace that took longest.
    let slowest = found.iter().max_by(|a, b| a.seconds().total_cmp(&b.seconds()));
    steps.steps.extend(slowest.iter().flat_map(|found| found.steps.steps.iter().cloned()));
    if !arguments.apply {
        report.checks = images.checks(times);
    }
    report.checks.extend(missing(plan, &found, times.started.elapsed().as_secs_f64()));
    for found in found {
        report.checks.extend(found.checks);
        report.workloads.extend(found.workloads);
    }
    Ok(finish(report, steps, times))
}

fn finish(report: Report, steps: Steps, times: Times) -> Report {
    let passed = report.failures().next().is_none();
    Report { passed, seconds: times.started.elapsed().as_secs_f64(), steps: steps.steps, ..report }
}

/// Ends kubectl with the run, however that ends.
struct CloseOnDrop(Api);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Starts the proxy and waits for the API server's first answers: whether the namespaces are there.
fn connect(kubectl: Kubectl, plan: &Plan, times: Times) -> Result<(Api, Vec<NamespaceState>)> {
    let first = plan.namespaces.first().context("there is a namespace")?;
    let api = Api::open(kubectl.clone(), first, times.deadline).map_err(|error| kubectl.unreachable(error))?;
    let deadline = times.decide.min(Instant::now() + FIRST_ANSWER);
    let states = parallel::map(plan.namespaces.clone(), plan.namespaces.len(), |namespace| {
        let api = api.in_namespace(&namespace);
        loop {
            match api.namespace_state() {
                Err(ApiFailure::Unavailable(_)) if Instant::now() < deadline => std::thread::sleep(PAUSE),
                state => return state,
            }
        }
    });
    match states.into_iter().collect::<Result<Vec<_>, _>>() {
        Ok(states) => Ok((api, states)),
        Err(failure) => {
            api.close();
            Err(kubectl.unreachable(anyhow!(failure)))
        }
    }
}

fn check_namespace(namespace: &str, state: NamespaceState, context: &str, is_applying: bool) -> Result<()> {
    match state {
        NamespaceState::Terminating => bail!(hinted(
            format!("namespace `{namespace}` in context `{context}` is being deleted, with all that is in it"),
            "run smoke again when it is gone, with `--apply`"
        )),
        NamespaceState::Missing if !is_applying => bail!(hinted(
            format!("namespace `{namespace}` does not exist in context `{context}`"),
            "`cargo xtask smoke --apply` makes what the manifests hold, `--namespace NAME` looks elsewhere"
        )),
        _ => Ok(()),
    }
}

/// Images of ours that manifests name without a digest, and no record tells it.
fn unpinned(plan: &Plan, seconds: f64) -> Vec<Check> {
    let check = |(component, place): &(String, Place)| {
        let message = format!(
            "container {} of {} names `{}`, no digest, so nobody knows which image should run; `cargo xtask \
             manifests` pins it",
            place.container,
            place.shown(),
            place.image
        );
        Check::failed("component", component.as_str(), "unpinned", message, seconds)
    };
    plan.expectations.unpinned.iter().map(check).collect()
}

/// Components that should run and do not, or of which nobody knows which image should run.
fn missing(plan: &Plan, found: &[NamespaceResult], seconds: f64) -> Vec<Check> {
    let mut checks = Vec::new();
    let failed = |name: &str, verdict, message: String| Check::failed("component", name, verdict, message, seconds);
    for empty in found.iter().filter(|found| found.is_empty) {
        checks.push(failed("", "missing", format!("namespace {} has no workloads to look at", empty.namespace)));
    }
    checks.extend(unpinned(plan, seconds));
    let runs = |component: &str, namespace: Option<&str>| {
        let here = |found: &&NamespaceResult| namespace.is_none_or(|name| name == found.namespace);
        found.iter().filter(here).any(|found| found.components.contains(component))
    };
    // Where a selector narrows, others are not expected.
    let is_narrowed = plan.selection.selector.is_some();
    let looked_at: BTreeSet<&str> = plan.namespaces.iter().map(String::as_str).collect();
    let is_meant = |component: &str| plan.undeployed.iter().any(|name| name == component);
    let wanted = plan.expectations.components().into_iter();
    for (component, namespace) in wanted.filter(|(component, _)| !is_narrowed && !is_meant(component)) {
        let namespace = namespace.filter(|name| looked_at.contains(name));
        if !runs(component, namespace) {
            let place = namespace.map_or_else(|| plan.namespaces.join(", "), str::to_owned);
            let mut alike = found.iter().flat_map(|found| &found.alike).filter(|(name, _)| name == component);
            let alike = alike.next().map(|(_, text)| format!("; {text}")).unwrap_or_default();
            let message = format!("nothing in namespace {place} runs component {component}{alike}");
            checks.push(failed(component, "missing", message));
        }
    }
    for (component, place) in plan.expectations.places().filter(|_| !is_narrowed) {
        let namespace = place.namespace.as_deref().filter(|name| looked_at.contains(name));
        let key = (place.kind, place.workload.clone());
        let here = || found.iter().filter(|found| namespace.is_none_or(|name| name == found.namespace));
        let is_there = here().any(|found| found.containers.get(&key).is_some_and(|all| all.contains(&place.container)));
        let is_excluded = plan.selection.excludes(place.kind.name(), &place.workload);
        // A component that runs nowhere is missing as a whole.
        let is_unnamed = place.workload.is_empty();
        if is_there || is_excluded || is_unnamed || is_meant(component) || !runs(component, namespace) {
            continue;
        }
        let what = place.shown();
        let message = match here().any(|found| found.containers.contains_key(&key)) {
            true => format!("{what} runs without its container {}, which the manifests have", place.container),
            false => format!("the manifests have {what}, and the cluster does not"),
        };
        // A Job may have been removed after its end.
        checks.push(Check { passed: place.kind == Kind::Job, ..failed(component, "missing", message) });
    }
    for component in plan.expectations.undeployed.iter().filter(|name| !runs(name, None) && !is_meant(name)) {
        let message = "the digest record has it, and no manifest names it".to_owned();
        checks.push(Check { passed: true, ..failed(component, "undeployed", message) });
    }
    checks
}
