//! Systems without Landlock: nothing is confined.

use std::convert::Infallible;
use std::io;

use anyhow::{Result, bail};

use super::sandbox::Rules;

/// None.
pub(crate) fn landlock_version() -> Option<i64> {
    None
}

/// Never made.
pub(crate) struct Confinement(Infallible);

impl Confinement {
    /// Refused.
    ///
    /// # Errors
    /// Always.
    pub(crate) fn new(_rules: &Rules) -> Result<Self> {
        bail!("this system confines no programs")
    }

    /// Never called.
    pub(crate) fn enter(&self) -> io::Result<()> {
        match self.0 {}
    }
}
