//! What kustomize makes of kustomizations that were pinned.

use std::process::Command;

use crate::support::{Fixture, image, succeed};

/// The images in what `kubectl kustomize` prints.
fn rendered(fixture: &Fixture) -> Vec<String> {
    let text = succeed(Command::new("kubectl").args(["kustomize"]).arg(fixture.path("k8s")));
    text.lines()
        .filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix("image: "))
        .map(str::to_owned)
        .collect()
}

#[test]
#[ignore = "needs kubectl"]
fn kustomize_takes_the_digests_that_were_written() {
    let fixture = Fixture::simple(&["one"]);
    let digest = image::digest(b"one");
    let pinned = format!("localhost:5000/one@{digest}");
    let record = format!(
        "{{\"one\": {{\"repository\": \"localhost:5000/one\", \"digest\": \"{digest}\", \"image\": \"{pinned}\", \
         \"gitShaTag\": \"localhost:5000/one:sha-1\"}}}}"
    );
    fixture.write("artifacts/docker/docker-image-digests.json", &record);
    let pod = |name: &str, image: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: a, image: \"{image}\"}}]}}\n---\n"
        )
    };
    let names = ["tagged", "renamed", "bare", "both"];
    let pods: String = names.iter().map(|name| pod(name, &format!("{name}:1"))).collect();
    fixture.write("k8s/pods.yaml", &format!("{pods}{}", pod("direct", "localhost:5000/one:main")));
    let kustomization = "resources: [pods.yaml]\nimages:\n- name: tagged\n  newName: localhost:5000/one\n  newTag: main\n\
                         - {name: renamed, newName: localhost:5000/one, digest: 'sha256:12'}\n\
                         - name: bare # here\n  newName: localhost:5000/one\n";
    fixture.write("k8s/kustomization.yaml", kustomization);
    fixture.xtask("manifests").ok();
    assert_eq!(
        rendered(&fixture),
        [&pinned, "both:1", &pinned, &pinned, &pinned],
        "bare, both, direct, renamed, tagged"
    );
    let text = fixture.read("k8s/kustomization.yaml");
    fixture.xtask("manifests --placeholder").ok();
    assert_eq!(rendered(&fixture), ["nginx:alpine", "both:1", "nginx:alpine", "nginx:alpine", "nginx:alpine"]);
    fixture.xtask("manifests").ok();
    assert_eq!(fixture.read("k8s/kustomization.yaml"), text);
    // With a tag as well, the digest still decides.
    let both = "- name: both\n  newName: localhost:5000/one\n  newTag: main\n  digest: sha256:12\n";
    fixture.append("k8s/kustomization.yaml", both);
    fixture.xtask("manifests").ok();
    assert!(rendered(&fixture)[1].ends_with(&format!("@{digest}")), "{:?}", rendered(&fixture));
    fixture.xtask("manifests --placeholder").fails().says("has `digest` and `newTag`; remove `newTag`");
}
