//! The programs and libraries that take part in a native build, and what tells their versions apart.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use camino::Utf8PathBuf;
use xshell::cmd;

use crate::gather::workspace::Workspace;
use crate::system::cargo::{HostToolchain, version_line};
use crate::system::{parallel, process};
use crate::workspace::inputs::Input;
use crate::workspace::rust_target::RustTarget;
use crate::workspace::settings::Linkage;

/// What is asked of a compiler.
type Question = (&'static str, String, Vec<String>);

/// Compiler, C compiler, linker and C library of the target, with the wrapper that compiles for it.
///
/// # Errors
/// A library that is there and cannot be read.
pub(crate) fn tools(
    workspace: &Workspace,
    toolchain: &HostToolchain,
    target: &RustTarget,
    subcommand: &str,
    environment: &BTreeMap<String, String>,
) -> Result<BTreeSet<Input>> {
    let triple = target.triple.replace('-', "_");
    let set = |name: &str| environment.get(name).filter(|value| !value.is_empty()).cloned();
    let compiler = set(&format!("CC_{}", target.triple)).or_else(|| set(&format!("CC_{triple}")));
    let compiler = compiler.or_else(|| set("TARGET_CC")).or_else(|| set("CC")).unwrap_or_else(|| "cc".to_owned());
    // `CC` may hold arguments, which the `cc` crate splits at spaces.
    let mut words = compiler.split_whitespace().map(str::to_owned);
    let (program, first) = (words.next().unwrap_or_else(|| "cc".to_owned()), words.collect::<Vec<_>>());
    let asked = |last: &str| [first.as_slice(), &[last.to_owned()]].concat();
    let library = match workspace.packages.settings.linkage {
        Linkage::GnuStatic | Linkage::Musl => "libc.a",
        Linkage::Gnu => "libc.so.6",
    };
    let mut questions: Vec<Question> = vec![
        ("cc", program.clone(), asked("--version")),
        ("libc", program.clone(), asked(&format!("-print-file-name={library}"))),
        ("linker", program.clone(), asked("-print-prog-name=ld")),
    ];
    if let Some(linker) = set(&target.cargo_variable("LINKER")) {
        questions.push(("configured linker", linker, vec!["--version".to_owned()]));
    }
    if subcommand == "zigbuild" {
        questions.push(("zig", "zig".to_owned(), vec!["version".to_owned()]));
        questions.push(("cargo-zigbuild", "cargo-zigbuild".to_owned(), vec!["--version".to_owned()]));
    }
    if toolchain.host != target.triple {
        questions.push(("host cc", set("HOST_CC").unwrap_or_else(|| "cc".to_owned()), vec!["--version".to_owned()]));
    }
    let answers = parallel::map(questions, 8, |(name, program, arguments)| {
        let shell = process::shell_in(workspace.root())?;
        let answer = version_line(cmd!(shell, "{program} {arguments...}"));
        anyhow::Ok((name, answer.unwrap_or_else(|| "none".to_owned())))
    });
    let mut tools = BTreeSet::from([Input::tool("rustc", toolchain.rustc.replace('\n', "; "))]);
    for answer in answers {
        let (name, answer) = answer?;
        // A path says nothing of what is there.
        let path = Utf8PathBuf::from(&answer);
        let version = match name {
            "libc" if path.is_file() => workspace.memory().digest(&path)?.1,
            "linker" => match which::which(&answer).ok().and_then(|path| Utf8PathBuf::from_path_buf(path).ok()) {
                Some(path) => workspace.memory().digest(&path)?.1,
                None => "none".to_owned(),
            },
            _ => answer,
        };
        tools.insert(Input::tool(name, version));
    }
    Ok(tools)
}
