use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::image::reference::{Digest, ImageReference, Tag};
use crate::kubernetes::image_owners::{Naming, Repositories};
use crate::kubernetes::pinning::naming::Likeness;
use crate::kubernetes::pinning::test_manifests::manifest;

fn record() -> DigestRecord {
    let image = |name: &str| {
        let reference: ImageReference = format!("localhost:5000/demon-{name}").parse().unwrap();
        let tag: Tag = "sha-1".parse().unwrap();
        RecordedImage::new(&reference, Digest::of(name.as_bytes()), tag, Vec::new(), BTreeMap::new())
    };
    DigestRecord { images: ["engine", "ui"].map(|name| (name.to_owned(), image(name))).into() }
}

fn repositories(record: &DigestRecord) -> Repositories {
    let naming = Naming {
        components: vec!["engine", "ui", "unpublished"],
        registries: ["localhost:5000", "registry.stage"].map(|host| (host, "{owner}/demon-{component}")).into(),
        owner: None,
    };
    Repositories::new(&naming, Some(record))
}

fn digest(name: &str) -> String {
    record().images[name].digest.to_string()
}

fn image(name: &str) -> String {
    record().images[name].image.to_string()
}

/// Pins `text` of the file `file`; images like those of `adopted` count as theirs.
fn pin_as(text: &str, file: &str, adopted: &[&str], images: Images<'_>) -> Result<Pinned, Vec<Refusal>> {
    let adopted = adopted.iter().map(|name| (*name).to_owned()).collect();
    let image_paths = ["templates.container.image".to_owned()];
    pin(
        text,
        file,
        Scope { repositories: &repositories(&record()), image_paths: &image_paths, adopted: &adopted },
        images,
    )
}

fn try_pin(text: &str) -> Result<Pinned, Vec<Refusal>> {
    pin_as(text, "kustomization.yaml", &[], Images::Recorded(&record()))
}

#[track_caller]
fn pinned(text: &str) -> String {
    try_pin(text).unwrap().text
}

#[track_caller]
fn placeholder(text: &str) -> String {
    pin_as(text, "kustomization.yaml", &[], Images::Placeholder).unwrap().text
}

#[track_caller]
fn refused(text: &str) -> String {
    let refusals = try_pin(text).unwrap_err();
    refusals.iter().map(|refusal| format!("{}: {}\n", refusal.line, refusal.message)).collect()
}

/// Container lists with `ENGINE`, `UI` in place of images.
const TEXTS: &[&str] = &[
    "spec:\n  containers:\n    - name: a   # the engine\n      image: ENGINE   # keep me\n      args: [b]\n",
    "spec: {containers: [{name: a, image: ENGINE}, {image: \"UI\", name: b}]} # end",
    "\u{feff}# ünïcode\r\nspec:\r\n  initContainers:\r\n  - image: 'ENGINE'\r\n  containers:\r\n  - {image: UI, env: []}\r\n",
    "a: &a {x: y}\nb: *a\n---\n# second\nkind: List\nitems:\n- spec: {template: {spec: {containers: [{image: ENGINE}]}}}\n---\n...\n",
    "containers:\n- image: ENGINE",
    "containers:\n- image:\n    ENGINE\n  name: x\n- image:     \"UI\"\t# tab\n",
    "x: &c [{image: ENGINE}]\ncontainers: *c\ninitContainers: *c\n",
    "containers:\n- image: nginx:alpine\n- {image: nginx:alpine, x: [{containers: [{image: UI}]}]}\n- image: ENGINE\n",
    "x: &base {image: ENGINE}\ncontainers:\n- <<: *base\n  name: a\n- <<: [*base]\n",
    "images:\n- name: ENGINE_NAME\n  digest: ENGINE_DIGEST\n- {name: x, newName: UI_NAME, digest: 'UI_DIGEST'}\n- name: nginx\n  newTag: alpine\n",
];

