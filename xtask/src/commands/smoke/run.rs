//! The steps, in their order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::apply::apply;
use super::details::details;
use super::gather::Plan;
use super::health::{Health, Times};
use super::identity::Identities;
use super::registry;
use super::rollout::Rollouts;
use super::view::View;
use crate::cli::SmokeArgs;
use crate::cluster::{Api, ApiFailure, Kubectl};
use crate::kubernetes::placeholder::is_placeholder;
use crate::kubernetes::smoke::identity::component_of;
use crate::kubernetes::smoke::objects::{Deployment, Pod};
use crate::kubernetes::smoke::report::{Check, DeploymentReport, Report, Step};
use crate::kubernetes::smoke::rollout::ready_seconds;
use crate::registry::{Client, Credentials};
use crate::system::parallel;
use crate::system::progress::Progress;

/// How long an API server may be away before its first answer.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// How long an event may come after the state that it explains.
const EVENT_REPORT: Duration = Duration::from_millis(700);
/// How long a busy kubelet may take to report that a container was restarted; it looks every second.
const RESTART_REPORT: Duration = Duration::from_secs(10);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Runs all steps; what is wrong with the images is in the report.
///
/// # Errors
/// No cluster, no namespace, missing rights: nothing can be told.
pub(super) fn run(plan: &Plan, kubectl: Kubectl, arguments: &SmokeArgs) -> Result<Report> {
    let started = Instant::now();
    let times = Times { started, deadline: started + arguments.timeout };
    let mut view = View::new(Progress::new());
    let (namespace, context) = (plan.namespace.clone(), kubectl.context.clone());
    view.say(&format!("smoke: namespace {namespace}, context {context}, {}", kubectl.server));
    let mut report = Report { namespace, context, ..Report::default() };
    let mut steps = Steps { started, last: started, steps: Vec::new() };

    let client = Client::new(Credentials::from_environment());
    let (images, connected) = parallel::both(
        || registry::check(&client, &plan.record, started),
        || connect(kubectl, &plan.namespace, times.deadline),
    );
    let (api, exists) = connected?;
    let _closing = Closing(Arc::clone(&api));
    report.checks = images;
    steps.end("registry");
    if arguments.apply {
        // What the cluster could not pull must not replace what runs.
        if report.checks.iter().any(|check| !check.passed) {
            view.say("smoke: nothing is applied, since the registry does not have all images");
            return Ok(steps.finish(report));
        }
    } else if exists == Some(false) {
        bail!(
            "namespace `{}` does not exist in context `{}`\n`cargo xtask smoke --apply` makes what the manifests \
             hold, `--namespace NAME` looks elsewhere",
            plan.namespace,
            report.context
        );
    }
    // What ended before now is not this rollout's.
    let since = api.cluster_time().unwrap_or(0);
    if arguments.apply {
        apply(api.kubectl(), plan, &view)?;
        steps.end("apply");
    }
    let mut rollouts = Rollouts::follow(&api, since, times, has_placeholder);
    rollouts.wait(&mut view)?;
    steps.end("rollout");
    let mut identities = Identities::new(&client, &plan.record, arguments.allow_unverifiable);
    identities.look_up(&rollouts);
    steps.end("identity");
    let mut health = Health::default();
    while health.ask(&api, &rollouts, times) {
        if health.is_doubtful {
            rollouts.linger(RESTART_REPORT, |rollouts| health.saw_restart(rollouts))?;
        }
        // Pods that took the place of others meanwhile are checked as well.
        rollouts.wait(&mut view)?;
        if Instant::now() >= times.deadline {
            break;
        }
    }
    identities.look_up(&rollouts);
    steps.end("health");
    rollouts.linger(EVENT_REPORT, |rollouts| !rollouts.lacks_events())?;
    drop(view);

    let seconds = started.elapsed().as_secs_f64();
    report.checks.extend(missing_components(plan, &rollouts, seconds));
    for deployment in rollouts.deployments() {
        let pods = rollouts.namespace.current_pods(deployment);
        let mut checks = rollout_checks(plan, &api, &rollouts, deployment);
        let is_done = rollouts.decided.get(&deployment.metadata.name).is_some_and(|d| d.troubles.is_empty());
        if !has_placeholder(deployment) {
            checks.extend(identities.checks(deployment, &pods, is_done, seconds));
            checks.extend(health.checks(deployment, &pods, seconds));
        }
        let slowest = if is_done { pods.iter().filter_map(|pod| ready_seconds(pod)).max() } else { None };
        checks.extend(time_check(slowest, arguments.ready_within, &pods, seconds));
        report.deployments.push(DeploymentReport {
            name: deployment.metadata.name.clone(),
            components: components(plan, deployment),
            pods: pods.len(),
            ready_seconds: slowest,
            checks,
        });
    }
    Ok(steps.finish(report))
}

