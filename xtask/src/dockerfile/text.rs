//! The text of a Dockerfile.
//!
//! For Docker 20.10 and newer or podman: BuildKit's own frontend, so no `# syntax=` line and no
//! here-documents.

use std::fmt::Write;

use camino::Utf8PathBuf;

use super::MARK;
use super::shell::{lines, value, word, wrapped};
use super::stages::DockerfilePlan;
use super::toolchain;
use crate::image::entry::{Entry, EntryKind, Source};
use crate::image::labels::{BASE_DIGEST, BASE_NAME};
use crate::image::platform::Platform;
use crate::image::root_files;
use crate::workspace::components::Component;
use crate::workspace::context::Stub;
use crate::workspace::settings::Linkage;

/// Where cargo keeps the registry in official Rust images.
const CARGO_HOME: &str = "/usr/local/cargo";

/// The C compiler that links. Called `cc`, like the one that cargo takes by itself: for one called
/// `…-gcc` rustc leaves its own lld out, and the program is another than the native builder's.
const LINKER: &str = "/opt/linker/cc";

/// Cache mounts of downloads (never of `target`: a shared one puts another checkout's program into
/// the image), and what private registries need; all of them may be absent.
const MOUNTS: &str = "--mount=type=cache,target=/usr/local/cargo/registry \\
    --mount=type=cache,target=/usr/local/cargo/git \\
    --mount=type=secret,id=cargo-credentials,target=/usr/local/cargo/credentials.toml \\
    --mount=type=ssh \\
    ";

/// The Dockerfile of one package.
pub(crate) fn text(plan: &DockerfilePlan<'_>) -> String {
    let folder = &plan.components[0].package.folder;
    let mut text = format!(
        "{MARK}: change the workspace or its settings, not this file.\n\
         # It stands alone: docker build -f {} {}\n\n\
         # BuildKit knows these here by itself, podman only when told.\n\
         ARG TARGETARCH=$TARGETARCH\nARG TARGETVARIANT=$TARGETVARIANT\n",
        word(folder.join("Dockerfile").as_str()),
        plan.context.top.as_seen_from_root()
    );
    builders(plan, &mut text);
    manifests(plan, &mut text);
    dependencies(plan, &mut text);
    for component in plan.ordered() {
        build(plan, component, &mut text);
    }
    if let Some(runtime_image) = &plan.runtime_image {
        files(plan, runtime_image, &mut text);
        for component in plan.ordered() {
            image(plan, component, runtime_image, &mut text);
        }
    }
    text
}

/// A builder stage per platform, always on the build machine's own: compilers cross, nothing is
/// emulated.
fn builders(plan: &DockerfilePlan<'_>, text: &mut String) {
    for (platform, builder) in &plan.builders {
        let target = &builder.target;
        let mut flags = builder.rustflags.clone();
        match plan.linkage {
            Linkage::GnuStatic | Linkage::Musl => flags.extend(["-C".into(), "target-feature=+crt-static".into()]),
            Linkage::Gnu => {}
        }
        flags.push(format!("--remap-path-prefix={CARGO_HOME}=/cargo"));
        let mut environment =
            vec![format!("TARGET={}", target.triple), format!("RUSTFLAGS={}", value(&flags.join(" ")))];
        if plan.linkage != Linkage::Musl {
            environment.push(format!("{}={LINKER}", target.cargo_variable("LINKER")));
        }
        let _ = write!(
            text,
            "\nFROM --platform=$BUILDPLATFORM {} AS {}\nENV {}\n",
            builder.image,
            builder_stage(platform),
            environment.join(" \\\n    ")
        );
        let compiler = format!("{}-gcc", target.gnu_prefix);
        let _ = match plan.linkage {
            Linkage::Musl => write!(
                text,
                "RUN if command -v apt-get >/dev/null && ! command -v musl-gcc >/dev/null; then \\\n      \
                 apt-get update && apt-get install -y --no-install-recommends musl-tools; \\\n    fi\n"
            ),
            Linkage::Gnu | Linkage::GnuStatic => write!(
                text,
                "RUN mkdir -p {folder} && \\\n    \
                 if [ \"$(uname -m)\" = {machine} ]; then ln -s \"$(command -v cc)\" {LINKER}; \\\n    \
                 else \\\n      \
                 if ! command -v {compiler} >/dev/null; then \\\n        \
                 apt-get update && \\\n        \
                 apt-get install -y --no-install-recommends gcc-{package} libc6-dev-{debian}-cross; \\\n      \
                 fi && ln -s \"$(command -v {compiler})\" {LINKER}; \\\n    fi\n",
                folder = LINKER.trim_end_matches("/cc"),
                machine = target.machine,
                package = target.gnu_prefix.replace('_', "-"),
                debian = target.debian,
            ),
        };
    }
    let _ = write!(
        text,
        "\nFROM builder-$TARGETARCH$TARGETVARIANT AS builder\n\
         ENV CARGO_HOME={CARGO_HOME} CARGO_TARGET_DIR=/workspace/target \\\n    \
         CFLAGS=-ffile-prefix-map={CARGO_HOME}=/cargo CXXFLAGS=-ffile-prefix-map={CARGO_HOME}=/cargo\n"
    );
    if !plan.build_packages.is_empty() {
        let packages = plan.build_packages.iter().map(|package| word(package)).collect::<Vec<_>>().join(" ");
        let _ = write!(
            text,
            "RUN if command -v apk >/dev/null; then apk add --no-cache {packages}; \\\n    \
             else apt-get update && apt-get install -y --no-install-recommends {packages}; fi\n"
        );
    }
    let _ = writeln!(text, "WORKDIR {}", workspace(plan, "/workspace"));
    text.push_str(&plan.toolchain.as_ref().map(toolchain::step).unwrap_or_default());
}

