//! Planning: what cargo says about a workspace becomes components, closures, inputs and settings.
//!
//! Everything here is pure: data in, data out. `crate::gather` gathers the data.

pub(crate) mod affected;
pub(crate) mod assets;
pub(crate) mod build_variables;
pub(crate) mod cargo_config;
pub(crate) mod components;
pub(crate) mod context;
pub(crate) mod duration;
pub(crate) mod environments;
pub(crate) mod ignore_patterns;
pub(crate) mod input_summary;
pub(crate) mod inputs;
pub(crate) mod labels;
pub(crate) mod lockfile;
pub(crate) mod manifest_settings;
pub(crate) mod matrix;
pub(crate) mod names;
pub(crate) mod observed;
pub(crate) mod packages;
pub(crate) mod remote;
pub(crate) mod repository_template;
pub(crate) mod resolve;
pub(crate) mod rust_target;
pub(crate) mod scan;
pub(crate) mod selection;
pub(crate) mod settings;
pub(crate) mod signing;
pub(crate) mod sizes;
pub(crate) mod smoke;
pub(crate) mod source_paths;
pub(crate) mod system_needs;
pub(crate) mod toolchain;
