//! In the end: the table and the dead letters are the model's.

use std::collections::{BTreeMap, BTreeSet};

use paceline_pipeline::model::{Attribute, DeadLetter, Item, Key};
use paceline_pipeline::store::{DeadLetterStore, GroupStore, PinKey, PinStore, StoreError};

use crate::acknowledged::{WindowRows, counted, listed};
use crate::finding::Finding;
use crate::message::Message;
use crate::model::{self, Expected, Members, Versions};
use crate::operator::{History, Office};
use crate::world::World;

/// Compares the store with the model.
pub(crate) async fn compare(office: &Office<'_>) {
    match differs(office).await {
        Ok(None) => {}
        Ok(Some(finding)) => office.world.report(finding),
        // The store in memory does not fail.
        Err(error) => office.world.report(Finding::Fatal { at_ms: office.world.now_ms(), error: error.to_string() }),
    }
}

async fn differs(office: &Office<'_>) -> Result<Option<Finding>, StoreError> {
    let world = &*office.world;
    let history = office.history().await;
    let letters = world.store.list_dead_letters().await?;
    let items: BTreeMap<Key, Item> = world.store.list_groups().await?.into_iter().collect();
    let mut pins = BTreeMap::new();
    for record in &world.stream.records {
        let Message { class, race, .. } = *record.message;
        if office.is_pinned(class) && !history.reruled.contains(&class) && !pins.contains_key(&(class, race)) {
            let key = PinKey { race_type: class.to_string(), value: race.to_string() };
            let pin = world.store.get_pins(&[key]).await?.pop().flatten();
            pins.insert((class, race), pin.and_then(|pin| office.rulebooks.version(pin.rulebook)));
        }
    }
    let versions = |message: &Message| -> BTreeSet<u64> { possible(&history, &pins, message) };
    let unsure = letters.iter().filter(|letter| letter.unsure);
    let unsure = unsure.flat_map(|letter| match WindowRows::of(letter) {
        Some(rows) => rows.ids(&letter.shard),
        None => vec![letter.id.clone()],
    });
    let unsure = unsure.filter_map(|id| world.stream.by_letter(&id)).collect();
    let expected = model::expect(&world.stream, &versions, &unsure);
    let differs =
        letters_differ(world, &expected, &letters).or_else(|| table_differs(world, &expected, &versions, &items));
    Ok(differs.or_else(|| unpublished(world, &items)))
}

/// In DynamoDB, a packed group that has a result has an item of its own.
fn unpublished(world: &World, items: &BTreeMap<Key, Item>) -> Option<Finding> {
    let database = world.database.as_ref()?;
    let has_result =
        |(key, item): &(&Key, &Item)| key.partition.starts_with("last-") && item.attribute("final").is_some();
    let (key, _) = items.iter().filter(has_result).find(|(key, _)| !database.has_item(&key.partition, &key.sort))?;
    Some(Finding::Table { key: key.to_string(), what: "its result has no item of its own".to_owned() })
}

/// The versions by which a message may have been evaluated.
fn possible(history: &History, pins: &BTreeMap<(u32, u32), Option<u64>>, message: &Message) -> BTreeSet<u64> {
    match pins.get(&(message.class, message.race)) {
        Some(Some(version)) => [*version].into(),
        _ => history.versions.get(&message.class).cloned().unwrap_or_default(),
    }
}

fn letters_differ(world: &World, expected: &Expected<'_>, letters: &[DeadLetter]) -> Option<Finding> {
    let differs = |letter: &str, what: String| Some(Finding::DeadLetters { letter: letter.to_owned(), what });
    let mut there = BTreeSet::new();
    // What a window could not merge and dedup can't judge waits for a person.
    let waits = |letter: &&DeadLetter| letter.is_of_window() && letter.unsure;
    for letter in letters.iter().filter(|letter| !waits(letter)) {
        let record = world.stream.by_letter(&letter.id);
        let is_expected = record.is_some_and(|record| expected.letters.contains_key(&record));
        if !is_expected {
            return differs(&letter.id, format!("is there, and its record is sound: {}", letter.reason.text));
        }
        there.extend(record);
    }
    let missing = expected.letters.iter().find(|(record, must)| **must && !there.contains(record))?;
    let message = &world.stream.records[*missing.0].message;
    differs(&world.stream.letter_id(*missing.0), format!("is missing: {}", String::from_utf8_lossy(&message.payload)))
}

