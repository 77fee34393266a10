//! What a proxy knows of Kinesis's streams.

use super::buckets::Buckets;
use super::holders::Holders;
use super::iterators::Iterators;
use super::shards::ShardMap;

#[derive(Default)]
pub(in crate::proxy) struct KinesisState {
    pub(super) shards: ShardMap,
    pub(super) buckets: Buckets,
    pub(super) iterators: Iterators,
    pub(super) holders: Holders,
}
