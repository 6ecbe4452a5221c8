//! `prune` in real registries, and beside a real cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::parts::{Cleanup, make_executable, unique};
use crate::project::{Project, Shared};
use crate::registry::Registry;
use crate::stage::{Workload, apply, kubectl};
use crate::support::image::digest;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const RELEASE: &str = "application/vnd.cargo-xtask.release.v1+json";

/// Numbers that come again (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % end as u64).expect("a small number")
    }
}

/// A repository, spoken with by hand.
#[derive(Clone)]
struct Repository {
    host: String,
    name: String,
}

impl Repository {
    /// Status, headers and body of an answer.
    fn ask(&self, method: &str, path: &str, kind: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
        let mut stream = std::net::TcpStream::connect(&self.host).expect("a registry");
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/v2/{}/{path}", self.name) };
        let head = format!(
            "{method} {path} HTTP/1.0\r\nHost: {}\r\nAccept: {MANIFEST}, {INDEX}\r\nContent-Type: {kind}\r\n\
             Content-Length: {}\r\n\r\n",
            self.host,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).expect("a request");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, head, answer[end + 4..].to_vec())
    }

    fn blob(&self, content: &[u8]) -> Value {
        let (status, head, _) = self.ask("POST", "blobs/uploads/", "", b"");
        assert_eq!(status, 202, "{head}");
        let location = head.lines().find_map(|line| line.strip_prefix("Location: ")).expect("a place").trim();
        let path = &location[location.find("/v2/").expect("a path")..];
        let name = digest(content);
        let (status, head, _) = self.ask("PUT", &format!("{path}&digest={name}"), "application/octet-stream", content);
        assert_eq!(status, 201, "{head}");
        json!({ "mediaType": "application/octet-stream", "digest": name, "size": content.len() })
    }

    /// Puts a document under a tag, or by its digest; gives that.
    fn put(&self, tag: Option<&str>, document: &Value) -> String {
        let bytes = document.to_string().into_bytes();
        let name = digest(&bytes);
        let kind = document["mediaType"].as_str().expect("a type");
        let (status, head, body) = self.ask("PUT", &format!("manifests/{}", tag.unwrap_or(&name)), kind, &bytes);
        assert_eq!(status, 201, "{head}\n{}", String::from_utf8_lossy(&body));
        name
    }

    /// An image of this text, made so long ago; ours by its label, unless it is `foreign`.
    fn image(&self, text: &str, days: u64, foreign: bool) -> Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let created = crate::parts::tool("date", &["-u", "-d", &format!("@{}", now - days * 86_400), "+%FT%TZ"]);
        let label = if foreign { "other" } else { "xtask.input-hash" };
        let config = json!({ "created": created.trim(), "architecture": "amd64", "os": "linux",
            "config": { "Labels": { label: text } }, "rootfs": { "type": "layers", "diff_ids": [] } });
        let mut config = self.blob(config.to_string().as_bytes());
        config["mediaType"] = json!("application/vnd.oci.image.config.v1+json");
        json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config,
            "layers": [self.blob(text.as_bytes())] })
    }

    fn get(&self, selector: &str) -> Option<Value> {
        let (status, head, body) = self.ask("GET", &format!("manifests/{selector}"), "", b"");
        assert!(status == 200 || status == 404, "{head}");
        (status == 200).then(|| serde_json::from_slice(&body).expect("a manifest"))
    }

    /// Demands that it is there, with all that it leads to.
    fn is_whole(&self, selector: &str) {
        let manifest = self.get(selector).unwrap_or_else(|| panic!("{}: {selector} is gone", self.name));
        for child in manifest["manifests"].as_array().into_iter().flatten() {
            self.is_whole(child["digest"].as_str().expect("a digest"));
        }
        let layers = manifest["layers"].as_array().into_iter().flatten();
        for blob in layers.chain(manifest.get("config")) {
            let (status, head, _) =
                self.ask("HEAD", &format!("blobs/{}", blob["digest"].as_str().expect("a digest")), "", b"");
            assert_eq!(status, 200, "{}: {selector}: {head}", self.name);
        }
    }
}

fn descriptor(document: &Value) -> Value {
    let bytes = document.to_string().into_bytes();
    json!({ "mediaType": document["mediaType"], "digest": digest(&bytes), "size": bytes.len() })
}

