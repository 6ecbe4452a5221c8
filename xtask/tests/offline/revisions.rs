//! Which commits change an image, and what it says of its commit.

use crate::support::{FIRST_COMMIT, Fixture, package};

/// `one` uses `used`, `two` uses nothing; `used` and `unused` are registry packages.
fn fixture() -> Fixture {
    let fixture = Fixture::simple(&["one", "two", "lib"]);
    fixture.remove("lib/src/main.rs").write("lib/src/lib.rs", "");
    fixture.append("one/Cargo.toml", "[dependencies]\nlib = { path = \"../lib\" }\nused = \"1\"\n");
    fixture.append("two/Cargo.toml", "[dependencies]\nother = \"1\"\n");
    fixture.vendor("used", "1.0.0").vendor("other", "1.0.0").lock();
    fixture.vendor("used", "1.0.1").vendor("other", "1.0.1").git_init();
    fixture
}

/// Digest and revision of `one`.
fn built(fixture: &Fixture) -> (String, String) {
    fixture.build("one").ok();
    let image = fixture.image("one");
    let revision = image.revision().to_owned();
    (image.digest, revision)
}

#[test]
fn a_commit_elsewhere_leaves_the_digest() {
    let fixture = fixture();
    let first = built(&fixture);
    assert_eq!(first.1, fixture.head());
    fixture.append("two/src/main.rs", "// changed\n").commit("another component");
    assert_eq!(built(&fixture), first);
    fixture.write("docs/page.md", "text").write("README.md", "text").commit("docs");
    assert_eq!(built(&fixture), first);
    fixture.relock("other", "1.0.0", "1.0.1");
    fixture.commit("a lock entry of another component");
    assert_eq!(built(&fixture), first);
    fixture.xtask("dockerfiles").ok();
    fixture.commit("the generated files");
    assert_eq!(built(&fixture), first);
    fixture.append("Cargo.toml", "[workspace.metadata.release]\nx = 1\n").commit("another tool's settings");
    assert_eq!(built(&fixture), first);
    fixture.write("new/Cargo.toml", &package("new", "")).write("new/src/main.rs", "fn main() {}\n");
    fixture.replace("Cargo.toml", "\"lib\"", "\"lib\", \"new\"");
    fixture.append("Cargo.lock", "\n[[package]]\nname = \"new\"\nversion = \"0.1.0\"\n").commit("a new component");
    assert_eq!(built(&fixture), first);
}

#[test]
fn a_commit_to_an_input_is_the_new_revision() {
    let fixture = fixture();
    let mut last = built(&fixture);
    let mut is_new = |what: &str| {
        let head = fixture.commit(what);
        let now = built(&fixture);
        assert_eq!(now.1, head, "{what}");
        assert_ne!(now.0, last.0, "{what}");
        last = now;
    };
    fixture.append("one/src/main.rs", "// changed\n");
    is_new("its source");
    fixture.append("lib/src/lib.rs", "// changed\n");
    is_new("a member it uses");
    fixture.relock("used", "1.0.0", "1.0.1");
    is_new("a lock entry it uses");
    fixture.append("Cargo.toml", "[profile.release]\npanic = \"abort\"\n");
    is_new("the root profile");
    fixture.append("one/Cargo.toml", "[package.metadata.docker]\nport = 1\n");
    is_new("its settings");
}

#[test]
fn later_commits_elsewhere_keep_the_revision_and_the_times() {
    let fixture = fixture();
    fixture.append("one/src/main.rs", "// changed\n");
    let commit = fixture.commit("its source");
    fixture.append("two/src/main.rs", "// changed\n").commit("another component");
    fixture.build("").ok();
    let (one, two) = (fixture.image("one"), fixture.image("two"));
    assert_eq!(one.revision(), commit);
    assert_eq!(two.revision(), fixture.head());
    let executable =
        |image: &crate::support::image::Image, name: &str| image.file(&format!("usr/local/bin/{name}")).time;
    assert_eq!(executable(&one, "one"), FIRST_COMMIT as u64 + 60);
    assert_eq!(executable(&two, "two"), FIRST_COMMIT as u64 + 120);
}

