//! Two platforms: published at once, and by the parts of jobs that each know one.

use std::fs;

use serde_json::{Value, json};

use crate::parts::{docker, run, tool};
use crate::project::{Project, RECORD, Shared};
use crate::support::{Xtask, own_platform};

const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

/// Foreign platforms need a compiler that crosses: the engine's builder image has one. The lab's
/// image of this tag has no rustup and so a second one with the foreign parts; the official one
/// installs them.
fn shared(name: &str, members: &[&str]) -> Shared {
    let images = match run("docker", &["image", "inspect", "rust:cross"]).success {
        true => r#"builder-image = { "linux/amd64" = "rust:1.95-bookworm", "linux/arm64" = "rust:cross" }"#,
        false => r#"builder-image = "rust:1.95-bookworm""#,
    };
    let platforms = format!("platforms = {PLATFORMS:?}\n");
    Shared::new(name, members, &format!("{images}\n{platforms}"))
}

/// `publish --builder docker` for the settings' platforms.
fn publish(project: &Project, arguments: &str) -> Xtask {
    project.xtask(&format!("publish --builder docker {arguments}"))
}

/// Demands that the tags of a component name an index of both platforms, as recorded.
#[track_caller]
fn is_index_of_both(shared: &Shared, component: &str) {
    let (entry, repository) = (&shared.record()[component], shared.repository(component));
    let raw = shared.registry.raw(&repository, ":main");
    assert_eq!(entry["digest"], crate::support::image::digest(raw.as_bytes()));
    let index: Value = serde_json::from_str(&raw).expect("an index");
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    let children = index["manifests"].as_array().expect("manifests");
    let platform = |child: &Value| {
        let text = |key: &str| child["platform"][key].as_str().expect("a text").to_owned();
        format!("{}/{}", text("os"), text("architecture"))
    };
    assert_eq!(children.iter().map(platform).collect::<Vec<_>>(), PLATFORMS);
    for child in children {
        let recorded = &entry["platforms"][platform(child)];
        assert_eq!(child["digest"], recorded["digest"]);
        let raw = shared.registry.raw(&repository, &format!("@{}", child["digest"].as_str().expect("a digest")));
        let manifest: Value = serde_json::from_str(&raw).expect("a manifest");
        assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
        assert_eq!(manifest["config"]["digest"], recorded["config"]);
    }
    shared.is_published_in(&shared.registry);
    shared.xtask("digests verify").ok();
}

/// What other tools see of a component.
#[track_caller]
fn is_seen_by_others(shared: &Shared, component: &str) {
    let name = shared.name(component);
    let seen = docker(&format!("buildx imagetools inspect {name}:main"));
    assert!(PLATFORMS.iter().all(|platform| seen.contains(platform)), "{seen}");
    for architecture in ["amd64", "arm64"] {
        let url = format!("docker://{name}:main");
        let chosen = tool("skopeo", &["inspect", "--tls-verify=false", "--override-arch", architecture, &url]);
        assert_eq!(serde_json::from_str::<Value>(&chosen).unwrap()["Architecture"], architecture);
        let platform = format!("linux/{architecture}");
        let fetched =
            tool("oras", &["manifest", "fetch", "--plain-http", "--platform", &platform, &format!("{name}:main")]);
        let config = &shared.record()[component]["platforms"][platform]["config"];
        assert_eq!(&serde_json::from_str::<Value>(&fetched).unwrap()["config"]["digest"], config);
    }
    let image = format!("{name}@{}", shared.recorded(component));
    docker(&format!("pull --quiet {image}"));
    assert_eq!(docker(&format!("run --rm {image}")), format!("{component} {}", shared.id));
    run("docker", &["rmi", &image]);
}

#[test]
#[ignore = "needs a container engine, a registry, skopeo and oras"]
fn an_index_in_one_run_and_the_same_by_parts() {
    let shared = shared("both", &["app"]);
    publish(&shared, "").ok();
    is_index_of_both(&shared, "app");
    is_seen_by_others(&shared, "app");
    let record = shared.read(RECORD);
    publish(&shared, "").ok().says("adopt  app: same inputs").says_nothing_of("compiling");
    assert_eq!(shared.read(RECORD), record);

    // A registry whose old images are deleted by digest may lose a part, and answer as before for the whole.
    let part = shared.record()["app"]["platforms"]["linux/arm64"]["digest"].as_str().unwrap().to_owned();
    let url = format!("docker://{}@{part}", shared.name("app"));
    tool("skopeo", &["delete", "--tls-verify=false", &url]);
    publish(&shared, "").ok().says("build  app: ");
    is_index_of_both(&shared, "app");
    assert_eq!(shared.read(RECORD), record);

    // Parts of the next commit: a job for each platform, in a clone of its own.
    shared.write("docs.md", "text\n").commit("docs");
    let parts = PLATFORMS.map(|platform| {
        let part = shared.beside(&platform.replace('/', "-"));
        let arguments = format!("--platform {platform} --by-digest --digests {}", part.display());
        // An image of one platform alone has a tag of its own, and is not there yet under it.
        publish(&shared, &arguments).ok();
        part.display().to_string()
    });
    assert_eq!(shared.read(RECORD), record);
    assert!(!shared.registry.tags(&shared.repository("app")).contains(&shared.sha_tag()));
    shared.xtask(&format!("digests merge {}", parts.join(" "))).ok();
    assert_eq!(shared.record()["app"]["digest"], serde_json::from_str::<Value>(&record).unwrap()["app"]["digest"]);
    is_index_of_both(&shared, "app");
}