/// A kubectl that knows a cluster whose pods run these images.
fn cluster(project: &Project, images: &str) -> std::path::PathBuf {
    let folder = project.beside("cluster");
    fs::create_dir_all(&folder).expect("a folder");
    let config = r#"{"current-context":"fake","clusters":[{"cluster":{"server":"https://fake"}}]}"#;
    fs::write(folder.join("images"), images).expect("a file");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n*config*) echo '{config}';;\n*) cat '{}';;\nesac\n",
        folder.join("images").display()
    );
    fs::write(folder.join("kubectl"), script).expect("a script");
    make_executable(&folder.join("kubectl"));
    folder
}

const COMMITS: usize = 110;
const POLICY: &str =
    "\n[workspace.metadata.docker.prune]\nkeep-per-branch = 5\nkeep-deploys = 2\nkeep-tags = [\"v*\"]\n";

/// What a test knows of the registry that it filled.
struct Filled {
    project: Project,
    /// Of each component, the image of each commit.
    images: BTreeMap<String, Vec<String>>,
    /// Images that are named by digest alone.
    named: Vec<(String, String)>,
    /// Those that were made yesterday.
    young: BTreeSet<String>,
    tags: usize,
}

fn repository(project: &Project, component: &str) -> Repository {
    Repository { host: project.host.clone(), name: project.repository(component) }
}

/// Two components in 110 commits of a branch: an image comes again, three of ten are indexes that share a child, some
/// are signed; further tags, and tags of others.
fn fill(registry: &Registry) -> Filled {
    let mut random = Random(0x5EED_5EED);
    let project = Project::new(&registry.host, "prune", &["a", "b"], POLICY);
    let mut filled = Filled { project, images: BTreeMap::new(), named: Vec::new(), young: BTreeSet::new(), tags: 0 };
    for component in ["a", "b"] {
        let repository = repository(&filled.project, component);
        let shared = repository.image(&format!("{component} amd64"), 100, false);
        repository.put(None, &shared);
        let images: Vec<(Value, String)> = (0..COMMITS / 2)
            .map(|number| {
                let is_young = number >= COMMITS / 2 - 4;
                let days = if is_young { 1 } else { 100 };
                let mut document = repository.image(&format!("{component} {number}"), days, false);
                if random.below(10) < 3 {
                    repository.put(None, &document);
                    let platform = |mut child: Value, name: &str| {
                        child["platform"] = json!({ "os": "linux", "architecture": name });
                        child
                    };
                    let children = [platform(descriptor(&document), "arm64"), platform(descriptor(&shared), "amd64")];
                    document = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": children });
                }
                let name = repository.put(Some(&format!("inputs-{number:016x}")), &document);
                if random.below(10) < 3 {
                    let mut signature = repository.image(&format!("signature {component} {number}"), 100, true);
                    signature["artifactType"] = json!("application/vnd.test.signature");
                    signature["subject"] = descriptor(&document);
                    repository.put(None, &signature);
                    let list = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(&signature)] });
                    repository.put(Some(&format!("sha256-{}", &name[7..])), &list);
                    filled.tags += 1;
                }
                if is_young {
                    filled.young.insert(name.clone());
                }
                (document, name)
            })
            .collect();
        // Each image is that of two commits, a random one of them again of a later one.
        let of_commits: Vec<usize> = (0..COMMITS)
            .map(|commit| if random.below(10) == 0 { random.below(commit / 2 + 1) } else { commit / 2 })
            .collect();
        for (commit, image) in of_commits.iter().enumerate() {
            repository.put(Some(&format!("sha-{commit:07x}")), &images[*image].0);
            let further = if commit % 10 == 0 { format!("v1.{commit}.0") } else { format!("build-{commit}") };
            repository.put(Some(&further), &images[*image].0);
        }
        repository.put(Some("main"), &images[of_commits[COMMITS - 1]].0);
        let foreign = repository.image(&format!("{component} of others"), 100, true);
        repository.put(Some("others"), &foreign);
        filled.tags += images.len() + 2 * COMMITS + 2;
        filled.named.push((component.to_owned(), images[random.below(20)].1.clone()));
        filled.images.insert(component.to_owned(), of_commits.iter().map(|at| images[*at].1.clone()).collect());
    }
    releases(&mut filled);
    filled
}

