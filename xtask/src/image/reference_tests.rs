//! Tables of references that parse, and of texts that must not.

use super::*;

const HEX: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

#[test]
fn parses_what_engines_parse() {
    let digest = format!("sha256:{HEX}");
    let cases = [
        ("nginx", "docker.io/library/nginx"),
        ("nginx:alpine", "docker.io/library/nginx:alpine"),
        ("acme/engine", "docker.io/acme/engine"),
        ("docker.io/nginx", "docker.io/library/nginx"),
        ("index.docker.io/library/nginx", "docker.io/library/nginx"),
        ("localhost/engine", "localhost/engine"),
        ("localhost:5000/engine:v1", "localhost:5000/engine:v1"),
        ("127.0.0.1:5000/a/b__c/d--e:x", "127.0.0.1:5000/a/b__c/d--e:x"),
        ("[::1]:5000/engine", "[::1]:5000/engine"),
        ("[2001:db8::1]/engine:tag", "[2001:db8::1]/engine:tag"),
        ("GHCR.io/acme/engine", "ghcr.io/acme/engine"),
        ("ghcr.io/acme/engine:V1_x.y-z", "ghcr.io/acme/engine:V1_x.y-z"),
    ];
    for (text, shown) in cases {
        let reference: ImageReference = text.parse().unwrap_or_else(|e| panic!("{text}: {e:#}"));
        assert_eq!(reference.to_string(), shown);
        assert_eq!(shown.parse::<ImageReference>().unwrap(), reference, "stable: {shown}");

        let pinned: ImageReference = format!("{text}@{digest}").parse().unwrap();
        assert_eq!(pinned.to_string(), format!("{shown}@{digest}"));
        assert_eq!(pinned.tag, reference.tag);
        assert_eq!(pinned.selector(), digest);
    }
}

#[test]
fn parts_are_what_they_say() {
    let reference: ImageReference = "[::1]:5000/a/b:t".parse().unwrap();
    assert_eq!(reference.registry.host(), "::1");
    assert!(reference.registry.is_loopback());
    assert_eq!(reference.name(), "[::1]:5000/a/b");
    assert_eq!(reference.selector(), "t");
    let reference: ImageReference = "a/b".parse().unwrap();
    assert_eq!(reference.selector(), "latest");
    assert_eq!(reference.with_tag("x".parse().unwrap()).to_string(), "docker.io/a/b:x");
    let loopback = |text: &str| text.parse::<Registry>().unwrap().is_loopback();
    assert!(loopback("localhost:5000") && loopback("127.1.2.3"));
    assert!(!loopback("localhost.evil.com") && !loopback("127.0.0.1.evil.com:80"));
}

#[test]
fn refuses_with_the_part_at_fault() {
    let long_tag = format!("a:{}", "x".repeat(129));
    let long_path = "a/".repeat(200) + "b";
    let short = format!("a@sha256:{}", &HEX[1..]);
    let upper = format!("a@sha256:{}", HEX.to_ascii_uppercase());
    let cases = [
        ("", "a repository cannot be empty"),
        ("Nginx", "has upper case letters, write `nginx`"),
        ("ghcr.io/Acme/engine", "write `acme/engine`"),
        ("a b", "repository `a b` is not valid"),
        ("a\n", "repository `a\\n` is not valid"),
        ("a:b\n", "tag `b\\n` is not valid"),
        ("--flag", "repository `--flag` is not valid"),
        ("a/--flag", "repository `a/--flag` is not valid"),
        ("a:--flag", "tag `--flag` is not valid"),
        ("../a", "not a registry"),
        ("a/../b", "repository `a/../b` is not valid"),
        ("a/./b", "not valid"),
        ("a//b", "not valid"),
        ("/a", "not valid"),
        ("a/", "not valid"),
        ("a___b", "not valid"),
        ("a..b", "not valid"),
        ("-a.io/b", "the host is not a valid name"),
        ("a.io:/b", "the port must be a number"),
        ("a.io:99999/b", "the port must be a number"),
        ("a.io:+80/b", "the port must be a number"),
        ("user@a.io/b", "not a digest"),
        ("https://a.io/b", "not a registry"),
        ("[::g]/b", "no IPv6 address"),
        ("[::1/b", "`]` is missing"),
        ("a:", "a tag cannot be empty"),
        ("a.io/b$(id)", "not valid"),
        ("a@sha512:00", "does not begin with `sha256:`"),
        ("a@sha256:", "64 lower case"),
        (&short, "64 lower case"),
        (&upper, "64 lower case"),
        (&long_tag, "longer than 128"),
        (&long_path, "longer than 255"),
    ];
    for (text, part) in cases {
        let error = format!("{:#}", text.parse::<ImageReference>().unwrap_err());
        assert!(error.contains("is not an image reference"), "{text}: {error}");
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn registries_stand_alone() {
    assert!("localhost".parse::<Registry>().is_ok());
    let error = "https://ghcr.io".parse::<Registry>().unwrap_err().to_string();
    assert!(error.contains("without `http://` or `https://`"), "{error}");
    let error = "ghcr.io/acme".parse::<Registry>().unwrap_err().to_string();
    assert!(error.contains("without a path"), "{error}");
}

#[test]
fn digests_are_of_bytes() {
    assert_eq!(Digest::of(b"test").hex(), HEX);
    assert_eq!(serde_json::to_string(&Digest::of(b"test")).unwrap(), format!("\"sha256:{HEX}\""));
}
