//! Signatures, made and checked by the program `cosign`: what the field trusts, and no crate to compile. It gets files
//! alone: registries, and our credentials for them, are not its business.

mod cosign;

pub(crate) use cosign::{Cosign, Signing, Trusted};
