//! The packages of a base image, as the databases of dpkg and apk list them.

use anyhow::{Result, ensure};

/// What a base image was made from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Distribution {
    /// `ID` of its `os-release`, such as `debian`.
    pub(crate) id: String,
    /// `VERSION_ID`.
    pub(crate) version: String,
    /// By name, version and architecture.
    pub(crate) packages: Vec<SystemPackage>,
    /// A file that says that there are packages beside these.
    pub(crate) unread: Option<String>,
}

/// A package that is installed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SystemPackage {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) architecture: String,
    pub(crate) kind: Kind,
    /// The source package that it was built from; security notices name those.
    pub(crate) origin: String,
    /// What the database says; dpkg's says nothing.
    pub(crate) license: String,
}

/// Whose package it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Deb,
    Apk,
}

impl Kind {
    /// As package URLs have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Deb => "deb",
            Kind::Apk => "apk",
        }
    }
}

/// Where dpkg and apk keep their databases; distroless images have a file per package.
const DPKG: &str = "var/lib/dpkg/status";
const DISTROLESS: &str = "var/lib/dpkg/status.d/";
const APK: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];
const RELEASE: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];

/// Where rpm keeps its database, in one of three binary formats.
const RPM: [&str; 2] = ["var/lib/rpm/", "usr/lib/sysimage/rpm/"];

/// Whether the file at `path` says what is installed, or where it is from.
pub(crate) fn is_database(path: &str) -> bool {
    lists_packages(path) || RELEASE.contains(&path)
}

fn lists_packages(path: &str) -> bool {
    let of_package = path.starts_with(DISTROLESS) && !path.ends_with(".md5sums");
    path == DPKG || of_package || APK.contains(&path)
}

impl Distribution {
    /// Reads the texts of files for which [`is_database`] says so, among all paths.
    ///
    /// # Errors
    /// An entry without a name or version: who knows what else is not understood.
    pub(crate) fn read<'a>(files: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Result<Self> {
        let mut all = Distribution::default();
        let (mut release, mut is_listed) = (None, false);
        for (path, text) in files {
            release = release.or(RELEASE.contains(&path).then_some(path));
            is_listed |= lists_packages(path);
            let Some(text) = text else {
                // A database that is a link's other name has no text of its own in the layer.
                if lists_packages(path) || RPM.iter().any(|folder| path.starts_with(folder)) {
                    all.unread.get_or_insert_with(|| path.to_owned());
                }
                continue;
            };
            match path {
                _ if RELEASE.contains(&path) => all.read_release(text),
                _ if APK.contains(&path) => {
                    for entry in paragraphs(text) {
                        let field = |key: char| field(entry, &format!("{key}:"));
                        all.add(path, Kind::Apk, [field('P'), field('V'), field('A'), field('o'), field('L')])?;
                    }
                }
                _ if is_database(path) => {
                    let installed = |entry: &&str| {
                        let status = field(entry, "Status:");
                        status.is_empty() || status.ends_with(" installed")
                    };
                    for entry in paragraphs(text).filter(installed) {
                        let field = |key: &str| field(entry, key);
                        // `glibc (2.36)` where the versions differ.
                        let origin = field("Source:").split(' ').next().unwrap_or_default();
                        let fields = [field("Package:"), field("Version:"), field("Architecture:"), origin, ""];
                        all.add(path, Kind::Deb, fields)?;
                    }
                }
                _ => {}
            }
        }
        // A distribution has packages, wherever it lists them.
        all.unread = all.unread.or(release.filter(|_| !is_listed).map(str::to_owned));
        all.packages.sort();
        all.packages.dedup();
        if all.id.is_empty() {
            all.id = "unknown".to_owned();
        }
        Ok(all)
    }

    fn add(&mut self, path: &str, kind: Kind, fields: [&str; 5]) -> Result<()> {
        let [name, version, architecture, origin, license] = fields.map(str::to_owned);
        ensure!(!name.is_empty() && !version.is_empty(), "an entry of `/{path}` has no name or no version");
        self.packages.push(SystemPackage { name, version, architecture, kind, origin, license });
        Ok(())
    }

    fn read_release(&mut self, text: &str) {
        let value =
            |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(|value| value.trim_matches('"'));
        self.id = value("ID=").unwrap_or(&self.id).to_owned();
        self.version = value("VERSION_ID=").unwrap_or(&self.version).to_owned();
    }
}

fn paragraphs(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n").filter(|entry| !entry.trim().is_empty())
}

fn field<'a>(entry: &'a str, key: &str) -> &'a str {
    entry.lines().find_map(|line| line.strip_prefix(key)).map(str::trim).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc\n\
        Version: 2.36-9+deb12u10\nDescription: GNU C Library\n Package: none of ours\n\n\
        Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n";
    const APK_TEXT: &str = "C:Q1abc=\nP:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\no:musl\nF:lib\nR:ld-musl.so\n\n";

    #[test]
    fn databases_of_debian_distroless_and_alpine_are_read() {
        let release = "PRETTY_NAME=\"Debian\"\nVERSION_ID=\"12\"\nID=debian\n";
        let read =
            |files: &[(&str, &str)]| Distribution::read(files.iter().map(|(path, text)| (*path, Some(*text)))).unwrap();
        let debian = read(&[(DPKG, STATUS), ("etc/os-release", release)]);
        assert_eq!((debian.id.as_str(), debian.version.as_str(), debian.packages.len()), ("debian", "12", 1));
        let url = crate::sbom::package_url::of_system(&debian.packages[0], &debian);
        assert_eq!(url, "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64&distro=debian-12&upstream=glibc");
        let tzdata = "Package: tzdata\nVersion: 2024a-0+deb12u1\nArchitecture: all\n";
        let distroless = read(&[("var/lib/dpkg/status.d/tzdata", tzdata)]);
        assert_eq!(distroless.packages[0].name, "tzdata");
        let alpine = read(&[("lib/apk/db/installed", APK_TEXT), ("etc/os-release", "ID=alpine\nVERSION_ID=3.18.4")]);
        let url = crate::sbom::package_url::of_system(&alpine.packages[0], &alpine);
        assert_eq!(url, "pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64&distro=alpine-3.18.4");
        assert_eq!(alpine.packages[0].license, "MIT");
        assert_eq!([debian, distroless, alpine].map(|all| all.unread), [None, None, None]);
    }

    /// rpm's database is not read, a link's other name neither, and who knows where others list theirs.
    #[test]
    fn what_is_not_read_is_not_nothing() {
        let unread = |files: &[(&str, Option<&str>)]| Distribution::read(files.iter().copied()).unwrap().unread;
        let release = ("etc/os-release", Some("ID=fedora"));
        let path = "usr/lib/sysimage/rpm/rpmdb.sqlite";
        assert_eq!(unread(&[release, (path, None)]).as_deref(), Some(path));
        assert_eq!(unread(&[release, (DPKG, None)]).as_deref(), Some(DPKG));
        assert_eq!(unread(&[("etc/os-release", None)]).as_deref(), Some("etc/os-release"));
        assert_eq!(unread(&[("etc/passwd", None), ("var/lib/rpm", None)]), None);
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        let error =
            Distribution::read([(DPKG, Some("Package: x\nStatus: install ok installed\n"))].into_iter()).unwrap_err();
        assert_eq!(error.to_string(), "an entry of `/var/lib/dpkg/status` has no name or no version");
    }
}
