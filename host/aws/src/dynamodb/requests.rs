//! Several requests in flight at once.

use std::collections::VecDeque;
use std::panic::resume_unwind;

use tokio::task::JoinSet;

/// Requests of which so many are in flight at once. Dropping it gives up those that are.
pub(super) struct ConcurrentRequests<T, F> {
    waiting: VecDeque<F>,
    flying: JoinSet<T>,
    most: usize,
}

impl<T: Send + 'static, F: Future<Output = T> + Send + 'static> ConcurrentRequests<T, F> {
    pub(super) fn new(most: usize, requests: impl IntoIterator<Item = F>) -> Self {
        Self { waiting: requests.into_iter().collect(), flying: JoinSet::new(), most: most.max(1) }
    }

    /// Adds one more.
    pub(super) fn push(&mut self, request: F) {
        self.waiting.push_back(request);
    }

    /// The next answer, in whatever order they come; nothing when all have come.
    pub(super) async fn next(&mut self) -> Option<T> {
        while self.flying.len() < self.most
            && let Some(request) = self.waiting.pop_front()
        {
            self.flying.spawn(request);
        }
        match self.flying.join_next().await? {
            Ok(answer) => Some(answer),
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            // The runtime is shutting down, and this task with it.
            Err(_) => std::future::pending().await,
        }
    }
}
