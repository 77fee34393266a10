//! The model: what the table and the dead letters have to be in the end. It knows the messages and the rules, and nothing of
//! the pipeline.

use std::collections::{BTreeMap, BTreeSet};

use crate::message::{CADENCE, Kind, Message};
use crate::stream::Stream;

/// The versions by which a message may have been evaluated: more than one if its race type changed its rulebook while the
/// message was on its way, and no pin says by which.
pub(crate) type Versions<'a> = &'a dyn Fn(&Message) -> BTreeSet<u64>;

/// What has to be there in the end.
#[derive(Debug, Default)]
pub(crate) struct Expected<'s> {
    /// By race type, race and racer; by race type and team; by race type and racer: the messages, and whether each has to
    /// be there.
    pub(crate) races: BTreeMap<(u32, u32, u32), Members<'s>>,
    pub(crate) teams: BTreeMap<(u32, u32), Members<'s>>,
    pub(crate) racers: BTreeMap<(u32, u32), Members<'s>>,
    /// Dead letters by record, and whether each has to be there.
    pub(crate) letters: BTreeMap<usize, bool>,
}

/// The messages of a group by their number, and whether each has to be there.
pub(crate) type Members<'s> = BTreeMap<u32, (&'s Message, bool)>;

/// The score of a message.
pub(crate) fn score(message: &Message, version: u64) -> f64 {
    let weight = if version == 2 { 1.5 } else { 1.0 };
    let (cadence, resistance) = (f64::from(CADENCE + message.nth), f64::from(message.resistance));
    ((cadence + 35.0) * (resistance * weight + 65.0) / 100.0 * 1e4).round() / 1e4
}

/// What has to be there. Records in `unsure` may be in their groups, or dead letters that no redrive touches.
pub(crate) fn expect<'s>(stream: &'s Stream, versions: Versions<'_>, unsure: &BTreeSet<usize>) -> Expected<'s> {
    let mut expected = Expected::default();
    for (at, record) in stream.records.iter().enumerate() {
        let message = &*record.message;
        let by = versions(message);
        // Whether it may be sound, and whether it has to be.
        let (may, must) = match message.kind {
            Kind::Broken | Kind::Trap => (false, false),
            Kind::Sound => (true, !unsure.contains(&at)),
            Kind::Strict => (by.iter().any(|version| *version != 2), !by.contains(&2) && !unsure.contains(&at)),
        };
        if may {
            let Message { class, race, racer, team, nth, .. } = *message;
            expected.races.entry((class, race, racer)).or_default().insert(nth, (message, must));
            expected.teams.entry((class, team)).or_default().insert(nth, (message, must));
            expected.racers.entry((class, racer)).or_default().insert(nth, (message, must));
        }
        if !must {
            expected.letters.insert(at, !may);
        }
    }
    expected
}

/// What `last-output` shows of messages that are all there: output, second, number of seconds, whether a final is among
/// them. A final stands, whatever comes after it. There may be several outputs: one for each version that may have been
/// the one.
pub(crate) fn last(members: &Members<'_>, versions: Versions<'_>) -> Option<(Vec<f64>, u32, usize, bool)> {
    let last =
        members.values().map(|(message, _)| *message).max_by_key(|message| (message.is_final, message.second))?;
    let outputs = versions(last).into_iter().map(|version| score(last, version)).collect();
    Some((outputs, last.second, members.len(), members.values().any(|(message, _)| message.is_final)))
}

/// The least and the greatest output that `best-output` may show of messages that are all there.
pub(crate) fn best(members: &Members<'_>, versions: Versions<'_>) -> Option<(f64, f64)> {
    let finals = members.values().map(|(message, _)| *message).filter(|message| message.is_final);
    let scores = finals.map(|message| versions(message).into_iter().map(|version| score(message, version)).collect());
    let least = |scores: &Vec<f64>| scores.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = |scores: &Vec<f64>| scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    scores.map(|scores: Vec<f64>| (least(&scores), greatest(&scores))).reduce(|a, b| (a.0.max(b.0), a.1.max(b.1)))
}
