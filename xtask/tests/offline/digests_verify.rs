//! `digests verify` where the registry says nothing, or no: what needs none to be seen.

use serde_json::{Value, json};

use crate::support::Fixture;
use crate::support::http::{Answer, Server};

fn sha(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

fn entry(registry: &str, component: &str) -> Value {
    let repository = format!("{registry}/{component}");
    json!({
        "repository": repository,
        "digest": sha('a'),
        "image": format!("{repository}@{}", sha('a')),
        "gitShaTag": format!("{repository}:sha-9c68c4a"),
    })
}

fn verdicts(fixture: &Fixture, record: &Value) -> Value {
    fixture.write("record.json", &record.to_string());
    let run = fixture.xtask("digests verify --digests record.json --json");
    run.env("DOCKER_CONFIG", fixture.root()).env("HOME", fixture.root()).fails().json()
}

#[test]
fn no_answer_a_refusal_and_nonsense_are_told_apart() {
    let fixture = Fixture::unlocked(&[]);
    let server = Server::start(|request| match request.path.split('/').nth(2) {
        Some("closed") => Answer::new(403, r#"{"errors":[{"code":"DENIED"}]}"#),
        Some("junk") => Answer::new(200, "<html>").header("Content-Type", "text/html"),
        _ => Answer::new(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#),
    });
    let registry = format!("127.0.0.1:{}", server.port);
    let mut wrong = entry(&registry, "wrong");
    wrong["digest"] = sha('b').into();
    let record = json!({
        "closed": entry(&registry, "closed"),
        "gone": entry(&registry, "gone"),
        "junk": entry(&registry, "junk"),
        "silent": entry("127.0.0.1:1", "silent"),
        "wrong": wrong,
        "worse": "no entry at all",
    });
    let list = verdicts(&fixture, &record);
    let found: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| (finding["component"].as_str().unwrap(), finding["verdict"].as_str().unwrap()))
        .collect();
    let expected = [
        ("closed", "denied"),
        ("gone", "missing"),
        ("junk", "tampered"),
        ("silent", "unreachable"),
        ("worse", "tampered"),
        ("wrong", "tampered"),
    ];
    assert_eq!(found, expected, "{list:#}");
    assert!(list[3]["reason"].as_str().unwrap().contains("cannot reach `127.0.0.1:1`"), "{list:#}");
    assert!(list[5]["reason"].as_str().unwrap().contains("not of `digest`"), "{list:#}");
    assert!(list.as_array().unwrap().iter().all(|finding| finding["mend"].is_string()));
    let table = fixture.xtask("digests verify --digests record.json").env("HOME", fixture.root()).fails().stdout;
    assert!(table.lines().any(|line| line.starts_with("gone       missing      127.0.0.1:")), "{table}");
}

#[test]
fn a_record_of_nothing_verifies_nothing() {
    let fixture = Fixture::unlocked(&[("record.json", "{}")]);
    fixture.xtask("digests verify --digests record.json").fails().says("`record.json` names no image");
    fixture.write("record.json", "[]");
    fixture.xtask("digests verify --digests record.json").fails().says("the digest record is no JSON object");
}
