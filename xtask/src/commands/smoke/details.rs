//! What a failure shows beside its reason: the pod's last events, the end of its logs.

use crate::cluster::Api;
use crate::kubernetes::events::last_lines;
use crate::kubernetes::objects::Deployment;
use crate::kubernetes::rollout::Trouble;
use crate::kubernetes::state::Namespace;

/// The lines for one trouble; what cannot be read is a line that says so.
pub(super) fn details(api: &Api, namespace: &Namespace, deployment: &Deployment, trouble: &Trouble) -> Vec<String> {
    let pod = trouble.pod.as_ref().and_then(|name| namespace.pods.get(name));
    let Some(pod) = pod else {
        // Why pods are not made, the ReplicaSet is told; why that is not made, the Deployment.
        let set = namespace.current_replica_set(deployment).map(|set| set.metadata.uid.as_str());
        let events = namespace.events_of(set.unwrap_or(&deployment.metadata.uid));
        return last_lines(&events).into_iter().map(|line| format!("event: {line}")).collect();
    };
    let name = &pod.metadata.name;
    let mut lines = vec![format!("pod: {name}")];
    let events = namespace.events_of(&pod.metadata.uid);
    lines.extend(last_lines(&events).into_iter().map(|line| format!("event: {line}")));
    let Some(container) = &trouble.container else { return lines };
    let Some(status) = pod.status.all().find(|status| status.name == *container) else { return lines };
    let has_run = |state: &crate::kubernetes::objects::ContainerState| state.waiting.is_none();
    let runs = has_run(&status.state) && (status.state.running.is_some() || status.state.terminated.is_some());
    let ended = status.last_state.terminated.is_some();
    let previous = ended && (trouble.previous_log || !runs);
    if !(runs || ended) {
        return lines;
    }
    match api.log(name, container, previous) {
        Ok(log) if log.trim().is_empty() => lines.push(format!("log of {container}: empty")),
        Ok(log) => {
            let printable = |line: &str| line.chars().filter(|c| !c.is_control() || *c == '\t').collect::<String>();
            lines.extend(log.lines().map(|line| format!("log of {container}: {}", printable(line))));
        }
        Err(failure) => lines.push(format!("log of {container} cannot be read: {failure}")),
    }
    lines
}