/// A release of each commit, and eight deployments of them.
fn releases(filled: &mut Filled) {
    let project = &filled.project;
    let repository = repository(project, "releases");
    let mut config = repository.blob(b"{}");
    config["mediaType"] = json!("application/vnd.oci.empty.v1+json");
    let mut previous = Value::Null;
    for commit in 0..COMMITS {
        let sha = format!("sha-{commit:07x}");
        let component = |name: &str| {
            let (place, image) = (project.name(name), &filled.images[name][commit]);
            json!({ "version": "0.1.0", "repository": place, "digest": image, "image": format!("{place}@{image}"),
                "gitShaTag": format!("{place}:{sha}"), "tags": [sha, "main"], "platforms": {} })
        };
        // What git does not know counts as new.
        let hash = project.git(&["commit-tree", "HEAD^{tree}", "-m", &sha]);
        let mut release = json!({ "commit": hash, "ref": "refs/heads/main",
            "tags": [sha, "main"], "components": { "a": component("a"), "b": component("b") } });
        if !previous.is_null() {
            release["previous"] = previous;
        }
        let mut layer = repository.blob(release.to_string().as_bytes());
        layer["mediaType"] = json!(RELEASE);
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": RELEASE, "config": config,
            "layers": [layer] });
        previous = json!(repository.put(Some("main"), &manifest));
        // Half of them are led to by the next one alone.
        if commit % 2 == 1 {
            repository.put(Some(&sha), &manifest);
            filled.tags += 1;
        }
        if commit % 10 == 5 && commit < 80 {
            repository.put(Some(&format!("deployed-local-{}", commit / 10 + 1)), &manifest);
            repository.put(Some("deployed-local"), &manifest);
            filled.tags += 1;
        }
    }
    filled.tags += 2;
}

/// Tags of a kind in the plan of a repository.
fn tags<'a>(plan: &'a Value, repository: &str, kind: &str) -> BTreeSet<&'a str> {
    let all = plan["repositories"].as_array().expect("a list").iter();
    let of = all.filter(|one| one["repository"].as_str().is_some_and(|name| name.ends_with(repository)));
    let entries = of.flat_map(|one| one[kind].as_array().expect("a list"));
    entries
        .flat_map(|one| match one["tags"].as_array() {
            Some(tags) => tags.iter().filter_map(Value::as_str).collect::<Vec<_>>(),
            None => one["tag"].as_str().into_iter().collect(),
        })
        .collect()
}

