//! Large layers: pushed as they are read.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::project::Project;
use crate::registry::Registry;
use crate::support::{image, own_architecture};

const GIB: u64 = 1 << 30;

/// `sha256:…` of a file.
fn digest_of(file: File) -> String {
    let (mut hasher, mut reader) = (Sha256::new(), BufReader::with_capacity(1 << 20, file));
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = reader.read(&mut buffer).expect("a readable file");
        if count == 0 {
            let hex: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            return format!("sha256:{hex}");
        }
        hasher.update(&buffer[..count]);
    }
}

/// A layout with an image of one layer, a gibibyte of zeros: an empty tar archive, which nobody
/// compressed.
fn base(folder: &std::path::Path) {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("a folder");
    let path = blobs.join("layer");
    File::create(&path).and_then(|file| file.set_len(GIB)).expect("a sparse file");
    let layer = digest_of(File::open(&path).expect("a file"));
    fs::rename(&path, blobs.join(&layer[7..])).expect("a blob");
    let kind = |name: &str| format!("application/vnd.oci.image.{name}");
    let blob = |name: &str, value: &Value| {
        let text = value.to_string();
        let digest = image::digest(text.as_bytes());
        fs::write(blobs.join(&digest[7..]), &text).expect("a blob");
        json!({"mediaType": kind(name), "digest": digest, "size": text.len()})
    };
    let config = json!({
        "architecture": own_architecture(), "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer]},
    });
    let layers = json!([{"mediaType": kind("layer.v1.tar"), "digest": layer, "size": GIB}]);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": kind("manifest.v1+json"), "config": blob("config.v1+json", &config), "layers": layers,
    });
    let index = json!({"schemaVersion": 2, "manifests": [blob("manifest.v1+json", &manifest)]});
    fs::write(folder.join("index.json"), index.to_string()).expect("an index");
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a marker");
}

#[test]
#[ignore = "needs docker-registry, skopeo and 4 GiB of disk"]
fn memory_does_not_grow_with_what_is_pushed() {
    let registry = Registry::start();
    let project = Project::new(&registry.host, "gibibyte", &["one"], "runtime-image = \"oci:../base\"\n");
    base(&project.beside("base"));
    let mut command = project.publish("").command();
    let started = Instant::now();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the xtask");
    // The kernel's own record of the peak, of this process alone, read until there is none.
    let mut peak = 0;
    while child.try_wait().expect("the xtask's status").is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak = kibibytes.unwrap_or(peak).max(peak);
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().expect("the xtask's end");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let pushed = stderr.lines().find(|line| line.contains("pushed ")).expect("it says what it pushed");
    println!("{} MiB at most, {:.1?} in all; {pushed}", peak >> 10, started.elapsed());
    assert!(peak > 0 && peak < 100 << 10, "{peak} KiB");
    let size =
        project.record()["one"]["platforms"].as_object().expect("platforms").values().next().expect("one")["size"]
            .clone();
    assert!(size.as_u64().is_some_and(|size| size > GIB), "{size}");
    let repository = project.repository("one");
    let manifest: Value = serde_json::from_str(&registry.raw(&repository, ":main")).expect("a manifest");
    assert_eq!(manifest["layers"][0]["size"], GIB);
}
