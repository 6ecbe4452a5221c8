//! Starts the view on the cluster.

use std::process::ExitCode;

use clap::Parser;
use runtime::{Args, Cluster, InCluster};
use service::About;

fn main() -> ExitCode {
    let args = Args::parse();
    service::run(&args.listen, async {
        let about = About::from_env(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        let cluster = Cluster::configure(&args.api, &InCluster::from_env())?;
        Ok(runtime::app(about, cluster))
    })
}
