//! How records get to hosts, and are delivered again.
//!
//! - `poll`: a reader of a shard, with checkpoints in the store; `consumer`: one of the whole stream, as `paceline run` is.
//! - `kcl`: workers under Amazon's KCL, with the MultiLangDaemon's protocol and leases.
//! - `mapping`: an event source mapping; `windows`: one with tumbling windows.
//! - `function`: invocations by a mapping; `event`: the events.
//! - `redrive`: dead letters are processed again.

pub(crate) mod consumer;
mod event;
mod function;
pub(crate) mod kcl;
pub(crate) mod mapping;
pub(crate) mod poll;
pub(crate) mod redrive;
pub(crate) mod windows;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use paceline_pipeline::{ErrorChain, PipelineError};

use crate::finding::Finding;
use crate::host::{Environment, Host};
use crate::latch::Latch;
use crate::world::{DISK_FULL, World};

/// The end of a shard: all of its queues are done, or one of its readers is.
#[derive(Debug)]
struct ShardEnd {
    left: AtomicU32,
    latch: Latch,
}

/// What a delivery needs.
#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    pub(crate) world: Arc<World>,
    pub(crate) hosts: Vec<Arc<Host>>,
    environment: Arc<Environment>,
    ends: Arc<Vec<ShardEnd>>,
}

impl Fleet {
    pub(crate) fn new(environment: &Arc<Environment>, hosts: Vec<Arc<Host>>) -> Self {
        let (environment, world) = (Arc::clone(environment), Arc::clone(&environment.world));
        let queues = if world.plan.mode == 1 { world.plan.factor } else { 1 };
        let end = |_| ShardEnd { left: AtomicU32::new(queues), latch: Latch::default() };
        let ends = Arc::new(world.stream.shards.iter().map(end).collect());
        Self { world, hosts, environment, ends }
    }

    /// Any host.
    pub(crate) fn any_host(&self) -> Arc<Host> {
        let at = self.world.below(self.hosts.len() as u64) as usize;
        Arc::clone(&self.hosts[at])
    }

    /// A shard is read after its parents.
    pub(crate) async fn wait_for_parents(&self, shard: usize) {
        for &parent in &self.world.stream.shards[shard].parents {
            self.ends[parent].latch.wait().await;
        }
    }

    /// One of a shard's queues is done.
    pub(crate) fn finish(&self, shard: usize) {
        let end = &self.ends[shard];
        if end.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            end.latch.set();
        }
    }

    /// Nothing in a run has an error that no retry resolves, but for a full disk.
    pub(crate) fn report_fatal(&self, error: &PipelineError) {
        let error = ErrorChain(error).to_string();
        if error.contains(DISK_FULL) {
            return;
        }
        self.world.report(Finding::Fatal { at_ms: self.world.now_ms(), error });
    }

    /// Waits until one of these records has arrived, and returns how many of them make a batch.
    pub(crate) async fn arrived(&self, records: &[usize]) -> usize {
        let arrival_ms = self.world.stream.records[records[0]].arrival_ms;
        crate::world::sleep_ms(arrival_ms.saturating_sub(self.world.now_ms())).await;
        self.world.stream.take(records, self.world.plan.batch, self.world.now_ms()).max(1)
    }
}
