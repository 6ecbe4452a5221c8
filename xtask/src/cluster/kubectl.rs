//! kubectl: where it is, which cluster it talks to, applying manifests.

use std::ffi::OsString;
use std::time::Instant;

use anyhow::{Context, Error, Result, bail};
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use xshell::{Cmd, Shell, cmd};

use crate::errors::{hinted, hinted_cause};
use crate::system::environment::variable;
use crate::system::process;

/// kubectl with the context chosen for this run.
#[derive(Clone)]
pub(crate) struct Kubectl {
    folder: Utf8PathBuf,
    program: Utf8PathBuf,
    pub(crate) context: String,
    /// The namespace that the context names.
    pub(crate) namespace: Option<String>,
    pub(crate) server: String,
    arguments: Vec<String>,
}

fn program() -> Result<Utf8PathBuf> {
    let program = which::which("kubectl")
        .context("`kubectl` is not installed, or not on the PATH; https://kubernetes.io/docs/tasks/tools tells how")?;
    Utf8PathBuf::from_path_buf(program).map_err(|path| anyhow::anyhow!("the name of `{}` is no UTF-8", path.display()))
}

/// What applying the kustomization in `folder`, below `root`, would apply. No cluster is asked.
///
/// # Errors
/// There is no kubectl, it refuses the kustomization, or has not ended by `deadline`.
pub(crate) fn kustomize(root: &Utf8Path, folder: &Utf8Path, deadline: Instant) -> Result<String> {
    let (shell, program) = (process::shell_in(root)?, program()?);
    process::read_until(cmd!(shell, "{program} kustomize {folder}").quiet(), deadline)
        .with_context(|| format!("cannot render the kustomization `{folder}`"))
}

impl Kubectl {
    /// Finds kubectl and the context: `context`, else the current one. Commands run in `folder`.
    ///
    /// # Errors
    /// There is no kubectl, no such context, or none at all; it says nothing before `deadline`.
    pub(crate) fn find(folder: &Utf8Path, context: Option<&str>, deadline: Instant) -> Result<Self> {
        let program = program()?;
        let arguments: Vec<String> = context.map(|name| format!("--context={name}")).into_iter().collect();
        let mut kubectl = Kubectl {
            folder: folder.to_owned(),
            program,
            context: context.unwrap_or("in-cluster").to_owned(),
            namespace: None,
            server: String::new(),
            arguments,
        };
        let shell = kubectl.shell()?;
        let view = kubectl.command(&shell, ["config", "view", "--minify", "--output=json"]);
        let text = match process::read_until(view, deadline) {
            Ok(text) => text,
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(error) => return kubectl.without_config(context, &format!("{:#}", error.root_cause())),
        };
        let config: Value = serde_json::from_str(&text).context("`kubectl config view` printed what we cannot read")?;
        let text = |place: &str| config.pointer(place).and_then(Value::as_str).unwrap_or_default().to_owned();
        if context.is_none() {
            kubectl.context = text("/current-context");
        }
        kubectl.namespace = Some(text("/contexts/0/context/namespace")).filter(|name| !name.is_empty());
        kubectl.server = text("/clusters/0/cluster/server");
        Ok(kubectl)
    }

    /// The error of a cluster that gives no answer.
    pub(crate) fn unreachable(&self, cause: Error) -> Error {
        let Kubectl { context, server, .. } = self;
        hinted_cause(
            cause,
            format!("the cluster of context `{context}` ({server}) gives no answer to use"),
            format!("`kubectl cluster-info --context {context}` asks it too; `--context NAME` takes another"),
        )
    }

    /// Within a pod, kubectl needs no configuration.
    fn without_config(self, context: Option<&str>, why: &str) -> Result<Self> {
        if context.is_none() && variable("KUBERNETES_SERVICE_HOST").is_some() {
            return Ok(self);
        }
        let why = why.trim().trim_start_matches("error: ");
        match context {
            Some(name) => {
                let shell = self.shell()?;
                let known = process::read(self.bare_command(&shell, ["config", "get-contexts", "--output=name"]));
                let known = known.unwrap_or_default().lines().collect::<Vec<_>>().join(", ");
                let known = if known.is_empty() { "none".to_owned() } else { known };
                bail!(hinted(format!("kubectl has no context `{name}` ({why})"), format!("known contexts: {known}")))
            }
            None => bail!(hinted(
                format!("kubectl knows no cluster ({why})"),
                "set KUBECONFIG, choose one with `kubectl config use-context NAME`, or pass `--context NAME`"
            )),
        }
    }

    /// Whether it runs in a pod, where there is but one cluster.
    pub(crate) fn is_in_cluster(&self) -> bool {
        self.server.is_empty() && variable("KUBERNETES_SERVICE_HOST").is_some()
    }

    pub(crate) fn shell(&self) -> Result<Shell> {
        process::shell_in(&self.folder)
    }

    /// A kubectl command for the chosen context.
    pub(crate) fn command<'a, T: Into<OsString>>(
        &self,
        shell: &'a Shell,
        arguments: impl IntoIterator<Item = T>,
    ) -> Cmd<'a> {
        self.bare_command(shell, arguments).args(&self.arguments)
    }

    fn bare_command<'a, T: Into<OsString>>(&self, shell: &'a Shell, arguments: impl IntoIterator<Item = T>) -> Cmd<'a> {
        let program = self.program.as_std_path();
        let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
        cmd!(shell, "{program}").args(arguments).quiet()
    }

    /// `kubectl apply` for `what`: arguments that name files or a kustomization.
    pub(crate) fn apply_command<'a>(
        &self,
        shell: &'a Shell,
        what: Vec<String>,
        namespace: Option<&str>,
        dry_run: Option<&str>,
    ) -> Cmd<'a> {
        let mut arguments = vec!["apply".to_owned()];
        arguments.extend(what);
        arguments.extend(namespace.map(|name| format!("--namespace={name}")));
        arguments.extend(dry_run.map(|how| format!("--dry-run={how}")));
        self.command(shell, arguments)
    }
}
