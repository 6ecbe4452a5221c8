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
    /// The image below, by name and digest.
    pub(crate) base: Option<(String, Digest)>,
}

/// Where what was built is from.
pub(crate) struct Source<'a> {
    /// HEAD.
    pub(crate) commit: &'a str,
    /// Whether the tree was as that commit has it.
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
                    "inputs": inputs.lines(),
                },
                "resolvedDependencies": materials(build),
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
fn materials(build: &Build<'_>) -> Vec<Value> {
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
        json!({ "name": "base", "uri": format!("docker://{name}"), "digest": { "sha256": digest.hex() } })
    }));
    let tools = build.inputs.iter().filter_map(|(input, _)| match input {
        Input::Tool { name, version } if name != "base" => Some((name, version)),
        _ => None,
    });
    all.extend(tools.map(|(name, version)| {
        let uri = format!("urn:cargo-xtask:tool:{}", name.replace(' ', "-"));
        json!({ "name": name, "uri": uri, "annotations": { "version": version } })
    }));
    all
}
