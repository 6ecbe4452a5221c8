//! A disk that is full in the middle of a build.
#![cfg(target_os = "linux")]

use std::process::Command;

use crate::support::mounted::Mounted;
use crate::support::{Fixture, succeed};

#[test]
#[ignore = "needs root to mount a small file system"]
fn a_full_disk_is_said_and_leaves_no_half_written_files() {
    let fixture = Fixture::simple(&["app"]);
    fixture.git_init();
    fixture.build("").ok();
    let before = fixture.digest("app");
    // The layout alone moves to the small disk; it is full before the new image is whole.
    let layout = fixture.path("target/docker/oci");
    let kept = fixture.beside("kept");
    succeed(Command::new("cp").arg("-a").arg(&layout).arg(&kept));
    std::fs::remove_dir_all(&layout).unwrap();
    let _mounted = Mounted::on(layout.clone(), "1m");
    succeed(Command::new("cp").arg("-a").arg(kept.join(".")).arg(&layout));
    fixture.write("app/data.bin", "").append(
        "app/Cargo.toml",
        "[package.metadata.docker]\nassets = [{ from = \"app/data.bin\", to = \"/data\" }]\n",
    );
    let mut random = 1_u64;
    let noise = std::iter::repeat_with(|| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as u8
    });
    std::fs::write(fixture.path("app/data.bin"), noise.take(2 << 20).collect::<Vec<_>>()).unwrap();
    fixture.build("").fails().says("No space left on device").says("error: not built: app");
    assert_eq!(fixture.image("app").digest, before);
    let blobs = layout.join("blobs/sha256");
    let names = || blobs.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names().all(|name| name.len() == 64), "{:?}", names().collect::<Vec<_>>());
    // With less to write it works again.
    std::fs::write(fixture.path("app/data.bin"), "small").unwrap();
    fixture.build("").ok();
    assert_eq!(fixture.image("app").file("data").content, b"small");
}
