//! Publications through what fails in networks and registries: they get through, or say why not and
//! leave all as it was.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::parts::tool;
use crate::project::{Project, RECORD, SERVICES};
use crate::proxy::{Action, Proxy, is_manifest, is_upload};
use crate::registry::{PASSWORD, Registry, USER};
use crate::support::http::{Answer, Request};
use crate::support::mounted::Mounted;

/// What a request is about: each upload has an address of its own, but its blob stays the same.
fn subject(request: &Request) -> String {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let blob = query.split('&').find(|field| field.starts_with("digest=") && is_upload(request));
    format!("{} {}", request.method, blob.unwrap_or(path))
}

/// Gives `fault` to the first of the requests that match and are about the same.
fn to_each_first(
    matches: fn(&Request) -> bool,
    mut fault: impl FnMut() -> Action + Send + 'static,
) -> impl FnMut(&Request) -> Action + Send + 'static {
    let mut seen = BTreeSet::new();
    move |request| match matches(request) && seen.insert(subject(request)) {
        true => fault(),
        false => Action::Pass,
    }
}

fn all_at_once<T: Send>(items: impl IntoIterator<Item = T>, work: impl Fn(T) + Sync) {
    let work = &work;
    std::thread::scope(|scope| items.into_iter().for_each(|item| drop(scope.spawn(move || work(item)))));
}

fn is_writing(request: &Request) -> bool {
    matches!(request.method.as_str(), "PUT" | "POST")
}

