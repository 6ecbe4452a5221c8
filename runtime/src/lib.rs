//! What the cluster runs, read from the Kubernetes API server.
//!
//! The API server is found in this order:
//!
//! 1. `--api-server` or `API_SERVER`: a URL, `https://` or (for a local proxy) `http://`.
//! 2. Within a pod, `KUBERNETES_SERVICE_HOST` and `KUBERNETES_SERVICE_PORT`, with the certificate
//!    authority and the token of the pod's service account when they are present. They are never
//!    used for a URL given by hand, which may belong to someone else.
//! 3. None: there is no cluster, and so nothing to depend on.
//!
//! Without a file of certificate authorities, the public ones are trusted. The token is read anew
//! for each request, since Kubernetes replaces it, and never sent without TLS.
//!
//! The endpoints are those of [`service::app`]; `/ready` is answered with 200 when the API server
//! answers, with any status below 500.

mod cluster;

use std::path::PathBuf;

use axum::Router;
use clap::Parser;
use service::{About, Readiness};

pub use cluster::{Cluster, InCluster};

/// What the cluster runs.
#[derive(Clone, Debug, Parser)]
#[command(version, after_help = service::ENVIRONMENT_HELP)]
pub struct Args {
    /// IP address and port to listen on; port 0 picks a free one
    #[arg(long, env = "LISTEN", value_name = "IP:PORT", default_value = "0.0.0.0:8080")]
    pub listen: String,

    /// The API server.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// The API server and how to trust it and be trusted.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ApiArgs {
    /// URL of the Kubernetes API server [default: that of the cluster the pod runs in, if any]
    #[arg(long, env = "API_SERVER", value_name = "URL")]
    pub api_server: Option<String>,

    /// PEM file of the certificate authorities to trust [default: within the cluster, those of the
    /// service account; otherwise the public ones]
    #[arg(long, env = "API_CA_FILE", value_name = "FILE")]
    pub api_ca_file: Option<PathBuf>,

    /// File with the bearer token [default: within the cluster, that of the service account]
    #[arg(long, env = "API_TOKEN_FILE", value_name = "FILE")]
    pub api_token_file: Option<PathBuf>,
}

/// The router of the service; without a cluster it depends on nothing.
pub fn app(about: About, cluster: Option<Cluster>) -> Router {
    let readiness = match cluster {
        None => Readiness::always(),
        Some(cluster) => Readiness::new(move || {
            let cluster = cluster.clone();
            async move { cluster.check().await }
        }),
    };
    service::app(about, readiness, Router::new())
}
