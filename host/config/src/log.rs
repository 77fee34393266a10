//! Which lines are logged.

use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The environment variable of the filter.
const VARIABLE: &str = "RUST_LOG";
const DEFAULT: LevelFilter = LevelFilter::INFO;

/// Logs to this subscriber what passes the filter in `RUST_LOG`: levels, also by target, such as `info,plugin=debug`.
/// The subscriber takes all levels.
pub fn log_to(subscriber: impl Subscriber + Send + Sync + 'static) {
    let wanted = std::env::var(VARIABLE).unwrap_or_default();
    let parsed = match wanted.trim() {
        "" => Ok(Targets::new().with_default(DEFAULT)),
        wanted => wanted.parse::<Targets>(),
    };
    let (targets, refused) = match parsed {
        Ok(targets) => (targets, None),
        Err(error) => (Targets::new().with_default(DEFAULT), Some(error)),
    };
    subscriber.with(targets).init();
    if let Some(error) = refused {
        tracing::warn!("{VARIABLE} is not a filter such as `info,plugin=debug`, so `info` is used: {error}");
    }
}