fn filled(template: &str, engine: &str, ui: &str) -> String {
    let parts = |image: &str| {
        let (name, selector) = image.split_once('@').unwrap();
        (name.to_owned(), selector.to_owned())
    };
    let (engine_parts, ui_parts) = (parts(engine), parts(ui));
    template
        .replace("ENGINE_NAME", &engine_parts.0)
        .replace("ENGINE_DIGEST", &engine_parts.1)
        .replace("UI_NAME", &ui_parts.0)
        .replace("UI_DIGEST", &ui_parts.1)
        .replace("ENGINE", engine)
        .replace("UI", ui)
}

#[test]
fn only_the_images_differ() {
    for template in TEXTS {
        let old = filled(template, "localhost:5000/demon-engine@sha256:1", "localhost:5000/demon-ui@sha256:2");
        let expected = filled(template, &image("engine"), &image("ui"));
        let new = pinned(&old);
        assert_eq!(new, expected);
        assert_eq!(pinned(&new), expected, "a second time");
    }
}

#[test]
fn placeholders_come_back_to_the_byte() {
    for template in TEXTS {
        let pinned_text = filled(template, &image("engine"), &image("ui"));
        let swapped = placeholder(&pinned_text);
        assert_eq!(placeholder(&swapped), swapped, "a second time");
        assert_eq!(pinned(&swapped), pinned_text, "from\n{swapped}");
        let is_kustomization = template.starts_with("images");
        assert!(is_kustomization || !swapped.contains("demon-"), "{swapped}");
        // Without having been pinned before.
        let old = filled(template, "localhost:5000/demon-engine@sha256:1", "localhost:5000/demon-ui@sha256:2");
        assert_eq!(pinned(&placeholder(&old)), pinned_text);
    }
}

#[test]
fn a_placeholder_remembers_its_component_in_a_comment() {
    let text = "containers:\n- image: \"localhost:5000/demon-ui:main\" # mine\n";
    let swapped = placeholder(text);
    assert_eq!(swapped, "containers:\n- image: \"nginx:alpine\" # mine # xtask placeholder: ui\n");
    assert_eq!(pinned(&swapped), format!("containers:\n- image: \"{}\" # mine\n", image("ui")));
    let text = "containers: [{image: nginx:alpine}, {image: localhost:5000/demon-ui}]";
    let swapped = placeholder(text);
    assert_eq!(swapped, "containers: [{image: nginx:alpine}, {image: nginx:alpine}] # xtask placeholder: - ui");
    assert_eq!(pinned(&swapped), format!("containers: [{{image: nginx:alpine}}, {{image: {}}}]", image("ui")));
    assert!(
        refused(&swapped.replace("- ui", "ui")).starts_with("1: the comment `# xtask placeholder: ui` names 1 of 2")
    );
    // A mark within a quoted text cannot be made without changing the text.
    let text = "containers: [{image: localhost:5000/demon-ui, x: \"a\n b\"}]";
    let refusals = pin_as(text, "x.yaml", &[], Images::Placeholder).unwrap_err();
    assert!(refusals[0].message.contains("write each on a line of its own"), "{refusals:?}");
}

#[test]
fn other_registries_of_the_workspace_are_pinned_to_the_record() {
    let text = "containers: [{image: registry.stage/demon-engine:7}, {image: other/demon-engine:7}]";
    let new = pinned(text);
    assert_eq!(new, text.replace("registry.stage/demon-engine:7", &image("engine")));
}

#[test]
fn what_is_not_recorded_is_refused() {
    let text = "containers:\n- image: localhost:5000/demon-engine\n- image: registry.stage/demon-unpublished:1\n";
    assert_eq!(
        refused(text),
        "3: `registry.stage/demon-unpublished:1` is an image of `unpublished`, which the digest record lacks; \
         `cargo xtask publish unpublished` adds it\n"
    );
    assert!(placeholder(text).contains("# xtask placeholder: unpublished"));
}

