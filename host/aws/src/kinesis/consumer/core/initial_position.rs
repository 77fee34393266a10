//! Where a stream was begun: remembered, so that every later start and every shard that is found later means the same
//! by it.
//!
//! `LATEST` is a moment, and a process that dies before its first checkpoint would otherwise begin at another one and
//! lose what came between. So the moment of the first start is kept, and every shard without a checkpoint is read from
//! it: of shards that ended before there is nothing, children begin at their beginning.

use paceline_pipeline::model::Checkpoint;
use paceline_pipeline::store::{Store, StoreError};
use sha2::{Digest, Sha256};
use tokio::time::sleep;

use super::client::Stream;
use super::config::{KinesisConfig, Start, timestamp};
use super::consumer::{self, ConsumerError};
use super::describe::Described;
use super::position::IteratorPosition;

/// Where a stream was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InitialPosition(Option<i64>);

impl InitialPosition {
    /// The name of the checkpoint that remembers it. No shard has such a name.
    pub(super) fn name(stream: &str) -> String {
        format!("{stream}/@initial-position")
    }

    /// Where the stream was begun, or is begun now; and whether that is now.
    pub(super) async fn find<S: Store>(
        name: &str,
        described: &Described,
        config: &KinesisConfig,
        stream: &Stream,
        store: &S,
    ) -> Result<(Self, bool), ConsumerError> {
        let fingerprint: [u8; 32] = Sha256::digest(format!("{}@{}", described.arn, described.created_ms)).into();
        let key = Self::name(name);
        if let Some(kept) = consumer::checkpoint(store, &key).await? {
            if kept.fingerprint != Some(fingerprint) {
                return Err(ConsumerError::wrong(
                    stream,
                    format_args!(
                        "the checkpoints under the name `{name}` belong to another stream: this one was created at {}, \
                         and has other sequence numbers. To read it from `start` on, give it another name: `name` in \
                         [source]",
                        timestamp(described.created_ms)
                    ),
                ));
            }
            tracing::info!("going on from the checkpoints under the name `{name}`");
            return Ok((Self(kept.arrival_ms), false));
        }
        let now = stream.clock.now_ms();
        let initial_position = match config.start {
            Start::TrimHorizon => None,
            Start::Latest => Some(now),
            Start::At(time) if time > now => {
                return Err(ConsumerError::wrong(
                    stream,
                    format_args!("`start` is {}, and there it is {} now", timestamp(time), timestamp(now)),
                ));
            }
            Start::At(time) => Some(time),
        };
        tracing::info!("there are no checkpoints under the name `{name}`: beginning at {}", config.start);
        let checkpoint = Checkpoint { fingerprint: Some(fingerprint), arrival_ms: initial_position, ..Checkpoint::default() };
        while let Err(error) = store.acknowledge(Some((&key, &checkpoint))).await {
            match error {
                StoreError::Transient(why) => tracing::warn!("beginning waits for the store: {why}"),
                error => return Err(ConsumerError::Pipeline(error.into())),
            }
            sleep(super::shard::STORE_WAIT).await;
        }
        Ok((Self(initial_position), true))
    }

    /// Where a shard without a checkpoint is read from.
    pub(super) fn position(self) -> IteratorPosition {
        self.0.map_or(IteratorPosition::TrimHorizon, IteratorPosition::At)
    }

    /// The moment that it is, where it is one.
    pub(super) fn moment(self) -> Option<i64> {
        self.0
    }
}
