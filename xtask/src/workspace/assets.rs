//! Where declared assets may be in an image: beside what every image has, and beside each other.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use camino::{Utf8Path, Utf8PathBuf};

use super::settings::Asset;
use crate::errors::hinted;
use crate::image::entry::{Entry, EntryKind};

/// Names that stand for removed files in a layer (OCI image-spec, image layer filesystem changeset).
const WHITEOUT: &str = ".wh.";

/// A declared asset and the files that it puts into the image.
#[derive(Debug, Clone)]
pub(crate) struct PlacedAsset<'a> {
    /// As declared.
    pub(crate) asset: &'a Asset,
    /// Absolute paths in the image, of files and links.
    pub(crate) files: Vec<Utf8PathBuf>,
}

/// Where the image has `file`, which is `asset` itself or lies in it; absolute.
pub(crate) fn path_in_image(asset: &Asset, file: &Utf8Path) -> Utf8PathBuf {
    match file.strip_prefix(&asset.from) {
        Ok(inner) if !inner.as_str().is_empty() => asset.to.join(inner),
        _ => asset.to.clone(),
    }
}

/// What an asset may not lie over.
struct Taken {
    what: String,
    is_folder: bool,
    /// What to do when an asset is in its way.
    mend: String,
}

/// Refuses assets that cannot all be in one image: those over a root file or the program, over each other,
/// a file where another needs a folder, and whiteouts.
///
/// `file` is the manifest that declares them, `program` the component's own file in the image, and
/// `root_files` are what an image without a base gets besides.
///
/// # Errors
/// The first asset that is refused, with the setting and the mend.
pub(crate) fn check(
    assets: &[PlacedAsset<'_>],
    file: &Utf8Path,
    program: &Utf8Path,
    root_files: &[Entry],
) -> Result<()> {
    let mut taken: BTreeMap<Utf8PathBuf, Taken> = root_files.iter().map(root_file).collect();
    let (what, mend) = ("the component's program".to_owned(), "give it another place with `to`".to_owned());
    taken.insert(program.to_owned(), Taken { what, is_folder: false, mend });
    for placed in assets {
        let Asset { from, to } = placed.asset;
        let setting =
            format!("asset `{{ from = \"{from}\", to = \"{to}\" }}` in `[package.metadata.docker]` of `{file}`");
        if to == "/" {
            let hint = "name a folder or a file in it, such as `to = \"/app\"`";
            bail!(hinted(format!("{setting} would be the image's root itself"), hint));
        }
        for path in &placed.files {
            if let Some(part) = path.components().find(|part| part.as_str().starts_with(WHITEOUT)) {
                let why = format!("a layer's names that begin with `{WHITEOUT}` remove files of the layers below");
                bail!(hinted(format!("{setting} has `{path}`, and {why}"), format!("rename `{part}`")));
            }
            let above =
                path.ancestors().find_map(|above| Some((above, taken.get(above).filter(|taken| !taken.is_folder)?)));
            let below = || taken.range(path.clone()..).next().filter(|(taken, _)| taken.starts_with(path));
            if let Some((at, Taken { what, mend, .. })) = above {
                let place =
                    if at == path { format!("`{path}`, which is") } else { format!("`{path}` below `{at}`, which is") };
                bail!(hinted(format!("{setting} has {place} {what}"), mend));
            }
            match below() {
                Some((at, Taken { what, mend, .. })) if at == path => {
                    bail!(hinted(format!("{setting} makes `{path}` a file, which is a folder {what}"), mend))
                }
                Some((at, Taken { what, mend, .. })) => {
                    let error = format!("{setting} makes `{path}` a file, where `{at}`, {what}, needs a folder");
                    bail!(hinted(error, mend))
                }
                None => {}
            }
        }
        // Its own files come from one folder, so they are not in each other's way.
        for path in &placed.files {
            let what = format!("of asset `{{ from = \"{from}\", to = \"{to}\" }}`");
            let mend = "give one of the two another place with `to`".to_owned();
            taken.insert(path.clone(), Taken { what, is_folder: false, mend });
        }
    }
    Ok(())
}

fn root_file(entry: &Entry) -> (Utf8PathBuf, Taken) {
    let path = Utf8Path::new("/").join(&entry.path);
    let mend = if path.extension() == Some("crt") {
        "give it another place with `to`, and name that with `env = { SSL_CERT_FILE = \"…\" }`"
    } else {
        "give it another place with `to`, or build on a `runtime-image` with files of your own"
    };
    let is_folder = matches!(entry.kind, EntryKind::Directory);
    (path, Taken { what: "in every image on `scratch`".into(), is_folder, mend: mend.into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::root_files::root_files;

    /// Checks assets of `(to, files)`.
    fn checked(assets: &[(&str, &[&str])], root_files: &[Entry]) -> Result<(), String> {
        let declared: Vec<_> =
            assets.iter().map(|(to, _)| Asset { from: "web".into(), to: Utf8PathBuf::from(*to) }).collect();
        let placed: Vec<_> = declared
            .iter()
            .zip(assets)
            .map(|(asset, (_, files))| PlacedAsset { asset, files: files.iter().map(Utf8PathBuf::from).collect() })
            .collect();
        check(&placed, "app/Cargo.toml".into(), "/usr/local/bin/app".into(), root_files)
            .map_err(|error| crate::errors::shown(&error))
    }

    #[track_caller]
    fn refused(assets: &[(&str, &[&str])], why: &str) {
        let error = checked(assets, &root_files()).unwrap_err();
        assert!(error.starts_with("error: asset `{ from = \"web\", to = \"/"), "{error}");
        assert!(error.contains("in `[package.metadata.docker]` of `app/Cargo.toml` "), "{error}");
        assert!(error.contains(why), "{error}");
        assert_eq!(error.lines().count(), 2, "the last line is the mend: {error}");
    }

    #[test]
    fn assets_beside_everything_are_fine() {
        let all: [&[(&str, &[&str])]; 4] = [
            &[("/srv", &["/srv/a", "/srv/b/c"]), ("/srv/b", &["/srv/b/d"]), ("/srv/bb", &["/srv/bb"])],
            &[("/etc", &["/etc/motd", "/etc/passwd.d/x", "/etc/ssl/certs/own.pem"])],
            &[("/usr/local/bin", &["/usr/local/bin/app2", "/usr/local/bin/app-x"]), ("/tmp/x", &["/tmp/x"])],
            &[("/srv/a.wh.b", &["/srv/a.wh.b"]), ("/empty", &[]), ("/home/nonroot", &["/home/nonroot/.x"])],
        ];
        for assets in all {
            assert_eq!(checked(assets, &root_files()), Ok(()));
        }
    }

    #[test]
    fn nothing_lies_over_root_files_and_the_program() {
        refused(&[("/tmp", &["/tmp"])], "makes `/tmp` a file, which is a folder in every image on `scratch`\n");
        let needs = |path: &str| format!("where `{path}`, in every image on `scratch`, needs a folder\n");
        refused(
            &[("/etc", &["/etc/motd", "/etc/passwd"])],
            "has `/etc/passwd`, which is in every image on `scratch`\n",
        );
        refused(&[("/etc/ssl", &["/etc/ssl"])], &needs("/etc/ssl/certs/ca-certificates.crt"));
        refused(&[("/etc", &["/etc"])], &needs("/etc/group"));
        let bundle = "/etc/ssl/certs/ca-certificates.crt";
        refused(&[(bundle, &[bundle])], "name that with `env = { SSL_CERT_FILE = \"…\" }`");
        refused(&[("/etc/passwd/x", &["/etc/passwd/x"])], "has `/etc/passwd/x` below `/etc/passwd`, which is");
        refused(&[("/usr/local/bin", &["/usr/local/bin/app"])], "which is the component's program\n");
        refused(&[("/usr/local", &["/usr/local"])], "`/usr/local/bin/app`, the component's program, needs a folder\n");
    }

    #[test]
    fn neither_is_the_root_itself_an_asset_nor_a_whiteout() {
        refused(&[("/", &["/index.html"])], "would be the image's root itself\n");
        refused(&[("/srv/.wh.a", &["/srv/.wh.a"])], "\nhint: rename `.wh.a`");
        refused(&[("/srv", &["/srv/x/.wh..wh..opq/y"])], "\nhint: rename `.wh..wh..opq`");
    }

    #[test]
    fn assets_do_not_lie_over_each_other() {
        let twice = "has `/srv/x`, which is of asset `{ from = \"web\", to = \"/srv\" }`\nhint: give one of the two";
        refused(&[("/srv", &["/srv/x"]), ("/srv/x", &["/srv/x"])], twice);
        refused(&[("/a", &["/a"]), ("/a/b", &["/a/b"])], "has `/a/b` below `/a`, which is of asset");
        refused(&[("/a/b", &["/a/b"]), ("/a", &["/a"])], "makes `/a` a file, where `/a/b`, of asset");
        refused(&[("/s", &["/s/a/b/c", "/s/a-b"]), ("/s/a", &["/s/a"])], "makes `/s/a` a file, where `/s/a/b/c`");
    }

    #[test]
    fn a_file_takes_the_place_itself_and_a_folder_s_files_lie_below() {
        let asset = Asset { from: "a/web".into(), to: "/srv".into() };
        assert_eq!(path_in_image(&asset, "a/web".into()), "/srv");
        assert_eq!(path_in_image(&asset, "a/web/x/y".into()), "/srv/x/y");
        let whole = Asset { from: "".into(), to: "/srv".into() };
        assert_eq!(path_in_image(&whole, "x".into()), "/srv/x");
    }

    #[test]
    fn on_a_base_only_the_program_is_ours() {
        assert_eq!(checked(&[("/etc/passwd", &["/etc/passwd"])], &[]), Ok(()));
        assert!(checked(&[("/usr/local/bin/app", &["/usr/local/bin/app"])], &[]).is_err());
    }
}
