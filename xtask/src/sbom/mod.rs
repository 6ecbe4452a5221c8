//! What an image is made of, as documents: CycloneDX, SPDX, what executables carry, provenance. Pure: the same
//! inputs give the same bytes.

pub(crate) mod auditable;
pub(crate) mod bill;
pub(crate) mod cyclonedx;
mod license;
pub(crate) mod package_url;
pub(crate) mod provenance;
pub(crate) mod spdx;
pub(crate) mod system_packages;

use crate::image::reference::Digest;

/// Who writes documents.
const TOOL: &str = "cargo-xtask";

/// A UUID (RFC 9562, version 8) that is the same for the same content.
fn uuid(content: &str) -> String {
    let digest = Digest::of(content.as_bytes());
    let hex = digest.hex();
    format!("{}-{}-8{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}
