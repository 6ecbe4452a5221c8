//! How an image was made: an in-toto statement with SLSA's provenance (<https://slsa.dev/spec/v1.0/provenance>).

use serde_json::{Value, json};

use crate::image::manifest::sorted;
use crate::image::platform::Platform;
use crate::image::reference::Digest;
use crate::workspace::components::Component;
use crate::workspace::inputs::{Input, Inputs};

/// The media type of the statement.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.in-toto+json";
/// What kind of statement it is.
pub(crate) const PREDICATE: &str = "https://slsa.dev/provenance/v1";

/// A build that gave an image of one platform.
pub(crate) struct Build<'a> {
    pub(crate) component: &'a Component,
    pub(crate) platform: &'a Platform,
    /// `registry/repository`.
    pub(crate) repository: &'a str,
    /// The image.
    pub(crate) digest: &'a Digest,
    /// `native`, or the engine's program.
    pub(crate) builder: &'a str,
    /// Rust's name of what was compiled for.
    pub(crate) target: &'a str,
    /// What cargo was told to select.
    pub(crate) selection: Vec<String>,
    /// All that decides the image.
    pub(crate) inputs: &'a Inputs,
    pub(crate) source: Source<'a>,
    /// The lock file's SHA-256.
    pub(crate) lock: Digest,
    /// The image below, as the settings name it, and by digest.
    pub(crate) base: Option<(String, Digest)>,
}

/// Where what was built is from.
pub(crate) struct Source<'a> {
    /// HEAD.
    pub(crate) commit: &'a str,
    /// Whether git says that the tree was as that commit has it.
    pub(crate) is_clean: bool,
    /// The newest commit that changed an input.
    pub(crate) revision: &'a str,
    /// The CI run and its repository, by address.
    pub(crate) run: Option<Run>,
}

/// A run of a CI system.
#[derive(Clone)]
pub(crate) struct Run {
    /// Address of the repository.
    pub(crate) repository: String,
    /// Address of the run.
    pub(crate) address: String,
    /// Who runs such runs.
    pub(crate) system: &'static str,
}

/// The statement, which ends with a newline. It has no times: those are no content.
pub(crate) fn text(build: &Build<'_>) -> String {
    let Build { component, inputs, source, .. } = build;
    let public = inputs.published();
    let run = source.run.as_ref();
    let mut metadata = json!({});
    if let Some(run) = run {
        metadata["invocationId"] = json!(run.address);
    }
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": build.repository, "digest": { "sha256": build.digest.hex() } }],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:cargo-xtask:image:v1",
                "externalParameters": {
                    "component": component.name,
                    "package": component.package.name,
                    "platform": build.platform.to_string(),
                },
                "internalParameters": {
                    "builder": build.builder,
                    "target": build.target,
                    "selection": build.selection,
                    "inputHash": inputs.hash().to_string(),
                    "inputs": public.lines(),
                },
                "resolvedDependencies": materials(build, &public),
            },
            "runDetails": {
                "builder": {
                    "id": run.map_or("urn:cargo-xtask:local", |run| run.system),
                    "version": { "cargo-xtask": env!("CARGO_PKG_VERSION") },
                },
                "metadata": metadata,
            },
        },
    });
    format!("{:#}\n", sorted(statement))
}

/// The commit, the lock file, the base, and whatever took part in building.
fn materials(build: &Build<'_>, public: &Inputs) -> Vec<Value> {
    let Source { commit, is_clean, revision, run } = &build.source;
    let address = run.as_ref().map_or("urn:cargo-xtask:checkout".to_owned(), |run| format!("git+{}", run.repository));
    let mut source = json!({ "name": "source", "uri": address, "annotations": { "inputCommit": revision } });
    match is_clean {
        true => source["digest"] = json!({ "gitCommit": commit }),
        // No commit has what was built.
        false => source["annotations"]["changedSince"] = json!(commit),
    }
    let mut all = vec![source, json!({ "name": "Cargo.lock", "digest": { "sha256": build.lock.hex() } })];
    all.extend(build.base.iter().map(|(name, digest)| {
        let uri = if name.starts_with("oci:") { name.clone() } else { format!("docker://{name}") };
        json!({ "name": "base", "uri": uri, "digest": { "sha256": digest.hex() } })
    }));
    let tools = public.iter().filter_map(|(input, _)| match input {
        Input::Tool { name, version } if name != "base" => Some((name, version)),
        _ => None,
    });
    all.extend(tools.map(|(name, version)| {
        let uri = format!("urn:cargo-xtask:tool:{}", name.replace(' ', "-"));
        json!({ "name": name, "uri": uri, "annotations": { "version": version } })
    }));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom::bill::tests::component;

    fn statement(inputs: &[Input], base: Option<&str>, is_clean: bool) -> String {
        let platform = "linux/amd64".parse().unwrap();
        text(&Build {
            component: &component(),
            platform: &platform,
            repository: "registry.example.com/app",
            digest: &Digest::of(b"image"),
            builder: "native",
            target: "x86_64-unknown-linux-musl",
            selection: Vec::new(),
            inputs: &Inputs::default().for_build(&platform, inputs.iter().cloned()),
            source: Source { commit: "abc", is_clean, revision: "def", run: None },
            lock: Digest::of(b"lock"),
            base: base.map(|name| (name.to_owned(), Digest::of(b"base"))),
        })
    }

    #[test]
    fn no_secret_is_published_and_none_can_be_guessed_by_its_own_hash() {
        let secrets = |secret: &str| {
            let key = "env.TOKEN".to_owned();
            [
                Input::variable("DB_PASSWORD", secret),
                Input::Configuration { key, value: format!("{secret:?}") },
                Input::tool("rustflags", format!("--cfg {secret}")),
                Input::tool(crate::workspace::inputs::OUTSIDE_FOLDER, format!("/home/{secret}")),
                Input::tool("rustc", "rustc 1.95.0"),
            ]
        };
        let said = statement(&secrets("hunter2"), None, true);
        let digest = Digest::of(b"hunter2");
        assert!(!said.contains("hunter2") && !said.contains(&digest.hex()[..5]), "{said}");
        assert!(said.contains(&format!(r#"[\"variable\",\"DB_PASSWORD\",\"{}\"]"#, &digest.hex()[..4])), "{said}");
        assert!(said.contains(r#"[\"tool\",\"rustc\",\"rustc 1.95.0\"]"#), "{said}");
        assert_ne!(said, statement(&secrets("hunter3"), None, true));
    }

    #[test]
    fn a_layout_is_no_image_of_a_registry_and_an_unclean_tree_no_commit() {
        let materials = |base: &str, is_clean| {
            let said: Value = serde_json::from_str(&statement(&[], Some(base), is_clean)).unwrap();
            said["predicate"]["buildDefinition"]["resolvedDependencies"].clone()
        };
        assert_eq!(materials("oci:base", true)[2]["uri"], "oci:base");
        assert_eq!(materials("debian:12", true)[2]["uri"], "docker://debian:12");
        assert_eq!(materials("debian:12", true)[0]["digest"], json!({ "gitCommit": "abc" }));
        let unclean = &materials("debian:12", false)[0];
        assert_eq!((&unclean["digest"], &unclean["annotations"]["changedSince"]), (&Value::Null, &json!("abc")));
    }
}
