//! JSON logs on standard output.

use std::{env, str::FromStr};

use anyhow::Context;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

/// Logs from now on; the level comes from `RUST_LOG`.
pub(crate) fn init() -> anyhow::Result<()> {
    let wanted = env::var("RUST_LOG").unwrap_or_default();
    let json = tracing_subscriber::fmt::layer().json().flatten_event(true);
    tracing_subscriber::registry().with(filter(&wanted)?).with(json).try_init().context("cannot set up logging")
}

/// The filter of a `RUST_LOG` value: `info`, or `info,engine=debug`.
fn filter(wanted: &str) -> anyhow::Result<Targets> {
    let wanted = if wanted.is_empty() { "info" } else { wanted };
    Targets::from_str(wanted).with_context(|| format!("cannot read RUST_LOG `{wanted}`"))
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn levels_come_from_the_variable() {
        let default = filter("").unwrap();
        assert!(default.would_enable("engine", &Level::INFO));
        assert!(!default.would_enable("engine", &Level::DEBUG));
        let one = filter("warn,engine=debug").unwrap();
        assert!(one.would_enable("engine", &Level::DEBUG));
        assert!(!one.would_enable("hyper", &Level::INFO));
        assert!(filter("engine=loud").is_err());
    }
}