/// Where the workspace is in a copy of the context at `folder`.
fn workspace(plan: &DockerfilePlan<'_>, folder: &str) -> String {
    let prefix = &plan.context.top.prefix;
    if prefix.as_str().is_empty() { folder.to_owned() } else { word(&format!("{folder}/{prefix}")) }
}

fn builder_stage(platform: &Platform) -> String {
    let platform = platform.to_string();
    format!("builder-{}", platform.trim_start_matches("linux/").replace('/', ""))
}

/// Keeps only what decides dependencies, so that an edit of a source leaves the next stage cached.
fn manifests(plan: &DockerfilePlan<'_>, text: &mut String) {
    let shared = &plan.context.shared;
    let place = |path: &Utf8PathBuf| plan.context.top.place(path);
    let kept: Vec<_> = shared.files.iter().chain(&shared.manifests).chain(&shared.whole).map(place).collect();
    let kept = kept.iter().map(|path| path.as_str());
    let _ = write!(
        text,
        "\n# What decides the dependencies of all components, with stubs for the sources. Runs on every edit,\n\
         # but its result seldom changes, and then the next stage stays cached.\n\
         FROM builder AS manifests\nWORKDIR /source\nCOPY . .\nRUN set -eu; mkdir /manifests; \\\n    \
         tar -cf - \\\n{}    | tar -xf - -C /manifests; \\\n    cd /manifests; \\\n",
        lines(kept, "      ")
    );
    for (kind, content) in [
        (Stub::Library, r"//! Stub.\n#![allow(unused_crate_dependencies)]\n"),
        (Stub::Program, r"//! Stub.\n#![allow(unused_crate_dependencies)]\nfn main() {}\n"),
    ] {
        let stubs: Vec<_> = shared
            .stubs
            .iter()
            .filter(|(_, stub)| **stub == kind)
            .map(|(path, _)| format!("./{}", place(path)))
            .collect();
        if !stubs.is_empty() {
            let _ = write!(
                text,
                "    for stub in \\\n{}    ; do mkdir -p \"${{stub%/*}}\"; printf '{content}' >\"$stub\"; done; \\\n",
                lines(stubs.iter().map(String::as_str), "      ")
            );
        }
    }
    text.push_str("    chmod -R u=rwX,go=rX .\n");
}

/// The dependencies of all components: the same text and content in every Dockerfile of the
/// workspace, so built once.
fn dependencies(plan: &DockerfilePlan<'_>, text: &mut String) {
    let _ = write!(
        text,
        "\n# The dependencies of all components: the same in each Dockerfile of this workspace, so built once.\n\
         FROM builder AS deps\n{}COPY --from=manifests /manifests /workspace/\nRUN {MOUNTS}\
         if command -v rustup >/dev/null; then rustup target add \"$TARGET\"; fi && \\\n    {}\n",
        arguments(plan),
        cargo_build(plan, plan.all.iter()),
    );
}

fn arguments(plan: &DockerfilePlan<'_>) -> String {
    plan.build_args.iter().map(|name| format!("ARG {name}\n")).collect()
}

fn cargo_build<'a>(plan: &DockerfilePlan<'_>, components: impl Iterator<Item = &'a Component>) -> String {
    let mut words: Vec<_> = plan.selection.iter().map(|argument| word(argument)).collect();
    words.extend(components.flat_map(|component| ["--bin".to_owned(), word(&component.name)]));
    wrapped("cargo build --release --locked --target \"$TARGET\"", &pairs(&words), "      ")
}

/// Keeps an option and its value on one line.
fn pairs(words: &[String]) -> Vec<String> {
    words.chunks(2).map(|pair| pair.join(" ")).collect()
}

