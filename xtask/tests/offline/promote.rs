//! `promote` as far as no registry is needed.

use serde_json::json;

use crate::support::Fixture;
use crate::support::image::digest;

const RECORD: &str = "artifacts/docker/docker-image-digests.json";

fn fixture() -> Fixture {
    let fixture = Fixture::simple(&["app"]);
    let settings = "[workspace.metadata.docker]\nregistry = \"localhost:1\"\n\
        [workspace.metadata.docker.environments]\nstaging = { registry = \"localhost:2\" }\n\
        production = { registry = \"localhost:3\", repository = \"live/{component}\" }\n";
    fixture.append("Cargo.toml", settings);
    fixture
}

fn record(registry: &str) -> String {
    let digest = digest(b"manifest");
    let repository = format!("{registry}/app");
    json!({"app": {
        "repository": repository,
        "digest": digest,
        "image": format!("{repository}@{digest}"),
        "gitShaTag": format!("{repository}:sha-9c68c4a"),
    }})
    .to_string()
}

#[test]
fn unknown_environments_are_answered_with_the_known_ones() {
    let fixture = fixture();
    fixture.xtask("promote --from local --to stagging").fails().says(
        "error: unknown environment `stagging`; did you mean `staging`?\nhint: environments: local, production, staging;",
    );
    fixture.xtask("promote --from nowhere --to staging").fails().says("unknown environment `nowhere`");
    fixture.xtask("promote --from staging --to staging").fails().says("`--from` and `--to` are both `staging`");
    fixture.xtask("promote --to staging").misused().says("--from <ENV>");
}

#[test]
fn the_record_is_found_and_must_be_of_the_environment() {
    let fixture = fixture();
    fixture
        .xtask("promote --from staging --to production")
        .fails()
        .says("there is no record of what `staging` has")
        .says("artifacts/docker/staging/docker-image-digests.json`\ncaused by: cannot look up `localhost:2/")
        .says("hint: `cargo xtask publish` writes it");
    fixture.write(RECORD, &record("localhost:1"));
    fixture
        .xtask("promote --from staging --to production")
        .fails()
        .says("is in `localhost:1`, and environment `staging` is `localhost:2`")
        .says("name the record of `staging` with `--digests`");
    fixture.xtask("promote other --from local --to staging").fails().says("Unknown service(s) requested: other");
    fixture.write(RECORD, &record("localhost:1").replace("sha-9c68c4a", "sha-9c68c4a@"));
    fixture.xtask("promote --from local --to staging").fails().says("`app` in the digest record is wrong");
}

#[test]
fn settings_of_environments_are_checked() {
    let fixture = fixture();
    fixture.replace("Cargo.toml", "live/{component}", "live");
    fixture
        .xtask("promote --from local --to production")
        .fails()
        .says("`repository` in `[workspace.metadata.docker.environments.production]`")
        .says("lacks `{component}`");
    fixture.replace("Cargo.toml", "repository = \"live\"", "registri = \"live\"");
    fixture.xtask("promote --from local --to production").fails().says("unknown field `registri`");
}
