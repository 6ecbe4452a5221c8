use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::image::reference::{Digest, ImageReference};
use crate::kubernetes::image_owners::Naming;

fn record(tags: [&str; 2]) -> DigestRecord {
    let image = |name: &str, tag: &str| {
        let reference: ImageReference = format!("ghcr.io/acme/{name}").parse().unwrap();
        RecordedImage::new(&reference, Digest::of(name.as_bytes()), tag.parse().unwrap(), Vec::new(), BTreeMap::new())
    };
    DigestRecord {
        images: [("engine", tags[0]), ("ui", tags[1])].map(|(name, tag)| (name.into(), image(name, tag))).into(),
    }
}

fn pin(file: &str, text: &str, key: &str, kind: ValueKind, component: Option<&str>) -> Result<String, String> {
    let record = record(["sha-1", "sha-1"]);
    let naming = Naming { components: vec!["engine", "ui"], registries: BTreeSet::new(), owner: None };
    let repositories = Repositories::new(&naming, Some(&record));
    let value = NamedValue { file: file.into(), key: key.into(), value: kind, component: component.map(str::to_owned) };
    pin_values(text, &[&value], &repositories, &record)
        .map(|pinned| pinned.text)
        .map_err(|refusals| format!("{}: {}", refusals[0].line, refusals[0].message))
}

#[test]
fn a_charts_values_get_what_the_chart_reads() {
    let digest = Digest::of(b"engine").to_string();
    let cases = [
        (
            "# x\nengine:\n  image:\n    repository: ghcr.io/acme/engine  # a\n    tag: \"main\" # b\n",
            format!(
                "# x\nengine:\n  image:\n    repository: ghcr.io/acme/engine  # a\n    tag: \"sha-1@{digest}\" # b\n"
            ),
        ),
        (
            "engine: {image: {registry: old.io, repository: engine, tag: v1, digest: \"\"}}",
            format!("engine: {{image: {{registry: ghcr.io, repository: acme/engine, tag: v1, digest: \"{digest}\"}}}}"),
        ),
        ("engine:\r\n  image: 'old/engine:1'\r\n", format!("engine:\r\n  image: 'ghcr.io/acme/engine@{digest}'\r\n")),
    ];
    for (old, new) in cases {
        let pinned = pin("values.yaml", old, "engine.image", ValueKind::Image, Some("engine")).unwrap();
        assert_eq!(pinned, new);
        assert_eq!(pin("values.yaml", &pinned, "engine.image", ValueKind::Image, None).unwrap(), new, "a second time");
    }
    let list = "images: [{repository: ghcr.io/acme/ui, digest: 'x'}]";
    assert!(pin("v.yaml", list, "images.0", ValueKind::Image, None).unwrap().contains(&Digest::of(b"ui").to_string()));
    assert_eq!(pin("v.yaml", "a: {tag: x}\n", "a.tag", ValueKind::Tag, None).unwrap(), "a: {tag: sha-1}\n");
}

#[test]
fn variables_are_replaced_in_their_lines() {
    let digest = Digest::of(b"ui").to_string();
    let cases = [
        (
            "docker_tag = \"old\" # x\nother = 1\n",
            "docker_tag",
            ValueKind::Tag,
            "docker_tag = \"sha-1\" # x\nother = 1\n",
        ),
        (
            "# UI=1\nexport UI='a'\r\nUI_X=1\n",
            "UI",
            ValueKind::Digest,
            &format!("# UI=1\nexport UI='{digest}'\r\nUI_X=1\n"),
        ),
        ("UI=", "UI", ValueKind::Digest, &format!("UI={digest}")),
    ];
    for (old, key, kind, new) in cases {
        let file = if key == "docker_tag" { "stage.tfvars" } else { "stage.env" };
        assert_eq!(pin(file, old, key, kind, Some("ui")).unwrap(), new);
    }
}

#[test]
fn more_than_a_plain_text_is_refused() {
    let terraform = [
        "I = format(\"%s\", \"x\")",
        "I = { a = \"x:1\" }",
        "I = <<EOT\nfoo\nEOT",
        "I = [\"x:1\"]",
        "I = var.x",
        "I = \"x:\\\"q\"",
        "I = \"x:1\" + \"b\"",
        "I = \"x:${v}\"",
        "/*\nI = \"x:1\"\n*/",
    ];
    for text in terraform {
        assert!(pin("a.tfvars", text, "I", ValueKind::Image, Some("ui")).is_err(), "{text}");
    }
    for text in ["export I=$(cat x)", "I=x:1;U=1", "I=$TAG", "I=\"a\"b", "I=`x`", "I='a"] {
        assert!(pin("a.env", text, "I", ValueKind::Image, Some("ui")).is_err(), "{text}");
    }
    assert!(pin("a.yaml", "I: \"x:${T}\"\n", "I", ValueKind::Image, Some("ui")).unwrap_err().contains("filled in"));
}

#[test]
fn what_cannot_be_told_is_refused() {
    let refused = |file, text, key, kind| pin(file, text, key, kind, None).unwrap_err();
    let image = ValueKind::Image;
    assert!(refused("v.yaml", "a: {b: c}\n", "a.x", image).starts_with("1: `a.x`, which `manifests`"));
    assert!(refused("v.yaml", "\na: other/x:1\n", "a", image).starts_with("2: `other/x:1` does not say whose image"));
    assert!(refused("v.yaml", "a: {repository: ghcr.io/acme/ui}\n", "a", image).contains("neither `tag` nor `digest`"));
    assert!(refused("v.yaml", "a: x\nb: 1\na: y\n", "a", image).contains("twice, on lines 1 and 3"));
    assert!(refused("v.yaml", "a: {{ .Values.x }}\n{{- end }}\n", "a", image).contains("a template is no YAML"));
    assert!(refused("x.env", "A=1\nB=2\nA=3\n", "A", image).contains("twice, on lines 1 and 3"));
    let uneven = record(["sha-1", "sha-2"]);
    let value = NamedValue { file: "a.tfvars".into(), key: "tag".into(), value: ValueKind::Tag, component: None };
    let refusals = pin_values("tag = \"x\"\n", &[&value], &Repositories::default(), &uneven).unwrap_err();
    assert!(refusals[0].message.contains("`engine` has `sha-1` and `ui` has `sha-2`"), "{refusals:?}");
}