fn table_differs(
    world: &World,
    expected: &Expected<'_>,
    versions: Versions<'_>,
    items: &BTreeMap<Key, Item>,
) -> Option<Finding> {
    let key = |partition: String, racer: u32| Key::new(partition, format!("racer-{racer}"));
    let team_key = |class: u32, team: u32| Key::new(format!("class-{class}"), format!("team-{team}"));
    let mut known = BTreeSet::new();
    let mut check = |key: Key, differs: &dyn Fn(Option<&Item>) -> Option<String>| {
        let differs = differs(items.get(&key));
        let finding = differs.map(|what| Finding::Table { key: key.to_string(), what });
        known.insert(key);
        finding
    };
    for (&(class, race, racer), members) in &expected.races {
        let found = check(key(format!("race-{class}-{race}"), racer), &|item| list_differs(world, members, item));
        let last = |item: Option<&Item>| last_differs(members, versions, item);
        let found = found.or_else(|| check(key(format!("last-{class}-{race}"), racer), &last));
        if found.is_some() {
            return found;
        }
    }
    for (&(class, team), members) in &expected.teams {
        let found = check(team_key(class, team), &|item| list_differs(world, members, item));
        if found.is_some() {
            return found;
        }
    }
    for (&(class, racer), members) in &expected.racers {
        let found = check(key(format!("best-{class}"), racer), &|item| best_differs(members, versions, item));
        if found.is_some() {
            return found;
        }
    }
    let unknown = items.keys().find(|key| !known.contains(key))?;
    Some(Finding::Table { key: unknown.to_string(), what: "no sound message belongs to it".to_owned() })
}

/// A group lists, or with windows counts, each of its messages once.
fn list_differs(world: &World, members: &Members<'_>, item: Option<&Item>) -> Option<String> {
    if world.plan.has_windows() {
        let (least, most) = (members.values().filter(|(_, must)| *must).count() as i64, members.len() as i64);
        let count = counted(item);
        return (count < least || count > most).then(|| format!("it counts {count} messages, not {least} to {most}"));
    }
    for (message, must) in members.values() {
        match (listed(item, message.mark()), must) {
            (1, _) | (0, false) => {}
            (times, _) => return Some(format!("it has message {} {times} times", message.nth)),
        }
    }
    let stranger = item?.state.iter().find(|mark| !members.contains_key(&u32::from(**mark)))?;
    Some(format!("it has message {stranger}, which is not sound"))
}

fn number(item: &Item, name: &str) -> f64 {
    match item.attribute(name) {
        Some(Attribute::Number(value)) => *value,
        Some(Attribute::Integer(value)) => *value as f64,
        Some(Attribute::Boolean(value)) => f64::from(*value),
        _ => f64::NAN,
    }
}

fn last_differs(members: &Members<'_>, versions: Versions<'_>, item: Option<&Item>) -> Option<String> {
    if members.values().any(|(_, must)| !must) {
        return None;
    }
    let (outputs, second, seconds, finished) = model::last(members, versions)?;
    let Some(item) = item else { return Some("it is missing".to_owned()) };
    let found = ["output", "second", "seconds", "finished"].map(|name| number(item, name));
    let is_right = outputs.contains(&found[0])
        && found[1..] == [f64::from(second), seconds as f64, f64::from(finished)]
        && (!finished || number(item, "final") == found[0]);
    (!is_right).then(|| {
        format!("output, second, seconds, finished are {found:?}, not {outputs:?}, {second}, {seconds}, {finished}")
    })
}

fn best_differs(members: &Members<'_>, versions: Versions<'_>, item: Option<&Item>) -> Option<String> {
    if members.values().any(|(_, must)| !must) {
        return None;
    }
    let (least, most) = model::best(members, versions)?;
    let Some(item) = item else { return Some("it is missing".to_owned()) };
    let output = number(item, "output");
    (output < least || output > most || output.is_nan())
        .then(|| format!("its output is {output}, not within {least} and {most}"))
}