#[test]
fn what_cannot_be_edited_in_place_is_refused_when_it_is_ours() {
    let ours = "localhost:5000/demon-engine";
    let cases = [
        (format!("containers: [{{image: &a {ours}}}]\nx: *a\n"), "has an anchor"),
        (format!("x: &a {ours}\ncontainers: [{{image: *a}}]\n"), "is an alias"),
        (format!("containers: [{{image: !!str {ours}}}]\n"), "has a tag"),
        (format!("containers:\n- image: >-\n    {ours}\n"), "is written as a block"),
        (format!("containers:\n- image: |\n    {ours}\n"), "is written as a block"),
        ("containers: [{image: \"localhost:5000/demon\\u002dengine\"}]\n".into(), "with escapes"),
        (format!("containers: [{{image: '{ours}:${{TAG}}'}}]\n"), "is a template, and could be one of `engine`"),
        (format!("containers: [{{image: {ours}:$(TAG)}}]\n"), "is a template"),
        ("containers: [{image: '{{ .Values.image }}'}]\n".into(), "of Helm, `manifests` takes the chart's values"),
        ("containers:\n- image: {{ .Values.image }}\n".into(), "of Helm, `manifests` takes the chart's values"),
        ("{{- if .x }}\ncontainers: []\n{{- end }}\n".into(), "a template is no YAML"),
        (format!("containers:\n- image: a\n  name: x\n  image: {ours}\n"), "`image` is there twice, on lines 2 and 4"),
        ("a: {b: 1, c: 2, 'b': 3}\n".into(), "`b` is there twice, on lines 1 and 1"),
        ("containers: [{image: 12}]\n".into(), "is a number"),
        ("containers: [{image: -1.5e3}]\n".into(), "is a number"),
        ("containers: [{image: ~}]\n".into(), "is empty"),
        ("containers: [{image: yes}]\n".into(), "is a truth value"),
        ("containers:\n- image: {name: x}\n".into(), "is no text"),
        ("containers:\n- image: [x]\n".into(), "is no text"),
    ];
    for (text, reason) in cases {
        let message = refused(&text);
        assert!(message.contains(reason), "{message} for\n{text}");
    }
    for foreign in [
        "containers: [{image: &a nginx}, {image: *a}, {image: !!str x}, {image: '12'}]\n",
        "containers:\n- image: >-\n    nginx:1\n- image: postgres:${TAG}\n- image: \"\"\n- image:\n- image: # later\n",
    ] {
        assert_eq!(pinned(foreign), foreign);
    }
}

#[test]
fn every_refusal_is_told() {
    let message = refused("containers:\n- image: 1\n- image: 2\n---\ncontainers: [{image: 3}]\n");
    assert_eq!(message.lines().map(|line| &line[..2]).collect::<Vec<_>>(), ["2:", "3:", "5:"]);
    let error = try_pin("a: [b\nc: d\n").unwrap_err();
    assert!(error[0].message.starts_with("no valid YAML: ") && error[0].column.is_some(), "{error:?}");
}

#[test]
fn kustomizations_get_a_digest_for_a_tag() {
    let (engine, ui) = (digest("engine"), digest("ui"));
    let old = "images:\n- name: localhost:5000/demon-engine   # a\n  newTag: main   # b\n- name: ui\n  newName: registry.stage/demon-ui\n  newTag: \"1.0\"\n";
    let new = format!(
        "images:\n- name: localhost:5000/demon-engine   # a\n  digest: {engine}   # b\n- name: ui\n  newName: localhost:5000/demon-ui\n  digest: \"{ui}\"\n"
    );
    assert_eq!(pinned(old), new);
    assert_eq!(pinned(&new), new);
}

