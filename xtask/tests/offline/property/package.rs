//! The packages of a random workspace: what each reads when it is compiled, as Rust.

use std::fmt::Write;

use super::tree::relative;

/// Lists a folder with the content of its files, in whatever order the system has them.
const LIST: &str = r#"
fn list(top: &std::path::Path) -> String {
    let (mut found, mut open) = (Vec::new(), vec![top.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            found.push(format!("{}={text}", path.strip_prefix(top).unwrap().display()));
        }
    }
    found.sort();
    found.join(",")
}
"#;

/// What a package is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Program,
    Library,
    /// The one with the procedural macros.
    Macros,
}

/// How an include is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    FromManifest,
    Raw,
    Joined,
    /// As an argument of another macro.
    Within,
}

/// Something that a package reads when it is compiled. Files and folders are paths of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Read {
    /// `include_str!`.
    Include(Style, String),
    /// `#[path = …] mod …;` in a folder, with a module beside it.
    Module(String),
    /// `mod linked;`: a link to a source.
    Linked,
    /// `option_env!`.
    Variable(String),
    /// A procedural macro lists a folder whose name it is given.
    List(String),
    /// A procedural macro lists a folder of its own package.
    OwnList,
    /// A constant of the vendored package.
    Vendored,
}

/// Something that a build script reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Deed {
    File(String),
    /// As written, or computed from bytes: then nobody can see it in the source.
    Folder(String, bool),
    Variable(String),
    /// Declared as an input, and its name computed.
    Declared(String),
}

/// What a build script says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    Nothing,
    All,
    OnlyItself,
    OnlyVariables,
}

/// A build script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Script {
    pub(super) deeds: Vec<Deed>,
    pub(super) words: Words,
}

/// A package.
#[derive(Debug, Clone)]
pub(super) struct Package {
    pub(super) name: String,
    /// From the top.
    pub(super) folder: String,
    pub(super) kind: Kind,
    /// What it says of itself.
    pub(super) own: String,
    /// Says nothing in the program.
    pub(super) comment: String,
    /// Reaches `env!("CARGO_PKG_DESCRIPTION")`.
    pub(super) description: String,
    /// Places in the list of packages.
    pub(super) needs: Vec<usize>,
    pub(super) reads: Vec<Read>,
    pub(super) script: Option<Script>,
    /// `pass-env`.
    pub(super) passes: Vec<String>,
    /// Whether `static/` goes into its image.
    pub(super) has_assets: bool,
}

impl Package {
    /// What is declared as `inputs`, from the top.
    pub(super) fn declared(&self) -> Vec<&str> {
        let deeds = self.script.iter().flat_map(|script| &script.deeds);
        deeds.filter_map(|deed| if let Deed::Declared(path) = deed { Some(path.as_str()) } else { None }).collect()
    }

    /// Its own files: manifest, sources, build script.
    pub(super) fn files(&self, all: &[Package]) -> Vec<(String, String)> {
        let main = if self.kind == Kind::Program { "main" } else { "lib" };
        let source = if self.kind == Kind::Macros { self.macros() } else { self.source(all) };
        let mut files = vec![
            (format!("{}/Cargo.toml", self.folder), self.manifest(all)),
            (format!("{}/src/{main}.rs", self.folder), source),
        ];
        files.extend(
            self.script.as_ref().map(|script| (format!("{}/build.rs", self.folder), self.build_script(script))),
        );
        files
    }

    fn manifest(&self, all: &[Package]) -> String {
        let Package { name, folder, description, .. } = self;
        let mut text = format!(
            "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\ndescription = \"{description}\"\n"
        );
        let below_root = |path: &&str| relative("ws", path);
        let inputs: Vec<_> = self.declared().iter().map(below_root).collect();
        let _ = write!(text, "[package.metadata.docker]\npass-env = {:?}\ninputs = {inputs:?}\n", self.passes);
        if self.has_assets {
            let _ = writeln!(
                text,
                "assets = [{{ from = \"{}\", to = \"/app\" }}]",
                below_root(&format!("{folder}/static").as_str())
            );
        }
        text += if self.kind == Kind::Macros { "[lib]\nproc-macro = true\n" } else { "[dependencies]\n" };
        for package in self.needs.iter().map(|&need| &all[need]) {
            let _ = writeln!(text, "{} = {{ path = \"{}\" }}", package.name, relative(folder, &package.folder));
        }
        if self.reads.contains(&Read::Vendored) {
            text += "vendored = \"1\"\n";
        }
        text
    }

