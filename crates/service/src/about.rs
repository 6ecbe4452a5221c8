//! What a service says of itself.

use serde::{Deserialize, Serialize};

/// Name and origin of a running service, as told by `/version`.
///
/// The values come from the environment of the process, not from the build, so that the same
/// sources give the same binary whatever commit they are built from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Name of the service.
    pub name: String,
    /// Released version.
    pub version: String,
    /// Commit the service was built from.
    pub commit: String,
    /// Date of the build.
    pub build_date: String,
}

impl About {
    /// Reads `VERSION`, `COMMIT_SHA` and `BUILD_DATE` from the environment.
    ///
    /// A variable that is unset or empty falls back to `package_version` for the version and to
    /// `unknown` for the others.
    #[must_use]
    pub fn from_env(name: &str, package_version: &str) -> Self {
        Self::from_lookup(name, package_version, |key| std::env::var(key).ok())
    }

    fn from_lookup(name: &str, package_version: &str, lookup: impl Fn(&str) -> Option<String>) -> Self {
        let value = |key: &str, default: &str| {
            lookup(key).filter(|value| !value.is_empty()).unwrap_or_else(|| default.to_owned())
        };
        Self {
            name: name.to_owned(),
            version: value("VERSION", package_version),
            commit: value("COMMIT_SHA", "unknown"),
            build_date: value("BUILD_DATE", "unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unset_and_empty_variables_fall_back() {
        let about = About::from_lookup("a", "0.1.0", |key| (key == "COMMIT_SHA").then(String::new));
        assert_eq!(about.name, "a");
        assert_eq!(about.version, "0.1.0");
        assert_eq!(about.commit, "unknown");
        assert_eq!(about.build_date, "unknown");
    }

    #[test]
    fn variables_are_taken_over() {
        let about = About::from_lookup("a", "0.1.0", |key| Some(format!("<{key}>")));
        assert_eq!(about.version, "<VERSION>");
        assert_eq!(about.commit, "<COMMIT_SHA>");
        assert_eq!(about.build_date, "<BUILD_DATE>");
    }
}
