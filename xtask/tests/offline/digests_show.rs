//! `digests show`: the record in each of its forms.

use serde_json::{Value, json};

use crate::support::Fixture;

const RECORD: &str = "artifacts/docker/docker-image-digests.json";

fn sha(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

/// An entry of the record, its image's digest made of one digit.
fn entry(component: &str, digit: char, platforms: &[(&str, u64)]) -> Value {
    let repository = format!("ghcr.io/acme/demon-{component}");
    let platforms: Value = platforms
        .iter()
        .map(|(name, size)| ((*name).to_owned(), json!({"digest": sha(digit), "config": sha('c'), "size": size})))
        .collect::<serde_json::Map<_, _>>()
        .into();
    json!({
        "repository": repository,
        "digest": sha(digit),
        "image": format!("{repository}@{}", sha(digit)),
        "gitShaTag": format!("{repository}:sha-9c68c4a"),
        "tags": ["sha-9c68c4a", "main"],
        "platforms": platforms,
    })
}

fn fixture() -> Fixture {
    let fixture = Fixture::simple(&["engine", "operate-ui"]);
    let both = [("linux/amd64", 2_318_664), ("linux/arm64", 2_200_000)];
    let record = json!({"engine": entry("engine", 'a', &both), "operate-ui": entry("operate-ui", 'b', &both[..1])});
    fixture.write(RECORD, &record.to_string());
    fixture
}

#[test]
fn the_table_and_the_choice_of_components() {
    let fixture = fixture();
    let all = fixture.xtask("digests show").ok().stdout;
    let lines: Vec<_> = all.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let image = format!("ghcr.io/acme/demon-engine@{}", sha('a'));
    assert_eq!(lines[0], "COMPONENT TAG PLATFORMS SIZE IMAGE");
    assert_eq!(lines[1], format!("engine sha-9c68c4a linux/amd64, linux/arm64 2.2 MiB, 2.1 MiB {image}"));
    assert_eq!(lines.len(), 3);
    // From any folder, and of another file; names are the record's, whatever the workspace has.
    let one = fixture.xtask("digests show operate-ui").within(fixture.path("engine/src")).ok().stdout;
    assert_eq!(one.lines().count(), 2);
    fixture
        .xtask("digests show operate_ui")
        .fails()
        .says("Unknown service(s) requested: operate_ui; did you mean `operate-ui`?")
        .says("engine, operate-ui");
    fixture.write("other.json", &json!({"gone": entry("gone", 'd', &[])}).to_string());
    let other = fixture.xtask("digests show --digests other.json").ok().stdout;
    assert!(other.contains("gone") && !other.contains("engine"), "{other}");
}

#[test]
fn json_is_the_record_and_env_lines_are_the_shells() {
    let fixture = fixture();
    let json = fixture.xtask("digests show engine --json").ok().json();
    assert_eq!(json, json!({"engine": serde_json::from_str::<Value>(&fixture.read(RECORD)).unwrap()["engine"]}));
    let env = fixture.xtask("digests show --env").ok().stdout;
    let line =
        |name: &str, component: &str, digit| format!("{name}_IMAGE=ghcr.io/acme/demon-{component}@{}\n", sha(digit));
    assert_eq!(env, line("ENGINE", "engine", 'a') + &line("OPERATE_UI", "operate-ui", 'b'));
    // A shell reads it, as compose does.
    fixture.write("images.env", &env);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", ". ./images.env; echo \"$OPERATE_UI_IMAGE\""]).current_dir(fixture.root());
    let printed = String::from_utf8(shell.output().unwrap().stdout).unwrap();
    assert_eq!(printed.trim(), format!("ghcr.io/acme/demon-operate-ui@{}", sha('b')));
    // Two components, one variable.
    let twins = json!({"a-b": entry("a", 'a', &[]), "a_b": entry("b", 'b', &[])});
    fixture.write(RECORD, &twins.to_string());
    fixture.xtask("digests show --env").fails().says("`a-b` and `a_b` would both be `A_B_IMAGE`");
    fixture.xtask("digests show --env --json").misused();
}

#[test]
fn lines_for_terraform_have_the_names_that_it_wants() {
    let fixture = fixture();
    let show = |arguments: &str| fixture.xtask(&format!("digests show engine {arguments}")).ok().stdout;
    let image = format!("ghcr.io/acme/demon-engine@{}", sha('a'));
    assert_eq!(show("--tfvars"), format!("engine_image = \"{image}\"\n"));
    assert_eq!(show("--tfvars --name glass_{component}_tag --value tag"), "glass_engine_tag = \"sha-9c68c4a\"\n");
    assert_eq!(show("--env --name {COMPONENT}_DIGEST --value digest"), format!("ENGINE_DIGEST={}\n", sha('a')));
    let show = |arguments: &str| fixture.xtask(&format!("digests show {arguments}"));
    show("--tfvars --name tag").fails().says("would both be `tag`").says("hint: show one at a time");
    show("--env --name a-b").fails().says("no name of a variable");
    show("--env --tfvars").misused();
    // Names of nothing.
    show("--name tag").misused().says("--env");
    show("--value tag --json").misused();
}

#[test]
fn markdown_for_a_deployment_issue() {
    let fixture = fixture();
    let text = fixture.xtask("digests show operate-ui --markdown").ok().stdout;
    let image = format!("ghcr.io/acme/demon-operate-ui@{}", sha('b'));
    let expected = format!(
        "| component | tag | platforms | size | image |\n|---|---|---|---|---|\n\
         | operate-ui | `sha-9c68c4a` | linux/amd64 | 2.2 MiB | `{image}` |\n\n```sh\ndocker pull {image}\n```\n"
    );
    assert_eq!(text, expected);
}

#[test]
fn a_missing_or_wrong_record_is_said() {
    let fixture = fixture();
    let mut wrong: Value = serde_json::from_str(&fixture.read(RECORD)).unwrap();
    wrong["engine"]["digest"] = sha('e').into();
    fixture.write(RECORD, &wrong.to_string());
    fixture.xtask("digests show").fails().says(RECORD).says("`engine` in the digest record is wrong");
    fixture.write(RECORD, &json!({"a\nPATH=/tmp": entry("a", 'a', &[])}).to_string());
    fixture.xtask("digests show --env").fails().says("`a\\nPATH=/tmp` in the digest record is no name");
    fixture.remove(RECORD);
    fixture
        .xtask("digests show")
        .fails()
        .says("there is no digest record `")
        .says("`cargo xtask releases fetch` gets a release's");
}