    fn source(&self, all: &[Package]) -> String {
        let mut text =
            format!("// {}\nmacro_rules! within {{ ($t:ty, $p:literal) => {{ include_str!($p) }} }}\n", self.comment);
        let mut lines = String::new();
        for (number, read) in self.reads.iter().enumerate() {
            let value = match read {
                Read::Include(style, path) => self.include(*style, path),
                Read::Module(folder) => {
                    let path = relative(&format!("{}/src", self.folder), &format!("{folder}/mod.rs"));
                    let _ = write!(text, "#[path\n    = \"{path}\"]\nmod part{number};\n");
                    format!("part{number}::VALUE, part{number}::price::VALUE")
                }
                Read::Linked => {
                    text += "mod linked;\n";
                    "linked::VALUE".to_owned()
                }
                Read::Variable(name) => format!("option_env!({name:?}).unwrap_or({:?})", "unset"),
                Read::List(folder) => format!("macros::list!({:?})", relative(&self.folder, folder)),
                Read::OwnList => "macros::own!()".to_owned(),
                Read::Vendored => "{ vendored::place(); vendored::VALUE }".to_owned(),
            };
            let _ = writeln!(lines, "    for part in [{value}] {{ text = text + \"[\" + part + \"]\"; }}");
        }
        if self.script.is_some() {
            lines += "    text = text + \"[\" + include_str!(concat!(env!(\"OUT_DIR\"), \"/out\")) + \"]\";\n";
        }
        for package in self.needs.iter().map(|&need| &all[need]).filter(|package| package.kind == Kind::Library) {
            let _ = writeln!(lines, "    text += &{}::text();", package.name);
        }
        let _ = write!(
            text,
            "#[allow(unused_macros)]\npub fn text() -> String {{\n    \
             // Where this is reaches the program.\n    \
             assert!(std::env::args().count() < 9);\n    \
             let mut text = String::from(\"{}:{}\") + env!(\"CARGO_PKG_DESCRIPTION\");\n{lines}    text\n}}\n",
            self.name, self.own,
        );
        if self.kind == Kind::Program {
            text += "fn main() {\n    print!(\"{}\", text());\n}\n";
        }
        text
    }

    fn include(&self, style: Style, path: &str) -> String {
        let from_source = relative(&format!("{}/src", self.folder), path);
        let from_package = relative(&self.folder, path);
        match style {
            Style::Plain => format!("include_str!(\n        \"{from_source}\"\n    )"),
            Style::FromManifest => {
                format!("include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/\", \"{from_package}\"))")
            }
            Style::Raw => format!("include_str![r#\"./{from_source}\"#]"),
            Style::Joined => format!("include_str!(concat!(\"..\", \"/\", \"{from_package}\"))"),
            Style::Within => format!("within!(u8, \"{from_source}\")"),
        }
    }

    fn build_script(&self, script: &Script) -> String {
        let mut lines = String::new();
        let mut words = String::new();
        let relative = |path: &str| relative(&self.folder, path);
        for deed in &script.deeds {
            let value = match deed {
                Deed::File(path) => format!("file({:?}.to_owned())", relative(path)),
                Deed::Declared(path) => format!("file(bytes(&{:?}))", relative(path).as_bytes()),
                Deed::Folder(path, true) => format!("list({:?}.as_ref())", relative(path)),
                Deed::Folder(path, false) => format!("list(bytes(&{:?}).as_ref())", relative(path).as_bytes()),
                Deed::Variable(name) => format!("std::env::var({name:?}).unwrap_or(\"unset\".to_owned())"),
            };
            let _ = writeln!(lines, "    text = text + \"<\" + &{value} + \">\";");
            match deed {
                Deed::Variable(name) if [Words::All, Words::OnlyVariables].contains(&script.words) => {
                    let _ = writeln!(words, "    println!(\"cargo::rerun-if-env-changed={name}\");");
                }
                Deed::File(path) | Deed::Declared(path) | Deed::Folder(path, _) if script.words == Words::All => {
                    let _ = writeln!(words, "    println!(\"cargo::rerun-if-changed={}\");", relative(path));
                }
                _ => {}
            }
        }
        if script.words == Words::OnlyItself {
            words += "    println!(\"cargo::rerun-if-changed=build.rs\");\n";
        }
        format!(
            "#![allow(dead_code)]\n{LIST}\nfn file(path: String) -> String {{\n    std::fs::read_to_string(path).unwrap_or_default()\n}}\n\
             fn bytes(text: &[u8]) -> String {{\n    String::from_utf8(text.to_vec()).unwrap()\n}}\n\
             fn main() {{\n    let mut text = String::new();\n{lines}{words}    \
             let out = std::env::var(\"OUT_DIR\").unwrap();\n    std::fs::write(out + \"/out\", text).unwrap();\n}}\n"
        )
    }

    fn macros(&self) -> String {
        format!(
            "// {} {}\nuse proc_macro::{{Literal, TokenStream, TokenTree}};\n{LIST}\n\
             fn literal(text: &str) -> TokenStream {{\n    TokenTree::from(Literal::string(text)).into()\n}}\n\
             #[proc_macro]\npub fn list(input: TokenStream) -> TokenStream {{\n    \
             let text = input.to_string();\n    \
             let folder = std::env::var(\"CARGO_MANIFEST_DIR\").unwrap() + \"/\" + text.trim_matches('\"');\n    \
             literal(&list_of(&folder))\n}}\n\
             #[proc_macro]\npub fn own(_: TokenStream) -> TokenStream {{\n    \
             literal(&list_of(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/assets\")))\n}}\n\
             fn list_of(folder: &str) -> String {{\n    files::list(folder.as_ref())\n}}\n",
            self.comment, self.own,
        )
        .replace(LIST, &format!("mod files {{{}}}\n", LIST.replace("fn list", "pub fn list")))
    }
}
