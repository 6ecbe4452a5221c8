//! Starts the dashboard.

use std::process::ExitCode;

use clap::Parser;
use operate_ui::{Args, Backends};
use service::About;

fn main() -> ExitCode {
    let args = Args::parse();
    service::run(&args.listen, async {
        let about = About::from_env(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        let backends = Backends::new(&args.engine_url, &args.runtime_url)?;
        operate_ui::app(about, backends, &args.static_dir)
    })
}
