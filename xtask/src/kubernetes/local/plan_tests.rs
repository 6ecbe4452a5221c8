use std::collections::BTreeSet;

use super::*;
use crate::kubernetes::image_owners::{Naming, Repositories};
use crate::kubernetes::local::read::read;

const ENGINE: &str = r#"
kind: Deployment
metadata: {name: engine, namespace: ns}
spec:
  template:
    metadata: {labels: {app: engine}}
    spec:
      terminationGracePeriodSeconds: 3
      initContainers:
        - {name: migrate, image: "localhost:5000/engine", args: [migrate, "$(DATABASE)"], env: [{name: DATABASE, value: /data/db}], volumeMounts: [{name: data, mountPath: /data}]}
      containers:
        - name: engine
          image: localhost:5000/engine:main
          args: ["--listen=0.0.0.0:8081", "--config", /etc/engine/a.toml]
          env:
            - {name: DATABASE, value: /data/db}
          ports: [{name: http, containerPort: 8081}]
          startupProbe: {httpGet: {path: /health, port: http}}
          readinessProbe: {httpGet: {path: /ready, port: 8081}}
          volumeMounts: [{name: data, mountPath: /data}, {name: config, mountPath: /etc/engine}]
      volumes:
        - {name: data, persistentVolumeClaim: {claimName: x}}
        - {name: config, configMap: {name: settings}}
---
kind: ConfigMap
metadata: {name: settings}
data: {a.toml: "x = 1"}
---
kind: Service
metadata: {name: engine}
spec: {selector: {app: engine}, ports: [{port: 80, targetPort: http}]}
"#;

const UI: &str = r#"
kind: Deployment
metadata: {name: ui, namespace: ns}
spec:
  template:
    metadata: {labels: {app: ui}}
    spec:
      containers:
        - name: ui
          image: localhost:5000/ui
          command: [ui]
          env: [{name: ENGINE_URL, value: "http://engine.ns.svc"}, {name: STATIC, value: /app/static}]
          ports: [{containerPort: 3000}]
        - {name: proxy, image: "envoy:1"}
"#;

fn application(texts: &[&str]) -> Application {
    let naming = Naming {
        components: vec!["engine", "ui"],
        registries: BTreeSet::from([("localhost:5000", "{component}")]),
        owner: None,
    };
    let files: Vec<_> =
        texts.iter().enumerate().map(|(n, text)| (format!("{n}.yaml").into(), (*text).to_owned())).collect();
    read(&files, &Repositories::new(&naming, None)).unwrap()
}

fn image(name: &str) -> LocalImage {
    LocalImage {
        digest: format!("sha256:{name}"),
        config: ContainerConfig {
            entrypoint: Some(vec![format!("/usr/local/bin/{name}")]),
            env: Some(vec!["PATH=/usr/bin:/usr/local/bin".into(), "LEVEL=info".into()]),
            working_dir: Some("/".into()),
            ..ContainerConfig::default()
        },
        root: format!("/images/{name}").into(),
        paths: [&format!("/usr/local/bin/{name}"), "/app/static"].into_iter().map(Utf8PathBuf::from).collect(),
        is_outdated: false,
    }
}

fn images() -> LocalImages {
    ["engine", "ui"].map(|name| (name.to_owned(), Ok(image(name)))).into()
}

fn planned(application: &Application, images: &LocalImages) -> Vec<LocalPod> {
    let movable = listening(application, images);
    let mut next = 40000;
    let ports = movable.iter().map(|ports| {
        let local = |(port, movable): (&u16, &bool)| {
            next += 1;
            (*port, if *movable { next } else { *port })
        };
        ports.iter().map(local).collect()
    });
    pods(application, images, &ports.collect(), &movable, Utf8Path::new("/run"))
}

