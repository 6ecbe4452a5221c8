//! The model: a workspace, what surrounds it, and what its programs must print.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::package::{Deed, Kind, Package, Read};
use super::tree::{Tree, name_of};

/// One of cargo's configuration files.
#[derive(Debug, Clone, Default)]
pub(super) struct Config {
    /// `[env]`.
    pub(super) variables: BTreeMap<String, String>,
    /// Changes nothing.
    pub(super) retries: usize,
}

/// All that decides what is built, and more that does not.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) tree: Tree,
    pub(super) packages: Vec<Package>,
    /// Of the environment in which the xtask runs.
    pub(super) variables: BTreeMap<String, String>,
    /// `pass-env` of the workspace.
    pub(super) passes: Vec<String>,
    /// The workspace's configuration, and the one of the folder above.
    pub(super) configs: [Config; 2],
    /// What the vendored package says.
    pub(super) vendored: String,
    pub(super) optimised: bool,
    /// Whether git ignores `*.tmp`, beside `*.log`.
    pub(super) ignores_tmp: bool,
    /// Paths that may go: nobody names them.
    pub(super) free: BTreeSet<String>,
}

const CONFIGS: [&str; 2] = ["ws/.cargo/config.toml", ".cargo/config.toml"];

impl World {
    /// Writes the files that follow from the rest.
    pub(super) fn render(&mut self) {
        for package in self.packages.clone() {
            for (path, text) in package.files(&self.packages) {
                self.tree.write(&path, text);
            }
        }
        let members: Vec<&str> =
            self.packages.iter().filter_map(|package| package.folder.strip_prefix("ws/")).collect();
        let level = u8::from(self.optimised);
        let root = format!(
            "[workspace]\nresolver = \"3\"\nmembers = {members:?}\n[workspace.metadata.docker]\npass-env = {:?}\n\
             [profile.release]\nopt-level = {level}\ncodegen-units = 1\n",
            self.passes
        );
        self.tree.write("ws/Cargo.toml", root);
        let tmp = if self.ignores_tmp { "*.tmp\n" } else { "" };
        self.tree.write("ws/.gitignore", format!("/target\n*.log\n{tmp}"));
        for (config, path) in self.configs.clone().iter().zip(CONFIGS) {
            let mut text = format!("[net]\nretry = {}\n[env]\n", config.retries);
            for (name, value) in &config.variables {
                let _ = writeln!(text, "{name} = \"{value}\"");
            }
            if path.starts_with("ws/") {
                text += "[source.crates-io]\nreplace-with = \"vendored\"\n[source.vendored]\ndirectory = \"vendor\"\n";
            }
            self.tree.write(path, text);
        }
        let vendored = "ws/vendor/vendored-1.0.0";
        self.tree.write(
            &format!("{vendored}/Cargo.toml"),
            "[package]\nname = \"vendored\"\nversion = \"1.0.0\"\nedition = \"2024\"\n",
        );
        self.tree.write(&format!("{vendored}/.cargo-checksum.json"), "{\"files\":{},\"package\":null}");
        let place = "pub fn place() { assert!(std::env::args().count() < 9); }";
        let value = &self.vendored;
        self.tree.write(&format!("{vendored}/src/lib.rs"), format!("pub const VALUE: &str = \"{value}\";\n{place}\n"));
    }