/// Whether it is the large layer that is sent.
fn is_large_upload(request: &Request) -> bool {
    is_upload(request) && request.headers["content-length"].parse::<u64>().is_ok_and(|length| length > 50_000)
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn passing_faults_are_survived() {
    let mut statuses = [500, 502, 503, 504, 408, 429].into_iter().cycle();
    let date = || tool("date", &["--utc", "--date=2 seconds", "+%a, %d %b %Y %H:%M:%S GMT"]);
    type Rule = Box<dyn FnMut(&Request) -> Action + Send>;
    let rules: [(&str, Rule, f64); 6] = [
        (
            "a bad answer to each",
            Box::new(to_each_first(|_| true, move || Action::Answer(Answer::new(statuses.next().unwrap(), "")))),
            0.0,
        ),
        ("no answer to any", Box::new(to_each_first(|_| true, || Action::Cut(0))), 0.0),
        ("a lost answer to all that write", Box::new(to_each_first(is_writing, || Action::LoseAnswer)), 0.0),
        ("a cut within a blob", Box::new(to_each_first(is_large_upload, || Action::Cut(40_000))), 0.0),
        (
            "429 with seconds",
            Box::new(to_each_first(is_large_upload, || {
                Action::Answer(Answer::new(429, "").header("Retry-After", "1"))
            })),
            1.0,
        ),
        (
            "429 with a date",
            Box::new(to_each_first(is_large_upload, move || {
                Action::Answer(Answer::new(429, "").header("Retry-After", date()))
            })),
            1.0,
        ),
    ];
    // Most of it is waiting.
    all_at_once(rules, |(name, rule, at_least)| {
        let registry = Registry::start();
        let proxy = Proxy::start(&registry.host, rule);
        let project = Project::new(&proxy.host, "passing", &["one"], "");
        let started = Instant::now();
        project.publish("").ok();
        println!("{name}: {:.1?}, {} requests", started.elapsed(), proxy.passed().len());
        assert!(started.elapsed().as_secs_f64() >= at_least, "{name}: {:?}", started.elapsed());
        project.is_published_in(&registry);
    });
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn what_stays_broken_is_said_and_the_next_run_goes_on_from_there() {
    let wrong = format!("sha256:{}", "0".repeat(64));
    let echo = {
        let wrong = wrong.clone();
        move || {
            let wrong = wrong.clone();
            Action::Change(Box::new(move |answer| {
                for (name, value) in &mut answer.headers {
                    if name == "docker-content-digest" {
                        value.clone_from(&wrong);
                    }
                }
            }))
        }
    };
    let (at_upload, at_manifest) = (echo.clone(), echo);
    type Rule = Box<dyn FnMut(&Request) -> Action + Send>;
    let rules: [(&str, Rule, Vec<&str>); 5] = [
        (
            "cut",
            Box::new(|r| if is_upload(r) { Action::Cut(10) } else { Action::Pass }),
            vec!["cannot push blob `sha256:"],
        ),
        (
            "503",
            Box::new(|r| if is_manifest(r) { Action::Answer(Answer::new(503, "")) } else { Action::Pass }),
            vec!["answered 503 Service Unavailable"],
        ),
        (
            "blob echo",
            Box::new(move |r| if is_upload(r) { at_upload() } else { Action::Pass }),
            vec!["the registry says that it stored `sha256:00000", "but was sent `sha256:"],
        ),
        (
            "manifest echo",
            Box::new(move |r| if is_manifest(r) { at_manifest() } else { Action::Pass }),
            vec!["the registry says that it stored `sha256:00000", "but was sent `sha256:"],
        ),
        (
            "later",
            Box::new(|r| match is_upload(r) {
                true => Action::Answer(Answer::new(429, "").header("Retry-After", "3600")),
                false => Action::Pass,
            }),
            vec!["answered 429 Too Many Requests", "the registry asks to come back in 3600 seconds"],
        ),
    ];
    all_at_once(rules, |(name, rule, texts)| {
        let registry = Registry::start();
        let project = Project::new(&registry.host, "broken", &["one", "two"], "");
        project.publish("").ok();
        project.change("two", name);
        let (record, services) = (project.read(RECORD), project.read(SERVICES));
        let proxy = Proxy::start(&registry.host, rule);
        let output = project.publish(&format!("--registry {}", proxy.host)).fails();
        for text in texts.iter().chain(&["error: not published: two; the digest record is as it was\n"]) {
            assert!(output.stderr.contains(text), "{name}: no `{text}` in:\n{}", output.stderr);
        }
        assert_eq!((project.read(RECORD), project.read(SERVICES)), (record, services), "{name}");
        assert!(!registry.tags(&project.repository("two")).contains(&project.sha_tag()), "{name}");
        project.is_whole_in(&registry);
        project.publish("").ok();
        project.is_published_in(&registry);
    });
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn an_upload_that_is_sent_elsewhere_carries_no_credentials() {
    let registry = Registry::behind_basic();
    let permission = format!("Basic {}", crate::registry::base64(&format!("{USER}:{PASSWORD}")));
    let storage = Proxy::start(&registry.host, move |_| Action::As(permission.clone()));
    let elsewhere = storage.host.clone();
    let proxy = Proxy::start(&registry.host, move |request| {
        let elsewhere = elsewhere.clone();
        let own = request.headers["host"].clone();
        match request.method == "POST" {
            true => Action::Change(Box::new(move |answer| {
                for (_, value) in answer.headers.iter_mut().filter(|(name, _)| name == "location") {
                    *value = value.replace(&own, &elsewhere);
                }
            })),
            false => Action::Pass,
        }
    });
    let project = Project::new(&proxy.host, "elsewhere", &["one"], "");
    let publish = project.publish("").env("CI_REGISTRY", &proxy.host).env("CI_REGISTRY_USERNAME", USER);
    publish.env("CI_REGISTRY_PASSWORD", PASSWORD).ok();
    let sent = storage.passed();
    assert!(sent.len() >= 2 && sent.iter().all(|passed| passed.is_upload()), "{sent:#?}");
    assert!(sent.iter().all(|passed| !passed.request.headers.contains_key("authorization")), "{sent:#?}");
    assert!(!proxy.passed().iter().any(|passed| passed.is_upload()));
    project.is_published_in(&registry);
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn a_refused_mount_is_sent_instead() {
    let registry = Registry::start();
    let proxy = Proxy::start(&registry.host, |request| match request.path.split_once("?mount=") {
        // As a registry does that mounts nothing: an upload begins (202).
        Some((path, _)) => Action::Instead(path.to_owned()),
        None => Action::Pass,
    });
    let project = Project::new(&proxy.host, "mounts", &["one", "two"], "");
    project.publish("").ok();
    let mounts = proxy.passed().into_iter().filter(|passed| passed.request.path.contains("?mount="));
    let answers: Vec<_> = mounts.map(|passed| passed.status).collect();
    assert!(!answers.is_empty() && answers.iter().all(|status| *status == Some(202)), "{answers:?}");
    project.is_published_in(&registry);
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn a_registry_that_is_started_anew_gets_the_rest() {
    let mut registry = Registry::start();
    let (sender, begun) = std::sync::mpsc::channel();
    let proxy = Proxy::once(&registry.host, is_large_upload, move || {
        sender.send(()).expect("a test that waits");
        // Slow enough to be in the middle of it.
        Action::Slow(200_000)
    });
    let project = Project::new(&proxy.host, "restart", &["one", "two"], "");
    let publish = project.publish("");
    std::thread::scope(|scope| {
        let run = scope.spawn(|| publish.ok());
        begun.recv().expect("an upload");
        std::thread::sleep(Duration::from_millis(200));
        registry.stop();
        std::thread::sleep(Duration::from_millis(700));
        registry.run();
        run.join().expect("a publication");
    });
    project.is_published_in(&registry);
    let failed = proxy.passed().into_iter().filter(|passed| passed.status.is_none()).count();
    assert!(failed >= 1, "nothing failed");
}

/// A proxy for one of two publishers: both set `tag` before either reads it back.
fn racing(upstream: &str, tag: &str, came: &Arc<AtomicUsize>, set: &Arc<AtomicUsize>) -> Proxy {
    let (end, came, set) = (format!("/manifests/{tag}"), Arc::clone(came), Arc::clone(set));
    let mut is_set = false;
    Proxy::start(upstream, move |request| {
        if !request.path.ends_with(&end) {
            return Action::Pass;
        }
        let (came, set) = (Arc::clone(&came), Arc::clone(&set));
        if is_manifest(request) {
            is_set = true;
            came.fetch_add(1, Ordering::SeqCst);
            let count = Action::Change(Box::new(move |_| {
                let _ = set.fetch_add(1, Ordering::SeqCst);
            }));
            return Action::When(Box::new(move || came.load(Ordering::SeqCst) == 2), Box::new(count));
        }
        match is_set {
            true => Action::When(Box::new(move || set.load(Ordering::SeqCst) == 2), Box::new(Action::Pass)),
            false => Action::Pass,
        }
    })
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn of_two_publishers_of_a_tag_the_one_that_lost_says_so() {
    let registry = Registry::start();
    let one = Project::new(&registry.host, "race", &["app"], "mutable-tags = [\"dev\"]\n");
    one.publish("").ok();
    let two = one.copy();
    for tag in ["2026.11.0", "dev"] {
        let projects = [&one, &two];
        let (came, set) = (Arc::default(), Arc::default());
        let proxies = projects.map(|_| racing(&registry.host, tag, &came, &set));
        let records = projects.map(|project| project.read(RECORD));
        let runs = [0, 1].map(|at| {
            projects[at].change("app", &format!("{tag} of {at}"));
            let run = projects[at].publish(&format!("--tag {tag} --registry {}", proxies[at].host));
            // Of one another's branches they know nothing.
            run.env("GITHUB_REF", format!("refs/heads/branch-{at}"))
        });
        let outputs: Vec<_> = std::thread::scope(|scope| {
            let threads = runs.map(|run| scope.spawn(|| run.run()));
            threads.map(|thread| thread.join().expect("a run")).into()
        });
        let won = outputs.iter().position(|output| output.code == Some(0)).expect("a winner");
        let (winner, loser) = (projects[won], projects[1 - won]);
        let lost = &outputs[1 - won];
        assert_eq!(lost.code, Some(1), "{tag}: {outputs:#?}");
        let named = registry.digest(&one.repository("app"), tag);
        assert_eq!(winner.recorded("app"), named);
        let line = lost.stderr.lines().find(|line| line.contains("somebody else publishes the same tag"));
        let line = line.unwrap_or_else(|| panic!("{}", lost.stderr));
        let own = registry.digest(&one.repository("app"), &loser.sha_tag());
        let both = format!(":{tag}` names `{named}` right after it was set to `{own}`");
        assert!(line.contains(&both) && named != own, "{line}");
        assert!(lost.stderr.contains("not all tags were set, and the digest record is as it was"), "{}", lost.stderr);
        assert_eq!(loser.read(RECORD), records[1 - won], "{tag}");
        // A tag that does not move is set before those that do, and these wait for it.
        let has_moved = registry.tags(&one.repository("app")).contains(&format!("branch-{}", 1 - won));
        assert!(tag == "dev" || !has_moved, "{tag}");
        one.is_whole_in(&registry);
    }
}

#[test]
#[ignore = "needs docker-registry and skopeo"]
fn two_publishers_of_the_same_image_agree() {
    let registry = Registry::start();
    let one = Project::new(&registry.host, "agree", &["app"], "");
    let projects = [one.copy(), one.copy(), one];
    std::thread::scope(|scope| {
        let runs = projects.each_ref().map(|project| project.publish(""));
        let threads = runs.map(|run| scope.spawn(|| run.ok()));
        for thread in threads {
            thread.join().expect("a publication");
        }
    });
    assert!(projects.iter().all(|project| project.read(RECORD) == projects[0].read(RECORD)));
    projects[0].is_published_in(&registry);
}

#[test]
#[ignore = "needs root to mount a small file system, docker-registry and skopeo"]
fn a_disk_that_is_full_leaves_the_record_as_it_was() {
    let registry = Registry::start();
    let project = Project::new(&registry.host, "full", &["one"], "");
    project.publish("").ok();
    let (record, services) = (project.read(RECORD), project.read(SERVICES));
    project.change("one", "changed");
    let _mounted = Mounted::on(project.path("artifacts/docker"), "16k");
    project.write(RECORD, &record).write(SERVICES, &services);
    let filler = project.path("artifacts/docker/filler");
    let full = std::fs::write(&filler, vec![0; 64 << 10]).expect_err("a full disk");
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);

    let output = project.publish("").fails().says("No space left on device");
    let said = "the images are pushed and tagged, but the digest record is as it was";
    assert!(output.stderr.contains(said), "{}", output.stderr);
    assert_eq!((project.read(RECORD), project.read(SERVICES)), (record, services));
    let names = || project.path("artifacts/docker").read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names().all(|name| !name.to_string_lossy().starts_with(".tmp")), "{:?}", names().collect::<Vec<_>>());
    project.is_whole_in(&registry);

    std::fs::remove_file(filler).unwrap();
    project.publish("").ok().says_nothing_of("compiling");
    project.is_published_in(&registry);
}
