//! `smoke --local --digests`: what was published runs, whatever lies in the layout.

use crate::project::{Project, RECORD};
use crate::registry::Registry;

const PROGRAM: &str = r#"use std::io::{Read, Write};

fn main() {
    let listener = std::net::TcpListener::bind(std::env::var("LISTEN").unwrap()).unwrap();
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    }
}
"#;

const MANIFEST: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: one, namespace: shop}
spec:
  template:
    metadata: {labels: {app: one}}
    spec:
      containers:
        - name: one
          image: IMAGE
          env: [{name: LISTEN, value: '0.0.0.0:8080'}]
          ports: [{name: http, containerPort: 8080}]
          readinessProbe: {httpGet: {path: /, port: http}}
";

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn what_was_published_runs_and_not_what_was_built_since() {
    let registry = Registry::start();
    let project = Project::new(&registry.host, "published", &["one"], "");
    project.write("one/src/main.rs", PROGRAM);
    project.write("k8s/one.yaml", &MANIFEST.replace("IMAGE", &format!("{}:main", project.name("one"))));
    project.commit("service");
    project.publish("").ok();
    let published = project.recorded("one");
    let smoke = || project.run(&format!("smoke --local --json --timeout 30s --digests {RECORD}"));
    // What is built now ends at once.
    project.write("one/src/main.rs", "fn main() {}\n");
    project.run("docker-build --builder native").ok();
    project.run("smoke --local --timeout 5s").fails();
    let verdict = smoke().ok().json()[0].clone();
    assert_eq!((&verdict["state"], &verdict["digest"]), (&"ready".into(), &published.into()), "{verdict:#}");
    assert_eq!(verdict["message"].as_str().unwrap_or_default(), "");
    // What the registry lost cannot run.
    registry.forget(&project.repository("one"));
    let lost = smoke().fails();
    lost.says("one: no image: cannot fetch `");
}
