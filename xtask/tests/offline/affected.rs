//! `--affected REF`: which components a change touches, and why.

use crate::support::{Fixture, names, package};

/// `one` uses `lib` and the registry package `used`; `two` uses `lib` and `other`.
fn fixture() -> Fixture {
    let fixture = Fixture::simple(&["one", "two", "lib"]);
    fixture.remove("lib/src/main.rs").write("lib/src/lib.rs", "").append("lib/Cargo.toml", "[features]\nextra = []\n");
    fixture.append("one/Cargo.toml", "[dependencies]\nlib = { path = \"../lib\" }\nused = \"1\"\n");
    fixture.append("two/Cargo.toml", "[dependencies]\nlib = { path = \"../lib\" }\nother = \"1\"\n");
    fixture.vendor("used", "1.0.0").vendor("other", "1.0.0").lock();
    fixture.vendor("used", "1.0.1").vendor("other", "1.0.1").git_init();
    fixture.git(&["branch", "base"]);
    fixture
}

/// `name: reason` of each affected component.
fn affected(fixture: &Fixture) -> Vec<String> {
    let list = fixture.xtask("components --json --affected base").ok().json();
    let reasons = list.as_array().unwrap().iter().map(|component| component["affected"].as_str().unwrap());
    names(&list).iter().zip(reasons).map(|(name, reason)| format!("{name}: {reason}")).collect()
}

const NONE: &[&str] = &[];

#[test]
fn nothing_changed_affects_nothing() {
    let fixture = fixture();
    assert_eq!(affected(&fixture), NONE);
    fixture.xtask("components --affected base").ok().says("no component is affected");
    let nothing =
        fixture.build("--affected base --json").ok().says("nothing to build: no component changed since `base`");
    assert_eq!(nothing.stdout, "[]\n");
    assert!(!fixture.path("target/docker/oci").exists());
}

#[test]
fn a_source_affects_those_that_are_compiled_from_it() {
    let fixture = fixture();
    fixture.append("one/src/main.rs", "// changed\n");
    assert_eq!(affected(&fixture), ["one: one/src/main.rs"], "not committed");
    fixture.commit("changed");
    assert_eq!(affected(&fixture), ["one: one/src/main.rs"]);
    fixture.append("lib/src/lib.rs", "// changed\n").commit("changed");
    assert_eq!(affected(&fixture), ["one: lib/src/lib.rs and 1 more", "two: lib/src/lib.rs"]);
    let table = fixture.xtask("components two --affected base").ok().stdout;
    assert!(table.lines().next().unwrap().ends_with("CHANGED"), "{table}");
    assert!(table.lines().nth(1).unwrap().ends_with("lib/src/lib.rs"), "{table}");
    let list = fixture.build("--affected base --dry-run").ok().says("one: affected (lib/src/lib.rs and 1 more)");
    assert!(list.stdout.contains("image  two for"), "{list:?}");
}

#[test]
fn docs_other_members_and_other_settings_affect_nothing() {
    let fixture = fixture();
    fixture
        .write("README.md", "changed")
        .write("docs/page.md", "changed")
        .write(".github/workflows/ci.yml", "on: push");
    fixture.write("tool/Cargo.toml", &package("tool", "")).write("tool/src/lib.rs", "");
    fixture.replace("Cargo.toml", "\"lib\"", "\"lib\", \"tool\"");
    fixture.append("Cargo.toml", "[workspace.metadata.release]\nx = 1\n");
    fixture.append("Cargo.lock", "\n[[package]]\nname = \"tool\"\nversion = \"0.1.0\"\n").commit("changed");
    assert_eq!(affected(&fixture), NONE);
}

#[test]
fn an_asset_affects_those_that_carry_it() {
    let fixture = fixture();
    fixture.append("two/Cargo.toml", "[package.metadata.docker]\nassets = [{ from = \"web\", to = \"/web\" }]\n");
    fixture.write("web/index.html", "a").commit("an asset");
    assert_eq!(affected(&fixture), ["two: setting `assets./web` and 2 more"]);
    fixture.git(&["branch", "--force", "base"]);
    fixture.write("web/index.html", "b");
    assert_eq!(affected(&fixture), ["two: web/index.html"]);
}

#[test]
fn an_executable_bit_affects_it() {
    let fixture = fixture();
    fixture.script("one/src/main.rs", &fixture.read("one/src/main.rs"));
    assert_eq!(affected(&fixture), ["one: one/src/main.rs"]);
}

