//! `components`: which binaries become images.

use crate::support::{Fixture, names, package, root_manifest};

const MAIN: &str = "fn main() {}\n";

#[test]
fn every_binary_of_every_member_is_a_component_named_after_the_binary() {
    let fixture = Fixture::new(&[
        ("Cargo.toml", &root_manifest(&["crates/*"], "")),
        ("crates/one/Cargo.toml", &package("one", "[[bin]]\nname = \"tool\"\npath = \"src/tool.rs\"\n")),
        ("crates/one/src/main.rs", MAIN),
        ("crates/one/src/tool.rs", MAIN),
        ("crates/one/src/bin/helper.rs", MAIN),
        ("crates/one/src/bin/folder/main.rs", MAIN),
        ("crates/one/examples/example.rs", MAIN),
        ("crates/one/tests/test.rs", ""),
        ("crates/lib/Cargo.toml", &package("lib", "")),
        ("crates/lib/src/lib.rs", ""),
    ]);
    let list = fixture.xtask("components --json").ok().json();
    assert_eq!(names(&list), ["folder", "helper", "one", "tool"]);
    for component in list.as_array().unwrap() {
        assert_eq!(component["crate"], "one");
        assert_eq!(component["folder"], "crates/one");
        assert_eq!(component["version"], "0.1.0");
        assert_eq!(component["closure"], serde_json::json!(["crates/one"]));
        assert_eq!(component["port"], serde_json::Value::Null);
    }
    assert_eq!(list[1]["image"], "localhost:5000/helper");
}

#[test]
fn a_binary_may_be_called_otherwise_than_its_package() {
    let fixture = Fixture::new(&[
        ("Cargo.toml", &root_manifest(&["a"], "")),
        ("a/Cargo.toml", &package("pack-age", "[[bin]]\nname = \"bi_na-ry\"\npath = \"src/main.rs\"\n")),
        ("a/src/main.rs", MAIN),
    ]);
    let list = fixture.xtask("components --json").ok().json();
    assert_eq!(names(&list), ["bi_na-ry"]);
    assert_eq!(list[0]["crate"], "pack-age");
    assert_eq!(list[0]["image"], "localhost:5000/bi_na-ry");
}

#[test]
fn a_root_package_and_members_nested_in_each_other_each_have_their_own_folder() {
    let fixture = Fixture::new(&[
        ("Cargo.toml", &(package("top", "") + &root_manifest(&["svc", "svc/plugin"], ""))),
        ("src/main.rs", MAIN),
        ("svc/Cargo.toml", &package("svc", "")),
        ("svc/src/main.rs", MAIN),
        ("svc/plugin/Cargo.toml", &package("plugin", "")),
        ("svc/plugin/src/main.rs", MAIN),
    ]);
    let list = fixture.xtask("components --json").ok().json();
    assert_eq!(names(&list), ["plugin", "svc", "top"]);
    let folders: Vec<_> = list.as_array().unwrap().iter().map(|component| component["folder"].clone()).collect();
    assert_eq!(folders, ["svc/plugin", "svc", ""]);
    for component in list.as_array().unwrap() {
        assert_eq!(component["closure"], serde_json::json!([component["folder"]]));
    }
    let table = fixture.xtask("components").ok().stdout;
    assert!(table.lines().any(|line| line.starts_with("top ") && line.ends_with(" .")), "{table}");
}

#[test]
fn a_single_package_without_a_workspace_table_is_a_workspace_too() {
    let fixture = Fixture::new(&[("Cargo.toml", &package("alone", "")), ("src/main.rs", MAIN)]);
    assert_eq!(fixture.components(), ["alone"]);
}

