//! What both builders compile: the context, laid out as a tree of its own.
//!
//! Neither ever sees the checkout. So what is compiled is what was hashed, whatever is edited
//! meanwhile, and what nobody declared is not there to be read.

#[cfg(target_os = "linux")]
pub(crate) mod confine;
#[cfg(not(target_os = "linux"))]
#[path = "unconfined.rs"]
pub(crate) mod confine;
mod layout;
pub(crate) mod sandbox;

pub(crate) use layout::Stage;
