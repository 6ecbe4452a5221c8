use super::*;
use crate::kubernetes::image_owners::Naming;

fn repositories() -> Repositories {
    let naming = Naming {
        components: vec!["engine", "ui"],
        registries: BTreeSet::from([("localhost:5000", "demon-{component}")]),
        owner: None,
    };
    Repositories::new(&naming, None)
}

fn try_read(files: &[(&str, &str)]) -> Result<Application> {
    let files: Vec<_> = files.iter().map(|(path, text)| (Utf8PathBuf::from(*path), (*text).to_owned())).collect();
    read(&files, &repositories())
}

#[track_caller]
fn application(files: &[(&str, &str)]) -> Application {
    try_read(files).unwrap_or_else(|error| panic!("{error:#}"))
}

#[track_caller]
fn error(files: &[(&str, &str)]) -> String {
    format!("{:#}", try_read(files).unwrap_err())
}

fn deployment(name: &str, image: &str) -> String {
    format!(
        "kind: Deployment\nmetadata: {{name: {name}, namespace: own}}\nspec:\n  template:\n    spec:\n      containers:\n      \
         - name: {name}\n        image: {image}\n"
    )
}

/// Workloads and whose images they run.
fn images(application: &Application) -> Vec<(&str, Option<&str>)> {
    let workloads = application.workloads.iter();
    let first = workloads.map(|one| (one, &one.template().spec.containers[0]));
    first.map(|(one, container)| (one.metadata.name.as_str(), container.component.as_deref())).collect()
}

#[test]
fn images_are_ours_by_repository_placeholder_or_kustomization() {
    let files = [
        ("k8s/a.yaml", deployment("a", "localhost:5000/demon-engine:1")),
        ("k8s/b.yaml", deployment("b", "nginx:alpine # xtask placeholder: ui")),
        ("k8s/c.yaml", deployment("c", "nginx:alpine")),
        ("k8s/d.yaml", deployment("d", "short:1")),
        (
            "k8s/kustomization.yaml",
            "resources: [a.yaml, b.yaml, ./c.yaml, d.yaml]\nimages: [{name: short, newName: localhost:5000/demon-ui}]\n".into(),
        ),
    ];
    let application = application(&files.each_ref().map(|(path, text)| (*path, text.as_str())));
    let expected = [("a", Some("engine")), ("b", Some("ui")), ("c", None), ("d", Some("ui"))];
    assert_eq!(images(&application), expected);
    assert_eq!(application.workloads[0].metadata.namespace, "own");
}

#[test]
fn a_kustomization_decides_what_is_read() {
    let (a, b) = (deployment("a", "x"), deployment("b", "x"));
    let files = [
        ("k8s/base/a.yaml", a.as_str()),
        ("k8s/base/left-out.yaml", "kind: Deployment\nmetadata: {name: c}\n"),
        ("k8s/base/kustomization.yaml", "namespace: inner\nresources: [a.yaml]\n"),
        ("k8s/top/kustomization.yaml", "namespace: outer\nresources: [../base]\n"),
        ("other/b.yaml", b.as_str()),
    ];
    let application = application(&files);
    let found: Vec<_> =
        application.workloads.iter().map(|one| (one.metadata.name.as_str(), one.metadata.namespace.as_str())).collect();
    assert_eq!(found, [("a", "outer"), ("b", "own")]);
    for (kustomization, reason) in [
        ("resources: [missing.yaml]", "names `missing.yaml`, which is not among the manifests"),
        ("patches: [{path: x}]", "`patches` is not understood without kubectl"),
        ("components: [x]", "`components` is not understood"),
        ("configMapGenerator: [{name: a, files: [b]}]", "config map `a`: `files` is not understood"),
        ("resources: [.]", "leads to itself"),
    ] {
        let message = error(&[("k8s/kustomization.yaml", kustomization)]);
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn lists_services_config_maps_and_secrets() {
    let text = "kind: List\nitems:\n- kind: Pod\n  metadata: {name: a}\n  spec: {containers: [{name: a, image: x}]}\n\
                ---\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 80}]}\n\
                ---\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: b}\n\
                ---\nkind: Secret\nmetadata: {name: t}\ndata: {a: cGFzcw==}\nstringData: {b: c}\n\
                ---\nkind: CronJob\nmetadata: {name: j}\n---\n";
    let application = application(&[("x.yaml", text), ("compose.yaml", "services: {a: {image: x}}\n")]);
    assert_eq!(application.workloads[0].metadata.namespace, "default");
    assert_eq!(application.workloads[0].template().spec.containers[0].name, "a");
    assert_eq!(application.services[0].spec.ports[0].target(), Value::from(80));
    assert_eq!(application.config_maps["m"]["a"], "b");
    assert_eq!(application.secrets["t"], BTreeMap::from([("a".into(), "pass".into()), ("b".into(), "c".into())]));
    assert_eq!(application.not_run, [("CronJob".to_owned(), "j".to_owned())]);
    let generated = "configMapGenerator: [{name: g, literals: [A=b=c, D=\"e\"]}]\n";
    let application = self::application(&[("k8s/kustomization.yaml", generated)]);
    assert_eq!(application.config_maps["g"], BTreeMap::from([("A".into(), "b=c".into()), ("D".into(), "e".into())]));
}

#[test]
fn what_is_wrong_is_told_with_its_file() {
    assert!(error(&[("a.yaml", "a: [")]).starts_with("cannot read `a.yaml`: "));
    let wrong = "kind: Deployment\nmetadata: {name: a}\nspec: {template: {spec: {containers: [{ports: 5}]}}}\n";
    assert!(error(&[("a.yaml", wrong)]).starts_with("cannot use `a.yaml`: Deployment `a` is not as a Deployment"));
    let twice = deployment("a", "x");
    assert!(error(&[("a.yaml", &twice), ("b.yaml", &twice)]).contains("`a` comes twice"));
    assert!(
        error(&[("a.yaml", "kind: Secret\nmetadata: {name: s}\ndata: {a: '!'}\n")])
            .contains("`a` in `data` is no base64")
    );
    assert!(error(&[("a.yaml", "containers: [{image: '${X}'}]\n")]).contains("line 1: the image `${X}` is a template"));
}
