//! `prune` as far as no registry is needed: what cannot be looked at is an error before one is asked.

use crate::support::Fixture;

fn fixture() -> Fixture {
    let fixture = Fixture::simple(&["app"]);
    fixture.append("Cargo.toml", "[workspace.metadata.docker]\nregistry = \"localhost:1\"\n");
    fixture
}

#[test]
fn what_cannot_be_looked_at_is_an_error() {
    let fixture = fixture();
    fixture.xtask("prune --env stagging").fails().says("unknown environment `stagging`");
    fixture.xtask("prune --without-env nowhere").fails().says("unknown environment `nowhere`");
    let nowhere = fixture.beside("no-kubeconfig");
    let blind = fixture.xtask("prune").env("KUBECONFIG", &nowhere).env("HOME", &nowhere).fails();
    assert!(blind.stderr.starts_with("error: nobody knows what the cluster runs\n"), "{}", blind.stderr);
    assert!(blind.stderr.contains("hint: `--without-cluster` deletes what only pods name, too"), "{}", blind.stderr);
    fixture.write("k8s/kustomization.yaml", "resources: [gone.yaml]\n");
    fixture.xtask("prune").fails().says("names `gone.yaml`, which is missing, so nobody knows which images it names");
    fixture.write("artifacts/docker/docker-image-digests.json", "{\"app\": {}}");
    fixture.xtask("prune").fails().says("the digest record").says("cannot be used");
}

#[test]
fn a_policy_is_read_strictly() {
    let fixture = fixture();
    fixture.append("Cargo.toml", "[workspace.metadata.docker.prune]\nkeep-dayz = 3\n");
    fixture.xtask("prune").fails().says("`prune` in `[workspace.metadata.docker]`").says("`keep-dayz`");
}
