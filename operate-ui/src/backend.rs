//! The services behind the dashboard.

use std::time::Duration;

use anyhow::{bail, ensure};
use service::{About, Client};

/// How long a service may take to answer `/health`.
const HEALTH_LIMIT: Duration = Duration::from_millis(1500);

/// How long the page waits for an answer: longer than a service takes to tell that it is not ready.
const PAGE_LIMIT: Duration = Duration::from_secs(3);

/// The services behind the dashboard: the engine and the runtime.
#[derive(Clone, Debug)]
pub struct Backends {
    engine: Backend,
    runtime: Backend,
}

#[derive(Clone, Debug)]
struct Backend {
    name: &'static str,
    url: String,
}

/// What a service says at this moment.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    pub(crate) name: &'static str,
    pub(crate) url: String,
    /// Why the service is not ready; `None` when it is.
    pub(crate) not_ready: Option<String>,
    /// `None` when the service does not tell.
    pub(crate) about: Option<About>,
}

impl Backends {
    /// The services at these URLs, which are plain HTTP.
    ///
    /// # Errors
    ///
    /// When a URL cannot be used.
    pub fn new(engine: &str, runtime: &str) -> anyhow::Result<Self> {
        let backend = |name, url| -> anyhow::Result<Backend> {
            let url = service::base_url(url, &["http"])?;
            Ok(Backend { name, url })
        };
        Ok(Self { engine: backend("engine", engine)?, runtime: backend("runtime", runtime)? })
    }

    /// Checks that both services answer their `/health`.
    ///
    /// # Errors
    ///
    /// When one or both do not, with the reason of each.
    pub(crate) async fn check(&self) -> anyhow::Result<()> {
        let (engine, runtime) = tokio::join!(self.engine.health(), self.runtime.health());
        let reasons: Vec<_> = [engine, runtime].into_iter().filter_map(Result::err).collect();
        ensure!(reasons.is_empty(), "{}", reasons.join("; "));
        Ok(())
    }

    /// Asks both services how they are.
    pub(crate) async fn status(&self) -> [Status; 2] {
        tokio::join!(self.engine.status(), self.runtime.status()).into()
    }
}

impl Backend {
    async fn health(&self) -> Result<(), String> {
        let client = Client::new(HEALTH_LIMIT);
        match client.get(&self.url, "/health", None).await {
            Ok(reply) if reply.status.is_success() => Ok(()),
            Ok(reply) => Err(format!("{}: /health answers {}", self.name, reply.status)),
            Err(error) => Err(format!("{}: {error:#}", self.name)),
        }
    }

    async fn status(&self) -> Status {
        let client = Client::new(PAGE_LIMIT);
        let (ready, about) = tokio::join!(client.get(&self.url, "/ready", None), self.about(&client),);
        let not_ready = match ready {
            Ok(reply) if reply.status.is_success() => None,
            Ok(reply) if reply.body.trim().is_empty() => Some(reply.status.to_string()),
            Ok(reply) => Some(reply.body.trim().to_owned()),
            Err(error) => Some(format!("{error:#}")),
        };
        let about = about.inspect_err(|error| {
            tracing::warn!(backend = self.name, "no version: {error:#}");
        });
        Status { name: self.name, url: self.url.clone(), not_ready, about: about.ok() }
    }

    async fn about(&self, client: &Client) -> anyhow::Result<About> {
        let reply = client.get(&self.url, "/version", None).await?;
        if !reply.status.is_success() {
            bail!("{} answers {}", self.url, reply.status);
        }
        Ok(serde_json::from_str(&reply.body)?)
    }
}
