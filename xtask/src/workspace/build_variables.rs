//! Which variables of the environment a build sees, and which of them are inputs.

/// What becomes of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passage {
    /// Builds see it, and what they make of it is the same whatever it holds: where programs, caches,
    /// proxies and certificates are, how messages look.
    Passed,
    /// Builds see it, and its value is an input.
    Input,
    /// Builds do not see it.
    Dropped,
}

/// Passed on as they are.
const PASSED: &[&str] = &[
    "ALL_PROXY",
    "CARGO_BUILD_JOBS",
    "CARGO_MAKEFLAGS",
    "COLORTERM",
    "CURL_CA_BUNDLE",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "MAKEFLAGS",
    "NIX_SSL_CERT_FILE",
    "NO_COLOR",
    "NO_PROXY",
    "PATH",
    "REQUESTS_CA_BUNDLE",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TERM",
    "all_proxy",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];
const PASSED_FAMILIES: &[&str] = &["CARGO_HTTP_", "CARGO_NET_", "CARGO_TERM_", "CCACHE_", "SCCACHE_", "KACHE_"];

/// What cargo, the `cc`, `cmake`, `pkg-config` and `bindgen` crates, compilers and the build scripts of
/// well-known `-sys` crates read.
const INPUTS: &[&str] = &[
    "AR",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_INCREMENTAL",
    "CC",
    "CFLAGS",
    "CPATH",
    "CPLUS_INCLUDE_PATH",
    "CPPFLAGS",
    "CXX",
    "CXXFLAGS",
    "CXXSTDLIB",
    "C_INCLUDE_PATH",
    "HOST_CC",
    "HOST_CXX",
    "LD",
    "LDFLAGS",
    "LD_LIBRARY_PATH",
    "LIBCLANG_PATH",
    "LIBCLANG_STATIC_PATH",
    "LIBRARY_PATH",
    "LLVM_CONFIG_PATH",
    "NM",
    "PROTOC",
    "PROTOC_INCLUDE",
    "RANLIB",
    "RUSTC",
    "RUSTC_BOOTSTRAP",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
    "SDKROOT",
    "SOURCE_DATE_EPOCH",
    "SQLX_OFFLINE",
    "STRIP",
    "TARGET_CC",
    "TARGET_CXX",
];
const INPUT_FAMILIES: &[&str] = &[
    "AR_",
    "AWS_LC_",
    "BINDGEN_",
    "BZIP2_",
    "CARGO_BUILD_RUST",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
    "CARGO_UNSTABLE_",
    "CC_",
    "CFLAGS_",
    "CMAKE",
    "CXXFLAGS_",
    "CXX_",
    "JEMALLOC_",
    "LIBGIT2_",
    "LIBSQLITE3_",
    "LIBSSH2_",
    "LIBZ_",
    "LZMA_",
    "MYSQLCLIENT_",
    "NIX_",
    "OPENSSL_",
    "PKG_CONFIG",
    "PQ_",
    "PYO3_",
    "RANLIB_",
    "ROCKSDB_",
    "RUSTC_LINK_",
    "SNAPPY_",
    "SODIUM_",
    "SQLITE3_",
    "TARGET_C",
    "VCPKG",
    "X86_64_UNKNOWN_LINUX_",
    "AARCH64_UNKNOWN_LINUX_",
    "ZSTD_",
];

/// Of families, but ours to say.
const OURS: &[&str] = &["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "CARGO_BUILD_TARGET"];

/// What becomes of the variable `name`.
pub(crate) fn passage(name: &str) -> Passage {
    let is_of = |families: &[&str]| families.iter().any(|family| name.starts_with(family));
    let is_runner = name.starts_with("CARGO_TARGET_") && name.ends_with("_RUNNER");
    if OURS.contains(&name) || is_runner {
        Passage::Dropped
    } else if PASSED.contains(&name) || is_of(PASSED_FAMILIES) {
        Passage::Passed
    } else if INPUTS.contains(&name) || is_of(INPUT_FAMILIES) || name.ends_with("_PKG_CONFIG_PATH") {
        Passage::Input
    } else {
        Passage::Dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_who_builds_are_not_seen() {
        let secrets =
            ["CI_REGISTRY_PASSWORD", "GITHUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "CARGO_REGISTRY_TOKEN", "SSH_AUTH_SOCK"];
        let people = ["HOME", "USER", "HOSTNAME", "LANG", "TZ", "PWD", "CARGO_REGISTRIES_MY_TOKEN", "CARGO_TARGET_DIR"];
        for name in secrets.into_iter().chain(people) {
            assert_eq!(passage(name), Passage::Dropped, "{name}");
        }
    }

    #[test]
    fn what_changes_code_is_an_input() {
        for name in [
            "CC",
            "CFLAGS_x86_64_unknown_linux_gnu",
            "CARGO_PROFILE_RELEASE_LTO",
            "PKG_CONFIG_PATH",
            "PROTOC",
            "RUSTFLAGS",
        ] {
            assert_eq!(passage(name), Passage::Input, "{name}");
        }
        for name in ["PATH", "HTTPS_PROXY", "SSL_CERT_FILE", "CARGO_TERM_COLOR", "SCCACHE_DIR", "NIX_SSL_CERT_FILE"] {
            assert_eq!(passage(name), Passage::Passed, "{name}");
        }
    }
}
