//! `deploy` with `build-number = true`: what is counted, where it is written, and what applies it.

use crate::deploy::Scene;
use crate::parts::registry;
use crate::proxy::{Action, Proxy};
use crate::registry::Registry;
use crate::stage::kubectl;

const VALUES: &str = "# What Nomad runs.\nreplicas = 2\ndocker_tag = \"none\" # by the xtask\n";
const SETTINGS: &str = "build-number = true\napply = [\"sh\", \"infra/apply.sh\"]\n\
                        manifests = [\"k8s\", { file = \"stage.tfvars\", key = \"docker_tag\", value = \"tag\" }]\n";

/// A workspace that keeps its numbers, with a script in Terraform's place that shows what it was given.
fn scene(name: &str) -> Scene {
    let scene = Scene::new(name, &registry(), SETTINGS);
    let project = &scene.project;
    project.write("stage.tfvars", VALUES).write(".buildnum", "41\n");
    project.write("infra/apply.sh", "grep docker_tag stage.tfvars | tee -a target/applied\n").commit("stage");
    scene
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn each_deployment_has_a_number_that_tags_its_images_is_written_and_applied() {
    let scene = scene("numbers");
    let (shared, project) = (Registry::shared(), &scene.project);
    let repository = project.repository("one");
    let values = |tag: &str| VALUES.replace("none", tag);
    let first = scene.publish("first", "", "");
    let planned = scene.run("deploy test --dry-run").ok().stdout;
    for line in [
        format!("tag    {}:42\n", project.name("releases")),
        format!("tag    {}:42\n", project.name("one")),
        "write  .buildnum\n".to_owned(),
        "pin    stage.tfvars\nrun    sh infra/apply.sh\nrun    cargo xtask smoke ".to_owned(),
    ] {
        assert!(planned.contains(&line), "no `{line}` in:\n{planned}");
    }
    assert_eq!((project.read(".buildnum").as_str(), project.read("stage.tfvars")), ("41\n", VALUES.to_owned()));
    assert!(!shared.tags(&repository).contains(&"42".to_owned()));

    scene.run("deploy test").ok().says("apply: docker_tag = \"42\"").says("build number 42, marked deployed-test-1");
    assert_eq!((project.read(".buildnum").as_str(), project.read("stage.tfvars")), ("42\n", values("42")));
    assert_eq!(shared.digest(&repository, "42"), first);
    // What was written is no change of the tree.
    project.publish("").ok();
    // Each one counts, also of the same release.
    scene.run("deploy test").ok().says("build number 43, marked deployed-test\n");
    let second = scene.publish("second", "", "");
    scene.run("deploy test").ok().says("build number 44, marked deployed-test-2");
    assert_eq!([42, 43, 44].map(|tag| shared.digest(&repository, &tag.to_string())), [first.clone(), first, second]);
    project.run("manifests --check --env test").ok();
    // The registry knows it, too.
    std::fs::remove_file(project.path("artifacts/docker/test/docker-image-digests.json")).expect("a record");
    project.run("manifests --check --env test").ok();
    let listed = scene.run("releases list --env test --json").ok().json();
    assert_eq!(listed[0]["tags"], serde_json::json!(["deployed-test-2", "44"]));
    assert_eq!(listed[1]["tags"], serde_json::json!(["deployed-test-1", "42", "43"]));

    // Back is to the number that it had; the next one is new.
    scene.run("rollback test").ok().says("apply: docker_tag = \"43\"").says("build number 43, marked deployed-test-3");
    assert_eq!((project.read(".buildnum").as_str(), project.read("stage.tfvars")), ("44\n", values("43")));
    scene.run("rollback test --to 44").ok().says("build number 44");
    project.write("infra/apply.sh", "echo no such job\nexit 3\n");
    let failed = scene.run("deploy test").fails();
    failed.says("caused by: what `apply` of `test` runs failed").says("no such job").says("exit status: 3");
    // Whatever became of it, the number is taken.
    assert_eq!((project.read(".buildnum").as_str(), project.read("stage.tfvars")), ("45\n", values("45")));
    project.write(".buildnum", "soon\n");
    scene.run("deploy test").fails().says("`.buildnum` holds `soon`, which is no build number");
    std::fs::remove_file(project.path(".buildnum")).expect("a number");
    project.write("infra/apply.sh", "cat stage.tfvars\n");
    scene.run("deploy test").ok().says("build number 46");
    assert!(!project.path(".buildnum").exists(), "it is kept only where it is");
    let applied: Vec<String> = project.read("target/applied").lines().map(str::to_owned).collect();
    assert_eq!(applied, ["42", "43", "44", "43", "44"].map(|tag| format!("docker_tag = \"{tag}\" # by the xtask")));
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn a_number_that_somebody_else_takes_meanwhile_is_theirs() {
    let scene = scene("race");
    let project = &scene.project;
    let first = scene.publish("first", "", "");
    let (repository, tag) = (project.repository("one"), project.sha_tag());
    let second = scene.publish("second", "", "");
    // Right after all tags were listed.
    let path = format!("/v2/{repository}/manifests/42");
    let proxy = Proxy::start(&registry(), move |request| {
        if request.path == path {
            Registry::shared().retag(&repository, &tag, "42");
        }
        Action::Pass
    });
    let own = format!("[workspace.metadata.docker.environments.test]\nregistry = \"{}\"", registry());
    project.replace("Cargo.toml", &own, &own.replace(&registry(), &proxy.host)).commit("registry");
    let failed = scene.run("deploy test --release main").fails();
    let failed = failed.says("not all of the release has build number 42, and nothing was deployed");
    failed
        .says(&first)
        .says(&second)
        .says("hint: deploy again: it takes the next number")
        .says_nothing_of("mutable-tags");
    assert_eq!((project.read(".buildnum").as_str(), project.read("stage.tfvars").as_str()), ("41\n", VALUES));
    assert_eq!(kubectl(&["--namespace", &scene.namespace, "get", "deployments", "--output=name"]), "");
}
