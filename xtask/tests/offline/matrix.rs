//! `matrix`: what a workflow's `strategy.matrix` takes.

use serde_json::json;

use crate::support::Fixture;

#[test]
fn one_line_of_json_with_a_job_per_platform() {
    let fixture = Fixture::simple(&["app"]);
    let job = |slug: &str, platform: &str, runner: &str| json!({"platform": platform, "runner": runner, "slug": slug});
    let amd = job("linux-amd64", "linux/amd64", "ubuntu-24.04");
    let printed = fixture.xtask("matrix").ok();
    assert_eq!(printed.json(), json!({"include": [amd.clone()]}));
    assert_eq!(printed.stdout.lines().count(), 1, "`GITHUB_OUTPUT` takes lines");
    fixture.write("outputs", "other=1\n");
    let step = fixture.xtask("matrix").env("GITHUB_OUTPUT", fixture.path("outputs").to_str().unwrap()).ok();
    assert_eq!(fixture.read("outputs"), format!("other=1\nmatrix={}", step.stdout));

    fixture.append(
        "Cargo.toml",
        "[workspace.metadata.docker]\nplatforms = [\"linux/amd64\", \"linux/arm64\"]\n\
         runners = { \"linux/s390x\" = \"our-mainframe\" }\n",
    );
    let arm = job("linux-arm64", "linux/arm64", "ubuntu-24.04-arm");
    assert_eq!(fixture.xtask("matrix").ok().json(), json!({"include": [amd.clone(), arm.clone()]}));
    // The variable over the settings, the flag over the variable.
    let ci = |arguments: &str, variable: &str| fixture.xtask(arguments).env("CI_IMAGE_PLATFORM", variable);
    assert_eq!(ci("matrix", "linux/arm64").ok().json(), json!({"include": [arm]}));
    assert_eq!(ci("matrix", "").ok().json()["include"].as_array().unwrap().len(), 2);
    let own = job("linux-s390x", "linux/s390x", "our-mainframe");
    assert_eq!(ci("matrix --platform linux/s390x", "linux/arm64").ok().json(), json!({"include": [own]}));
    fixture
        .xtask("matrix --platform linux/amd64,linux/riscv64")
        .fails()
        .says("no runner is known for `linux/riscv64`")
        .says("runners = { \"linux/riscv64\" = \"LABEL\" }");
}
