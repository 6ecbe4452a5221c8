//! What kubectl and, through its proxy, the API server are asked.
//!
//! All goes through one `kubectl proxy`, so that every way to log in that kubectl knows works, and no
//! second TLS stack is compiled.

mod api;
mod forward;
mod http;
pub(crate) mod kubectl;
pub(crate) mod kubelet;
pub(crate) mod lease;
mod pace;
mod proxy;
pub(crate) mod watch;

pub(crate) use api::{Api, ApiFailure, NamespaceState, Probed, SILENT};
pub(crate) use kubectl::Kubectl;
