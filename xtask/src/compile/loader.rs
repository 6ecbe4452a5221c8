//! What the dynamic loader would not find: the libraries of an executable, looked for in an image as
//! glibc's `ld.so` does (ld.so(8)). Pure.

use crate::assemble::file_tree::FileTree;

/// What a dynamic executable asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// The loader, an absolute path.
    pub(crate) interpreter: String,
    pub(crate) libraries: Vec<String>,
    /// Folders to look in (`DT_RPATH`).
    pub(crate) rpath: Vec<String>,
    /// Folders to look in (`DT_RUNPATH`).
    pub(crate) runpath: Vec<String>,
}

/// Where a program would be started.
pub(crate) struct Place<'a> {
    /// All files of the image.
    pub(crate) files: &'a FileTree,
    /// The folder of the program, absolute.
    pub(crate) origin: &'a str,
    /// `LD_LIBRARY_PATH` of the image; empty when it has none.
    pub(crate) search_path: &'a str,
    /// The name of Debian's folders for this platform, such as `x86_64-linux-gnu`.
    pub(crate) multiarch: &'a str,
}

/// The libraries that are not there. What they need themselves is their image's business.
pub(crate) fn missing(needs: &Needs, place: &Place<'_>) -> Vec<String> {
    let folders = folders(needs, place);
    // The loader itself is loaded already when a program names it as a library.
    let is_loader = |library: &str| needs.interpreter.rsplit('/').next() == Some(library);
    let is_there = |library: &str| match library.contains('/') {
        true => place.files.contains(library),
        false => folders.iter().any(|folder| place.files.contains(&format!("{folder}/{library}"))),
    };
    let missing = needs.libraries.iter().filter(|library| !is_loader(library) && !is_there(library));
    missing.cloned().collect()
}

/// Where the loader looks. The cache of `ldconfig` has what is in the configured folders.
fn folders(needs: &Needs, place: &Place<'_>) -> Vec<String> {
    let own = needs.rpath.iter().chain(&needs.runpath).map(String::as_str);
    let own = own.chain(place.search_path.split([':', ';']));
    let mut folders: Vec<String> =
        own.map(|folder| folder.replace("${ORIGIN}", place.origin).replace("$ORIGIN", place.origin)).collect();
    // Lines are folders; others include further files, and all there are have been read.
    let lines = place.files.texts().flat_map(str::lines).map(str::trim);
    folders.extend(lines.filter(|line| line.starts_with('/')).map(str::to_owned));
    for folder in ["/lib", "/usr/lib", "/lib64", "/usr/lib64"] {
        folders.extend([folder.to_owned(), format!("{folder}/{}", place.multiarch)]);
    }
    // Distributions with other folders build them into their loader, which lies beside its libraries.
    let loader = place.files.find(&needs.interpreter);
    folders.extend(loader.and_then(|path| Some(format!("/{}", path.rsplit_once('/')?.0))));
    folders.retain(|folder| folder.starts_with('/'));
    folders
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::file_tree::{LayerEntry, LayerEntryKind};

    const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

    fn files(paths: &[&str], links: &[(&str, &str)], texts: &[(&str, &str)]) -> FileTree {
        let entry = |path: &str, kind| LayerEntry { path: path.to_owned(), kind };
        let mut entries: Vec<_> = paths.iter().map(|path| entry(path, LayerEntryKind::Other)).collect();
        entries.extend(links.iter().map(|(path, target)| entry(path, LayerEntryKind::Symlink((*target).into()))));
        entries.extend(texts.iter().map(|(path, text)| entry(path, LayerEntryKind::Text((*text).into()))));
        let mut files = FileTree::default();
        files.apply(&entries);
        files
    }

    fn needs(libraries: &[&str]) -> Needs {
        let libraries = libraries.iter().map(ToString::to_string).collect();
        Needs { interpreter: LOADER.into(), libraries, ..Needs::default() }
    }

    fn lacks(needs: &Needs, files: &FileTree, search_path: &str) -> Vec<String> {
        let place = Place { files, origin: "/usr/local/bin", search_path, multiarch: "x86_64-linux-gnu" };
        missing(needs, &place)
    }

    #[test]
    fn a_debian_has_its_own_libraries_and_not_others() {
        let debian = files(
            &["usr/lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/libpq.so.5.15"],
            &[
                ("lib", "usr/lib"),
                ("lib64", "usr/lib64"),
                ("usr/lib64/ld-linux-x86-64.so.2", "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"),
                ("usr/lib/x86_64-linux-gnu/libpq.so.5", "libpq.so.5.15"),
                ("usr/lib/libdangling.so.1", "libdangling.so.1.2"),
            ],
            &[],
        );
        let wanted = needs(&["libc.so.6", "ld-linux-x86-64.so.2", "libpq.so.5", "libssl.so.3", "libdangling.so.1"]);
        assert_eq!(lacks(&wanted, &debian, ""), ["libssl.so.3", "libdangling.so.1"]);
    }

    #[test]
    fn folders_come_from_the_program_the_environment_and_the_configuration() {
        let image = files(
            &["usr/local/lib/liba.so", "opt/b/libb.so", "usr/local/bin/../c/libc.so", "d/libd.so", "e/libe.so"],
            &[],
            &[("etc/ld.so.conf", "include ld.so.conf.d/*.conf\n# /e\n"), ("etc/ld.so.conf.d/x.conf", "  /d \n")],
        );
        let mut wanted = needs(&["liba.so", "libb.so", "libd.so", "libe.so"]);
        assert_eq!(lacks(&wanted, &image, ""), ["liba.so", "libb.so", "libe.so"]);
        assert_eq!(lacks(&wanted, &image, "/opt/b:/e"), ["liba.so"]);
        wanted.rpath = vec!["$ORIGIN/../lib".into(), "relative".into()];
        wanted.runpath = vec!["${ORIGIN}/../../../opt/b".into()];
        assert_eq!(lacks(&wanted, &image, ""), ["libe.so"]);
    }

    #[test]
    fn the_loader_s_own_folder_counts() {
        let image = files(
            &["nix/store/glibc/lib/libc.so.6", "nix/store/glibc/lib/ld.so"],
            &[("lib64/ld-linux-x86-64.so.2", "/nix/store/glibc/lib/ld.so")],
            &[],
        );
        assert_eq!(lacks(&needs(&["libc.so.6"]), &image, ""), Vec::<String>::new());
    }
}