#[test]
#[ignore = "needs docker-registry"]
fn of_five_hundred_tags_all_that_is_named_stays_whole_and_all_else_goes() {
    let mut registry = Registry::start();
    let filled = fill(&registry);
    assert!(filled.tags >= 500, "{}", filled.tags);
    let project = &filled.project;
    // One is run by a pod, the other one is pinned by a manifest.
    let [(_, pod), (_, pinned)] = &filled.named[..] else { panic!("two") };
    let tools = cluster(project, &format!("docker-pullable://elsewhere/a@{pod} alpine:3"));
    project.write("k8s/b.yaml", &format!("image: {}@{pinned}\n", project.name("b")));
    let run = |arguments: &str| project.run(arguments).path_first(&tools);
    let start = Instant::now();
    let plan = run("prune --json").ok().says("asked the cluster of context `fake`: all namespaces").json();
    let planned = start.elapsed();
    println!("{} tags planned in {planned:?}", filled.tags);
    assert!(planned.as_secs() < 30, "{planned:?}");

    // The model: what each commit's tags become.
    let is_young = |commit: &usize| filled.images.values().any(|images| filled.young.contains(&images[*commit]));
    let releases: BTreeSet<usize> =
        (0..COMMITS).filter(|commit| *commit >= COMMITS - 5 || [65, 75].contains(commit) || is_young(commit)).collect();
    for (component, images) in &filled.images {
        let kept = tags(&plan, &project.repository(component), "kept");
        for (commit, image) in images.iter().enumerate() {
            let stays = releases.contains(&commit) || filled.young.contains(image);
            assert_eq!(kept.contains(format!("sha-{commit:07x}").as_str()), stays, "{component} {commit}");
            let further = if commit % 10 == 0 { format!("v1.{commit}.0") } else { format!("build-{commit}") };
            let stays = commit % 10 == 0 || filled.young.contains(image);
            assert_eq!(kept.contains(further.as_str()), stays, "{component} {further}");
        }
        assert!(["main", "others"].iter().all(|tag| kept.contains(tag)), "{kept:?}");
    }

    registry.allow_deletes(false);
    let refused = run("prune --apply").fails().says("the registry forbids deletes");
    assert!(refused.stderr.contains("REGISTRY_STORAGE_DELETE_ENABLED"), "{}", refused.stderr);
    assert_eq!(run("prune --json").ok().json(), plan, "nothing was repointed");
    registry.allow_deletes(true);

    let start = Instant::now();
    run("prune --apply").ok();
    println!("applied in {:?}", start.elapsed());
    for one in plan["repositories"].as_array().expect("a list") {
        let full = one["repository"].as_str().expect("a name");
        let repository = Repository { host: project.host.clone(), name: full[project.host.len() + 1..].to_owned() };
        for kept in one["kept"].as_array().expect("a list") {
            repository.is_whole(kept["tag"].as_str().expect("a tag"));
            repository.is_whole(kept["digest"].as_str().expect("a digest"));
        }
        for gone in one["deleted"].as_array().expect("a list") {
            assert_eq!(repository.get(gone["digest"].as_str().expect("a digest")), None, "{gone}");
            let tags = gone["tags"].as_array().expect("a list").iter().filter_map(Value::as_str);
            tags.for_each(|tag| assert_eq!(repository.get(tag), None, "{tag}"));
        }
        for gone in one["untagged"].as_array().expect("a list") {
            assert_eq!(repository.get(gone["tag"].as_str().expect("a tag")), None, "{gone}");
            repository.is_whole(gone["digest"].as_str().expect("a digest"));
        }
        assert!(!one["deleted"].as_array().expect("a list").is_empty(), "{full}");
    }
    for (component, image) in &filled.named {
        repository(project, component).is_whole(image);
    }
    for commit in &releases {
        filled.images.iter().for_each(|(component, images)| repository(project, component).is_whole(&images[*commit]));
    }
    run("prune --apply").ok().says("nothing to delete");
    let listed = run("releases list --branch main -n 50").ok().says("the history ends here");
    let chain = (0..COMMITS).rev().take_while(|commit| releases.contains(commit)).count();
    assert_eq!(listed.stdout.lines().count(), 1 + chain, "{}", listed.stdout);
}

#[test]
#[ignore = "needs a cluster and the registry that it pulls from"]
fn what_a_pod_runs_survives_the_policy() {
    let policy = "\n[workspace.metadata.docker.prune]\nkeep-per-branch = 1\nkeep-days = 0\n";
    let project = Shared::new("prune", &["one"], policy);
    let namespace = unique("prune-pods");
    let mut cleanup = Cleanup::default();
    cleanup.add(&format!("kubectl delete namespace {namespace} --ignore-not-found --wait=false"));
    kubectl(&["create", "namespace", &namespace]);
    let mut digests = Vec::new();
    for name in ["first", "second", "third"] {
        project.change("one", name);
        project.publish("").ok();
        digests.push(project.recorded("one"));
    }
    let [first, second, third] = &digests[..] else { panic!("three") };
    let image = format!("{}@{first}", project.name("one"));
    apply(&namespace, &Workload::new("one", &image).unprobed().manifest());
    let names = || kubectl(&["--namespace", &namespace, "get", "pods", "--output=jsonpath={..image}"]).contains(first);
    crate::parts::wait_for("a pod", std::time::Duration::from_secs(60), names);
    let xtask =
        |arguments: &str| project.run(arguments).env("KUBECONFIG", std::env::var_os("KUBECONFIG").unwrap_or_default());
    let repository = repository(&project, "one");
    let applied = xtask("prune --apply").ok();
    assert!(applied.stdout.contains("named by the cluster of"), "{}", applied.stdout);
    repository.is_whole(first);
    repository.is_whole(third);
    assert_eq!(repository.get(second), None);
    // Without a look at the cluster, it is nobody's.
    xtask("prune --apply --without-cluster").ok().says("no cluster was asked");
    assert_eq!(repository.get(first), None);
    repository.is_whole(third);
    let gone = project.run("prune").env("KUBECONFIG", "/nowhere").fails();
    assert!(gone.stderr.contains("nobody knows what the cluster runs"), "{}", gone.stderr);
    assert!(gone.stderr.contains("--without-cluster"), "{}", gone.stderr);
}
