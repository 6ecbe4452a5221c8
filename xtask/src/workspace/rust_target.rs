//! Which Rust target a platform is compiled for.

use anyhow::{Result, bail};

use super::settings::Linkage;
use crate::errors::hinted;
use crate::image::platform::Platform;

/// What rustc and Debian call a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RustTarget {
    /// Target triple of rustc.
    pub(crate) triple: String,
    /// Prefix of Debian's cross compilers, e.g. `aarch64-linux-gnu`.
    pub(crate) gnu_prefix: &'static str,
    /// Debian's name of the architecture, e.g. `arm64`.
    pub(crate) debian: &'static str,
    /// What `uname -m` prints on such a machine.
    pub(crate) machine: &'static str,
}

impl RustTarget {
    /// The target of `platform` with `linkage`.
    ///
    /// # Errors
    /// A platform that Rust has no Linux target for, or that we do not know.
    pub(crate) fn new(platform: &Platform, linkage: Linkage) -> Result<Self> {
        let (rust, abi, gnu_prefix, debian, machine) = match platform.to_string().as_str() {
            "linux/amd64" => ("x86_64", "", "x86_64-linux-gnu", "amd64", "x86_64"),
            "linux/arm64" => ("aarch64", "", "aarch64-linux-gnu", "arm64", "aarch64"),
            "linux/arm/v7" => ("armv7", "eabihf", "arm-linux-gnueabihf", "armhf", "armv7l"),
            "linux/386" => ("i686", "", "i686-linux-gnu", "i386", "i686"),
            "linux/riscv64" => ("riscv64gc", "", "riscv64-linux-gnu", "riscv64", "riscv64"),
            "linux/ppc64le" => ("powerpc64le", "", "powerpc64le-linux-gnu", "ppc64el", "ppc64le"),
            "linux/s390x" => ("s390x", "", "s390x-linux-gnu", "s390x", "s390x"),
            other => bail!(hinted(
                format!("platform `{other}` is not supported"),
                "supported: linux/amd64, linux/arm64, linux/arm/v7, linux/386, linux/riscv64, linux/ppc64le, linux/s390x"
            )),
        };
        let environment = if linkage == Linkage::Musl { "musl" } else { "gnu" };
        let triple = format!("{rust}-unknown-linux-{environment}{abi}");
        Ok(RustTarget { triple, gnu_prefix, debian, machine })
    }

    /// The name of cargo's environment variable `CARGO_TARGET_<TRIPLE>_<KEY>`.
    pub(crate) fn cargo_variable(&self, key: &str) -> String {
        format!("CARGO_TARGET_{}_{key}", self.triple.to_uppercase().replace('-', "_"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_have_targets() {
        let target = |platform: &str, linkage| RustTarget::new(&platform.parse().unwrap(), linkage);
        assert_eq!(target("linux/amd64", Linkage::GnuStatic).unwrap().triple, "x86_64-unknown-linux-gnu");
        assert_eq!(target("linux/arm/v7", Linkage::Musl).unwrap().triple, "armv7-unknown-linux-musleabihf");
        assert_eq!(
            target("linux/arm64", Linkage::Gnu).unwrap().cargo_variable("LINKER"),
            "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER"
        );
        assert!(target("windows/amd64", Linkage::Gnu).is_err());
    }
}