/// Ends kubectl with the run, however that ends.
struct Closing(Arc<Api>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// The run's steps and how long each took.
struct Steps {
    started: Instant,
    last: Instant,
    steps: Vec<Step>,
}

impl Steps {
    fn end(&mut self, name: &'static str) {
        let now = Instant::now();
        self.steps.push(Step { name, seconds: now.duration_since(self.last).as_secs_f64() });
        self.last = now;
    }

    fn finish(self, report: Report) -> Report {
        let passed = report.failures().next().is_none();
        Report { passed, seconds: self.started.elapsed().as_secs_f64(), steps: self.steps, ..report }
    }
}

/// Starts the proxy and waits for the API server's first answer: whether the namespace exists, or nothing
/// when we may not ask for it.
fn connect(kubectl: Kubectl, namespace: &str, deadline: Instant) -> Result<(Arc<Api>, Option<bool>)> {
    let whom = unreachable(&kubectl);
    let api = Api::open(kubectl, namespace)?;
    let deadline = deadline.min(Instant::now() + FIRST_ANSWER);
    loop {
        match api.namespace_exists() {
            Ok(exists) => return Ok((Arc::new(api), exists)),
            Err(ApiFailure::Away(_)) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            Err(failure) => return Err(anyhow!(failure)).context(whom),
        }
    }
}

/// The head of an error of a cluster that gives no answer, with what to do.
pub(super) fn unreachable(kubectl: &Kubectl) -> String {
    let Kubectl { context, server, .. } = kubectl;
    format!(
        "the cluster of context `{context}` ({server}) gives no answer to use\n`kubectl cluster-info --context {context}` \
         asks it too; `--context NAME` takes another"
    )
}

/// Whether one of its containers is a placeholder.
fn has_placeholder(deployment: &Deployment) -> bool {
    deployment.spec.template.spec.all().any(|container| is_placeholder(&container.image))
}

fn components(plan: &Plan, deployment: &Deployment) -> Vec<String> {
    let containers = deployment.spec.template.spec.all();
    let mut names: Vec<_> =
        containers.filter_map(|c| component_of(&plan.record, deployment, c)).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Components of the record that no Deployment runs.
fn missing_components(plan: &Plan, rollouts: &Rollouts, seconds: f64) -> Vec<Check> {
    let namespace = &plan.namespace;
    let failed = |name: &str, message: String| Check::failed("component", name, "missing", message, seconds);
    if rollouts.deployments().next().is_none() {
        return vec![failed("", format!("namespace {namespace} has no Deployments"))];
    }
    let run: Vec<String> = rollouts.deployments().flat_map(|deployment| components(plan, deployment)).collect();
    let is_placeholding = plan.placeholders_pass && rollouts.deployments().any(has_placeholder);
    let missing = plan.record.images.keys().filter(|name| !run.contains(name) && !is_placeholding);
    missing.map(|name| failed(name, format!("no Deployment in namespace {namespace} runs component {name}"))).collect()
}

fn rollout_checks(plan: &Plan, api: &Api, rollouts: &Rollouts, deployment: &Deployment) -> Vec<Check> {
    if has_placeholder(deployment) {
        let message = "its image is a placeholder; `cargo xtask manifests` puts the recorded one in";
        let check = Check::failed("rollout", "", "placeholder", message, rollouts.elapsed());
        return vec![Check { passed: plan.placeholders_pass, ..check }];
    }
    let Some(decided) = rollouts.decided.get(&deployment.metadata.name) else {
        let message = "it appeared while others were checked";
        return vec![Check::failed("rollout", "", "not-ready", message, rollouts.elapsed())];
    };
    if decided.troubles.is_empty() {
        return vec![Check::ok("rollout", "", decided.seconds)];
    }
    let troubles = decided.troubles.iter().map(|trouble| {
        let subject = trouble.pod.as_ref().map(|pod| match &trouble.container {
            Some(container) => format!("pod {pod}, container {container}"),
            None => format!("pod {pod}"),
        });
        let subject = subject.unwrap_or_default();
        let check = Check::failed("rollout", subject, trouble.verdict, &trouble.message, decided.seconds);
        Check { details: details(api, &rollouts.namespace, deployment, trouble), ..check }
    });
    troubles.collect()
}

fn time_check(slowest: Option<u64>, within: Option<Duration>, pods: &[&Pod], seconds: f64) -> Option<Check> {
    let (slowest, within) = (slowest?, within?);
    if Duration::from_secs(slowest) <= within {
        return Some(Check::ok("time", "", seconds));
    }
    let pod =
        pods.iter().max_by_key(|pod| ready_seconds(pod)).map(|pod| pod.metadata.name.as_str()).unwrap_or_default();
    let message = format!("pod {pod} was ready {slowest} s after its creation; allowed are {} s", within.as_secs_f64());
    Some(Check::failed("time", "", "slow", message, seconds))
}