#[test]
fn kustomizations_without_tag_and_digest_get_one() {
    let (engine, ui) = (digest("engine"), digest("ui"));
    let old = "images:\r\n  - newName: localhost:5000/demon-engine # a\r\n    name: x\r\n  - {name: \"localhost:5000/demon-ui\"}";
    let new = format!(
        "images:\r\n  - newName: localhost:5000/demon-engine # a\r\n    digest: {engine}\r\n    name: x\r\n  - {{name: \"localhost:5000/demon-ui\", digest: {ui}}}"
    );
    assert_eq!(pinned(old), new);
    let swapped = placeholder(old);
    assert!(swapped.contains("newName: nginx # a # xtask placeholder: engine\r\n    newTag: alpine\r\n"), "{swapped}");
    assert_eq!(pinned(&swapped), new);
    // A name of another registry: what runs is the record's.
    let moved = pinned("images:\n- name: registry.stage/demon-ui");
    assert_eq!(
        moved,
        format!("images:\n- name: registry.stage/demon-ui\n  newName: localhost:5000/demon-ui\n  digest: {ui}")
    );
    assert_eq!(pinned(&moved), moved);
}

#[test]
fn what_changed_is_told_with_its_line() {
    let text = format!("containers:\n- image: localhost:5000/demon-engine:1\n- image: {}\n- image: x\n", image("ui"));
    let found = try_pin(&text).unwrap().images;
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].line, found[0].from.as_str()), (2, "localhost:5000/demon-engine:1"));
    assert_eq!(found[0].to, image("engine"));
    assert_eq!((found[1].line, &found[1].from), (3, &found[1].to));
}

#[test]
fn near_misses_are_told_and_adopted() {
    let text = "containers:\n- {name: a, image: myorg/engine:latest}\n- name: ui\n  image: nginx:alpine # for now\n\
                - {name: ui, image: 'old:1'}\n- {name: ui, image: }\n- {name: b, image: nginx:alpine}\n- image: engine.io/x\n";
    let found = try_pin(text).unwrap();
    assert_eq!(found.text, text);
    let near: Vec<_> =
        found.near.iter().map(|miss| (miss.line, miss.component.as_str(), miss.text.as_str(), miss.likeness)).collect();
    let expected = [
        (2, "engine", "myorg/engine:latest", Likeness::Repository),
        (4, "ui", "nginx:alpine", Likeness::Unsaid),
        (5, "ui", "old:1", Likeness::Container),
        (6, "ui", "", Likeness::Unsaid),
    ];
    assert_eq!(near, expected);
    let text = text.replace("- {name: ui, image: }\n", "");
    let adopted = pin_as(&text, "x.yaml", &["ui"], Images::Recorded(&record())).unwrap();
    let ui = image("ui");
    assert_eq!(adopted.text, text.replacen("nginx:alpine", &ui, 1).replace("old:1", &ui));
    assert_eq!(adopted.near.len(), 1, "the engine's");
    let both = pin_as(&text, "x.yaml", &["ui", "engine"], Images::Recorded(&record())).unwrap();
    assert_eq!(both.text, adopted.text.replace("myorg/engine:latest", &image("engine")));
    // What was swapped by us on purpose is no near miss.
    assert!(
        try_pin("containers: [{name: ui, image: nginx:alpine}, {image: nginx:alpine}] # xtask placeholder: - engine")
            .unwrap()
            .near
            .is_empty()
    );
    let kustomized = "images:\n- name: myorg/engine\n  newTag: v1\n";
    let adopted = pin_as(kustomized, "kustomization.yaml", &["engine"], Images::Recorded(&record())).unwrap();
    let expected = format!(
        "images:\n- name: myorg/engine\n  newName: localhost:5000/demon-engine\n  digest: {}\n",
        digest("engine")
    );
    assert_eq!(adopted.text, expected);
}

