//! Static programs resolve names, in an engine's network and in a cluster.

use std::time::Duration;

use crate::parts::{Cleanup, Scene, copy, docker, registry, run, tool, unique, wait_for};
use crate::support::package;

/// `serve` answers on port 8080; any other argument is an address to ask until it answers, or once.
const PROGRAM: &str = r#"use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs};

fn main() {
    let argument = std::env::args().nth(1).unwrap();
    if argument == "serve" {
        for stream in TcpListener::bind("0.0.0.0:8080").unwrap().incoming() {
            stream.unwrap().write_all(b"the server of ID").unwrap();
        }
    }
    for _ in 0..if std::env::args().len() > 2 { 1 } else { 150 } {
        match ask(&argument) {
            Ok(answer) => return println!("{answer}"),
            // While the server starts, its service refuses or resets connections.
            Err(error) => eprintln!("{argument}: {error}"),
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    std::process::exit(1);
}

fn ask(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address.to_socket_addrs()?.next().unwrap())?;
    let peer = stream.peer_addr()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(format!("{peer} is {answer}"))
}
"#;

fn scene(name: &str) -> Scene {
    Scene::new(name, &["net"], "", &[("net/Cargo.toml", &package("net", "")), ("net/src/main.rs", PROGRAM)])
}

#[test]
#[ignore = "needs a container engine"]
fn static_programs_resolve_names_in_a_network() {
    let scene = scene("network");
    scene.engine_build("--load").ok();
    let image = scene.image("net", "local");
    let network = unique("net");
    let mut cleanup = Cleanup::default();
    cleanup.add(&format!("docker network rm {network}"));
    docker(&format!("network create {network}"));
    cleanup.add(&format!("docker rm --force {network}-server"));
    docker(&format!("run --detach --name {network}-server --network {network} --network-alias server {image} serve"));
    for name in ["server".to_owned(), format!("{network}-server")] {
        let answer = docker(&format!("run --rm --network {network} {image} {name}:8080"));
        assert!(answer.ends_with(&format!("is the server of {}", scene.id)), "{answer}");
    }
    // Files come before DNS, as nsswitch.conf says.
    let added = ["run", "--rm", "--network", &network, "--add-host", "elsewhere:127.0.0.1", &image];
    let failed = run("docker", &[&added[..], &["elsewhere:8080", "once"]].concat());
    assert!(failed.stderr.contains("refused"), "{failed:?}");
}

#[test]
#[ignore = "needs a cluster, a registry and skopeo"]
fn static_programs_resolve_names_in_a_cluster() {
    let scene = scene("cluster");
    scene.build("--tag cluster").ok();
    let image = format!("{}/xtask-test/{}-net", registry(), scene.id);
    let mut cleanup = Cleanup::default();
    let layout = format!("oci:{}:net", scene.path("target/docker/oci").display());
    copy(&layout, &format!("docker://{image}:cluster"));
    cleanup.add(&format!("skopeo delete --tls-verify=false docker://{image}:cluster"));
    let image = format!("{image}@{}", scene.digest("net"));

    let namespace = unique("names");
    let pod = |name: &str, argument: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{ name: {name}, labels: {{ app: {name} }} }}\nspec:\n  \
             restartPolicy: Never\n  terminationGracePeriodSeconds: 1\n  securityContext: {{ runAsNonRoot: true }}\n  \
             containers: [{{ name: net, image: \"{image}\", args: [\"{argument}\"] }}]\n---\n"
        )
    };
    let service = "apiVersion: v1\nkind: Service\nmetadata: { name: server }\nspec:\n  selector: { app: server }\n  \
                   ports: [{ port: 80, targetPort: 8080 }]\n---\n";
    let full = format!("server.{namespace}.svc.cluster.local:80");
    let manifests = pod("server", "serve") + service + &pod("short", "server:80") + &pod("full", &full);
    scene.write("target/pods.yaml", &manifests);
    let kubectl = |arguments: &str| tool("kubectl", &arguments.split_whitespace().collect::<Vec<_>>());
    cleanup.add(&format!("kubectl delete namespace {namespace} --timeout=60s"));
    kubectl(&format!("create namespace {namespace}"));
    // Pods need the account that the cluster gives each namespace.
    wait_for("service account", Duration::from_secs(30), || {
        run("kubectl", &["--namespace", &namespace, "get", "serviceaccount", "default"]).success
    });
    kubectl(&format!("--namespace {namespace} apply --filename {}", scene.path("target/pods.yaml").display()));
    for name in ["short", "full"] {
        let phase = format!("--namespace {namespace} get pod {name} --output jsonpath={{.status.phase}}");
        let mut state = String::new();
        wait_for("end of a pod", Duration::from_secs(90), || {
            state = kubectl(&phase);
            ["Succeeded", "Failed"].contains(&state.as_str())
        });
        let log = kubectl(&format!("--namespace {namespace} logs {name}"));
        assert_eq!(state, "Succeeded", "{log}");
        assert!(log.ends_with(&format!("is the server of {}", scene.id)), "{log}");
    }
}