    /// The programs.
    pub(super) fn components(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| package.kind == Kind::Program)
    }

    /// Packages that `package` is compiled from, itself included.
    fn closure<'a>(&'a self, package: &'a Package) -> Vec<&'a Package> {
        let mut found = vec![package];
        for &need in &package.needs {
            for more in self.closure(&self.packages[need]) {
                if !found.iter().any(|known| known.name == more.name) {
                    found.push(more);
                }
            }
        }
        found
    }

    /// What the program of `package` prints, or what the library adds to it.
    pub(super) fn said(&self, package: &Package) -> String {
        let mut text = format!("{}:{}{}", package.name, package.own, package.description);
        for read in &package.reads {
            let parts = match read {
                Read::Include(_, path) => vec![self.content(path)],
                Read::Module(folder) => {
                    ["mod.rs", "price.rs"].map(|name| self.constant(&format!("{folder}/{name}"))).into()
                }
                Read::Linked => vec![self.constant(&format!("{}/src/linked.rs", package.folder))],
                Read::Variable(name) => vec![self.variable(name)],
                Read::List(folder) => vec![self.list(folder)],
                Read::OwnList => {
                    let folder = self.packages.iter().find(|package| package.kind == Kind::Macros);
                    let folder = format!("{}/assets", folder.expect("macros").folder);
                    vec![self.list(&folder)]
                }
                Read::Vendored => vec![self.vendored.clone()],
            };
            for part in parts {
                let _ = write!(text, "[{part}]");
            }
        }
        if let Some(script) = &package.script {
            text += "[";
            for deed in &script.deeds {
                let part = match deed {
                    Deed::File(path) | Deed::Declared(path) => self.content(path),
                    Deed::Folder(path, _) => self.list(path),
                    Deed::Variable(name) => self.variable(name),
                };
                let _ = write!(text, "<{part}>");
            }
            text += "]";
        }
        let libraries = package.needs.iter().map(|&need| &self.packages[need]);
        text + &libraries.filter(|need| need.kind == Kind::Library).map(|need| self.said(need)).collect::<String>()
    }

    /// The variables that all builds see.
    fn passed(&self) -> BTreeSet<&str> {
        let used = self.components().flat_map(|component| self.closure(component));
        self.passes.iter().chain(used.flat_map(|package| &package.passes)).map(String::as_str).collect()
    }

    fn content(&self, path: &str) -> String {
        self.tree.text(path).unwrap_or_default().to_owned()
    }

    /// The value in a source with one constant.
    fn constant(&self, path: &str) -> String {
        self.content(path).split('"').nth(1).unwrap_or_default().to_owned()
    }

    /// What a build sees under this name.
    fn variable(&self, name: &str) -> String {
        let passed = self.variables.get(name).filter(|_| self.passed().contains(name));
        let configured = self.configs.iter().find_map(|config| config.variables.get(name));
        passed.or(configured).cloned().unwrap_or_else(|| "unset".to_owned())
    }

    /// What code that lists `folder` finds there: all that builds see.
    fn list(&self, folder: &str) -> String {
        let prefix = format!("{folder}/");
        let staged = self.staged();
        let below =
            staged.iter().filter_map(|path| Some(format!("{}={}", path.strip_prefix(&prefix)?, self.content(path))));
        below.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",")
    }

    fn is_ignored(&self, path: &str) -> bool {
        let is_match = path.ends_with(".log") || (self.ignores_tmp && path.ends_with(".tmp"));
        // Git does not look behind links to folders.
        let folder = super::tree::folder_of(path);
        is_match && path.starts_with("ws/") && self.tree.real(folder) == folder
    }

    /// Files of a folder that a source names.
    fn named(&self, path: &str) -> Vec<String> {
        self.tree.files_below(path, &|path| !name_of(path).starts_with(".env") && !self.is_ignored(path))
    }

    /// What of the folder of `package` is compiled without being named.
    fn own_files(&self, package: &Package) -> Vec<String> {
        self.tree.files_below(&package.folder, &|path| {
            let name = name_of(path);
            let is_test = path.strip_prefix(&package.folder) == Some("/tests");
            let is_never = name.starts_with('.') || [".md", "~", ".swp"].iter().any(|end| name.ends_with(end));
            !is_test && !is_never && !self.is_ignored(path)
        })
    }

    /// The files that packages name one by one, where they really are.
    pub(super) fn named_files(&self) -> BTreeSet<String> {
        let reads = self.packages.iter().flat_map(|package| &package.reads);
        let paths = reads.flat_map(|read| match read {
            Read::Include(_, path) => vec![path.clone()],
            Read::Module(folder) => vec![format!("{folder}/mod.rs"), format!("{folder}/price.rs")],
            _ => Vec::new(),
        });
        paths.map(|path| self.tree.real(&path)).collect()
    }

    /// The files that builds see because of `package`, and the folders that it may list.
    fn reach(&self, package: &Package) -> (BTreeSet<String>, BTreeSet<String>) {
        let own = self.own_files(package);
        // Where links lead to is an input under its own name, too.
        let leads_to = own.iter().map(|path| self.tree.real(path)).filter(|real| real.starts_with("ws/"));
        let mut files: BTreeSet<String> = leads_to.collect();
        files.extend(own);
        let named = package.reads.iter().flat_map(|read| match read {
            Read::Include(_, path) | Read::List(path) => vec![path.clone()],
            Read::Module(folder) => ["mod.rs", "price.rs"].map(|name| format!("{folder}/{name}")).into(),
            _ => Vec::new(),
        });
        let deeds = package.script.iter().flat_map(|script| &script.deeds).filter_map(|deed| match deed {
            Deed::File(path) | Deed::Folder(path, true) | Deed::Declared(path) => Some(path.clone()),
            _ => None,
        });
        if package.has_assets {
            // What is declared is meant, ignored or not.
            let folder = format!("{}/static", package.folder);
            files.extend(self.tree.files_below(&folder, &|path| !name_of(path).starts_with(".env")));
        }
        let macros = (package.kind == Kind::Macros).then(|| format!("{}/assets", package.folder));
        let mut folders = BTreeSet::from([package.folder.clone()]);
        for path in named.chain(deeds).chain(macros) {
            if self.tree.text(&path).is_some() {
                files.insert(path);
            } else if path.starts_with("ws/") {
                // A folder outside the workspace only counts when the compiler itself names it.
                files.extend(self.named(&path));
                folders.insert(path);
            }
        }
        (files, folders)
    }

    /// The files that builds see: those of the programs, and of packages that are no members.
    fn staged(&self) -> BTreeSet<String> {
        let is_member = |package: &Package| package.folder.starts_with("ws/");
        let mut used: Vec<&Package> = self.components().flat_map(|component| self.closure(component)).collect();
        let members = self.packages.iter().filter(|package| is_member(package));
        used.extend(members.flat_map(|member| self.closure(member)).filter(|package| !is_member(package)));
        used.into_iter().flat_map(|package| self.reach(package).0).collect()
    }

    /// All that may decide the image of `component`. As long as this is the same, its hash has to be.
    pub(super) fn view(&self, component: &Package) -> String {
        let mut rest = format!("{} {:?} {:?}\n", self.optimised, self.passes, self.merged_config());
        let staged = self.staged();
        let mut files = BTreeSet::new();
        for package in self.closure(component) {
            let (own, folders) = self.reach(package);
            files.extend(own);
            let is_in = |path: &&String| folders.iter().any(|folder| path.starts_with(&format!("{folder}/")));
            files.extend(staged.iter().filter(is_in).cloned());
            if package.reads.contains(&Read::Vendored) {
                files.extend(self.tree.files_below("ws/vendor", &|_| true));
            }
        }
        for name in self.passed() {
            let _ = writeln!(rest, "{name}={:?}", self.variables.get(name));
        }
        for path in files {
            let _ = writeln!(rest, "{path} {} {}", self.tree.is_executable(&path), self.content(&path));
        }
        rest
    }

    fn merged_config(&self) -> BTreeMap<&String, &String> {
        self.configs.iter().rev().flat_map(|config| &config.variables).collect()
    }
}
