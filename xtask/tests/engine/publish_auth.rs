//! Publications to registries that ask for a password or a token, and the secrets on the way.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::parts::make_executable;
use crate::project::{Project, RECORD};
use crate::proxy::{Action, Proxy, is_upload};
use crate::registry::{PASSWORD, Registry, USER, base64};
use crate::support::Xtask;
use crate::support::http::Answer;
use crate::tokens::{Grant, Guarded, secrets};

/// Where `publish` gets its credentials from.
#[derive(Clone, Copy, Debug)]
enum Source {
    Variables,
    Auths,
    Helper,
}

/// `publish` with the right credentials.
fn publish(project: &Project, source: Source) -> Xtask {
    let run = project.publish("");
    let config = |text: String| crate::support::write(&project.beside("docker/config.json"), &text);
    match source {
        Source::Variables => {
            let run = run.env("CI_REGISTRY", &project.host).env("CI_REGISTRY_USERNAME", USER);
            run.env("CI_REGISTRY_PASSWORD", PASSWORD)
        }
        Source::Auths => {
            let auth = base64(&format!("{USER}:{PASSWORD}"));
            config(format!(r#"{{"auths": {{"{}": {{"auth": "{auth}"}}}}}}"#, project.host));
            run
        }
        Source::Helper => {
            config(format!(r#"{{"credHelpers": {{"{}": "test"}}}}"#, project.host));
            let helper = project.beside("helper/docker-credential-test");
            let answer = format!(r#"{{"Username": "{USER}", "Secret": "{PASSWORD}"}}"#);
            let text = format!(
                "#!/bin/sh\n[ \"$1\" = get ] && [ \"$(cat)\" = '{}' ] || exit 1\ncat <<'E'\n{answer}\nE\n",
                project.host
            );
            crate::support::write(&helper, &text);
            make_executable(&helper);
            run.path_first(helper.parent().expect("a folder"))
        }
    }
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn a_password_comes_from_variables_the_configuration_or_a_helper() {
    let registry = Registry::behind_basic();
    for source in [Source::Variables, Source::Auths, Source::Helper] {
        let project = Project::new(&registry.host, "basic", &["one"], "");
        publish(&project, source).ok();
        project.is_published_in(&registry);
    }
}

#[test]
#[ignore = "needs docker-registry"]
fn a_wrong_password_is_said_before_anything_is_built() {
    let registry = Registry::behind_basic();
    let project = Project::new(&registry.host, "wrong", &["one"], "");
    let none = project.publish("").fails().says_nothing_of("compiling");
    let hint = format!("hint: log in with `docker login {}`", registry.host);
    assert!(none.stderr.contains("answered 401 Unauthorized") && none.stderr.contains(&hint), "{}", none.stderr);
    let run = || project.publish("").env("CI_REGISTRY", &registry.host).env("CI_REGISTRY_USERNAME", USER);
    let output = run().env("CI_REGISTRY_PASSWORD", "horse-Battery-8").fails().says_nothing_of("compiling");
    for text in [
        registry.host.as_str(),
        "401 Unauthorized",
        "(user `robot`) are wrong",
        "they are from `CI_REGISTRY_USERNAME` and `CI_REGISTRY_PASSWORD`",
    ] {
        assert!(output.stderr.contains(text), "no `{text}` in:\n{}", output.stderr);
    }
    assert!(!output.stderr.contains("horse-Battery-8") && !output.stdout.contains("horse-Battery-8"));
    run().fails().says("`CI_REGISTRY_USERNAME` is set, but `CI_REGISTRY_PASSWORD` is not");
    let elsewhere = run().env("CI_REGISTRY", "ghcr.io").env("CI_REGISTRY_PASSWORD", PASSWORD);
    elsewhere.arg("--registry").arg(&registry.host).fails().says(&hint);
    assert!(!project.path(RECORD).exists() && !project.path("target/docker/oci").exists());
}

#[test]
#[ignore = "needs docker-registry, openssl and skopeo"]
fn tokens_are_had_for_what_is_done() {
    let guarded = Guarded::start(|_| Grant::default());
    for source in [Source::Variables, Source::Helper] {
        let project = Project::new(&guarded.registry.host, "token", &["one", "two"], "");
        let before = guarded.issued().len();
        publish(&project, source).ok();
        let asked = guarded.issued().len() - before;
        // Reading, asking whether writing is allowed, and writing, for each of two repositories and the releases';
        // and a mount.
        assert!((2..=11).contains(&asked), "{asked} tokens");
        project.is_published_in(&guarded.registry);
    }
}

#[test]
#[ignore = "needs docker-registry, openssl and skopeo"]
fn a_token_that_ends_on_the_way_is_renewed() {
    // It says when, or it does not.
    for (good_for, expires_in) in [(3, 2), (2, 300)] {
        let guarded = Guarded::start(move |_| Grant { good_for, expires_in, ..Grant::default() });
        let proxy = Proxy::start(&guarded.registry.host, |request| match is_upload(request) {
            true => Action::Slow(200_000),
            false if request.method == "POST" => Action::Late(Duration::from_secs(1)),
            false => Action::Pass,
        });
        let project = Project::new(&proxy.host, "ends", &["one"], "");
        publish(&project, Source::Variables).ok();
        let asked = guarded.issued().len();
        assert!(asked >= 3, "{asked} tokens");
        let refused = proxy.passed().iter().filter(|passed| passed.status == Some(401)).count();
        println!("good for {good_for} s, said {expires_in} s: {asked} tokens, {refused} refusals");
        assert!(refused >= if expires_in > 100 { 2 } else { 1 }, "{refused} refusals");
        project.is_published_in(&guarded.registry);
    }
}

#[test]
#[ignore = "needs docker-registry and openssl"]
fn a_token_service_that_fails_is_named() {
    let project = |guarded: &Guarded| Project::new(&guarded.registry.host, "service", &["one"], "");
    let refusing =
        |status: u16| Guarded::start(move |_| Grant { refusal: Some(Answer::new(status, "")), ..Grant::default() });
    let guarded = refusing(500);
    let output = publish(&project(&guarded), Source::Variables).fails().says_nothing_of("compiling");
    let text = format!("cannot get a token from `{}/token`\n", guarded.service);
    assert!(output.stderr.contains(&text) && output.stderr.contains("answered 500"), "{}", output.stderr);
    assert!(!output.stderr.to_lowercase().contains("unauthorized"), "{}", output.stderr);

    let guarded = refusing(403);
    let output = publish(&project(&guarded), Source::Variables).fails();
    assert!(output.stderr.contains("cannot get a token from") && output.stderr.contains("403"), "{}", output.stderr);

    // A wrong password is refused by the service, not the registry.
    let guarded = Guarded::start(|_| Grant::default());
    let project = project(&guarded);
    let run = project.publish("").env("CI_REGISTRY", &project.host).env("CI_REGISTRY_USERNAME", USER);
    let output = run.env("CI_REGISTRY_PASSWORD", "horse-Battery-8").fails().says("are wrong, or have expired");
    assert!(!output.stderr.contains("horse-Battery-8"), "{}", output.stderr);

    // Failing only now and then is survived.
    let guarded = Guarded::start(|count| match count {
        0 | 2 | 3 => Grant { refusal: Some(Answer::new(503, "")), ..Grant::default() },
        _ => Grant::default(),
    });
    let project = Project::new(&guarded.registry.host, "shaky", &["one"], "");
    publish(&project, Source::Variables).ok();
    project.is_published_in(&guarded.registry);
}

#[test]
#[ignore = "needs docker-registry, openssl and skopeo"]
fn a_token_that_is_too_weak_is_told_apart() {
    let guarded = Guarded::start(|_| Grant { actions: &["pull"], ..Grant::default() });
    let project = Project::new(&guarded.registry.host, "weak", &["one"], "");
    let output = publish(&project, Source::Variables).fails();
    let hint = format!("need push permission on `{}`", project.name("one"));
    assert!(output.stderr.contains(&hint) && output.stderr.contains("user `robot`"), "{}", output.stderr);
    assert!(!project.path(RECORD).exists());
}

/// The command lines of all processes, until `child` has ended.
fn command_lines(child: &mut std::process::Child) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    while child.try_wait().expect("a child").is_none() {
        for entry in fs::read_dir("/proc").expect("/proc").flatten() {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            lines.insert(String::from_utf8_lossy(&line).replace('\0', " "));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    // Which the xtask never runs, and tests beside this one do, with a password.
    lines.retain(|line| !line.starts_with("skopeo "));
    lines
}

/// Demands that no file below `folder` has one of `secrets` in it; gives how many were read.
#[track_caller]
fn no_file_has(secrets: &[String], folder: &Path) -> usize {
    let mut count = 0;
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry.expect("a readable folder");
        if entry.file_type().is_file() {
            let bytes = fs::read(entry.path()).expect("a file");
            let found = secrets.iter().any(|secret| memchr::memmem::find(&bytes, secret.as_bytes()).is_some());
            assert!(!found, "a secret is in {}", entry.path().display());
            count += 1;
        }
    }
    count
}

#[test]
#[ignore = "needs docker-registry and openssl"]
fn secrets_are_seen_nowhere() {
    let guarded = Guarded::start(|_| Grant::default());
    for source in [Source::Variables, Source::Helper] {
        let project = Project::new(&guarded.registry.host, "secrets", &["one", "two"], "");
        let temporary = project.beside("temporary");
        fs::create_dir_all(&temporary).expect("a folder");
        let (outputs, summary) = (project.beside("ci/output"), project.beside("ci/summary"));
        fs::create_dir_all(outputs.parent().expect("a folder")).expect("a folder");
        let run = publish(&project, source).env("TMPDIR", &temporary).env("RUST_LOG", "trace");
        let run = run.env("GITHUB_OUTPUT", &outputs).env("GITHUB_STEP_SUMMARY", &summary).env("RUST_BACKTRACE", "1");
        let mut command = run.command();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the xtask");
        let lines = command_lines(&mut child);
        let output = child.wait_with_output().expect("the xtask's end");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

        let secrets = secrets(&guarded.issued());
        assert!(secrets.len() > 4 && secrets.iter().all(|secret| secret.len() > 20), "{} secrets", secrets.len());
        let shows =
            |bytes: &[u8]| secrets.iter().any(|secret| memchr::memmem::find(bytes, secret.as_bytes()).is_some());
        assert!(shows(format!("user:{PASSWORD}").as_bytes()), "they would be found");
        assert!(!shows(&output.stdout) && !shows(&output.stderr), "{source:?}: it prints a secret");
        let children = lines.iter().filter(|line| line.contains("rustc") || line.contains("cargo")).count();
        assert!(children >= 2, "the command lines of children were seen: {lines:#?}");
        assert!(!lines.iter().any(|line| shows(line.as_bytes())), "{source:?}: a command line has a secret");
        assert!(no_file_has(&secrets, project.root()) > 20, "the workspace was read");
        no_file_has(&secrets, &temporary);
        assert!(no_file_has(&secrets, &project.beside("ci")) == 2);

        // Nor by what goes wrong.
        let broken = Proxy::start(&guarded.registry.host, |request| match is_upload(request) {
            true => Action::Answer(Answer::new(400, r#"{"errors":[{"code":"UNKNOWN","message":"no"}]}"#)),
            false => Action::Pass,
        });
        project.change("one", "changed");
        let mut project = project;
        project.host.clone_from(&broken.host);
        let failed = publish(&project, source).arg("--registry").arg(&broken.host).fails().says("not published: one");
        assert!(
            !shows(failed.stderr.as_bytes()) && !shows(failed.stdout.as_bytes()),
            "{source:?}: an error shows a secret"
        );
    }
}

#[test]
#[ignore = "needs docker-registry, openssl and skopeo"]
fn a_registry_of_this_machine_may_speak_tls() {
    let (registry, certificate) = Registry::with_tls();
    let project = Project::new(&registry.host, "tls", &["one", "two"], "");
    let output = project.publish("").fails().says("invalid peer certificate");
    assert!(output.stderr.trim_end().ends_with("set `SSL_CERT_FILE` to its certificate"), "{}", output.stderr);
    project.publish("").env("SSL_CERT_FILE", &certificate).ok();
    project.is_published_in(&registry);
    project.run("digests verify").env("SSL_CERT_FILE", &certificate).ok();
    // All components at once.
    for _ in 0..5 {
        project.run("registry list").env("SSL_CERT_FILE", &certificate).ok();
    }
}
