//! Text of the peers' Dockerfiles, one per component.

use super::{BUILDER_IMAGE, PeerKind};

/// The builder image with cargo-chef in it, for `ChefPreinstalled`.
pub(super) fn chef_image() -> String {
    // Other words than the peer's own step: else that one would be found in the cache of this image,
    // which pruning leaves alone.
    format!("FROM {BUILDER_IMAGE}\nRUN cargo install --locked cargo-chef\n")
}

/// The Dockerfile of one component, linked statically as ours are.
///
/// cargo-chef's follows the form in its README: chef, planner, builder, runtime.
pub(super) fn dockerfile(kind: PeerKind, chef_image: &str, triple: &str, binary: &str) -> String {
    let build = format!(
        "COPY . .\n\
         RUN cargo build --release --target {triple} --bin {binary}\n\
         \n\
         FROM scratch AS runtime\n\
         COPY --from=builder /app/target/{triple}/release/{binary} /usr/local/bin/{binary}\n\
         ENTRYPOINT [\"/usr/local/bin/{binary}\"]\n"
    );
    let flags = "ENV RUSTFLAGS=\"-C target-feature=+crt-static\"\n";
    let chef = match kind {
        PeerKind::Naive => return format!("FROM {BUILDER_IMAGE} AS builder\nWORKDIR /app\n{flags}{build}"),
        // The process id: pruning may leave an earlier run's step in the cache.
        PeerKind::Chef => {
            format!("FROM {BUILDER_IMAGE} AS chef\nRUN cargo install cargo-chef --locked # {}\n", std::process::id())
        }
        PeerKind::ChefPreinstalled => format!("FROM {chef_image} AS chef\n"),
    };
    format!(
        "{chef}\
         WORKDIR /app\n\
         \n\
         FROM chef AS planner\n\
         COPY . .\n\
         RUN cargo chef prepare --recipe-path recipe.json\n\
         \n\
         FROM chef AS builder\n\
         {flags}\
         COPY --from=planner /app/recipe.json recipe.json\n\
         RUN cargo chef cook --release --target {triple} --recipe-path recipe.json\n\
         {build}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms() {
        let chef = dockerfile(PeerKind::Chef, "x", "t", "engine");
        let stages: Vec<_> = chef.lines().filter(|line| line.starts_with("FROM")).collect();
        let first = format!("FROM {BUILDER_IMAGE} AS chef");
        assert_eq!(stages, [&first, "FROM chef AS planner", "FROM chef AS builder", "FROM scratch AS runtime"]);
        let (before, after) = chef.split_once("cargo chef cook").unwrap();
        assert!(before.contains("RUN cargo install cargo-chef --locked # ") && after.contains("COPY . .\n"));
        let preinstalled = dockerfile(PeerKind::ChefPreinstalled, "x", "t", "engine");
        assert!(preinstalled.starts_with("FROM x AS chef\nWORKDIR /app\n"));
        assert!(!dockerfile(PeerKind::Naive, "x", "t", "engine").contains("chef"));
    }
}
