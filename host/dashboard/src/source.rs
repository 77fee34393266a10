//! Where the figures come from.

use async_trait::async_trait;

use crate::status::{DeadLetter, Leaderboard, Part, RaceKey, Status};

/// Where the figures come from. The dashboard never asks for the same thing twice at once, nor more often than its
/// refresh interval allows. Everybody waits for an answer, so each comes in bounded time: what did not answer is a
/// [`Part::Unknown`].
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// The whole status.
    async fn status(&self) -> Status;

    /// The leaderboard of a race or a class.
    async fn leaderboard(&self, race: &RaceKey) -> Part<Leaderboard>;

    /// The dead letter with this id; `None` if there is none.
    async fn dead_letter(&self, id: &str) -> Part<Option<DeadLetter>>;
}
