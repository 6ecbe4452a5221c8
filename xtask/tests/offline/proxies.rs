//! Proxies: which variable counts, and what is said when one is wrong or refuses.

use crate::support::http::{Answer, Server};
use crate::support::{Fixture, Output};

/// Asks a registry that no name service knows for its tags, with these variables for the proxy `PROXY`, a server
/// that answers `status`; gives the run, and what the proxy was asked for.
#[track_caller]
fn list(status: u16, variables: &[(&str, &str)]) -> (Output, Vec<String>) {
    let proxy = Server::start(move |_| Answer::new(status, ""));
    let fixture = Fixture::simple(&["app"]);
    let mut run = fixture.xtask("registry list app --registry registry.invalid");
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"] {
        run = run.env(name, "").env(&name.to_lowercase(), "");
    }
    for (name, value) in variables {
        run = run.env(name, value.replace("PROXY", &format!("127.0.0.1:{}", proxy.port)));
    }
    let output = run.fails().says_nothing_of("s3cret").says_nothing_of("robot");
    (output, proxy.seen().iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect())
}

#[test]
fn a_proxy_that_wants_other_credentials_is_asked_once_and_named() {
    let connect = "CONNECT registry.invalid:443";
    for (variable, value, hint) in [
        ("HTTPS_PROXY", "http://PROXY", "hint: it wants a user: `HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT`"),
        ("https_proxy", "http://robot:s3cret@PROXY/", "hint: it refuses the user or the password of `https_proxy`"),
        ("ALL_PROXY", "PROXY", "hint: it wants a user: `ALL_PROXY="),
    ] {
        let (output, seen) = list(407, &[(variable, value), ("HTTP_PROXY", "http://elsewhere.invalid:1")]);
        output.says("cannot reach `registry.invalid`").says(&format!("(`{variable}`) answered 407")).says(hint);
        assert_eq!(seen, [connect], "{variable}");
    }
    let (output, seen) = list(403, &[("HTTPS_PROXY", "http://robot:s3cret@PROXY")]);
    output.says("answered 403").says("hint: what needs no proxy is listed in `NO_PROXY`");
    assert_eq!(seen, [connect]);
    // This may pass.
    let (output, seen) = list(503, &[("HTTPS_PROXY", "http://robot:s3cret@PROXY")]);
    output.says("cannot reach `registry.invalid` through the proxy `127.0.0.1:");
    assert_eq!(seen, [connect; 5]);
}

#[test]
fn what_is_not_for_it_does_not_pass_a_proxy() {
    let cases = [
        &[("HTTP_PROXY", "http://PROXY"), ("http_proxy", "http://PROXY")][..],
        &[("HTTPS_PROXY", "http://PROXY"), ("no_proxy", ".invalid")],
        &[("ALL_PROXY", "http://PROXY"), ("NO_PROXY", "other, registry.invalid")],
    ];
    // Most of it is waiting before another try.
    std::thread::scope(|scope| {
        for variables in cases {
            scope.spawn(move || {
                let (output, seen) = list(200, variables);
                output.says("cannot reach `registry.invalid`");
                assert_eq!(seen, [""; 0], "{variables:?}");
            });
        }
    });
}

#[test]
fn a_variable_that_names_no_proxy_is_an_error() {
    for (variable, value, text) in [
        ("HTTPS_PROXY", "http://robot:s3cret@PROXY:x", "`HTTPS_PROXY` names no valid proxy: write `http://HOST:PORT`"),
        ("all_proxy", "socks5://robot:s3cret@PROXY", "`all_proxy` names a proxy of another kind than http"),
    ] {
        let (output, seen) = list(200, &[(variable, value)]);
        output.says(text);
        assert_eq!(seen, [""; 0]);
    }
}