fn build(plan: &DockerfilePlan<'_>, component: &Component, text: &mut String) {
    let name = &component.name;
    let stage = plan.stage("build", component);
    let top = &plan.context.top;
    let place = |folder: &Utf8PathBuf| match top.prefix.as_str() {
        "" => word(folder.as_str()),
        _ => word(&format!("/workspace/{}", top.place(folder))),
    };
    let mut touched: Vec<_> = plan.context.closure.iter().map(place).collect();
    if plan.context.closure.iter().any(|folder| folder.as_str().is_empty()) {
        touched.retain(|folder| folder.starts_with("/workspace/"));
        touched.push(". -path ./target -prune -o".to_owned());
    }
    touched.push("-type f -exec touch {} +".to_owned());
    let _ = write!(
        text,
        "\n# COPY keeps file times and cargo trusts times: untouched, a source older than its stub would be\n\
         # taken for compiled.\n\
         FROM deps AS {stage}\nCOPY . /workspace/\nRUN {MOUNTS}{} && \\\n    {} && \\\n    \
         install -D -m 755 \"$CARGO_TARGET_DIR/$TARGET/release/{name}\" {}\n\n\
         # The program alone: docker build --target {executable} --output DIR …\n\
         FROM scratch AS {executable}\nCOPY --from={stage} {exported} /\n",
        wrapped("find", &touched, "      "),
        cargo_build(plan, std::iter::once(component)),
        word(&format!("/executable/{name}")),
        executable = plan.stage("executable", component),
        exported = word(&format!("/executable/{name}")),
    );
}

/// Files of the image other than the program: the same that the assembler makes.
fn files(plan: &DockerfilePlan<'_>, runtime_image: &str, text: &mut String) {
    let assets = &plan.components[0].package.settings.assets;
    let is_scratch = runtime_image == "scratch";
    if !is_scratch && assets.is_empty() {
        return;
    }
    text.push_str("\nFROM builder AS files\nWORKDIR /files\n");
    for asset in assets {
        let to = format!("/files{}", asset.to);
        let from = plan.context.top.place(&asset.from);
        let paths = serde_json::to_string(&[from.as_str(), &to]).expect("strings are JSON");
        let _ = writeln!(text, "COPY {paths}");
    }
    text.push_str("RUN set -eu; \\\n");
    let mut attributes = String::new();
    let root_files = if is_scratch { root_files::root_files() } else { Vec::new() };
    for Entry { path, mode, owner, kind } in &root_files {
        let folder = path.rsplit_once('/').map_or(".", |(folder, _)| folder);
        let _ = match kind {
            // The certificates that the builder image trusts.
            EntryKind::File(_) if path.ends_with(".crt") => {
                writeln!(text, "    mkdir -p {folder}; cp /{path} {path}; \\")
            }
            EntryKind::File(Source::Bytes(content)) => {
                let content = String::from_utf8_lossy(content).replace('\n', r"\n");
                writeln!(text, "    mkdir -p {folder}; printf '{content}' >{path}; \\")
            }
            _ => writeln!(text, "    mkdir -p {path}; \\"),
        };
        if matches!(kind, EntryKind::Directory) && *mode != 0o755 {
            let _ = write!(attributes, "; chmod {mode:o} {path}");
        }
        if *owner != (0, 0) {
            let _ = write!(attributes, "; chown {}:{} {path}", owner.0, owner.1);
        }
    }
    let _ = writeln!(text, "    chmod -R u=rwX,go=rX .{attributes}");
}

fn image(plan: &DockerfilePlan<'_>, component: &Component, runtime_image: &str, text: &mut String) {
    let package = &component.package;
    let program = format!("/usr/local/bin/{}", component.name);
    let stage = plan.stage("image", component);
    let _ = write!(text, "\nFROM {runtime_image} AS {stage}\n");
    if runtime_image == "scratch" || !package.settings.assets.is_empty() {
        text.push_str("COPY --from=files /files /\n");
    }
    let source = format!("/executable/{}", component.name);
    let copied = serde_json::to_string(&[&source, &program]).expect("strings are JSON");
    let _ = writeln!(text, "COPY --from={} {copied}", plan.stage("build", component));
    let _ = write!(
        text,
        "ARG VERSION={}\nARG COMMIT_SHA=unknown\nARG BUILD_DATE=1970-01-01T00:00:00Z\n",
        value(&package.version)
    );
    let mut environment: Vec<_> =
        package.settings.env.iter().map(|(name, text)| format!("{name}={}", value(text))).collect();
    environment.extend(["VERSION", "COMMIT_SHA", "BUILD_DATE"].map(|name| format!("{name}=\"${name}\"")));
    let _ = writeln!(text, "ENV {}", environment.join(" \\\n    "));
    let mut labels = crate::workspace::labels::labels(component, "$VERSION", "$COMMIT_SHA", "$BUILD_DATE");
    if runtime_image != "scratch" {
        // What is not known of the base is said as nothing: its own base's label would be inherited.
        labels.extend([BASE_NAME, BASE_DIGEST].map(|name| (name.to_owned(), String::new())));
        labels.extend(plan.base_labels.clone());
    }
    let labels: Vec<_> = labels
        .iter()
        .map(|(name, text)| match text.starts_with('$') {
            true => format!("{name}=\"{text}\""),
            false => format!("{name}={}", value(text)),
        })
        .collect();
    let _ = writeln!(text, "LABEL {}", labels.join(" \\\n      "));
    if let Some(port) = package.settings.port {
        let _ = writeln!(text, "EXPOSE {port}");
    }
    let entrypoint = serde_json::to_string(&[&program]).expect("strings are JSON");
    let _ = write!(text, "USER {}\nENTRYPOINT {entrypoint}\n", root_files::NONROOT);
}
