//! `scan` with the real `cargo audit`, on an advisory database of our own.

use crate::support::Fixture;

const ADVISORY: &str = r#"```toml
[advisory]
id = "RUSTSEC-2020-0071"
package = "time"
date = "2020-11-18"
url = "https://example.org/time"
categories = ["memory-corruption"]
aliases = ["CVE-2020-26235"]
cvss = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"

[versions]
patched = [">= 0.2.23"]
```

# A segfault in the `time` crate

It reads the environment while others write it.
"#;

#[test]
#[ignore = "needs cargo-audit"]
fn what_cargo_audit_finds_is_told_and_fails() {
    let database = Fixture::simple(&[]);
    database.write("crates/time/RUSTSEC-2020-0071.md", ADVISORY);
    database.git_init();
    let fixture = Fixture::simple(&["app", "other"]);
    fixture.vendor("time", "0.1.43");
    fixture.append("app/Cargo.toml", "[dependencies]\ntime = \"0.1\"\n");
    fixture.lock();
    let scan = |arguments: &str| {
        let folder = database.root().display();
        fixture.xtask(&format!("scan --with cargo-audit --database {folder} {arguments}"))
    };
    // Nobody has looked for what was found since it was made.
    scan("").fails().says("the database of `cargo-audit` is of 2023-11-14, more than 7 days old");
    fixture.append("Cargo.toml", "[workspace.metadata.docker.scan]\nmax-database-age = 99999\n");
    let found = scan("--json").fails().says("failed: 1 of 1 findings reach `high`").json();
    let finding = &found["findings"][0];
    assert_eq!((&finding["id"], &finding["severity"]), (&"RUSTSEC-2020-0071".into(), &"high".into()));
    assert_eq!((&finding["components"], &finding["fixedIn"]), (&["app"][..].into(), &[">=0.2.23"][..].into()));
    scan("--fail-on critical").ok();

    // A database whose advisory is of other versions: it looked, and found nothing.
    database.replace("crates/time/RUSTSEC-2020-0071.md", ">= 0.2.23", ">= 0.1.0");
    database.git(&["commit", "--quiet", "--all", "--message", "other"]);
    assert_eq!(scan("").ok().stdout, "no findings\n");
    database.remove("crates");
    scan("").fails().says("nothing was looked at");
    fixture.write("audit.toml", "").write(".cargo/audit.toml", "[advisories]\nignore = [\"RUSTSEC-2020-0071\"]\n");
    database.write("crates/time/RUSTSEC-2020-0071.md", ADVISORY);
    scan("").fails().says("configured to say nothing of RUSTSEC-2020-0071");
}
