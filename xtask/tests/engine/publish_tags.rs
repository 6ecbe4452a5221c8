//! Tags of publications: which are set, which may move, and what is adopted for their sake.

use serde_json::json;

use crate::project::{Project, RECORD};
use crate::registry::Registry;
use crate::support::own_platform;

/// A project of one component, and a registry of its own.
fn scene(name: &str, settings: &str) -> (Registry, Project) {
    let registry = Registry::start();
    let project = Project::new(&registry.host, name, &["one"], settings);
    (registry, project)
}

/// The tags but those for machines.
fn tags(registry: &Registry, project: &Project) -> Vec<String> {
    let mut tags = registry.tags(&project.repository("one"));
    tags.retain(|tag| !tag.starts_with("inputs-"));
    tags
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn versions_of_git_give_their_tags() {
    let (registry, project) = scene("versions", "latest = \"release\"\n");
    let publish = |reference: &str| project.publish("").env("GITHUB_REF", reference).ok();
    publish("refs/heads/feat/new-feature");
    assert_eq!(tags(&registry, &project), ["feat-new-feature", &project.sha_tag()]);
    publish("refs/tags/v1.3.0-rc.1");
    assert_eq!(tags(&registry, &project), ["1.3.0-rc.1", "feat-new-feature", &project.sha_tag(), "v1.3.0-rc.1"]);
    publish("refs/tags/v1.2.3");
    assert_eq!(project.record()["one"]["tags"], json!([project.sha_tag(), "v1.2.3", "1.2.3", "1.2", "1", "latest"]));
    let first = project.recorded("one");

    // The next one moves what may move.
    project.change("one", "next");
    publish("refs/tags/v1.2.4");
    let digest = |tag: &str| registry.digest(&project.repository("one"), tag);
    for tag in ["v1.2.4", "1.2.4", "1.2", "1", "latest"] {
        assert_eq!(digest(tag), project.recorded("one"), "{tag}");
    }
    for tag in ["v1.2.3", "1.2.3", "feat-new-feature"] {
        assert_eq!(digest(tag), first, "{tag}");
    }

    // A git tag that was moved does not move the image's.
    project.change("one", "moved");
    let record = project.read(RECORD);
    let run = project.publish("").env("GITHUB_REF", "refs/tags/v1.2.4");
    run.fails().says(":v1.2.4` names `sha256:").says("and does not move").says_nothing_of("compiling");
    assert_eq!(project.read(RECORD), record);
    project.is_published_in(&registry);
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn a_tag_that_was_asked_for_moves_only_when_it_may() {
    let (registry, project) = scene("asked", "mutable-tags = [\"dev\"]\n");
    project.publish("--tag 2026.11.0 --tag dev").ok();
    let first = project.recorded("one");
    // The same image may have it again.
    project.publish("--tag 2026.11.0").ok();
    project.change("one", "changed");
    let record = project.read(RECORD);
    let refused = project.publish("--tag 2026.11.0").fails().says_nothing_of("compiling");
    let text = format!(
        "`{}:2026.11.0` names `{first}`, another image, and does not move\nhint: choose another tag, or list it in \
         `mutable-tags`\n",
        project.name("one")
    );
    assert!(refused.stderr.contains(&text), "{}", refused.stderr);
    assert_eq!(project.read(RECORD), record);
    assert!(!tags(&registry, &project).contains(&project.sha_tag()));

    project.publish("").env("CI_IMAGE_TAG", "dev").ok();
    let digest = |tag: &str| registry.digest(&project.repository("one"), tag);
    assert_eq!(digest("2026.11.0"), first);
    assert_eq!(digest("dev"), project.recorded("one"));
    assert_ne!(digest("dev"), first);
    project.is_published_in(&registry);
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn an_image_of_the_same_inputs_is_adopted_by_a_tag_that_cannot_move() {
    let (registry, project) = scene("adopted", "");
    project.publish("").ok();
    let (first, repository) = (project.recorded("one"), project.repository("one"));
    // As if a run of the next commit, built elsewhere, had been cut off after its first tag; and
    // somebody has taken the tag of the inputs for another image.
    project.write("docs.md", "text\n").commit("docs");
    registry.retag(&repository, "main", &project.sha_tag());
    let inputs = registry.tags(&repository).into_iter().find(|tag| tag.starts_with("inputs-")).unwrap();
    let other = Project::new(&registry.host, "other", &["one"], "");
    other.publish("").ok();
    let from = format!("docker://{}:main", other.name("one"));
    let copied = registry.skopeo("copy", &[&from, &format!("docker://{}:{inputs}", project.name("one"))]);
    assert!(copied.success, "{copied:?}");

    let output = project.publish("").ok().says_nothing_of("compiling");
    let adopted = format!("adopt  one: `{}` has the same inputs ({first})\n", project.sha_tag());
    assert!(output.stderr.contains(&adopted), "{}", output.stderr);
    assert_eq!(project.recorded("one"), first);
    assert_eq!(registry.digest(&repository, &inputs), first);
    // At a commit without tags, and at one that has them, all is built, and is what it was.
    project.write("docs.md", "more\n").commit("more docs");
    let output = project.publish("--rebuild").ok().says("build  one: `--rebuild`\n").says("cargo: compiling one ");
    assert!(output.stderr.contains("one: 127.0.0.1:") && output.stderr.contains(" had it already ("), "{output:?}");
    assert_eq!(project.recorded("one"), first);
    project.publish("--rebuild").ok().says("build  one: `--rebuild`\n");
    assert_eq!(project.recorded("one"), first);
    project.is_published_in(&registry);
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn a_rebuilt_image_that_differs_from_what_a_tag_names_is_refused() {
    let (registry, project) = scene("differs", "");
    // What it puts into the program is no function of its inputs.
    project.write(
        "one/build.rs",
        "fn main() { println!(\"cargo::rustc-env=ONCE={:?}\", std::time::SystemTime::now()); }\n",
    );
    project.write("one/src/main.rs", "fn main() { println!(\"{}\", env!(\"ONCE\")); }\n").commit("time");
    project.publish("").ok();
    let first = project.recorded("one");
    std::fs::remove_dir_all(project.path("target/docker/build")).unwrap();
    project.publish("--rebuild").fails().says("and would have to name").says(&first);
    assert_eq!(project.recorded("one"), first);
    assert_eq!(registry.digest(&project.repository("one"), &project.sha_tag()), first);
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn a_tag_of_the_commit_that_names_another_image_is_not_moved() {
    let (registry, project) = scene("taken", "");
    project.publish("").ok();
    let first = project.recorded("one");
    project.change("one", "changed");
    registry.retag(&project.repository("one"), "main", &project.sha_tag());
    let record = project.read(RECORD);
    project.publish("").fails().says(&format!(":{}` names `{first}`", project.sha_tag())).says_nothing_of("compiling");
    assert_eq!(project.read(RECORD), record);
    // Of what cannot move, nothing moved.
    assert_eq!(registry.digest(&project.repository("one"), &project.sha_tag()), first);
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn docker_build_pushes_under_the_commits_tag_and_records_nothing() {
    let (registry, project) = scene("push", "");
    let plan = project.run("docker-build --builder native --push --tag trial --dry-run").ok().stdout;
    assert!(plan.contains(&format!("tag    {}:trial\n", project.name("one"))), "{plan}");
    assert_eq!(tags(&registry, &project), [""; 0]);
    project.run("docker-build --builder native --push --tag trial").ok();
    assert_eq!(tags(&registry, &project), [&project.sha_tag(), "trial"]);
    assert!(!project.path("artifacts").exists());
    project.is_whole_in(&registry);
    let digest = registry.digest(&project.repository("one"), "trial");
    // A publication finds it.
    project.publish("").ok().says("adopt  one: same inputs as before (");
    assert_eq!(project.recorded("one"), digest);
    let refused = project.run("docker-build --builder native --push").env("CI_PUSH", "false");
    refused.fails().says("error: `--push` is refused: `CI_PUSH` is false\n");
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn gitlabs_variables_say_what_is_built() {
    let registry = Registry::start();
    let project = Project::new(&registry.host, "gitlab", &["one"], "");
    project.replace("Cargo.toml", "xtask-test/", "{owner}/");
    project.commit("owner");
    let planned = |variables: &[(&str, &str)]| {
        let all = [&[("CI_PROJECT_PATH", "Acme/Tools/shop"), ("CI_DEFAULT_BRANCH", "trunk")][..], variables].concat();
        let run = all.iter().fold(project.publish("--dry-run"), |run, (name, value)| run.env(name, value));
        let output = run.ok();
        let lines = output.stdout.lines().filter_map(|line| line.strip_prefix("tag    "));
        let tags: Vec<String> = lines.map(|line| line.split(' ').next().unwrap().to_owned()).collect();
        let name = format!("{}/acme/tools/{}-one:", registry.host, project.id);
        tags.iter().map(|tag| tag.strip_prefix(&name).unwrap_or_else(|| panic!("{tag}")).to_owned()).collect::<Vec<_>>()
    };
    let commit = project.sha_tag();
    assert_eq!(planned(&[("CI_COMMIT_BRANCH", "trunk")]), [&commit, "trunk", "latest"]);
    assert_eq!(planned(&[("CI_COMMIT_BRANCH", "fix/it")]), [&commit, "fix-it"]);
    assert_eq!(planned(&[("CI_COMMIT_TAG", "v1.2.3")]), [&commit, "v1.2.3", "1.2.3", "1.2", "1"]);
    // GitHub's win, and merge requests push nothing.
    assert_eq!(planned(&[("CI_COMMIT_TAG", "v1.2.3"), ("GITHUB_REF", "refs/heads/x")]), [&commit, "x"]);
    let request = project.publish("").env("CI_MERGE_REQUEST_IID", "7").ok();
    request.says("this is a pull request: images are built and not pushed");
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn a_version_that_no_package_has_is_said() {
    let registry = Registry::start();
    let project = Project::new(&registry.host, "versions", &["one"], "version-check = \"error\"\n");
    let publish = |tag: &str| project.publish("").env("GITHUB_REF", format!("refs/tags/{tag}"));
    publish("v9.9.9").fails().says("error: git tag `v9.9.9` is of another version than one 0.1.0").says("hint: ");
    assert!(registry.tags(&project.repository("one")).is_empty());
    publish("v0.1.0").ok().says_nothing_of("another version");
    project.replace("Cargo.toml", "version-check = \"error\"\n", "");
    project.commit("no check");
    publish("v9.9.8").ok().says("warning: git tag `v9.9.8` is of another version than one 0.1.0");
    publish("nightly").ok().says_nothing_of("another version");
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn an_image_that_grows_too_much_is_said_wherever_it_is_published() {
    let registry = Registry::start();
    let project = Project::new(&registry.host, "growth", &["one"], "");
    project.append("one/Cargo.toml", "[package.metadata.docker]\nmax-growth = \"10%\"\n");
    project.commit("limit");
    project.publish("").ok();
    project.write(
        "one/big.bin",
        &(0..400_000_u32).map(|at| format!("{:x}", at.wrapping_mul(2_654_435_761))).collect::<String>(),
    );
    project.write("one/src/main.rs", "fn main() {\n    println!(\"{}\", include_str!(\"../big.bin\"));\n}\n");
    project.commit("larger");
    // A checkout that knows nothing of the last one.
    let fresh = project.copy();
    std::fs::remove_file(fresh.path(RECORD)).expect("a record");
    let summary = fresh.beside("summary.md");
    // A pull request is told before it is merged.
    let pull = fresh.run("docker-build --builder native").env("GITHUB_STEP_SUMMARY", &summary);
    let pull = pull.env("GITHUB_EVENT_NAME", "pull_request").env("GITHUB_REF", "refs/pull/7/merge");
    pull.env("GITHUB_BASE_REF", "main").ok().says("::warning::`one` grew by ");
    let text = std::fs::read_to_string(&summary).expect("a summary");
    assert!(text.contains("` `pr-7` | `sha256:") && text.contains("iB larger |\n"), "{text}");
    assert!(text.contains("> [!WARNING]\n> `one` grew by ") && !text.contains("Compared with nothing"), "{text}");
    std::fs::remove_file(&summary).expect("a summary");
    let output = fresh.publish("").env("GITHUB_STEP_SUMMARY", &summary).ok();
    output.says("warning: `one` grew by ").says("more than its `max-growth` of 10%").says("::warning::`one` grew by ");
    let summary = std::fs::read_to_string(summary).expect("a summary");
    assert!(summary.contains("> [!WARNING]\n> `one` grew by "), "{summary}");
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn an_image_that_must_not_grow_so_much_moves_no_tag() {
    let registry = Registry::start();
    let project = Project::new(&registry.host, "bloat", &["one"], "");
    let limit = |limit: &str| format!("max-growth = {{ error = \"{limit}\" }}\n");
    project.append("one/Cargo.toml", &format!("[package.metadata.docker]\n{}", limit("10%")));
    project.commit("limit");
    project.publish("").ok();
    let (old, record) = (project.recorded("one"), project.read(RECORD));
    let text: String = (0..400_000_u32).map(|at| format!("{:x}", at.wrapping_mul(2_654_435_761))).collect();
    project.write("one/big.bin", &text);
    project.write("one/src/main.rs", "fn main() {\n    println!(\"{}\", include_str!(\"../big.bin\"));\n}\n");
    project.commit("larger");
    let summary = project.beside("summary.md");
    let failed = project.publish("").env("GITHUB_STEP_SUMMARY", &summary).fails();
    failed
        .says("error: `one` grew by ")
        .says("more than its `max-growth` of 10%\nno tag was set")
        .says("::error::`one`");
    let summary = std::fs::read_to_string(summary).expect("a summary");
    assert!(summary.contains("## Not published\n\n> [!CAUTION]\n> `one` grew by "), "{summary}");
    let repository = project.repository("one");
    assert_eq!((registry.digest(&repository, "main"), project.read(RECORD)), (old, record));
    assert!(!registry.tags(&repository).contains(&project.sha_tag()));
    // As it is, it stays refused; accepted is where it is reviewed.
    project.publish("").fails().says("no tag was set");
    project.replace("one/Cargo.toml", &limit("10%"), &limit("900%")).commit("accepted");
    project.publish("").ok();
    assert_eq!(registry.digest(&repository, "main"), project.recorded("one"));
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn a_commit_that_another_compiler_published_is_told_from_another_image() {
    let registry = Registry::start();
    let project = Project::new(&registry.host, "other-compiler", &["one"], "");
    project.publish("").ok();
    let other = project.copy();
    let failed = other.publish("").env("RUSTFLAGS", "-Copt-level=1").fails();
    let failed = failed.says("names `sha256:").says("it was made from other inputs: ");
    failed
        .says("variable RUSTFLAGS (there none, here another)")
        .says("hint: make it from the same inputs as before, or");
}

#[test]
#[ignore = "needs a container engine, docker-registry and skopeo"]
fn another_builder_of_one_commit_is_named_and_either_mend_works() {
    let registry = Registry::start();
    let project = Project::new(&registry.host, "other-builder", &["one"], "");
    project.publish("").ok();
    let (first, sha_tag) = (project.recorded("one"), project.sha_tag());
    let other = project.copy();
    // With the user's own docker configuration, where plugins may be.
    let engine = || other.xtask("publish --builder docker").env("CI_IMAGE_PLATFORM", own_platform());
    let failed = engine().fails().says_nothing_of("Compiling").says_nothing_of("sources");
    let failed =
        failed.says(&format!("`{}:{sha_tag}` names `{first}`, another image, and does not move", project.name("one")));
    let failed = failed
        .says("made from other inputs: builder (there `native`: rustc 1.")
        .says(", here `docker`: builder image sha256:");
    failed.says("hint: publish this commit with `--builder native`, as before, or the next commit, whose tag is free");

    other.run("publish --builder native").ok().says(&format!("adopt  one: same inputs as before ({first})"));
    other.write("docs.md", "text\n").commit("next");
    engine().ok();
    assert_ne!(other.recorded("one"), first);
    assert_eq!(registry.digest(&other.repository("one"), &sha_tag), first);
    // The other way round, too.
    let failed = other.publish("").fails().says("builder (there `docker`: builder image sha256:");
    failed.says("hint: publish this commit with `--builder docker`, as before");
}
