//! `scan` where scanners fail: what nobody looked at is never green.

use crate::support::Fixture;
use crate::support::http::{Answer, Server};

const GOOD: &str = r#"{"settings":{"ignore":[]},"database":{"advisory-count":1,"last-updated":"DATE"},"lockfile":{"dependency-count":2},"vulnerabilities":{"found":true,"count":1,"list":[{"advisory":{"id":"RUSTSEC-2020-0071","title":"segfault","aliases":["CVE-2020-26235"],"cvss":null},"versions":{"patched":[">=0.2.23"]},"package":{"name":"time","version":"0.1.43"}}]},"warnings":{}}"#;

/// A workspace of one program with a vendored dependency, and a `cargo audit` that prints this.
fn scanned(report: &str, exit: u8) -> Fixture {
    let fixture = Fixture::simple(&["app"]);
    fixture.vendor("time", "0.1.43");
    fixture.append("app/Cargo.toml", "[dependencies]\ntime = \"0.1\"\n");
    fixture.lock();
    fixture.write("report", report);
    let cat = format!(
        "#!/bin/sh\n[ \"$2\" = --version ] && exec echo cargo-audit 0.22.2\ncat '{}/report'\necho 'the end is near' >&2\nexit {exit}\n",
        fixture.root().display()
    );
    fixture.script("tools/cargo-audit", &cat);
    fixture
}

fn scan(fixture: &Fixture, arguments: &str) -> crate::support::Xtask {
    let run = fixture.xtask(&format!("scan --with cargo-audit {arguments}"));
    run.path_first(&fixture.path("tools"))
}

/// As RFC 3339 writes it, some days ago.
fn days_ago(days: u32) -> String {
    let output = std::process::Command::new("date").args(["-u", "-d", &format!("{days} days ago"), "+%FT%TZ"]).output();
    String::from_utf8(output.expect("date runs").stdout).expect("UTF-8").trim().to_owned()
}

#[test]
fn a_scanner_that_crashes_or_talks_nonsense_has_not_looked() {
    for (report, exit) in [("", 101), ("", 0), ("{}", 0), ("not json", 0), (&GOOD[..GOOD.len() - 9], 0)] {
        let output = scan(&scanned(report, exit), "").fails();
        assert_eq!(output.stdout, "");
        output.says("nothing was looked at").says("the end is near");
    }
    let counted = GOOD.replace("\"dependency-count\":2", "\"dependency-count\":1");
    scan(&scanned(&counted, 0), "").fails().says("it looked at 1 packages, and `Cargo.lock` has 2");
}

#[test]
fn an_old_database_is_refused() {
    scan(&scanned(&GOOD.replace("DATE", &days_ago(9)), 1), "").fails().says("more than 7 days old");
    scan(&scanned(&GOOD.replace("\"DATE\"", "null"), 1), "").fails().says("does not say how old its database is");
}

#[test]
fn what_is_not_installed_is_told() {
    let fixture = Fixture::simple(&["app"]);
    let run = fixture.xtask("scan --with grype").fails();
    run.says("nothing was looked at: not installed: grype").says("hint: ");
}

#[test]
fn findings_fail_until_somebody_excepts_them() {
    let fixture = scanned(&GOOD.replace("DATE", &days_ago(1)), 1);
    let output = scan(&fixture, "--json --sarif out/scan.sarif --openvex vex.json").fails();
    let json = output.json();
    assert_eq!((&json["failing"], &json["findings"][0]["severity"]), (&1.into(), &"unknown".into()));
    assert_eq!(json["findings"][0]["components"][0], "app");
    assert!(fixture.read("out/scan.sarif").contains("RUSTSEC-2020-0071"));
    assert!(!fixture.read("vex.json").contains("RUSTSEC"));
    scan(&fixture, "--fail-on critical").ok();

    let exception = "[workspace.metadata.docker.scan]\nexceptions = [{ id = \"CVE-2020-26235\", reason = \"one thread\", \
                     until = \"2999-12-31\", affected = false }]\n";
    fixture.append("Cargo.toml", exception);
    let output = scan(&fixture, "--openvex vex.json").ok();
    assert!(output.stdout.contains("until 2999-12-31: one thread"), "{}", output.stdout);
    assert!(fixture.read("vex.json").contains("not_affected"));
    fixture.replace("Cargo.toml", "2999", "2001");
    scan(&fixture, "").fails().says("note: the exception of CVE-2020-26235 ended on 2001-12-31");
}

