//! The actions that the workflows use, as far as they use them.

use crate::machine::{Machine, Values};

impl Machine {
    /// Runs an action; gives its outputs.
    pub(crate) fn act(&self, action: &str, inputs: &Values, event: &Values) -> Values {
        match action {
            "actions/checkout" => self.check_out(exactly(inputs, ["fetch-depth", "persist-credentials"]), event),
            "actions/cache/restore" => return self.restore(exactly(inputs, ["path", "key", "restore-keys"])),
            "actions/cache/save" => self.save(exactly(inputs, ["path", "key"])),
            "actions/upload-artifact" => {
                self.upload(exactly(inputs, ["name", "overwrite", "path", "if-no-files-found", "retention-days"]));
            }
            "actions/download-artifact" => self.download(exactly(inputs, ["pattern", "path", "merge-multiple"])),
            other => panic!("the action `{other}` is not known here"),
        }
        Values::new()
    }

    /// All branches and tags, and the commit of the event, with nothing of the job before. What the tool
    /// itself compiled to is kept, as if each job's cache had it: compiling it is not what is rehearsed.
    fn check_out(&self, [depth, credentials]: [&str; 2], event: &Values) {
        assert_eq!((depth, credentials), ("0", "false"));
        let (reference, sha) = (&event["github.ref"], &event["github.sha"]);
        let branch = reference.strip_prefix("refs/heads/").map_or("--detach".into(), |branch| format!("-B {branch}"));
        let script = format!(
            "git init -q; git config remote.origin.url ../origin
             git fetch -q --prune origin '+refs/heads/*:refs/remotes/origin/*' '+refs/tags/*:refs/tags/*' {reference}
             git checkout -q --force {branch} {sha}; git clean -ffdxq --exclude=/target/debug"
        );
        self.shell("work", &script);
    }

    fn restore(&self, [_, key, prefix]: [&str; 3]) -> Values {
        let caches = self.shell("caches", "ls -tr");
        let is_exact = caches.lines().any(|cache| cache == key);
        let wanted = if is_exact { key } else { prefix };
        if let Some(found) = caches.lines().rfind(|cache| cache.starts_with(wanted)) {
            self.shell("caches", &format!("cp -a {found}/. ../work"));
        }
        Values::from([("cache-hit".into(), is_exact.to_string())])
    }

    /// Cargo's downloads are this machine's own, and what the tool compiled to is there: see `check_out`.
    fn save(&self, [paths, key]: [&str; 2]) {
        let paths: Vec<_> = paths.lines().filter(|path| !path.starts_with('~') && *path != "target/debug").collect();
        self.shell("work", &format!("mkdir ../caches/{key}; cp -a --parents {} ../caches/{key}", paths.join(" ")));
    }

    fn upload(&self, [name, overwrite, paths, missing, days]: [&str; 5]) {
        assert_eq!(overwrite, "true", "a job that is run again would find its artifact there");
        assert_eq!(missing, "error", "an empty artifact must be an error");
        assert!((1..=90).contains(&days.parse::<u32>().unwrap()), "{days}: more than public repositories may have");
        let folders: Vec<_> = paths.lines().map(|path| path.rsplit_once('/').unwrap_or_default().0).collect();
        assert!(folders.windows(2).all(|pair| pair[0] == pair[1]), "an archive of several folders keeps them: {paths}");
        let files = paths.replace('\n', " ");
        self.shell("work", &format!("mkdir ../artifacts/{name}; cp {files} ../artifacts/{name}"));
    }

    fn download(&self, [pattern, path, merge]: [&str; 3]) {
        assert_eq!(merge, "true", "only merged downloads are known here");
        self.shell("work", &format!("mkdir -p {path}; cp -t {path} ../artifacts/{pattern}/*"));
    }
}

/// The values of these inputs, in their order. There must be no other.
fn exactly<'a, const N: usize>(inputs: &'a Values, names: [&str; N]) -> [&'a str; N] {
    assert!(inputs.len() == N, "inputs {:?} where {names:?} are known", inputs.keys());
    names.map(|name| inputs.get(name).unwrap_or_else(|| panic!("no input `{name}`")).as_str())
}