#[test]
fn json_has_placeholders_by_the_containers_name() {
    let text = "{\n\t\"spec\": {\"containers\": [\n\t\t{\"name\": \"engine\", \"image\": \"localhost:5000/demon-engine:1\"}\n\t]}\n}\n";
    let pinned = pin_as(text, "x.json", &[], Images::Recorded(&record())).unwrap().text;
    assert_eq!(pinned, text.replace("localhost:5000/demon-engine:1", &image("engine")));
    let swapped = pin_as(&pinned, "x.json", &[], Images::Placeholder).unwrap().text;
    assert_eq!(swapped, text.replace("localhost:5000/demon-engine:1", "nginx:alpine"));
    assert_eq!(pin_as(&swapped, "x.json", &[], Images::Recorded(&record())).unwrap().text, pinned);
    let unnamed = pinned.replace("\"engine\"", "\"main\"");
    let refusals = pin_as(&unnamed, "x.json", &[], Images::Placeholder).unwrap_err();
    assert!(refusals[0].message.starts_with("JSON has no comments to remember `engine` in"), "{refusals:?}");
}

#[test]
fn further_paths_are_pinned() {
    let text = "kind: Workflow\nspec:\n  templates:\n  - container:\n      image: localhost:5000/demon-ui:1 # x\n";
    assert_eq!(pinned(text), text.replace("localhost:5000/demon-ui:1", &image("ui")));
}

#[test]
fn values_of_charts_and_arguments_are_told() {
    let text = "a: {registry: localhost:5000, repository: demon-ui}\nb:\n  repository: registry.stage/demon-ui\n\
                args: [\"--image=localhost:5000/demon-engine:1\", '--x', y]\nscript: |\n  run localhost:5000/demon-ui:2\n  x\n";
    let lines: Vec<_> = try_pin(text).unwrap().left.into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines, [1, 3, 4, 6], "a block begins on the line after its key");
}

#[test]
fn images_elsewhere_are_told_and_left() {
    let text =
        "env: [{value: localhost:5000/demon-ui:1}]\nspec: {image: nginx}\nimages:\n- name: localhost:5000/demon-ui\n";
    let pinned = try_pin(text).unwrap();
    assert_eq!(pinned.left, [(1, "localhost:5000/demon-ui:1".to_owned())]);
    assert!(pinned.text.starts_with("env: [{value: localhost:5000/demon-ui:1}]\n"));
}

/// Random manifests: what comes out is what the generator says, to the byte.
#[test]
fn random_manifests_change_in_their_images_alone() {
    let record = record();
    let repositories = repositories(&record);
    for seed in 0..400 {
        let manifest = manifest(seed);
        let old = manifest.text(|component| match component {
            Some(name) => format!("localhost:5000/demon-{name}:v{seed}"),
            None => "registry.example/other:1".to_owned(),
        });
        let expected = manifest.text(|component| match component {
            Some(name) => record.images[name].image.to_string(),
            None => "registry.example/other:1".to_owned(),
        });
        let pin_with = |text: &str, images| {
            pin(
                text,
                "x.yaml",
                Scope { repositories: &repositories, image_paths: &[], adopted: &BTreeSet::new() },
                images,
            )
            .unwrap_or_else(|refusals| panic!("{refusals:?} for seed {seed}:\n{text}"))
        };
        let pinned = pin_with(&old, Images::Recorded(&record));
        assert_eq!(pinned.text, expected, "seed {seed}");
        assert_eq!(pinned.images.len(), manifest.ours(), "seed {seed}");
        assert_eq!(pin_with(&expected, Images::Recorded(&record)).text, expected, "seed {seed}, a second time");
        let swapped = pin_with(&old, Images::Placeholder);
        assert_eq!(swapped.images.len(), manifest.ours(), "seed {seed}");
        assert_eq!(pin_with(&swapped.text, Images::Placeholder).text, swapped.text, "seed {seed}, a second time");
        assert_eq!(pin_with(&swapped.text, Images::Recorded(&record)).text, expected, "seed {seed}, back");
    }
}
