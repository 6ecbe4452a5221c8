//! A server with a repository, the events that start workflows there, and a runner's disk.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::runner::REGISTRY;
use crate::{root, tool};

/// Texts by name.
pub type Values = BTreeMap<String, String>;

/// The repository with a history of its own, and a runner with what outlives its jobs.
pub struct Machine {
    folder: TempDir,
    name: String,
    pub(crate) registry: String,
    /// The secret `KUBECONFIG` of each environment.
    pub kubeconfigs: Values,
}

impl Machine {
    /// The repository `name` (`owner/name`) with all files of this workspace that git does not ignore,
    /// committed to `main`. Jobs push to `registry`, and deploy to `namespace` of the cluster of `KUBECONFIG`.
    pub fn new(name: &str, registry: &str, namespace: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("rehearsal-").tempdir().unwrap();
        let (name, registry) = (name.to_owned(), registry.to_owned());
        let machine = Machine { folder, name, registry, kubeconfigs: Values::new() };
        machine.shell(".", "mkdir origin work caches artifacts github clusters temp");
        machine.shell(".", &format!("cp -r {}/.ci/rehearsal/bin .", root().display()));
        // A deletion that is not committed yet is listed, too.
        let list = "git ls-files -z --cached --others --exclude-standard";
        let pack = "tar --create --null --files-from=- --ignore-failed-read";
        let script = format!("cd {}; {list} | {pack} | tar --extract --directory \"$OLDPWD\"", root().display());
        machine.shell("origin", &script);
        let script = format!(
            "grep -rl demon-system k8s | xargs sed -i 's/demon-system/{namespace}/'
             sed -i 's|\"{REGISTRY}\"|\"{}\"|' Cargo.toml
             git init -q -b main; git config user.name rehearsal; git config user.email r@example.com
             git add --all; git commit -q -m 'All of it'",
            machine.registry
        );
        machine.shell("origin", &script);
        machine.kubeconfig("kind-kind");
        machine
    }

    /// How the cluster is reached, its context being called `context`.
    pub fn kubeconfig(&self, context: &str) -> String {
        let script = format!(
            "kubectl config view --raw --flatten --minify >{context}
             kubectl --kubeconfig {context} config rename-context \"$(kubectl config current-context)\" {context}"
        );
        self.shell("clusters", &script);
        self.shell("clusters", &format!("cat {context}"))
    }

    /// What lies in its folder: the job's workspace `work`, the run's `artifacts`, the `caches`; what
    /// the stubs in `bin` were told, `github`.
    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    /// Runs commands in one of its folders, where nobody has configured git; gives what they print.
    #[track_caller]
    pub fn shell(&self, folder: &str, script: &str) -> String {
        let mut bash = Command::new("bash");
        bash.args(["-euc", script]).current_dir(self.path(folder));
        bash.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        tool(&mut bash)
    }

    /// What can be looked up of an event at a reference, with these inputs (docs.github.com, "Contexts reference").
    pub fn event(&self, name: &str, reference: &str, inputs: &[(&str, &str)]) -> Values {
        let short = reference.trim_start_matches("refs/heads/").trim_start_matches("refs/tags/");
        let temp = self.path("temp").display().to_string();
        let values = [
            ("github.actor", "rehearsal"),
            ("github.base_ref", if name == "pull_request" { "main" } else { "" }),
            ("github.event_name", name),
            ("github.ref", reference),
            ("github.ref_name", short),
            ("github.ref_type", if reference.starts_with("refs/tags/") { "tag" } else { "branch" }),
            ("github.repository", &self.name),
            ("github.run_id", "1234"),
            ("github.server_url", "https://github.com"),
            ("github.sha", &self.shell("origin", &format!("git rev-parse {reference}"))),
            ("runner.temp", &temp),
        ];
        let inputs = inputs.iter().map(|(name, value)| (format!("inputs.{name}"), (*value).to_owned()));
        values.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).chain(inputs).collect()
    }

    /// A pull request that adds a comment to the end of `file`: the merge that GitHub makes of it.
    pub fn pull_request(&self, number: u32, file: &str) -> Values {
        let script = format!(
            "git checkout -q -b change-{number} main; echo '// changed' >>{file}; git commit -q -a -m 'A change'
             git checkout -q --detach main; git merge -q --no-ff -m Merge change-{number}
             git update-ref refs/pull/{number}/merge HEAD; git checkout -q main"
        );
        self.shell("origin", &script);
        self.event("pull_request", &format!("refs/pull/{number}/merge"), &[])
    }
}