#[test]
fn programs_run_as_their_manifests_say() {
    let application = application(&[ENGINE, UI]);
    assert_eq!(components(&application), BTreeSet::from(["engine".to_owned(), "ui".to_owned()]));
    let pods = planned(&application, &images());
    let [engine, ui] = &pods[..] else { panic!("two pods") };

    assert_eq!(engine.first.len(), 1);
    assert_eq!(engine.first[0].name, "engine/migrate");
    assert_eq!(engine.first[0].arguments, ["migrate", "/run/engine/data/db"]);
    let program = &engine.programs[0];
    assert_eq!(program.name, "engine");
    assert_eq!(program.executable, "/images/engine/usr/local/bin/engine");
    assert_eq!(program.arguments, ["--listen=127.0.0.1:40001", "--config", "/run/engine/config/a.toml"]);
    assert_eq!(program.variables["DATABASE"], "/run/engine/data/db");
    assert_eq!(program.variables["LEVEL"], "info");
    assert_eq!(program.variables["HOSTNAME"], "engine-0");
    assert_eq!(program.variables["ENGINE_SERVICE_PORT"], "40001");
    assert_eq!((program.port, program.fixed_ports.len(), program.grace), (Some(40001), 0, Duration::from_secs(3)));
    let url = |probe: &LocalProbe| match &probe.action {
        ProbeAction::Http(request) => request.local_url(),
        ProbeAction::Tcp(_) | ProbeAction::Exec(_) => panic!("an HTTP probe"),
    };
    assert_eq!(program.health.iter().map(url).collect::<Vec<_>>(), ["http://127.0.0.1:40001/health"]);
    assert_eq!(program.ready.as_ref().map(url).unwrap(), "http://127.0.0.1:40001/ready");
    assert_eq!(engine.files[Utf8Path::new("/run/engine/config/a.toml")], "x = 1");
    assert!(engine.folders.contains(Utf8Path::new("/run/engine/data")), "{engine:?}");

    let program = &ui.programs[0];
    assert_eq!(program.executable, "/images/ui/usr/local/bin/ui", "found by the image's PATH");
    assert_eq!(program.variables["ENGINE_URL"], "http://127.0.0.1:40001");
    assert_eq!(program.variables["STATIC"], "/images/ui/app/static");
    assert_eq!(program.fixed_ports, [3000], "nothing tells it where to listen");
    assert_eq!((ui.not_run[0].name.as_str(), ui.not_run[0].state), ("ui/proxy", State::Skipped));
}

#[test]
fn what_cannot_run_here_has_a_verdict_that_says_why() {
    let pod = |spec: &str| {
        let text = format!("kind: Deployment\nmetadata: {{name: engine}}\nspec: {{template: {{spec: {spec}}}}}\n");
        planned(&application(&[&text]), &images()).remove(0)
    };
    let verdict = |container: &str, rest: &str| {
        let pod =
            pod(&format!("{{containers: [{{name: engine, image: 'localhost:5000/engine', {container}}}]{rest}}}"));
        assert!(pod.programs.is_empty(), "{pod:?}");
        (pod.not_run[0].state, pod.not_run[0].message.clone())
    };
    let (state, message) = verdict("env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}]", "");
    assert_eq!((state, message.as_str()), (State::NeedsCluster, "secret `s` is not among the manifests"));
    let mount = "volumeMounts: [{name: v, mountPath: /v}]";
    let (state, message) = verdict(mount, ", volumes: [{name: v, hostPath: {path: /x}}]");
    assert_eq!((state, message.as_str()), (State::NeedsCluster, "volume `v` is a `hostPath`"));
    let (state, message) = verdict(mount, ", volumes: [{name: v, secret: {secretName: s}}]");
    assert_eq!((state, message.as_str()), (State::NeedsCluster, "secret `s` is not among the manifests"));
    let (state, message) = verdict("command: [/bin/sh]", "");
    assert_eq!((state, message.as_str()), (State::CannotStart, "`/bin/sh` is not in the image"));
    let (state, message) = verdict("livenessProbe: {httpGet: {port: admin}}", "");
    assert_eq!(state, State::CannotStart, "{message}");

    let mut images = images();
    images.insert("engine".into(), Err("not built".into()));
    let pods = planned(&application(&[ENGINE]), &images);
    assert_eq!((pods[0].not_run[1].state, pods[0].not_run[1].message.as_str()), (State::NoImage, "not built"));
    let zero = ENGINE
        .replace("  template:\n    metadata: {labels: {app: engine}}", "  replicas: 0\n  template:\n    metadata: {}");
    let pods = planned(&application(&[&zero]), &self::images());
    assert_eq!((pods[0].not_run[0].state, pods[0].programs.len()), (State::Skipped, 0));
}
