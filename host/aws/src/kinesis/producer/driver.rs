//! The task that does what the core decides.

use std::sync::Arc;
use std::time::Duration;

use paceline_pipeline::ErrorChain;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::core::Action;
use super::sent::{Sent, Unsent};
use super::service;
use super::shared_core::{SharedCore, TaskOutcome};
use crate::kinesis::client::Stream;

/// The least time between two log lines about failed requests.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Sends until every record that was put is in the stream, or until the core gives up.
pub(super) async fn drive(stream: Stream, core: Arc<SharedCore>) -> Result<Sent, Unsent> {
    let mut tasks = JoinSet::new();
    let mut logged: Option<Instant> = None;
    loop {
        let stream = stream.clone();
        let until = match core.next_action() {
            Action::Send(request) => {
                tasks.spawn(
                    async move { TaskOutcome::Put(request.number, service::put(&stream, request.entries).await) },
                );
                continue;
            }
            Action::List => {
                tasks.spawn(async move { TaskOutcome::Listed(service::list(&stream).await) });
                continue;
            }
            Action::Wait(until) => until,
            Action::Done => break,
        };
        tokio::select! {
            () = core.wait(until) => {}
            Some(outcome) = tasks.join_next() => {
                let outcome = outcome.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
                if let TaskOutcome::Put(_, Err(error)) | TaskOutcome::Listed(Err(error)) = &outcome
                    && error.kind.is_transient()
                    && logged.is_none_or(|logged| logged.elapsed() >= LOG_INTERVAL)
                {
                    tracing::warn!("{}; retrying", ErrorChain(error));
                    logged = Some(Instant::now());
                }
                core.complete(outcome);
            }
        }
    }
    let core = core.lock();
    let (sent, left) = (core.sent().clone(), core.outstanding());
    match core.ended() {
        Some(why) if left > 0 => Err(Unsent { sent, left, source: why.clone() }),
        _ => Ok(sent),
    }
}