#[test]
fn what_silences_a_scanner_is_refused_or_not_seen() {
    let fixture = scanned(&GOOD.replace("DATE", &days_ago(1)), 1);
    fixture.write(".cargo/audit.toml", "[yanked]\nenabled = false\n");
    scan(&fixture, "").fails().says("audit.toml` silences it").says("configured to say nothing of what was yanked");
    fixture.remove(".cargo/audit.toml");
    let severe = GOOD.replace("DATE", &days_ago(1)).replace("\"ignore\":[]", "\"severity\":\"critical\"");
    fixture.write("report", &severe);
    scan(&fixture, "").fails().says("configured to say nothing of less than \"critical\"");

    // One that finds nothing where it sees files or variables of ours, and in the image of one platform.
    let (index, amd, arm) = ("a".repeat(64), "b".repeat(64), "c".repeat(64));
    let part = |digest: &str| format!("{{\"digest\":\"sha256:{digest}\",\"config\":\"sha256:{index}\",\"size\":1}}");
    let record = format!(
        "{{\"app\":{{\"repository\":\"r.io/app\",\"digest\":\"sha256:{index}\",\"image\":\"r.io/app@sha256:{index}\",\
         \"gitShaTag\":\"r.io/app:sha-1\",\"platforms\":{{\"linux/amd64\":{},\"linux/arm64\":{}}}}}}}",
        part(&amd),
        part(&arm)
    );
    fixture.write("record.json", &record).write(".trivyignore", "CVE-1\n").write("trivy.yaml", "severity: [LOW]\n");
    let report = |found: &str| {
        format!("'{{\"SchemaVersion\":2,\"ArtifactName\":\"a\",\"Results\":[{{\"Vulnerabilities\":[{found}]}}]}}'")
    };
    let found = "{\"VulnerabilityID\":\"CVE-1\",\"PkgName\":\"libc\",\"InstalledVersion\":\"1\",\"Severity\":\"HIGH\"}";
    let script = format!(
        "#!/bin/sh\ncase \"$1\" in\n--version) echo trivy ;;\n\
         version) echo '{{\"VulnerabilityDB\":{{\"UpdatedAt\":\"{}\"}}}}' ;;\n\
         *) if [ -e .trivyignore ] || [ -e trivy.yaml ] || [ -n \"$TRIVY_SEVERITY\" ] || [ \"$TRIVY_CACHE_DIR\" != there ]; then echo {}; exit; fi\n\
         case \"$*\" in *'--config config.yaml --ignorefile ignored '*'--platform linux/arm64 '*r.io/app@sha256:{arm}) echo {} ;; *) echo {} ;; esac ;;\n\
         esac\n",
        days_ago(1),
        report(""),
        report(found),
        report("")
    );
    fixture.script("tools/trivy", &script);
    let run = fixture.xtask("scan --with trivy --digests record.json --json").path_first(&fixture.path("tools"));
    let output = run.env("TRIVY_SEVERITY", "LOW").env("TRIVY_CACHE_DIR", "there").fails();
    let output = output.says("scanning app for linux/amd64 with trivy").says("scanning app for linux/arm64 with trivy");
    assert_eq!(output.json()["findings"][0]["id"], "CVE-1");
}

#[test]
fn findings_stop_a_publication_before_it_builds_or_asks_a_registry() {
    let registry = Server::start(|_| Answer::new(403, ""));
    let fixture = scanned(&GOOD.replace("DATE", &days_ago(1)), 1);
    let settings = format!("[workspace.metadata.docker]\nregistry = \"127.0.0.1:{}\"\n", registry.port);
    fixture.append("Cargo.toml", &settings).write(".gitignore", "/target\n").git_init();
    let publish = || fixture.xtask("publish --scan --builder native").path_first(&fixture.path("tools"));
    let stopped = publish().fails();
    assert_eq!((stopped.stdout.as_str(), registry.seen().len()), ("", 0));
    stopped.says("RUSTSEC-2020-0071").says("error: 1 of 1 findings reach `high`: nothing was built or pushed");
    assert!(!fixture.path("target/docker").exists() && !fixture.path("artifacts").exists());
    // Not having looked stops it, too.
    fixture.write("report", "").commit("no report");
    publish().fails().says("nothing was looked at");
    assert_eq!(registry.seen().len(), 0);

    fixture.write("report", &GOOD.replace("DATE", &days_ago(1)));
    fixture.append("Cargo.toml", "[workspace.metadata.docker.scan]\nfail-on = \"critical\"\n").commit("less strict");
    publish().fails().says("looked: cargo-audit");
    assert!(!registry.seen().is_empty(), "what does not fail lets it go on");
}