#[test]
fn changes_that_are_not_committed_are_marked() {
    let fixture = fixture();
    let head = fixture.head();
    fixture.append("two/src/main.rs", "// changed\n");
    assert_eq!(built(&fixture).1, head, "a change elsewhere is none of its business");
    fixture.append("one/src/main.rs", "// changed\n");
    assert_eq!(built(&fixture).1, format!("{head}-dirty"));
    fixture.git(&["checkout", "--quiet", "one"]);
    assert_eq!(built(&fixture).1, head);
    fixture.write("one/src/new.rs", "");
    assert_eq!(built(&fixture).1, format!("{head}-dirty"), "an untracked file");
}

#[test]
fn without_git_the_revision_is_unknown_and_a_warning_says_so() {
    let fixture = Fixture::simple(&["one"]);
    fixture.build("").ok().says("warning: no git history here: images say revision `unknown`");
    let image = fixture.image("one");
    assert_eq!(image.revision(), "unknown");
    assert_eq!(image.config["created"], "1970-01-01T00:00:00Z");
    // A repository without a commit has no history either.
    fixture.git(&["init", "--quiet"]);
    fixture.build("").ok().says("warning: no git history here");
}

#[test]
fn the_language_of_git_does_not_matter() {
    let fixture = Fixture::simple(&["one"]);
    fixture.build("").env("LC_ALL", "de_DE.UTF-8").env("LANGUAGE", "de").ok().says("no git history here");
}

#[test]
fn a_shallow_clone_says_heads_revision_and_a_warning() {
    let fixture = fixture();
    fixture.write("README.md", "text").commit("docs");
    let clone = Fixture::unlocked(&[]);
    let url = format!("file://{}", fixture.root().display());
    clone.git(&["clone", "--quiet", "--depth", "1", &url, "."]);
    clone.build("one").ok().says("warning: this clone is shallow, so images say HEAD's revision");
    assert_eq!(clone.image("one").revision(), fixture.head());
}

#[test]
fn what_we_write_ourselves_is_no_input_of_a_root_package() {
    let fixture = Fixture::new(&[("Cargo.toml", &package("one", "")), ("src/main.rs", "fn main() {}\n")]);
    fixture.git_init();
    let first = built(&fixture);
    fixture.xtask("dockerfiles").ok();
    fixture.write("artifacts/docker/docker-image-digests.json", "{}").commit("record");
    assert_eq!(built(&fixture), first);
    fixture.write("artifacts/docker/docker-image-digests.json", "{ }");
    assert_eq!(built(&fixture), first, "not even when it is not committed");
}

#[test]
fn gits_own_settings_do_not_matter() {
    let fixture = fixture();
    let head = fixture.head();
    for setting in
        ["log.showSignature true", "color.ui always", "log.decorate full", "status.short true", "log.follow true"]
    {
        let (name, value) = setting.split_once(' ').unwrap();
        fixture.git(&["config", name, value]);
    }
    fixture.build("one").ok().says_nothing_of("warning");
    assert_eq!(fixture.image("one").revision(), head);
    assert!(fixture.xtask("components --json --affected HEAD").ok().json().as_array().unwrap().is_empty());
}

#[test]
fn source_date_epoch_sets_all_times() {
    let fixture = fixture();
    fixture.build("one").env("SOURCE_DATE_EPOCH", "86400").ok();
    let image = fixture.image("one");
    assert_eq!(image.config["created"], "1970-01-02T00:00:00Z");
    assert_eq!(image.env("BUILD_DATE"), Some("1970-01-02T00:00:00Z"));
    assert_eq!(image.revision(), fixture.head());
    assert!(image.files.values().all(|file| file.time == 86400));
    let wrong = fixture.build("one").env("SOURCE_DATE_EPOCH", "today").fails();
    wrong.says("SOURCE_DATE_EPOCH `today` is no number of seconds");
}

#[test]
fn a_workspace_below_the_top_of_its_repository_works() {
    let outer = Fixture::unlocked(&[("README.md", "")]);
    let inner = fixture();
    outer.git(&["init", "--quiet", "--initial-branch=main"]);
    std::fs::remove_dir_all(inner.path(".git")).unwrap();
    std::fs::rename(inner.root(), outer.path("services")).unwrap();
    let first = outer.commit("all");
    outer.write("README.md", "changed").commit("docs");
    let root = outer.path("services");
    let report = outer.build("one --json").within(&root).ok().json();
    assert_eq!(report[0]["revision"], first);
    outer.write("services/one/src/main.rs", "fn main() {}\n");
    let report = outer.build("one --json").within(&root).ok().json();
    assert_eq!(report[0]["revision"], format!("{first}-dirty"));
}
