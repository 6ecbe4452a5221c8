//! The files that every program expects of a root file system, for images without a base.
//!
//! Pure: entries as data. Users and groups are those of the distroless images, so that either
//! base gives a program the same user.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::entry::{Entry, EntryKind, Source};

/// The user, and group, that programs run as, in the form of an image's `User`.
pub(crate) const NONROOT: &str = "65532:65532";
/// The same as numbers.
const NONROOT_OWNER: (u32, u32) = (65532, 65532);

const PASSWD: &str = "\
root:x:0:0:root:/root:/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin
";
const GROUP: &str = "\
root:x:0:
nobody:x:65534:
tty:x:5:
staff:x:50:
nonroot:x:65532:
";
/// Without it, C libraries look hosts up in DNS before `/etc/hosts`.
const NSSWITCH: &str = "hosts: files dns\n";

/// Entries for an image on `scratch`: users, host look-up, folders, and CA certificates whose
/// bytes only change with the `webpki-root-certs` crate. Parents are not included; see
/// [`with_parents`].
pub(crate) fn root_files() -> Vec<Entry> {
    root_files_with(certificates())
}

/// [`root_files`] with this CA bundle.
pub(crate) fn root_files_with(certificates: String) -> Vec<Entry> {
    let file =
        |path: &str, content: Cow<'static, [u8]>| Entry::new(path, 0o644, EntryKind::File(Source::Bytes(content)));
    let mut entries = vec![
        file("etc/passwd", PASSWD.as_bytes().into()),
        file("etc/group", GROUP.as_bytes().into()),
        file("etc/nsswitch.conf", NSSWITCH.as_bytes().into()),
        file("etc/ssl/certs/ca-certificates.crt", certificates.into_bytes().into()),
    ];
    entries.extend(root_directories());
    entries
}

/// The folders among the root files.
fn root_directories() -> [Entry; 3] {
    let directory = |path: &str, mode: u32| Entry::new(path, mode, EntryKind::Directory);
    // What a program keeps in its `HOME`, such as a cache, needs no setting.
    let home = Entry { owner: NONROOT_OWNER, ..directory("home/nonroot", 0o755) };
    [home, directory("root", 0o700), directory("tmp", 0o1777)]
}

/// Mozilla's root certificates as PEM (RFC 7468), sorted, so that their order in the crate does
/// not show.
fn certificates() -> String {
    let certificates: BTreeSet<&[u8]> = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(AsRef::as_ref).collect();
    let mut pem = String::with_capacity(256 * 1024);
    for certificate in certificates {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = STANDARD.encode(certificate);
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = after;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}

/// Adds the directories that lead to `entries` and are not among them, each once: as the root files
/// have them, since a directory of an upper layer replaces mode and owner of a lower one's, else with
/// mode 0755.
///
/// For images without a base only: on a base, the engine makes missing parents, and a directory
/// of ours would replace a base's symlink, such as `/bin` of a merged `/usr`.
pub(crate) fn with_parents(entries: Vec<Entry>) -> Vec<Entry> {
    let mut all: BTreeMap<String, Entry> = BTreeMap::new();
    let mut repeated = Vec::new();
    for entry in entries {
        if all.contains_key(&entry.path) {
            // Kept, so that making the layer refuses it.
            repeated.push(entry);
        } else {
            all.insert(entry.path.clone(), entry);
        }
    }
    let parents: BTreeSet<String> =
        all.keys().flat_map(|path| path.match_indices('/').map(|(at, _)| path[..at].to_owned())).collect();
    let known = root_directories();
    for path in parents {
        let known = known.iter().find(|entry| entry.path == path).cloned();
        all.entry(path.clone()).or_insert(known.unwrap_or(Entry::new(path, 0o755, EntryKind::Directory)));
    }
    all.into_values().chain(repeated).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_come_once_and_keep_given_modes() {
        let file = |path: &str| Entry::new(path, 0o644, EntryKind::File(Source::Bytes(b"".as_slice().into())));
        let own = Entry::new("own", 0o700, EntryKind::Directory);
        let all = with_parents(vec![file("usr/local/bin/engine"), file("usr/local/x"), own, file("own/y")]);
        let listed: Vec<(&str, u32)> = all.iter().map(|e| (e.path.as_str(), e.mode)).collect();
        assert_eq!(
            listed,
            [
                ("own", 0o700),
                ("own/y", 0o644),
                ("usr", 0o755),
                ("usr/local", 0o755),
                ("usr/local/bin", 0o755),
                ("usr/local/bin/engine", 0o644),
                ("usr/local/x", 0o644),
            ]
        );
    }

    #[test]
    fn a_file_below_a_root_folder_leaves_that_as_it_is() {
        let file = |path: &str| Entry::new(path, 0o644, EntryKind::File(Source::Bytes(b"".as_slice().into())));
        let all = with_parents(vec![file("tmp/a"), file("home/nonroot/.config/b"), file("root/c")]);
        let folders: Vec<_> = all.iter().filter(|e| matches!(e.kind, EntryKind::Directory)).collect();
        let folders: Vec<_> = folders.iter().map(|e| (e.path.as_str(), e.mode, e.owner)).collect();
        assert_eq!(
            folders,
            [
                ("home", 0o755, (0, 0)),
                ("home/nonroot", 0o755, (65532, 65532)),
                ("home/nonroot/.config", 0o755, (0, 0)),
                ("root", 0o700, (0, 0)),
                ("tmp", 0o1777, (0, 0)),
            ]
        );
    }

    #[test]
    fn certificates_are_whole_pem() {
        let pem = certificates();
        let count = webpki_root_certs::TLS_SERVER_ROOT_CERTS.len();
        assert!(count > 50);
        assert_eq!(pem.matches("-----BEGIN CERTIFICATE-----\n").count(), count);
        assert!(pem.lines().all(|line| line.len() <= 64));
        let first = pem.split("-----").nth(2).unwrap().replace('\n', "");
        let bytes = STANDARD.decode(first).unwrap();
        assert!(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().any(|c| c.as_ref() == bytes));
    }

    #[test]
    fn the_user_has_a_name() {
        assert!(PASSWD.contains(&format!("nonroot:x:{NONROOT}:")));
        assert_eq!(NONROOT, format!("{}:{}", NONROOT_OWNER.0, NONROOT_OWNER.1));
    }
}
