//! Concurrent requests.

use std::collections::VecDeque;
use std::panic::resume_unwind;

use tokio::task::JoinSet;
use tracing::Instrument;

/// Requests, of which at most `concurrency` are in flight at once. Dropping it cancels those in flight.
pub(super) struct ConcurrentRequests<T, F> {
    queued: VecDeque<F>,
    in_flight: JoinSet<T>,
    concurrency: usize,
}

impl<T: Send + 'static, F: Future<Output = T> + Send + 'static> ConcurrentRequests<T, F> {
    pub(super) fn new(concurrency: usize, requests: impl IntoIterator<Item = F>) -> Self {
        let queued = requests.into_iter().collect();
        Self { queued, in_flight: JoinSet::new(), concurrency: concurrency.max(1) }
    }

    pub(super) fn push(&mut self, request: F) {
        self.queued.push_back(request);
    }

    /// The next response, in the order of arrival; `None` after the last.
    pub(super) async fn next(&mut self) -> Option<T> {
        while self.in_flight.len() < self.concurrency
            && let Some(request) = self.queued.pop_front()
        {
            // Its lines have the ids of the batch.
            self.in_flight.spawn(request.in_current_span());
        }
        match self.in_flight.join_next().await? {
            Ok(response) => Some(response),
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            // The runtime is shutting down, and this task with it.
            Err(_) => std::future::pending().await,
        }
    }
}
