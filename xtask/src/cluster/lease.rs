//! Who deploys now: a Lease in the cluster, held while a deployment runs and renewed as long as its process lives.

use std::process::ExitStatus;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::Kubectl;
use crate::errors::hinted;
use crate::image::time::rfc3339;
use crate::system::clock;
use crate::system::process;

/// A holder that has not renewed it for so long is gone.
const DURATION: Duration = Duration::from_secs(15);
/// Between two renewals.
const RENEWAL: Duration = Duration::from_secs(4);
/// Between two looks at somebody else's.
const LOOK: Duration = Duration::from_secs(1);
/// For one request.
const REQUEST: Duration = Duration::from_secs(15);
/// For a renewal: a slow one must not cost the lease.
const RENEWAL_REQUEST: Duration = Duration::from_secs(3);

/// The lease, ours until this is dropped.
pub(crate) struct Lease {
    kubectl: Kubectl,
    namespace: String,
    name: String,
    holder: String,
    renewing: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Lease {
    /// Takes the lease, from somebody who is gone if need be. Or says why the cluster lets us hold none.
    ///
    /// Whether its holder lives is told by the lease's changes as seen from here, since clocks differ (as client-go's
    /// leader election does).
    ///
    /// # Errors
    /// Somebody holds it; the cluster cannot be asked.
    pub(crate) fn take(kubectl: Kubectl, namespace: &str, name: &str, holder: &str) -> Result<Result<Lease, String>> {
        let lease = Lease {
            kubectl,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            holder: holder.to_owned(),
            renewing: None,
        };
        let mut seen: Option<(String, Instant)> = None;
        loop {
            let (status, text) = lease.ask(&["create", "--filename=-"], &lease.object(None), REQUEST)?;
            if status.success() {
                return Ok(Ok(lease.renew()));
            }
            if !text.contains("(AlreadyExists)") {
                return lease.unavailable(&text).map(Err);
            }
            let (status, text) = lease.get()?;
            if !status.success() {
                return lease.unavailable(&text).map(Err);
            }
            let Some(found) = read(&text)? else { continue };
            let version = found["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
            let theirs = found["spec"]["holderIdentity"].as_str().unwrap_or("somebody").to_owned();
            match &seen {
                Some((known, _)) if *known != version => bail!(hinted(
                    format!("{theirs} deploys there now"),
                    format!("wait until that has ended; what was killed is forgotten after {} s", DURATION.as_secs())
                )),
                Some((_, since)) if since.elapsed() >= DURATION => {
                    // Of two who find it abandoned, the version lets one through.
                    let object = lease.object(Some(&version));
                    let (status, text) = lease.ask(&["replace", "--filename=-"], &object, REQUEST)?;
                    match status.success() {
                        true => return Ok(Ok(lease.renew())),
                        false if text.contains("(Conflict)") || text.contains("(NotFound)") => seen = None,
                        false => return lease.unavailable(&text).map(Err),
                    }
                }
                Some(_) => {}
                None => {
                    eprintln!("{theirs} began to deploy there; looking whether that still goes on");
                    seen = Some((version, Instant::now()));
                }
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Why the cluster lets us hold none: no right, or no namespace yet.
    ///
    /// # Errors
    /// Anything else: then nobody knows who deploys.
    fn unavailable(&self, text: &str) -> Result<String> {
        ensure!(
            text.contains("(Forbidden)") || text.contains("(NotFound)"),
            "cannot take lease `{}`: {}",
            self.name,
            text.trim()
        );
        Ok(text.trim().to_owned())
    }

    /// Whether it is still ours: one that could not be renewed for long may be somebody else's.
    ///
    /// # Errors
    /// The cluster cannot be asked.
    pub(crate) fn is_ours(&self) -> Result<bool> {
        let (status, text) = self.get()?;
        ensure!(status.success(), "cannot read lease `{}`: {}", self.name, text.trim());
        Ok(read(&text)?.is_some_and(|lease| lease["spec"]["holderIdentity"].as_str() == Some(&self.holder)))
    }

    fn object(&self, version: Option<&str>) -> Value {
        let mut object = json!({
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": { "name": self.name, "namespace": self.namespace },
            "spec": { "holderIdentity": self.holder, "leaseDurationSeconds": DURATION.as_secs(), "renewTime": now() },
        });
        if let Some(version) = version {
            object["metadata"]["resourceVersion"] = version.into();
        }
        object
    }

    /// Begins to renew it.
    fn renew(mut self) -> Self {
        let (stop, stopped) = channel::<()>();
        let other = self.clone_idle();
        let renewing = std::thread::spawn(move || {
            while stopped.recv_timeout(RENEWAL).is_err_and(|error| error == RecvTimeoutError::Timeout) {
                // One that is missed is made up for by the next; one that is not ours any more stays theirs.
                let patch = json!([
                    { "op": "test", "path": "/spec/holderIdentity", "value": other.holder },
                    { "op": "replace", "path": "/spec/renewTime", "value": now() },
                ]);
                let patch = format!("--patch={patch}");
                let _ =
                    other.ask(&["patch", "lease", &other.name, "--type=json", &patch], &Value::Null, RENEWAL_REQUEST);
            }
        });
        self.renewing = Some((stop, renewing));
        self
    }

    fn clone_idle(&self) -> Lease {
        let Lease { kubectl, namespace, name, holder, .. } = self;
        let (kubectl, namespace, name, holder) = (kubectl.clone(), namespace.clone(), name.clone(), holder.clone());
        Lease { kubectl, namespace, name, holder, renewing: None }
    }

    fn get(&self) -> Result<(ExitStatus, String)> {
        self.ask(&["get", "lease", &self.name, "--ignore-not-found", "--output=json"], &Value::Null, REQUEST)
    }

    /// What kubectl prints: on success its output, else its errors.
    fn ask(&self, arguments: &[&str], object: &Value, limit: Duration) -> Result<(ExitStatus, String)> {
        let shell = self.kubectl.shell()?;
        let namespace = format!("--namespace={}", self.namespace);
        let command = self.kubectl.command(&shell, arguments.iter().copied().chain([namespace.as_str()]));
        let input = if object.is_null() { Vec::new() } else { object.to_string().into_bytes() };
        let output = process::exchange(command, &input, limit)?;
        let text =
            if output.status.success() { String::from_utf8_lossy(&output.stdout).into_owned() } else { output.stderr };
        Ok((output.status, text))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some((stop, renewing)) = self.renewing.take() else { return };
        drop(stop);
        let _ = renewing.join();
        // It is forgotten soon in any case; and it may be somebody else's by now.
        if !self.is_ours().unwrap_or(false) {
            return;
        }
        let _ = self.ask(&["delete", "lease", &self.name, "--ignore-not-found", "--wait=false"], &Value::Null, REQUEST);
    }
}

/// The object that kubectl printed; nothing when there is none.
fn read(text: &str) -> Result<Option<Value>> {
    match text.trim() {
        "" => Ok(None),
        text => serde_json::from_str(text).map(Some).context("kubectl printed no JSON"),
    }
}

/// Now, as leases have it (Kubernetes' `MicroTime`).
pub(crate) fn now() -> String {
    rfc3339(clock::now()).replace('Z', ".000000Z")
}
