//! A host's store: the one behind all hosts, with faults in between, and some of the planted bugs.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use paceline_pipeline::model::{Checkpoint, DeadLetter, Item, Key};
use paceline_pipeline::store::{
    CheckpointStore, DeadLetterStore, Expected, GroupStore, Horizon, Notice, NoticeStore, Pin, PinKey, PinStore,
    StoreError, UnstorableItem, Write, WriteOutcome,
};

use crate::acknowledged;
use crate::backend::Backend;
use crate::fate::{Ending, Table};
use crate::latch::Latch;
use crate::plant::Plant;
use crate::planted::{Planted, without_dedup};
use crate::shown::{Opaque, Revisions};
use crate::world::{DISK_FULL, World, sleep_ms};

/// The store of one life of a host.
#[derive(Clone, Debug)]
pub(crate) struct SimulatedStore {
    world: Arc<World>,
    backend: Backend,
    host: u32,
    killed: Arc<Latch>,
    planted: Arc<Mutex<Planted>>,
}

/// What the names of calls begin with that write.
const WRITES: [&str; 5] = ["write", "put", "flush", "delete", "assign"];

/// A call, for the trace.
#[derive(Clone, Copy, Debug)]
struct Call<'a> {
    name: &'static str,
    table: Table,
    /// On what.
    what: &'a (dyn std::fmt::Debug + Sync),
}

impl SimulatedStore {
    /// The store of a host; `killed` is set when it dies.
    pub(crate) fn new(world: Arc<World>, backend: Backend, host: u32, killed: Arc<Latch>) -> Self {
        Self { world, backend, host, killed, planted: Arc::default() }
    }

    fn planted(&self) -> MutexGuard<'_, Planted> {
        self.planted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, items come back with or without their dedup state.
    pub(crate) fn hide_dedup(&self, hides: bool) {
        self.planted().hides_dedup = hides;
    }

    /// A call with the fate that is drawn for it.
    async fn call<T: std::fmt::Debug>(
        &self,
        call: Call<'_>,
        effect: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let Self { world, host, .. } = self;
        let Call { name, table, what } = call;
        self.outlive().await;
        if world.plan.has_sdk() {
            // Its requests have fates of their own.
            let done = effect.await;
            world.trace(format_args!("host {host} {name} {what:?} {done:?}"));
            return done;
        }
        let fate = world.fate(table);
        sleep_ms(fate.before).await;
        match fate.ending {
            Ending::KilledBefore => return self.die(name).await,
            Ending::Refused => {
                world.trace(format_args!("host {host} {name} {what:?} refused"));
                return Err(StoreError::transient("throttled"));
            }
            Ending::Answered | Ending::AnswerLost | Ending::KilledAfter => {}
        }
        self.outlive().await;
        if world.is_disk_full() && WRITES.iter().any(|write| name.starts_with(write)) {
            world.trace(format_args!("host {host} {name} {what:?} finds the disk full"));
            return Err(StoreError::fatal(DISK_FULL));
        }
        let done = effect.await;
        world.trace(format_args!("host {host} {name} {what:?} {done:?} {:?}", fate.ending));
        if fate.ending == Ending::KilledAfter {
            return self.die(name).await;
        }
        sleep_ms(fate.after).await;
        match fate.ending {
            Ending::AnswerLost => Err(StoreError::transient("no answer")),
            _ => done,
        }
    }

    /// What a host has left running does not go on after its death.
    async fn outlive(&self) {
        if self.killed.is_set() {
            std::future::pending().await
        }
    }

    /// The host dies in this call, which never returns.
    async fn die<T>(&self, name: &str) -> T {
        self.world.trace(format_args!("host {} dies in {name}", self.host));
        self.world.lose_volatile();
        self.killed.set();
        std::future::pending().await
    }

    /// Stores the dead letters that a planted bug has kept back.
    async fn store_late_letters(&self) -> Result<(), StoreError> {
        let letters = std::mem::take(&mut self.planted().letters);
        self.backend.put_dead_letters(&letters).await
    }

    /// What a planted bug makes of a write.
    async fn spoil(&self, write: &Write) -> Result<Write, StoreError> {
        let mut write = write.clone();
        if self.world.is_planted(Plant::WriteNotConditional) {
            let found = self.backend.load_groups(std::slice::from_ref(&write.key)).await?;
            write.expected = found[0].as_ref().map(|item| item.revision);
        }
        if self.world.is_planted(Plant::DedupNotStored) {
            let found = self.backend.load_groups(std::slice::from_ref(&write.key)).await?;
            if let [Some(found)] = &found[..] {
                write.item.dedup = found.dedup.clone();
            }
        }
        Ok(write)
    }

