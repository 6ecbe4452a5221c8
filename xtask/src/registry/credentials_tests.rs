//! Configuration files as docker, podman and their helpers write them.

use super::*;

fn found(config: &str, registry: &str) -> FoundCredential {
    found_for(config, registry, "acme/engine")
}

fn found_for(config: &str, registry: &str, repository: &str) -> FoundCredential {
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

fn from_variables(environment: Option<(&str, &str)>, variables: &[(&str, &str)]) -> Credentials {
    let lookup = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let registry = environment.map(|(_, registry)| registry.parse().unwrap());
    Credentials::none().with_variables(environment.map(|(name, _)| name), registry.as_ref(), lookup)
}

fn shown_to(credentials: &Credentials, registry: &str) -> FoundCredential {
    credentials.find(&registry.parse().unwrap(), &"acme/engine".parse().unwrap())
}

#[test]
fn variables_are_for_the_registry_they_name_alone() {
    let both = [("CI_REGISTRY_USERNAME", "ci"), ("CI_REGISTRY_PASSWORD", "s3cret"), ("CI_REGISTRY", "GHCR.io")];
    let credentials = from_variables(None, &both);
    assert_eq!(shown_to(&credentials, "ghcr.io").credential, password("ci", "s3cret"));
    for other in ["docker.io", "ghcr.io:8443", "evil.io", "localhost:5000"] {
        assert!(shown_to(&credentials, other).credential.is_none(), "{other}");
    }
    for (variables, said) in [
        (&both[..2], "it names none"),
        (&both[..1], "`CI_REGISTRY_USERNAME` is set, but `CI_REGISTRY_PASSWORD` is not"),
        (&both[1..], "`CI_REGISTRY_PASSWORD` is set, but `CI_REGISTRY_USERNAME` is not"),
    ] {
        let found = shown_to(&from_variables(None, variables), "ghcr.io");
        assert!(found.credential.is_none());
        let trouble = found.trouble.unwrap();
        assert!(trouble.contains(said) && !trouble.contains("s3cret"), "{trouble}");
    }
    assert!(shown_to(&from_variables(None, &[]), "ghcr.io").trouble.is_none());
}

#[test]
fn an_environment_has_credentials_of_its_own() {
    let variables = [
        ("CI_REGISTRY_USERNAME_EU_WEST", "eu"),
        ("CI_REGISTRY_PASSWORD_EU_WEST", "s3cret"),
        ("CI_REGISTRY", "ghcr.io"),
    ];
    let credentials = from_variables(Some(("eu-west", "registry.eu:5000")), &variables);
    assert_eq!(shown_to(&credentials, "registry.eu:5000").credential, password("eu", "s3cret"));
    assert!(shown_to(&credentials, "ghcr.io").credential.is_none());
    assert!(shown_to(&from_variables(Some(("us", "ghcr.io")), &variables), "ghcr.io").credential.is_none());
}