#[test]
fn required_features_are_enabled_by_the_settings_only() {
    let bins = "[features]\nextra = []\n\
        [[bin]]\nname = \"always\"\npath = \"src/main.rs\"\n\
        [[bin]]\nname = \"sometimes\"\npath = \"src/main.rs\"\nrequired-features = [\"extra\"]\n";
    let fixture = Fixture::new(&[
        ("Cargo.toml", &root_manifest(&["a", "b"], "")),
        ("a/Cargo.toml", &package("a", bins)),
        ("a/src/main.rs", MAIN),
        ("b/Cargo.toml", &package("b", "")),
        ("b/src/main.rs", MAIN),
    ]);
    assert_eq!(fixture.components(), ["always", "b"]);
    fixture.append("Cargo.toml", "[workspace.metadata.docker]\nfeatures = [\"a/extra\"]\n");
    assert_eq!(fixture.components(), ["always", "b", "sometimes"]);
    // A default feature counts as enabled.
    fixture.replace("Cargo.toml", "features = [\"a/extra\"]", "");
    fixture.replace("a/Cargo.toml", "extra = []", "extra = []\ndefault = [\"extra\"]");
    assert_eq!(fixture.components(), ["always", "b", "sometimes"]);
}

#[test]
fn a_feature_that_the_settings_name_and_no_package_has_is_an_error() {
    let fixture = Fixture::simple(&["a"]);
    fixture.append("Cargo.toml", "[workspace.metadata.docker]\nfeatures = [\"a/missing\"]\n");
    fixture.xtask("components").fails().says("missing");
}

#[test]
fn excluded_binaries_and_the_xtask_itself_are_no_components() {
    let fixture = Fixture::simple(&["one", "two", "xtask"]);
    assert_eq!(fixture.components(), ["one", "two"]);
    fixture.append("Cargo.toml", "[workspace.metadata.docker]\nexclude = [\"one\"]\n");
    assert_eq!(fixture.components(), ["two"]);
    let fixture = Fixture::simple(&["xtask"]);
    fixture.xtask("components").ok().says("no component here");
    assert_eq!(fixture.xtask("components --json").ok().stdout, "[]\n");
}

#[test]
fn excluding_one_binary_of_a_package_keeps_the_others() {
    let fixture = Fixture::simple(&["one"]);
    fixture.write("one/src/bin/dev.rs", MAIN);
    fixture.append("Cargo.toml", "[workspace.metadata.docker]\nexclude = [\"dev\"]\n");
    assert_eq!(fixture.components(), ["one"]);
}

#[test]
fn two_binaries_of_one_name_are_an_error_that_names_both() {
    let fixture = Fixture::simple(&["one", "two"]);
    fixture.write("one/src/bin/server.rs", MAIN).write("two/src/bin/server.rs", MAIN);
    let error = "error: two binaries have the same name: `server` of package `one` and `server` of package `two`; \
                 rename one, or list it as `\"two/server\"` in `exclude` of `[workspace.metadata.docker]`\n";
    assert_eq!(fixture.xtask("components").fails().stderr, error);
}

#[test]
fn a_binary_that_is_built_together_with_another_of_its_name_is_an_error() {
    // Cargo would compile both into one file, and the later one would win.
    let expected = "error: `server` of package `one` cannot be told from `server` of package `two`, which is built \
                    with it\nhint: rename one, or list `\"two/*\"` in `exclude` of `[workspace.metadata.docker]`\n";
    let fixture = Fixture::simple(&["one", "two"]);
    fixture.write("one/src/bin/server.rs", MAIN).write("two/src/bin/server.rs", MAIN);
    fixture.append("Cargo.toml", "[workspace.metadata.docker]\nexclude = [\"two/server\"]\n");
    assert_eq!(fixture.xtask("components").fails().stderr, expected);
    fixture.replace("Cargo.toml", "two/server", "two/*");
    assert_eq!(fixture.components(), ["one", "server"]);
    // One that its features keep from being a component is asked for by `--bin` all the same.
    let fixture = Fixture::simple(&["one", "two"]);
    fixture.write("one/src/bin/server.rs", MAIN).write("two/src/bin/server.rs", MAIN);
    let bin = "[features]\nextra = []\n[[bin]]\nname = \"server\"\nrequired-features = [\"extra\"]\n";
    fixture.append("two/Cargo.toml", bin);
    assert_eq!(fixture.xtask("components").fails().stderr, expected);
}

