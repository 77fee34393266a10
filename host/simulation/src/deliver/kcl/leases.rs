//! The lease table: which daemon holds which shard, and the checkpoints. A checkpoint is written on the condition that its
//! writer still holds the lease.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use paceline_pipeline::model::RecordPosition;

use crate::stream::Shard;
use crate::world::World;

/// The time after which a lease that is not renewed is free, in milliseconds.
const FAILOVER_MS: u64 = 10_000;

/// How far a shard is, as the lease table has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Progress {
    /// At its beginning.
    Nothing,
    /// Up to this record.
    UpTo(RecordPosition),
    /// Its end, so that the shards that it split into may begin.
    End,
}

/// A lease, as the daemon knows it that has taken it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) shard: usize,
    /// The checkpoint when it was taken.
    pub(super) from: Progress,
    /// Another one each time that the lease moves.
    token: u64,
}

#[derive(Debug)]
struct Lease {
    owner: Option<u32>,
    token: u64,
    renewed_ms: u64,
    checkpoint: Progress,
    /// Up to where the present holder's process has answered, with or without a checkpoint.
    answered: Progress,
}

impl Lease {
    /// Whether any daemon may take it: nobody holds it, or its holder is gone.
    fn is_free(&self, now_ms: u64) -> bool {
        self.owner.is_none() || self.renewed_ms + FAILOVER_MS <= now_ms
    }
}

/// The table.
#[derive(Debug)]
pub(super) struct Leases {
    world: Arc<World>,
    all: Mutex<Vec<Lease>>,
}

impl Leases {
    pub(super) fn new(world: &Arc<World>) -> Self {
        let (checkpoint, answered) = (Progress::Nothing, Progress::Nothing);
        let lease = |_: &Shard| Lease { owner: None, token: 0, renewed_ms: 0, checkpoint, answered };
        let all = Mutex::new(world.stream.shards.iter().map(lease).collect());
        Self { world: Arc::clone(world), all }
    }

    fn all(&self) -> MutexGuard<'_, Vec<Lease>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the shard is closed: others have taken its place.
    pub(super) fn is_closed(&self, shard: usize) -> bool {
        self.world.is_resharded() && self.world.stream.children(shard).next().is_some()
    }

    /// Takes a lease that is free, or now and then one that another daemon holds.
    pub(super) fn take(&self, daemon: u32) -> Option<Held> {
        let (world, now_ms) = (&self.world, self.world.now_ms());
        let is_stealing = world.chance(world.plan.moves);
        let mut all = self.all();
        let is_over = |parent: usize| self.is_closed(parent) && all[parent].checkpoint == Progress::End;
        let may_begin = |shard: usize| world.stream.shards[shard].parents.iter().all(|parent| is_over(*parent));
        let may_take = |shard: &usize| {
            let lease = &all[*shard];
            let may_move = lease.is_free(now_ms) || is_stealing && lease.owner != Some(daemon);
            lease.checkpoint != Progress::End && may_begin(*shard) && may_move
        };
        let candidates: Vec<usize> = (0..all.len()).filter(may_take).collect();
        let shard = *candidates.get(world.below(candidates.len() as u64) as usize)?;
        let lease = &mut all[shard];
        world.trace(format_args!(
            "daemon {daemon} takes shard {shard} from {:?} at {:?}",
            lease.owner, lease.checkpoint
        ));
        (lease.owner, lease.renewed_ms) = (Some(daemon), now_ms);
        (lease.token, lease.answered) = (lease.token + 1, lease.checkpoint);
        Some(Held { shard, from: lease.checkpoint, token: lease.token })
    }

    /// Renews a lease. False if another daemon has taken it.
    pub(super) fn renew(&self, held: &Held) -> bool {
        let (lease, now_ms) = (&mut self.all()[held.shard], self.world.now_ms());
        let is_held = lease.token == held.token;
        if is_held {
            lease.renewed_ms = now_ms;
        }
        is_held
    }

    /// Gives up a lease, if it is still held.
    pub(super) fn release(&self, held: &Held) {
        let lease = &mut self.all()[held.shard];
        if lease.token == held.token {
            (lease.owner, lease.token) = (None, lease.token + 1);
        }
    }

    /// Writes a checkpoint. Returns the records that it acknowledges and none before did; `None` if the lease is lost.
    pub(super) fn write(&self, held: &Held, to: Progress) -> Option<Vec<usize>> {
        let lease = &mut self.all()[held.shard];
        if lease.token != held.token {
            return None;
        }
        let before = std::mem::replace(&mut lease.checkpoint, to);
        let stream = &self.world.stream;
        let is_new = |&record: &usize| {
            let at = Progress::UpTo(stream.records[record].position);
            before < at && at <= to
        };
        Some(stream.shards[held.shard].records.iter().copied().filter(is_new).collect())
    }

    /// Notes that the holder's process has answered up to here.
    pub(super) fn answer(&self, held: &Held, to: Progress) {
        let lease = &mut self.all()[held.shard];
        if lease.token == held.token {
            lease.answered = to;
        }
    }

    pub(super) fn checkpoint(&self, shard: usize) -> Progress {
        self.all()[shard].checkpoint
    }

    /// Whether the processes have answered for all records that there will be.
    pub(super) fn is_answered(&self) -> bool {
        let now_ms = self.world.now_ms();
        // What was answered to a daemon that is gone has to be delivered again.
        self.has_all(
            |lease| if lease.is_free(now_ms) { lease.checkpoint } else { lease.answered.max(lease.checkpoint) },
        )
    }

    /// Whether all records that there will be are before the checkpoints.
    pub(super) fn is_read(&self) -> bool {
        self.has_all(|lease| lease.checkpoint)
    }

    fn has_all(&self, progress: impl Fn(&Lease) -> Progress) -> bool {
        let stream = &self.world.stream;
        let last = |shard: &Shard| shard.records.last().map(|&last| Progress::UpTo(stream.records[last].position));
        let all = self.all();
        stream.shards.iter().zip(&*all).all(|(shard, lease)| last(shard).is_none_or(|last| last <= progress(lease)))
    }
}
