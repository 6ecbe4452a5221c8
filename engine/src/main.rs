//! Starts the release ledger.

use std::process::ExitCode;

use clap::Parser;
use engine::{Args, Ledger};
use service::About;

fn main() -> ExitCode {
    let args = Args::parse();
    service::run(&args.listen, async {
        let about = About::from_env(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        Ok(engine::app(about, Ledger::open(&args.database)?))
    })
}
