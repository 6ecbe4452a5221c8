//! How the builder stage is held to the toolchain file.

use super::shell::word;
use crate::workspace::toolchain::{Channel, ToolchainFile};

/// The step that settles the toolchain. Left alone, rustup would see the toolchain file with the first cargo, and install
/// whatever its name means that day: nothing that is hashed.
pub(crate) fn step(file: &ToolchainFile) -> String {
    let ToolchainFile { name, channel, components } = file;
    let named = word(&channel.to_string());
    let chosen = match channel {
        // Of these, the name alone says which they are.
        Channel::Exact(_) | Channel::Dated(_) => format!(
            "rustup toolchain list | grep -q {} || rustup toolchain install --profile minimal {named}; \\\n      \
             rustup override set {named}; \\\n",
            word(&format!("^{channel}-"))
        ),
        Channel::Other(_) => format!("rustup override set {named}; \\\n"),
        _ => "rustup override set \"$(rustup show active-toolchain | cut -d' ' -f1)\"; \\\n".to_owned(),
    };
    let added = components.iter().map(|component| format!("      rustup component add {}; \\\n", word(component)));
    // Without rustup, a release does not tell these apart from others.
    let otherwise = match channel {
        Channel::Dated(_) | Channel::Other(_) => "    else without=' without rustup'; \\\n",
        _ => "",
    };
    let accepted = match channel {
        Channel::Any => "*) exit 0 ;;".to_owned(),
        Channel::Stable => "*-*) ;; *) exit 0 ;;".to_owned(),
        Channel::Version(version) => format!("*-*) ;; {version}.*) exit 0 ;;"),
        Channel::Exact(version) => format!("{version}) exit 0 ;;"),
        Channel::Beta => "*-beta*) exit 0 ;;".to_owned(),
        Channel::Nightly | Channel::Dated(_) => "*-nightly) exit 0 ;;".to_owned(),
        Channel::Other(_) => "*' without rustup') ;; *) exit 0 ;;".to_owned(),
    };
    format!(
        "# The image has what `{name}` asks for, or the build ends here.\n\
         RUN set -eu; without=; \\\n    \
         if command -v rustup >/dev/null; then \\\n      {chosen}{}{otherwise}    fi; \\\n    \
         release=\"$(rustc --version | cut -d' ' -f2)$without\"; \\\n    \
         case \"$release\" in {accepted} esac; \\\n    \
         echo {}\"$release\"{} >&2; exit 1\n",
        added.collect::<String>(),
        word(&format!("error: `{name}` asks for Rust `{channel}`, and the builder image has ")),
        word("; name one that has it: `builder-image = \"…\"` in `[workspace.metadata.docker]` of `Cargo.toml`"),
    )
}
