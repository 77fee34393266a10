//! Workers under Amazon's KCL: a MultiLangDaemon on each, which shares the shards with the others by leases, and has a
//! process of `paceline kcl` for each shard that it holds. The daemon is written from its documentation and its protocol
//! alone; the processes are the real ones, with lines in memory.
//!
//! - `worker`: a daemon from its start to its end, and the next one.
//! - `conversation`: what a daemon and a process say to each other about a shard.
//! - `process`: a process of `paceline kcl`.
//! - `leases`: the lease table, which has the checkpoints.
//! - `lines`: the messages, and the answers.

mod conversation;
mod leases;
mod lines;
mod process;
mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::task::JoinSet;

use super::Fleet;
use leases::Leases;
use process::Processes;

/// What the workers share.
#[derive(Debug)]
struct Application {
    fleet: Fleet,
    leases: Leases,
    processes: Processes,
    daemons: AtomicU32,
}

impl Application {
    /// The name of another daemon: the KCL gives each start of a worker a new one.
    fn next_daemon(&self) -> u32 {
        self.daemons.fetch_add(1, Ordering::SeqCst)
    }
}

/// Delivers the records of all shards, until the lease table has each at its end or after its last record.
pub(crate) async fn deliver(fleet: Fleet) {
    let leases = Leases::new(&fleet.world);
    let workers = fleet.world.plan.hosts;
    let application =
        Arc::new(Application { fleet, leases, processes: Processes::default(), daemons: AtomicU32::new(0) });
    let mut working = JoinSet::new();
    for _ in 0..workers {
        working.spawn(worker::work(Arc::clone(&application)));
    }
    working.join_all().await;
    // What lost its daemon commits what it has, and ends.
    application.processes.ended().await;
}