#[test]
fn a_manifest_affects_its_own_and_those_above_it() {
    let fixture = fixture();
    fixture.append("two/Cargo.toml", "[package.metadata.docker]\nport = 1\n");
    assert_eq!(affected(&fixture), ["two: setting `port` and 1 more"]);
    fixture.git(&["checkout", "--quiet", "two"]);
    fixture.replace("lib/Cargo.toml", "edition = \"2024\"", "edition = \"2021\"");
    let reasons = affected(&fixture);
    assert_eq!(reasons.len(), 2, "{reasons:?}");
}

#[test]
fn a_feature_that_another_members_manifest_enables_affects_all_users_of_the_package() {
    let fixture = fixture();
    fixture
        .replace("two/Cargo.toml", "path = \"../lib\"", "path = \"../lib\", features = [\"extra\"]")
        .commit("feature");
    // One build of both resolves `extra` for `one` as well.
    let reasons = affected(&fixture);
    assert!(reasons[0].starts_with("one: version, features or use of dependency `lib`"), "{reasons:?}");
    assert!(reasons[1].starts_with("two: "), "{reasons:?}");
}

#[test]
fn a_lock_entry_affects_those_that_use_it() {
    let fixture = fixture();
    fixture.relock("other", "1.0.0", "1.0.1").commit("update");
    let reasons = affected(&fixture);
    assert_eq!(reasons, ["two: lock entry `other` and 4 more"]);
    fixture.relock("used", "1.0.0", "1.0.1").commit("update");
    assert_eq!(affected(&fixture), ["one: lock entry `used` and 4 more", "two: lock entry `other` and 4 more"]);
}

#[test]
fn a_patched_package_affects_those_that_use_it() {
    let fixture = fixture();
    fixture.write("patched/Cargo.toml", &package("used", "").replace("0.1.0", "1.0.2")).write("patched/src/lib.rs", "");
    fixture.append("Cargo.toml", "[patch.crates-io]\nused = { path = \"patched\" }\n").lock().commit("patch");
    assert_eq!(affected(&fixture).len(), 2, "`[patch]` steers every build");
    fixture.git(&["branch", "--force", "base"]);
    fixture.append("patched/src/lib.rs", "// changed\n");
    assert_eq!(affected(&fixture), ["one: patched/src/lib.rs"]);
}

#[test]
fn profile_toolchain_and_cargo_config_affect_all() {
    for (file, text, reason) in [
        ("Cargo.toml", "[profile.release]\nlto = true\n", "`profile` of the root manifest"),
        ("rust-toolchain.toml", "[toolchain]\nprofile = \"minimal\"\n", "rust-toolchain.toml"),
        (".cargo/config.toml", "[build]\nrustflags = []\n", "`build.rustflags` of the cargo configuration"),
    ] {
        let fixture = fixture();
        let old = if fixture.path(file).exists() { fixture.read(file) } else { String::new() };
        fixture.write(file, &(old + text)).commit("changed");
        let reasons = affected(&fixture);
        assert_eq!(reasons.len(), 2, "{file}: {reasons:?}");
        assert!(reasons.iter().all(|found| found.contains(reason)), "{file}: {reasons:?}");
    }
}

#[test]
fn an_inherited_version_affects_those_that_inherit_it() {
    let fixture = fixture();
    fixture.append("Cargo.toml", "[workspace.package]\ndescription = \"a\"\n");
    fixture.replace("one/Cargo.toml", "edition", "description.workspace = true\nedition").commit("inherit");
    fixture.git(&["branch", "--force", "base"]);
    fixture.replace("Cargo.toml", "\"a\"", "\"b\"").commit("changed");
    assert_eq!(affected(&fixture), ["one: manifest of `one`"]);
}

#[test]
fn a_new_component_is_affected_and_so_is_a_renamed_one() {
    let fixture = fixture();
    fixture.write("one/src/bin/worker.rs", "fn main() {}\n").commit("worker");
    let reasons = affected(&fixture);
    assert_eq!(reasons, ["one: one/src/bin/worker.rs", "worker: new"]);
}

#[test]
fn untracked_files_count_and_ignored_ones_do_not() {
    let fixture = fixture();
    fixture.append(".gitignore", "*.log\nscratch/\n").commit("ignore");
    fixture.git(&["branch", "--force", "base"]);
    fixture
        .write("one/debug.log", "x")
        .write("one/scratch/a.rs", "")
        .write("one/target/x", "")
        .write("one/.env", "A=1");
    assert_eq!(affected(&fixture), NONE);
    fixture.write("one/src/new.rs", "");
    assert_eq!(affected(&fixture), ["one: one/src/new.rs"]);
}