#[test]
fn an_exclude_that_means_nothing_is_an_error() {
    let fixture = Fixture::simple(&["one", "two"]);
    fixture.append("Cargo.toml", "[workspace.metadata.docker]\nexclude = [\"on\"]\n");
    let error = "error: `on` in `exclude` in `[workspace.metadata.docker]` of `Cargo.toml` is no binary of this \
                 workspace; did you mean `one`?\n";
    assert_eq!(fixture.xtask("components").fails().stderr, error);
}

#[test]
fn two_binaries_that_differ_only_in_case_are_an_error_that_names_both() {
    let fixture = Fixture::simple(&["one", "two"]);
    fixture.write("one/src/bin/Server.rs", MAIN).write("two/src/bin/server.rs", MAIN);
    fixture.xtask("components").fails().says(
        "two binaries have names that differ only in case: `Server` of package `one` and `server` of package `two`;",
    );
    // Excluded ones do not collide.
    fixture.append("Cargo.toml", "[workspace.metadata.docker]\nexclude = [\"Server\"]\n");
    assert_eq!(fixture.components(), ["one", "server", "two"]);
}

#[test]
fn it_works_from_any_folder_of_the_workspace_and_on_another_one() {
    let fixture = Fixture::simple(&["one", "two"]);
    let from_root = fixture.xtask("components --json").ok().stdout;
    assert_eq!(fixture.xtask("components --json").within(fixture.path("two/src")).ok().stdout, from_root);
    let elsewhere = Fixture::simple(&["other"]);
    for manifest in ["Cargo.toml", "one/Cargo.toml"] {
        let run = elsewhere.xtask("components --json --manifest-path").arg(fixture.path(manifest));
        assert_eq!(run.ok().stdout, from_root);
    }
    // Relative to the current folder, as cargo has it.
    let relative = fixture.xtask("components --json --manifest-path ../one/Cargo.toml").within(fixture.path("two"));
    assert_eq!(relative.ok().stdout, from_root);
}

#[test]
fn a_workspace_behind_a_symbolic_link_is_the_same() {
    let fixture = Fixture::simple(&["one", "two"]);
    let expected = fixture.xtask("components --json").ok().stdout;
    let link = fixture.beside("link");
    std::os::unix::fs::symlink(fixture.root(), &link).unwrap();
    let elsewhere = Fixture::unlocked(&[]);
    for manifest in ["Cargo.toml", "one/Cargo.toml"] {
        let run = elsewhere.xtask("components --json --manifest-path").arg(link.join(manifest));
        assert_eq!(run.ok().stdout, expected);
    }
    assert_eq!(fixture.xtask("components --json").within(link.join("two")).ok().stdout, expected);
}

#[test]
fn folders_with_spaces_are_fine() {
    let fixture = Fixture::new(&[
        ("Cargo.toml", &root_manifest(&["my crates/first one"], "")),
        ("my crates/first one/Cargo.toml", &package("one", "")),
        ("my crates/first one/src/main.rs", MAIN),
    ]);
    let list = fixture.xtask("components --json").ok().json();
    assert_eq!(list[0]["closure"], serde_json::json!(["my crates/first one"]));
}

#[test]
fn a_single_package_is_built_for_itself_whatever_lies_around_it() {
    let fixture = Fixture::unlocked(&[
        ("Cargo.toml", &package("single", "[dependencies]\npart = { path = \"part\" }\n[[bench]]\nname = \"speed\"\n")),
        ("src/main.rs", "fn main() { part::it() }\n"),
        ("benches/speed.rs", "fn main() {}\n"),
        ("tests/it.rs", ""),
        // A workspace of its own, which the package is no member of.
        ("part/Cargo.toml", &(package("part", "") + "[workspace]\n")),
        ("part/src/lib.rs", "pub fn it() {}\n"),
    ]);
    fixture.lock().git_init();
    fixture.build("").ok();
    assert_eq!(fixture.image("single").file("usr/local/bin/single").mode, 0o755);
}