    /// A write of a call, which may fail by itself, before or after its effect.
    async fn write_one(&self, write: Write) -> Result<WriteOutcome, StoreError> {
        let is_lost = self.world.is_write_lost();
        let outcome = match is_lost && self.world.below(2) == 0 {
            true => None,
            false => self.backend.write_groups(&[write]).await?.pop(),
        };
        Ok(outcome.filter(|_| !is_lost).unwrap_or_else(|| WriteOutcome::Transient("no answer".to_owned())))
    }

    async fn write(&self, writes: &[Write]) -> Result<Vec<WriteOutcome>, StoreError> {
        let (mut outcomes, mut spoilt) = (Vec::new(), Vec::new());
        for write in writes {
            let write = self.spoil(write).await?;
            match self.world.plan.has_sdk() {
                true => spoilt.push(write),
                false => outcomes.push(self.write_one(write).await?),
            }
        }
        outcomes.extend(self.backend.write_groups(&spoilt).await?);
        for outcome in &mut outcomes {
            match outcome {
                WriteOutcome::Conflict if self.world.is_planted(Plant::ConflictIsSuccess) => {
                    *outcome = WriteOutcome::Done;
                }
                WriteOutcome::Transient(_) if self.world.is_planted(Plant::LostAnswerIsSuccess) => {
                    *outcome = WriteOutcome::Done;
                }
                _ => {}
            }
        }
        Ok(outcomes)
    }
}

impl GroupStore for SimulatedStore {
    /// The item of a team is full after some messages, until everything is delivered.
    fn check_item(&self, key: &Key, item: &Item) -> Result<(), UnstorableItem> {
        self.backend.check_item(key, item)?;
        let full = self.world.plan.full as usize;
        // The team's aggregator lists its messages, a byte each, and counts them with windows.
        let messages = match (self.world.plan.has_windows(), item.state.first()) {
            (true, Some(&count)) => usize::from(count),
            _ => item.state.len(),
        };
        if full == 0 || self.world.is_delivered() || !key.partition.starts_with("class-") || messages <= full {
            return Ok(());
        }
        Err(UnstorableItem(format!("it has {messages} messages, and at most {full} fit")))
    }

    async fn load_groups(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, StoreError> {
        let call = Call { name: "load", table: Table::Groups, what: &keys.len() };
        let load = async { Ok(Revisions(self.backend.load_groups(keys).await?)) };
        let Revisions(items) = self.call(call, load).await?;
        let hides = self.planted().hides_dedup || self.world.is_planted(Plant::DedupAdmitsAll);
        Ok(if hides { items.into_iter().map(without_dedup).collect() } else { items })
    }

    async fn write_groups(&self, writes: &[Write]) -> Result<Vec<WriteOutcome>, StoreError> {
        let what: Vec<(&Key, u64, &[u8])> =
            writes.iter().map(|write| (&write.key, write.item.revision, write.item.state.as_slice())).collect();
        let call = Call { name: "write", table: Table::Groups, what: &what };
        let written = self.call(call, self.write(writes)).await;
        match written {
            Err(error) if error.is_transient() && self.world.is_planted(Plant::LostAnswerIsSuccess) => {
                Ok(vec![WriteOutcome::Done; writes.len()])
            }
            written => written,
        }
    }

    async fn list_partition(&self, partition: &str) -> Result<Vec<(Key, Item)>, StoreError> {
        self.backend.list_partition(partition).await
    }

    async fn list_groups(&self) -> Result<Vec<(Key, Item)>, StoreError> {
        self.backend.list_groups().await
    }
}

impl PinStore for SimulatedStore {
    async fn get_pins(&self, keys: &[PinKey]) -> Result<Vec<Option<Pin>>, StoreError> {
        let call = Call { name: "get pins", table: Table::Host, what: &keys };
        self.call(call, self.backend.get_pins(keys)).await
    }

    async fn put_pins(&self, pins: &[(PinKey, Pin)]) -> Result<Vec<Pin>, StoreError> {
        let call = Call { name: "put pins", table: Table::Host, what: &pins };
        let put = async {
            let held = self.backend.put_pins(pins).await?;
            let own = self.world.is_planted(Plant::PinNotConditional);
            Ok(if own { pins.iter().map(|(_, pin)| *pin).collect() } else { held })
        };
        self.call(call, put).await
    }

    async fn list_pins(&self, race_type: &str, limit: usize) -> Result<Vec<(PinKey, Pin)>, StoreError> {
        self.backend.list_pins(race_type, limit).await
    }
}

impl CheckpointStore for SimulatedStore {
    async fn get_checkpoint(&self, shard: &str) -> Result<Option<Checkpoint>, StoreError> {
        let call = Call { name: "get checkpoint", table: Table::Host, what: &shard };
        self.call(call, self.backend.get_checkpoint(shard)).await
    }

