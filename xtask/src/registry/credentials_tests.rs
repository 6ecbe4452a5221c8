//! Configuration files as docker, podman and their helpers write them.

use super::*;

fn found(config: &str, registry: &str) -> Found {
    found_for(config, registry, "acme/engine")
}

fn found_for(config: &str, registry: &str, repository: &str) -> Found {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    std::fs::write(&file, config).unwrap();
    Credentials::from_file(file).find(&registry.parse().unwrap(), &repository.parse().unwrap())
}

fn password(username: &str, password: &str) -> Option<Credential> {
    Some(Credential::Password { username: username.to_owned(), password: Secret::new(password) })
}

#[test]
fn entries_are_found_under_the_names_that_tools_write() {
    // user:pass
    let entry = r#"{"auth":"dXNlcjpwYXNz"}"#;
    let cases = [
        ("ghcr.io", "ghcr.io"),
        ("https://ghcr.io", "ghcr.io"),
        ("https://ghcr.io/v2/", "ghcr.io"),
        ("localhost:5000", "localhost:5000"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "docker.io"),
        ("ghcr.io/acme", "ghcr.io"),
        ("ghcr.io/acme/engine", "ghcr.io"),
    ];
    for (key, registry) in cases {
        let config = format!(r#"{{"auths":{{"{key}":{entry}}}}}"#);
        assert_eq!(found(&config, registry).credential, password("user", "pass"), "{key}");
    }
    for (key, registry) in [("ghcr.io", "evil.io"), ("ghcr.io/other", "ghcr.io"), ("ghcr.io", "ghcr.io:444")] {
        let config = format!(r#"{{"auths":{{"{key}":{entry}}}}}"#);
        let found = found(&config, registry);
        assert!(found.credential.is_none() && found.trouble.is_none(), "{key}");
    }
}

#[test]
fn the_nearest_entry_wins() {
    let config = r#"{"auths":{"ghcr.io":{"auth":"YTpi"},"ghcr.io/acme":{"auth":"Yzpk"}}}"#;
    assert_eq!(found(config, "ghcr.io").credential, password("c", "d"));
    assert_eq!(found_for(config, "ghcr.io", "x/y").credential, password("a", "b"));
}

#[test]
fn all_forms_of_entries_are_read() {
    let cases = [
        (r#"{"auth":"dXNlcjpwOmE="}"#, password("user", "p:a")),
        (r#"{"auth":"dXNlcjpwOmE"}"#, password("user", "p:a")),
        (r#"{"username":"u","password":"p"}"#, password("u", "p")),
        (r#"{"auth":"","identitytoken":""}"#, None),
        ("{}", None),
        (r#"{"auth":"x","identitytoken":"t"}"#, Some(Credential::IdentityToken(Secret::new("t")))),
    ];
    for (entry, credential) in cases {
        let config = format!(r#"{{"auths":{{"ghcr.io":{entry}}}}}"#);
        let found = found(&config, "ghcr.io");
        assert_eq!(found.credential, credential, "{entry}");
        assert_eq!(found.trouble, None);
    }
}

#[test]
fn malformed_files_are_trouble_without_their_content() {
    for config in ["", "{", r#"{"auths":"s3cret"}"#, r#"{"auths":{"ghcr.io":{"auth":"s3cret!"}}}"#] {
        let found = found(config, "ghcr.io");
        assert!(found.credential.is_none());
        let trouble = found.trouble.unwrap();
        assert!(trouble.contains("is not valid") && !trouble.contains("s3cret"), "{trouble}");
    }
}

#[test]
fn a_missing_or_hostile_helper_is_trouble() {
    for (helper, text) in [("no-such-helper-xtask", "cannot be run"), ("../../bin/sh", "has no valid name")] {
        for config in
            [format!(r#"{{"credsStore":"{helper}"}}"#), format!(r#"{{"credHelpers":{{"ghcr.io":"{helper}"}}}}"#)]
        {
            let found = found(&config, "ghcr.io");
            assert!(found.trouble.unwrap().contains(text));
        }
    }
}

#[test]
fn given_credentials_come_first_and_for_their_registry_alone() {
    let registry: Registry = "ghcr.io".parse().unwrap();
    let credentials = Credentials::none().with(registry.clone(), "me", Secret::new("s3cret"));
    let repository = "a/b".parse().unwrap();
    assert_eq!(credentials.find(&registry, &repository).credential, password("me", "s3cret"));
    for other in ["evil.io", "ghcr.io:8443", "docker.io"] {
        assert!(credentials.find(&other.parse().unwrap(), &repository).credential.is_none());
    }
    assert!(!format!("{credentials:?}").contains("s3cret"));
}
