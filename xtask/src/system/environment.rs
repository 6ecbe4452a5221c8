//! The process' environment: all variables that we read, in one place.
//!
//! What builds see of it is decided in `workspace::build_variables`.

/// What we read, and what for.
pub(crate) const READ: &[(&str, &str)] = &[
    ("ALL_PROXY", "the proxy of every request"),
    ("CARGO", "the cargo that runs us"),
    ("CARGO_BUILD_RUSTC_WRAPPER", "a compile cache, whose port builds may use"),
    ("CARGO_HOME", "cargo's folder"),
    ("CI_BUILD_ARGS", "`--build-arg`"),
    ("CI_COMMIT_BRANCH", "the branch of a GitLab run"),
    ("CI_COMMIT_PULL_REQUEST", "the number of a Woodpecker run's pull request"),
    ("CI_COMMIT_SHA", "the commit of a GitLab run"),
    ("CI_COMMIT_TAG", "the tag of a GitLab run"),
    ("CI_DEFAULT_BRANCH", "which branch moves `latest` in a GitLab run"),
    ("CI_DOCKER_CLI", "the engine's program"),
    ("CI_IMAGE_PLATFORM", "`--platform`"),
    ("CI_IMAGE_TAG", "`--tag`"),
    ("CI_JOB_URL", "the address of a GitLab run, for provenance"),
    ("CI_MERGE_REQUEST_IID", "the number of a GitLab run's merge request"),
    ("CI_PROJECT_PATH", "the owner of images in a GitLab run"),
    ("CI_PROJECT_URL", "the repository of a GitLab run: where commits can be seen, and for provenance"),
    ("CI_PUSH", "`false`: nothing is pushed"),
    ("CI_REGISTRY", "`--registry`"),
    ("CI_REGISTRY_PASSWORD", "the registry's password"),
    ("CI_REGISTRY_USERNAME", "the registry's user"),
    ("CI_SERVICES", "components"),
    ("CI_SERVICE_FILTER", "components"),
    ("COSIGN_KEY", "the key that signs, before the settings' `key`"),
    ("COSIGN_PASSWORD", "the password of the key that signs"),
    ("DOCKER_CLI", "the engine's program"),
    ("DOCKER_CONFIG", "the folder of docker's configuration"),
    ("GITHUB_ACTOR", "who deploys, for others who try meanwhile"),
    ("GITHUB_BASE_REF", "the branch that a pull request goes to"),
    ("GITHUB_EVENT_NAME", "whether CI runs for a pull request"),
    ("GITHUB_EVENT_PATH", "what CI runs for"),
    ("GITHUB_OUTPUT", "the file of a CI step's results"),
    ("GITHUB_REF", "branch or tag of a CI run"),
    ("GITHUB_REPOSITORY", "the owner of images"),
    ("GITHUB_RUN_ID", "the CI run, for provenance"),
    ("GITHUB_SERVER_URL", "where a CI run and its commits can be seen"),
    ("GITHUB_SHA", "the commit of a CI run"),
    ("GITHUB_STEP_SUMMARY", "the file of a CI step's summary"),
    ("HOME", "the user's folder: cargo's, rustup's, docker's"),
    ("HTTPS_PROXY", "the proxy for https"),
    ("HTTP_PROXY", "the proxy for http"),
    ("KUBERNETES_SERVICE_HOST", "whether we run in a pod"),
    ("NO_PROXY", "what no proxy is for"),
    ("PATH", "programs"),
    ("REGISTRY_AUTH_FILE", "podman's credentials"),
    ("RUSTC_WORKSPACE_WRAPPER", "a compile cache, whose port builds may use"),
    ("RUSTC_WRAPPER", "a compile cache, whose port builds may use"),
    ("RUSTUP_HOME", "rustup's folder"),
    ("SCCACHE_SERVER_PORT", "where the compile cache's server listens"),
    ("SERVICES", "components"),
    ("SOURCE_DATE_EPOCH", "the time of all images"),
    ("SSH_AUTH_SOCK", "whether an engine's build may fetch by ssh"),
    ("SSL_CERT_DIR", "root certificates"),
    ("SSL_CERT_FILE", "root certificates"),
    ("TMPDIR", "temporary files, which builds do not see"),
    ("USER", "who deploys, for others who try meanwhile"),
    ("XDG_RUNTIME_DIR", "podman's credentials"),
    ("XTASK_IMAGES", "`placeholder`: placeholders are meant"),
    ("all_proxy", "as in capitals"),
    ("http_proxy", "as in capitals"),
    ("https_proxy", "as in capitals"),
    ("no_proxy", "as in capitals"),
];

/// A variable that is set to something: CI systems pass on empty ones.
pub(crate) fn variable(name: &str) -> Option<String> {
    // Those of an environment that images go to end in its name.
    let is_credential = name.starts_with("CI_REGISTRY_");
    debug_assert!(is_credential || READ.iter().any(|(known, _)| *known == name), "`{name}` is not among `READ`");
    any_variable(name)
}

/// As [`variable`], for a name that the user or a build came up with.
pub(crate) fn any_variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// All variables that are text.
pub(crate) fn all() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// The names of all variables, whatever their values are.
pub(crate) fn names() -> impl Iterator<Item = String> {
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok())
}

/// This machine's architecture, as OCI writes it.
pub(crate) fn own_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