    async fn put_checkpoint(&self, shard: &str, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let sequence = checkpoint.sequence.to_u64();
        let call = Call { name: "put checkpoint", table: Table::Host, what: &(shard, sequence) };
        let put = async {
            self.store_late_letters().await?;
            self.backend.put_checkpoint(shard, checkpoint).await?;
            self.world.flush();
            let committed = self.world.newly_committed(shard, checkpoint.sequence);
            acknowledged::check(&self.world, &committed).await;
            Ok(())
        };
        self.call(call, put).await
    }

    async fn flush(&self) -> Result<(), StoreError> {
        let call = Call { name: "flush", table: Table::Host, what: &() };
        let flush = async {
            self.store_late_letters().await?;
            self.world.flush();
            Ok(())
        };
        self.call(call, flush).await
    }
}

impl DeadLetterStore for SimulatedStore {
    async fn put_dead_letters(&self, letters: &[DeadLetter]) -> Result<(), StoreError> {
        if self.world.is_planted(Plant::DeadLettersAfterGroups) {
            self.planted().letters.extend_from_slice(letters);
            return Ok(());
        }
        let what: Vec<(&str, &str, &[Key])> =
            letters.iter().map(|letter| (&*letter.id, letter.reason.cause.as_str(), &*letter.folded)).collect();
        let call = Call { name: "put letters", table: Table::Letters, what: &what };
        self.call(call, self.backend.put_dead_letters(letters)).await
    }

    async fn delete_dead_letters(&self, ids: &[String]) -> Result<(), StoreError> {
        let call = Call { name: "delete letters", table: Table::Letters, what: &ids };
        let records: Vec<usize> = ids.iter().filter_map(|id| self.world.stream.by_letter(id)).collect();
        let delete = async {
            self.backend.delete_dead_letters(ids).await?;
            acknowledged::check(&self.world, &records).await;
            Ok(())
        };
        self.call(call, delete).await
    }

    async fn get_dead_letter(&self, id: &str) -> Result<Option<DeadLetter>, StoreError> {
        self.backend.get_dead_letter(id).await
    }

    async fn get_horizon(&self, shard: &str) -> Result<Option<Horizon>, StoreError> {
        let call = Call { name: "horizon", table: Table::Groups, what: &shard };
        let get = async { Ok(Opaque(self.backend.get_horizon(shard).await?)) };
        self.call(call, get).await.map(|Opaque(horizon)| horizon)
    }

    async fn put_horizon(&self, shard: &str, horizon: &Horizon) -> Result<bool, StoreError> {
        let call = Call { name: "put horizon", table: Table::Groups, what: &(shard, &horizon.letters, &horizon.rules) };
        self.call(call, self.backend.put_horizon(shard, horizon)).await
    }

    async fn known_dead_letters(&self, ids: &[String]) -> Result<HashSet<String>, StoreError> {
        let call = Call { name: "known letters", table: Table::Letters, what: &ids };
        let known = async { Ok(Opaque(self.backend.known_dead_letters(ids).await?)) };
        self.call(call, known).await.map(|Opaque(known)| known)
    }

    async fn scan_dead_letters(&self, each: impl FnMut(DeadLetter) + Send) -> Result<(), StoreError> {
        let call = Call { name: "list letters", table: Table::Letters, what: &() };
        let list = async { Ok(Opaque(self.backend.list_dead_letters().await?)) };
        let Opaque(letters) = self.call(call, list).await?;
        letters.into_iter().for_each(each);
        Ok(())
    }

    async fn assign_redrive_sequences(&self, ids: &[String]) -> Result<Vec<DeadLetter>, StoreError> {
        let call = Call { name: "assign", table: Table::Letters, what: &ids };
        let assign = async {
            let letters = self.backend.assign_redrive_sequences(ids).await?;
            self.world.flush();
            Ok(Opaque(letters))
        };
        self.call(call, assign).await.map(|Opaque(letters)| letters)
    }
}

impl NoticeStore for SimulatedStore {
    async fn list_notices(&self, topic: &str) -> Result<Vec<Notice>, StoreError> {
        let call = Call { name: "list notices", table: Table::Host, what: &topic };
        let list = async { Ok(Opaque(self.backend.list_notices(topic).await?)) };
        self.call(call, list).await.map(|Opaque(notices)| notices)
    }

    async fn put_notice(&self, topic: &str, notice: &Notice, expected: Expected) -> Result<bool, StoreError> {
        let call = Call { name: "put notice", table: Table::Host, what: &topic };
        let put = async {
            let is_put = self.backend.put_notice(topic, notice, expected).await?;
            self.world.flush();
            Ok(is_put)
        };
        self.call(call, put).await
    }
}
