//! Assets that no image can have are refused before anything is compiled.

use crate::support::{Fixture, own_platform};

/// A component with these `assets`, as TOML, and files to take them from.
fn with_assets(assets: &str) -> Fixture {
    let fixture = Fixture::simple(&["app"]);
    fixture.write_all(&[("web/x", ""), ("web/deep/y", ""), ("one", "1"), ("gone/.wh.x", "")]);
    fixture.append("app/Cargo.toml", &format!("[package.metadata.docker]\nassets = [{assets}]\n"));
    fixture
}

#[track_caller]
fn refused(assets: &str, why: &str, mend: &str) {
    let fixture = with_assets(assets);
    for command in ["docker-build --builder native", "docker-build --builder native --dry-run", "dockerfiles"] {
        let run = fixture.xtask(command).env("CI_IMAGE_PLATFORM", own_platform());
        let output = run.fails().says("in `[package.metadata.docker]` of `app/Cargo.toml`").says(why);
        let last = output.stderr.trim_end().lines().last().unwrap_or_default();
        assert!(last.contains(mend), "{command}: {last}");
    }
    assert!(!fixture.path("target").join("docker/build").exists(), "nothing was compiled");
    assert!(!fixture.path("app/Dockerfile").exists());
}

#[test]
fn a_file_where_another_asset_needs_a_folder() {
    let assets = r#"{ from = "one", to = "/a" }, { from = "web", to = "/a/b" }"#;
    refused(assets, "has `/a/b/deep/y` below `/a`, which is of asset `{ from = \"one\"", "another place with `to`");
    let assets = r#"{ from = "web", to = "/a" }, { from = "one", to = "/a/deep" }"#;
    refused(assets, "makes `/a/deep` a file, where `/a/deep/y`, of asset", "another place with `to`");
    let assets = r#"{ from = "web", to = "/a" }, { from = "one", to = "/a/x" }"#;
    refused(assets, "has `/a/x`, which is of asset `{ from = \"web\", to = \"/a\" }`", "another place with `to`");
}

#[test]
fn a_whiteout() {
    refused(r#"{ from = "one", to = "/srv/.wh.etc" }"#, "has `/srv/.wh.etc`", "rename `.wh.etc`");
    refused(r#"{ from = "gone", to = "/srv" }"#, "has `/srv/.wh.x`", "rename `.wh.x`");
}

#[test]
fn a_file_over_what_every_image_has() {
    for to in ["/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/passwd/x"] {
        let assets = format!("{{ from = \"one\", to = \"{to}\" }}");
        refused(&assets, "which is in every image on `scratch`", "or build on a `runtime-image`");
    }
    let bundle = r#"{ from = "one", to = "/etc/ssl/certs/ca-certificates.crt" }"#;
    refused(bundle, "which is in every image on `scratch`", "SSL_CERT_FILE");
    refused(r#"{ from = "one", to = "/etc/ssl" }"#, "needs a folder", "SSL_CERT_FILE");
    refused(r#"{ from = "one", to = "/tmp" }"#, "which is a folder in every image on `scratch`", "another place");
    for to in ["/usr/local/bin/app", "/usr/local/bin", "/usr"] {
        let assets = format!("{{ from = \"one\", to = \"{to}\" }}");
        refused(&assets, "the component's program", "another place with `to`");
    }
}

#[test]
fn the_root_itself() {
    for from in ["one", "web"] {
        let assets = format!("{{ from = \"{from}\", to = \"/\" }}");
        refused(&assets, "would be the image's root itself", "such as `to = \"/app\"`");
    }
}

#[test]
fn an_asset_in_a_root_folder_leaves_the_folder_as_it_is() {
    let fixture = with_assets(r#"{ from = "one", to = "/tmp/one" }, { from = "web", to = "/home/nonroot/web" }"#);
    fixture.build("").ok();
    let image = fixture.image("app");
    assert_eq!((image.file("tmp").mode, image.file("tmp").owner), (0o1777, (0, 0)));
    assert_eq!(image.file("home/nonroot").owner, (65532, 65532));
    assert_eq!(image.file("home/nonroot/web/x").owner, (0, 0));
}
