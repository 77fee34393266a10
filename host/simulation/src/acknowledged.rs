//! During the run: a record that was acknowledged is in its groups or a dead letter.

use std::collections::{BTreeMap, BTreeSet};

use paceline_pipeline::model::{Attribute, DeadLetter, Item, Key, RecordPosition};
use paceline_pipeline::store::{DeadLetterStore, GroupStore, StoreError};
use serde_json::Value;

use crate::finding::Finding;
use crate::message::Message;
use crate::world::World;

/// How often a group lists a message.
pub(crate) fn listed(item: Option<&Item>, mark: u8) -> usize {
    item.map_or(0, |item| item.state.iter().filter(|other| **other == mark).count())
}

/// How many messages a group has counted.
pub(crate) fn counted(item: Option<&Item>) -> i64 {
    match item.and_then(|item| item.attribute("count")) {
        Some(Attribute::Integer(count)) => *count,
        _ => 0,
    }
}

/// Checks records that were just acknowledged.
pub(crate) async fn check(world: &World, records: &[usize]) {
    // The store in memory does not fail. Boxed, because the compiler limits how deep futures nest in one type.
    if let Ok(Some(finding)) = Box::pin(find(world, records)).await {
        world.report(finding);
    }
}

async fn find(world: &World, records: &[usize]) -> Result<Option<Finding>, StoreError> {
    let mut found = Vec::new();
    for &record in records {
        let id = world.stream.letter_id(record);
        if world.store.get_dead_letter(&id).await?.is_none() {
            found.push((id, &*world.stream.records[record].message));
        }
    }
    let groups = groups(world, &found).await?;
    // With windows, how many different messages each group has to have counted.
    let mut counts: BTreeMap<Key, BTreeMap<u8, &str>> = BTreeMap::new();
    for (id, message) in &found {
        if message.is_final && !is_published(world, &groups, &message.last_key()) {
            return Ok(Some(lost(world, id, "published: its result has no item of its own")));
        }
        for key in [message.race_key(), message.class_key()] {
            if world.plan.has_windows() {
                counts.entry(key).or_default().insert(message.mark(), id);
            } else if listed(groups.get(&key), message.mark()) == 0 {
                return Ok(Some(lost(world, id, &format!("in its group {key}, nor a dead letter"))));
            }
        }
    }
    for (key, marks) in counts {
        let mut counted = counted(groups.get(&key));
        if counted < marks.len() as i64 {
            counted += in_letters(world, &key).await?;
        }
        if counted < marks.len() as i64 {
            let id = marks.last_key_value().map_or("", |(_, id)| id);
            let what = format!("in its group {key}, which has {counted} of {} records, nor a dead letter", marks.len());
            return Ok(Some(lost(world, id, &what)));
        }
    }
    Ok(None)
}

/// How many messages of a group are in dead letters of windows.
async fn in_letters(world: &World, key: &Key) -> Result<i64, StoreError> {
    let letters = world.store.list_dead_letters().await?;
    let rows = letters.iter().filter_map(WindowRows::of).filter(|rows| rows.key == *key);
    Ok(rows.map(|rows| rows.records.len() as i64).sum())
}

/// What the payload of a window's dead letter lists.
pub(crate) struct WindowRows {
    key: Key,
    records: Vec<Value>,
}

impl WindowRows {
    pub(crate) fn of(letter: &DeadLetter) -> Option<Self> {
        let payload: Value = serde_json::from_slice(&letter.payload).ok().filter(|_| letter.is_of_window())?;
        let rows = payload.get("window")?;
        let key = Key::new(rows["PK"].as_str()?, rows["SK"].as_str()?);
        Some(Self { key, records: rows["records"].as_array()?.clone() })
    }

    /// The ids that dead letters of the records would have.
    pub(crate) fn ids(&self, shard: &str) -> Vec<String> {
        let id = |row: &Value| {
            let sequence = row["sequence"].as_str()?.parse().ok()?;
            Some(DeadLetter::id_of(shard, RecordPosition { sequence, sub_sequence: row["subSequence"].as_u64()? }))
        };
        self.records.iter().filter_map(id).collect()
    }
}

/// The groups of messages, be they packed or not.
async fn groups(world: &World, messages: &[(String, &Message)]) -> Result<BTreeMap<Key, Item>, StoreError> {
    let keys = messages.iter().flat_map(|(_, message)| [message.last_key(), message.race_key(), message.class_key()]);
    let keys: BTreeSet<Key> = keys.collect();
    let Some(_) = &world.database else {
        let keys = Vec::from_iter(keys);
        let items = world.store.load_groups(&keys).await?;
        return Ok(keys.into_iter().zip(items).filter_map(|(key, item)| Some((key, item?))).collect());
    };
    let mut groups = BTreeMap::new();
    for partition in keys.into_iter().map(|key| key.partition).collect::<BTreeSet<_>>() {
        groups.extend(world.store.list_partition(&partition).await?);
    }
    Ok(groups)
}

/// In DynamoDB, a packed group that has a result has an item of its own.
fn is_published(world: &World, groups: &BTreeMap<Key, Item>, key: &Key) -> bool {
    let Some(database) = &world.database else { return true };
    let has_result = groups.get(key).is_some_and(|item| item.attribute("final").is_some());
    !has_result || database.has_item(&key.partition, &key.sort)
}

fn lost(world: &World, record: &str, what: &str) -> Finding {
    Finding::Lost { at_ms: world.now_ms(), record: record.to_owned(), what: what.to_owned() }
}