#[test]
#[ignore = "needs a container engine, a registry and skopeo"]
fn parts_that_do_not_fit_are_refused_and_those_that_do_are_merged() {
    let shared = shared("parts", &["one", "two"]);
    let part = |file: &str, platform: &str, components: &str| {
        let path = shared.beside(file);
        let arguments = format!("{components} --platform {platform} --by-digest --digests {}", path.display());
        let output = publish(&shared, &arguments).ok().says("`cargo xtask digests merge` joins it");
        assert!(output.stdout.contains(platform), "{}", output.stdout);
        path
    };
    let amd = part("amd", "linux/amd64", "");
    let arm = ["one", "two"].map(|name| part(&format!("arm-{name}"), "linux/arm64", name));
    for component in ["one", "two"] {
        // Machines' tags apart, nothing names them yet.
        let tags = shared.registry.tags(&shared.repository(component));
        assert!(tags.iter().all(|tag| tag.starts_with("inputs-")), "{tags:?}");
    }
    assert!(!shared.path(RECORD).exists());
    let merge = |parts: &[&std::path::Path], more: &str| {
        let parts: Vec<String> = parts.iter().map(|path| path.display().to_string()).collect();
        shared.xtask(&format!("digests merge {} {more}", parts.join(" ")))
    };

    merge(&[&amd, &arm[0]], "")
        .fails()
        .says("no part has `two` for `linux/arm64`\nhint: merge the parts of all platforms");
    merge(&[&arm[0]], "--platform linux/arm64").fails().says("no part has two, and no previous record either");
    merge(&[&amd, &arm[0], &arm[1]], "--platform linux/amd64").fails().says("which is not among the platforms");
    let changed = |file: &str, change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(&fs::read_to_string(&amd).unwrap()).unwrap();
        change(&mut value);
        let path = shared.beside(file);
        fs::write(&path, value.to_string()).unwrap();
        path
    };
    let zero = format!("sha256:{}", "0".repeat(64));
    let other = changed("other", &|part| part["images"]["one"]["platforms"]["linux/amd64"]["digest"] = json!(zero));
    merge(&[&amd, &other, &arm[0], &arm[1]], "").fails().says(&format!("for `linux/amd64` it is `{zero}`"));
    let gone = merge(&[&other, &arm[0], &arm[1]], "").fails();
    assert!(gone.stderr.contains(&format!("@{zero}`, which a part names, is not in the registry")), "{}", gone.stderr);
    let foreign = changed("foreign", &|part| part["images"]["one"]["repository"] = json!("localhost:5000/x/one"));
    merge(&[&foreign, &arm[0], &arm[1]], "").fails();
    let damaged = shared.beside("damaged");
    fs::write(&damaged, "{}").unwrap();
    merge(&[&amd, &damaged], "").fails().says("it is no part of a publication");
    assert!(!shared.path(RECORD).exists());
    for component in ["one", "two"] {
        assert!(!shared.registry.tags(&shared.repository(component)).contains(&shared.sha_tag()));
    }

    let plan = merge(&[&amd, &arm[0], &arm[1]], "--dry-run --tag 1.0").ok().stdout;
    assert!(plan.contains(&format!("tag    {}:1.0\n", shared.name("one"))), "{plan}");
    assert!(!shared.path(RECORD).exists());
    let output = shared.beside("output");
    merge(&[&amd, &arm[0], &arm[1]], "--tag 1.0").env("GITHUB_OUTPUT", &output).ok();
    for component in ["one", "two"] {
        is_index_of_both(&shared, component);
        assert_eq!(shared.record()[component]["tags"], json!([shared.sha_tag(), "main", "latest", "1.0"]));
    }
    assert!(fs::read_to_string(output).unwrap().starts_with("digest-json={\"one\":"));
    // Once more, as a job that is run again does.
    let record = shared.read(RECORD);
    merge(&[&arm[1], &arm[0], &amd], "--tag 1.0").ok();
    assert_eq!(shared.read(RECORD), record);
    // A publication of both finds the index by its inputs.
    publish(&shared, "--tag 1.0").ok().says("adopt  one: same inputs").says_nothing_of("compiling");
    assert_eq!(shared.read(RECORD), record);
    // What is carried on must be there wholly, too.
    let part = shared.record()["one"]["platforms"]["linux/arm64"]["digest"].as_str().unwrap().to_owned();
    tool("skopeo", &["delete", "--tls-verify=false", &format!("docker://{}@{part}", shared.name("one"))]);
    publish(&shared, "two").fails().says("names an image that is not whole any more");
    assert_eq!(shared.read(RECORD), record);

    shared.write("docs.md", "text\n").commit("docs");
    let refused = merge(&[&amd, &arm[0], &arm[1]], "").fails().says("the parts are of commit `");
    assert!(refused.stderr.contains("merge where the same commit is checked out"), "{}", refused.stderr);
    assert_eq!(shared.read(RECORD), record);
}

#[test]
#[ignore = "needs a registry and skopeo"]
fn the_parts_of_one_platform_need_no_index() {
    let shared = Shared::new("single", &["app"], "");
    let part = shared.beside("part");
    shared.publish(&format!("--by-digest --digests {}", part.display())).ok();
    shared.run(&format!("digests merge {}", part.display())).ok();
    let raw = shared.registry.raw(&shared.repository("app"), ":main");
    let manifest: Value = serde_json::from_str(&raw).unwrap();
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(shared.record()["app"]["platforms"][own_platform()]["digest"], shared.recorded("app"));
    shared.is_published_in(&shared.registry);
}
