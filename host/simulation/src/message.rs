//! Messages, and what is wrong with some of them.

use std::collections::BTreeMap;

use fastrand::Rng;
use paceline_pipeline::model::Key;

use crate::plan::Plan;

/// The cadence on which the aggregators of the simulation's rulebooks fail.
const VICTIM: u32 = 66;
/// The resistance that the second version of each rulebook rejects.
const STRICT: u32 = 80;
/// The cadence of a team's nth message in a class is this and n: the aggregators list the n.
pub(crate) const CADENCE: u32 = 100;
/// The most messages of a team in a class: their numbers are bytes.
const MOST: u32 = 150;

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Sound,
    /// No rulebook can process it.
    Broken,
    /// The second version of a rulebook rejects it.
    Strict,
    /// An aggregator fails on it.
    Trap,
}

/// A message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) class: u32,
    pub(crate) race: u32,
    pub(crate) racer: u32,
    /// Its racer's team: one for each part of the mapping. Teams have racers in all shards.
    pub(crate) team: u32,
    pub(crate) second: u32,
    /// Its number among the messages of its team in its class.
    pub(crate) nth: u32,
    pub(crate) resistance: u32,
    pub(crate) is_final: bool,
    pub(crate) payload: Vec<u8>,
}

impl Message {
    /// The group that lists the messages of a racer in a race.
    pub(crate) fn race_key(&self) -> Key {
        Key::new(format!("race-{}-{}", self.class, self.race), format!("racer-{}", self.racer))
    }

    /// The group that has the last output of a racer in a race, and the result.
    pub(crate) fn last_key(&self) -> Key {
        Key::new(format!("last-{}-{}", self.class, self.race), format!("racer-{}", self.racer))
    }

    /// The group that lists the messages of a team in a class.
    pub(crate) fn class_key(&self) -> Key {
        Key::new(format!("class-{}", self.class), format!("team-{}", self.team))
    }

    /// The number by which the groups list it.
    pub(crate) fn mark(&self) -> u8 {
        self.nth as u8
    }
}

/// Draws messages.
pub(crate) struct Draw<'p> {
    plan: &'p Plan,
    pub(crate) rng: Rng,
    /// Messages so far, of each team in a class, and of each racer in a race.
    in_class: BTreeMap<(u32, u32), u32>,
    in_race: BTreeMap<(u32, u32, u32), u32>,
}

impl<'p> Draw<'p> {
    pub(crate) fn new(plan: &'p Plan, rng: Rng) -> Self {
        Self { plan, rng, in_class: BTreeMap::new(), in_race: BTreeMap::new() }
    }

    pub(crate) fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(0..100) < percent
    }

    /// The message after so many.
    pub(crate) fn message(&mut self, drawn: u32) -> Message {
        let plan = self.plan;
        let class = 3 + self.rng.u32(0..plan.classes);
        let race = 131 + (drawn * plan.races / plan.records + u32::from(self.rng.u32(0..4) == 0)).min(plan.races - 1);
        let racer = 1 + self.rng.u32(0..plan.racers);
        let team = racer % plan.factor;
        let nth = self.in_class.entry((class, team)).or_default();
        *nth += 1;
        let nth = *nth;
        let second = self.in_race.entry((class, race, racer)).or_default();
        *second += 1;
        let second = *second;
        let kind = match () {
            () if nth > MOST || self.chance(plan.broken) => Kind::Broken,
            () if self.chance(plan.traps) => Kind::Trap,
            () if self.chance(plan.strict) => Kind::Strict,
            () => Kind::Sound,
        };
        let cadence = if kind == Kind::Trap { VICTIM } else { CADENCE + nth };
        let resistance = if kind == Kind::Strict { STRICT } else { self.rng.u32(40..STRICT - 1) };
        let is_final = self.rng.u32(0..6) == 0;
        let event = if is_final { "final" } else { "update" };
        let sent = race * 1_000 + nth;
        let text = format!(
            r#"{{"event":"{event}","deviceTimestamp":{sent},"second":{second},"raceId":{race},"racerId":{racer},"team":{team},"classId":{class},"cadence":{cadence},"resistance":{resistance}}}"#
        );
        let payload = match (kind, self.rng.u32(0..5)) {
            (Kind::Broken, 0) => text.as_bytes()[..text.len() - 1].to_vec(),
            (Kind::Broken, 1) => text.replace("\"cadence\"", "\"cadance\"").into_bytes(),
            (Kind::Broken, 2) => {
                text.replace(&format!("\"resistance\":{resistance}"), "\"resistance\":1000").into_bytes()
            }
            (Kind::Broken, 3) => Vec::new(),
            (Kind::Broken, _) => text.replace(&format!("\"classId\":{class}"), "\"classId\":99").into_bytes(),
            _ => text.into_bytes(),
        };
        Message { kind, class, race, racer, team, second, nth, resistance, is_final, payload }
    }
}