#[test]
fn commits_on_the_base_branch_since_are_none_of_ours() {
    let fixture = fixture();
    fixture.git(&["checkout", "--quiet", "base"]);
    fixture.append("two/src/main.rs", "// on base\n").commit("on base");
    fixture.git(&["checkout", "--quiet", "main"]);
    fixture.append("one/src/main.rs", "// here\n").commit("here");
    assert_eq!(affected(&fixture), ["one: one/src/main.rs"]);
}

#[test]
fn it_works_below_the_top_of_the_repository_in_a_worktree_and_with_target_elsewhere() {
    let inner = fixture();
    let outer = Fixture::unlocked(&[("README.md", "")]);
    outer.git(&["init", "--quiet", "--initial-branch=main"]);
    std::fs::remove_dir_all(inner.path(".git")).unwrap();
    std::fs::rename(inner.root(), outer.path("services")).unwrap();
    outer.commit("all");
    outer.git(&["branch", "base"]);
    let worktree = outer.beside("work tree");
    outer.git(&["worktree", "add", "--quiet", "-b", "tree", worktree.to_str().unwrap()]);
    let root = worktree.join("services");
    // A link, as people have it who keep `target` on another disk.
    std::fs::create_dir(outer.beside("disk")).unwrap();
    std::os::unix::fs::symlink(outer.beside("disk"), root.join("target")).unwrap();
    let affected = || {
        let run = outer.xtask("components --json --affected base").within(&root);
        run.ok().json().as_array().unwrap().iter().map(|one| one["affected"].clone()).collect::<Vec<_>>()
    };
    assert!(affected().is_empty(), "{:?}", affected());
    crate::support::write(&root.join("one/src/main.rs"), "fn main() { }\n");
    assert_eq!(affected(), ["one/src/main.rs"]);
}

#[test]
fn the_builder_image_affects_all() {
    let fixture = fixture();
    fixture.append("Cargo.toml", "[workspace.metadata.docker]\nbuilder-image = \"rust:1.89\"\n").commit("a builder");
    assert_eq!(affected(&fixture), ["one: setting `builder-image`", "two: setting `builder-image`"]);
}

#[test]
fn an_unknown_reference_or_no_git_is_an_error() {
    let fixture = fixture();
    fixture
        .xtask("components --affected origin/nowhere")
        .fails()
        .says("error: `origin/nowhere` names no commit\nhint: fetch it first: `git fetch origin origin/nowhere`\n");
    fixture.xtask("components --affected=--all").fails().says("`--all` names no commit");
    std::fs::remove_dir_all(fixture.path(".git")).unwrap();
    fixture
        .xtask("components --affected base")
        .fails()
        .says("error: `--affected base` needs git history, and there is none here\n");
    fixture.xtask("deploy local").fails().says("error: which release? name one with `--release`\n");
}

#[test]
fn no_common_commit_is_an_error_that_says_how_to_get_one() {
    let fixture = fixture();
    fixture.git(&["checkout", "--quiet", "--orphan", "other-history"]);
    fixture.commit("alone");
    fixture
        .xtask("components --affected base")
        .fails()
        .says("have no common commit here")
        .says("git fetch --unshallow");
}

#[test]
fn a_base_that_cannot_be_read_affects_all_with_the_reason() {
    let fixture = fixture();
    let good = fixture.read("Cargo.toml");
    fixture.write("Cargo.toml", "[workspace\n").commit("broken");
    let broken = fixture.head();
    fixture.write("Cargo.toml", &good).commit("mended");
    let list = fixture.xtask(&format!("components --json --affected {broken}")).ok().json();
    assert_eq!(names(&list), ["one", "two"]);
    let reason = list[0]["affected"].as_str().unwrap();
    assert!(reason.starts_with(&format!("cannot tell: the state at {} cannot be read: ", &broken[..7])), "{reason}");
}

#[test]
fn it_leaves_the_repository_and_the_checkout_as_they_are() {
    let fixture = fixture();
    fixture.append("one/src/main.rs", "// staged\n").git(&["add", "one"]);
    fixture.append("two/src/main.rs", "// changed\n");
    let state =
        || (fixture.git(&["status", "--porcelain=v2"]), fixture.git(&["for-each-ref"]), fixture.git(&["diff", "HEAD"]));
    let before = state();
    affected(&fixture);
    assert_eq!(state(), before);
    let left = std::fs::read_dir(fixture.path("target/docker/tmp")).map(|folder| folder.count()).unwrap_or(0);
    assert_eq!(left, 0, "temporary folders are removed");
}
