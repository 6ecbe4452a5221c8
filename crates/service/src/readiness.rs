//! Whether a service can do its work.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

type Check = dyn Fn() -> Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>> + Send + Sync + 'static;

/// How long a check may take before the service counts as not ready.
const LIMIT: Duration = Duration::from_secs(2);

/// An asynchronous check of what a service depends on, run for every request to `/ready`.
#[derive(Clone)]
pub struct Readiness(Arc<Check>);

impl Readiness {
    /// Makes a readiness out of an asynchronous closure; its error is the reason told by `/ready`.
    pub fn new<F, Fut>(check: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(check())))
    }

    /// The readiness of a service that depends on nothing.
    #[must_use]
    pub fn always() -> Self {
        Self::new(async || Ok(()))
    }

    /// Runs the check, for at most two seconds.
    ///
    /// # Errors
    ///
    /// The reason why the service is not ready.
    pub async fn check(&self) -> Result<(), String> {
        match tokio::time::timeout(LIMIT, (self.0)()).await {
            Ok(outcome) => outcome.map_err(|error| format!("{error:#}")),
            Err(_) => Err(format!("the check took longer than {LIMIT:?}")),
        }
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readiness(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tells_the_whole_reason() {
        let readiness = Readiness::new(async || Err(anyhow::anyhow!("inner").context("outer")));
        assert_eq!(readiness.check().await, Err("outer: inner".to_owned()));
        assert_eq!(Readiness::always().check().await, Ok(()));
    }

    #[tokio::test]
    async fn a_check_that_hangs_is_not_ready() {
        let readiness = Readiness::new(std::future::pending);
        assert_eq!(readiness.check().await, Err("the check took longer than 2s".to_owned()));
    }
}
