//! `[workspace.metadata.docker]` and `[package.metadata.docker]`.

use crate::support::Fixture;

fn with_workspace_settings(settings: &str) -> Fixture {
    let fixture = Fixture::simple(&["app"]);
    fixture.append("Cargo.toml", &format!("[workspace.metadata.docker]\n{settings}\n"));
    fixture
}

fn with_package_settings(settings: &str) -> Fixture {
    let fixture = Fixture::simple(&["app"]);
    fixture.append("app/Cargo.toml", &format!("[package.metadata.docker]\n{settings}\n"));
    fixture
}

#[test]
fn an_unknown_key_of_the_workspace_names_itself_the_file_and_the_nearest_key() {
    assert_eq!(
        with_workspace_settings("registri = \"x\"").xtask("components").fails().stderr,
        "error: unknown key `registri` in `[workspace.metadata.docker]` of `Cargo.toml`; did you mean `registry`?\n"
    );
}

#[test]
fn an_unknown_key_of_a_package_names_itself_the_file_and_the_nearest_key() {
    assert_eq!(
        with_package_settings("prot = 3000").xtask("components").fails().stderr,
        "error: unknown key `prot` in `[package.metadata.docker]` of `app/Cargo.toml`; did you mean `port`?\n"
    );
}

#[test]
fn a_key_that_resembles_none_gets_them_all_listed() {
    with_package_settings("xyz = 1")
        .xtask("components")
        .fails()
        .says("valid keys: port, assets, inputs, env, build-packages, max-size");
}

#[test]
fn wrong_values_of_the_workspace_name_their_key_and_file() {
    for (setting, expected) in [
        ("linkage = \"static\"", "`linkage` in `[workspace.metadata.docker]` of `Cargo.toml` is wrong"),
        ("features = \"a\"", "`features` in `[workspace.metadata.docker]` of `Cargo.toml` is wrong"),
        ("platforms = [\"amd64\"]", "`amd64` is not a platform, write it like `linux/amd64`"),
        ("platforms = []", "`platforms` in `[workspace.metadata.docker]` of `Cargo.toml` is empty"),
        ("platforms = [\"windows/amd64\"]", "platform `windows/amd64` is not supported"),
        ("repository = \"demon\"", "lacks `{component}`, so all components would share one repository"),
        ("repository = \"{component}:{tag}\"", "`{tag}` in `repository`"),
        ("builder-image = 7", "`builder-image` in `[workspace.metadata.docker]` of `Cargo.toml` is wrong"),
    ] {
        with_workspace_settings(setting).xtask("components").fails().says(expected);
    }
}

#[test]
fn wrong_values_of_a_package_name_their_key_and_file() {
    for (setting, expected) in [
        ("port = 70000", "`port` in `[package.metadata.docker]` of `app/Cargo.toml` is wrong"),
        ("port = \"http\"", "`port` in `[package.metadata.docker]` of `app/Cargo.toml` is wrong"),
        ("max-size = \"big\"", "is no size; write for example `20 MiB`"),
        ("max-size = \"20 MiBi\"", "is no size; write for example `20 MiB`"),
        ("max-size = -1", "is no size; write for example `20 MiB`"),
        ("env = { \"A B\" = \"x\" }", "`A B` in `env`"),
        ("env = { A = 1 }", "`env` in `[package.metadata.docker]` of `app/Cargo.toml` is wrong"),
        ("build-packages = [\"a; rm\"]", "`a; rm` in `build-packages`"),
        ("assets = [{ from = \"a\" }]", "`assets` in `[package.metadata.docker]` of `app/Cargo.toml` is wrong"),
        ("assets = [{ from = \"a\", to = \"b\" }]", "asset `to = \"b\"`"),
        ("assets = [{ from = \"a\", to = \"/b/../c\" }]", "is no absolute path in the image"),
        ("assets = [{ from = \"a\", too = \"/b\" }]", "unknown key `too`"),
    ] {
        with_package_settings(setting).xtask("components").fails().says(expected);
    }
}

#[test]
fn sizes_have_units_of_both_kinds_or_none() {
    for size in ["\"20 MiB\"", "\"1.5 GB\"", "\"300 KB\"", "\"3kB\"", "\"300000\"", "300000", "\"7 B\""] {
        with_package_settings(&format!("max-size = {size}")).xtask("components").ok();
    }
}

#[test]
fn metadata_that_is_no_table_is_an_error() {
    let fixture = Fixture::simple(&["app"]);
    fixture.append("Cargo.toml", "[workspace.metadata]\ndocker = true\n");
    fixture.xtask("components").fails().says("`[workspace.metadata.docker]` in `Cargo.toml` is no table");
}

#[test]
fn settings_of_other_tools_are_none_of_ours() {
    let fixture = Fixture::simple(&["app"]);
    fixture.append("Cargo.toml", "[workspace.metadata.release]\nregistri = 1\n");
    fixture.append("app/Cargo.toml", "[package.metadata.deb]\nprot = 1\n");
    assert_eq!(fixture.components(), ["app"]);
}

#[test]
fn the_image_is_named_by_registry_and_template() {
    let image = |fixture: &Fixture, owner: &str| {
        let run = fixture.xtask("components --json").env("GITHUB_REPOSITORY", owner);
        run.ok().json()[0]["image"].as_str().unwrap().to_owned()
    };
    let fixture = with_workspace_settings("registry = \"ghcr.io\"\nrepository = \"{owner}/demon-{component}\"");
    assert_eq!(image(&fixture, "Acme/Demon"), "ghcr.io/acme/demon-app");
    assert_eq!(image(&fixture, ""), "ghcr.io/demon-app");
    assert_eq!(image(&fixture, "nonsense"), "ghcr.io/demon-app");
    // Without settings the owner is left out too.
    assert_eq!(image(&Fixture::simple(&["app"]), "Acme/Demon"), "localhost:5000/acme/app");
    assert_eq!(image(&Fixture::simple(&["app"]), ""), "localhost:5000/app");
}

#[test]
fn the_port_shows() {
    let fixture = with_package_settings("port = 3000");
    assert_eq!(fixture.xtask("components --json").ok().json()[0]["port"], 3000);
    let table = fixture.xtask("components").ok().stdout;
    assert_eq!(
        table,
        "COMPONENT  CRATE  VERSION  PORT  IMAGE               CLOSURE\n\
         app        app    0.1.0    3000  localhost:5000/app  app\n"
    );
}
