//! Messages of a race, as the Alleycat simulator sends them.
//!
//! The racers, their bounds and their ramps are those of the sample application, bit for bit; where the sample draws from
//! an unseeded generator, this draws from one with a seed, so that a race can be run twice. On top, broken messages and
//! repeated ones can be mixed in.
#![forbid(unsafe_code)]

mod broken;
mod keys;
mod source;

use std::collections::VecDeque;
use std::fmt::Write as _;

use rand_mt::Mt;
use serde::Deserialize;

pub use keys::Keys;
pub use source::Simulation;

/// Racers that have bounds.
const MOST_RACERS: u32 = 1_000;

/// The simulator's racer ids begin here.
const ID_OFFSET: u32 = 100;

/// Length of a race's window; a race's id is the number of its window since 1970.
const WINDOW_MS: u64 = 300_000;

/// Over how many seconds messages overtake each other where partition keys are random.
const OVERTAKING_SECONDS: u32 = 3;

/// Names for racers; the sample's come from a library of names.
const NAMES: [&str; 40] = [
    "Ada", "Bela", "Chidi", "Dagny", "Emeka", "Farah", "Goran", "Hana", "Imani", "Jonas", "Keiko", "Lars", "Mina",
    "Nils", "Olga", "Pedro", "Quinn", "Rosa", "Sven", "Tala", "Ugo", "Vera", "Wim", "Xenia", "Yusuf", "Zoë", "Anouk",
    "Bjarne", "Carla", "Dario", "Elif", "Frida", "Gael", "Hugo", "Ines", "Jana", "Kofi", "Lina", "Mats", "Noor",
];

/// How racers' messages are keyed, which decides the order in which a reader of many shards sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum PartitionKey {
    /// By racer: each racer's messages stay in order.
    #[default]
    Racer,
    /// At random, as the sample's producers do: messages of neighbouring seconds overtake each other.
    Random,
}

/// A race to simulate.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Race {
    /// How many racers, up to 1,000.
    #[cfg_attr(feature = "clap", arg(long))]
    pub racers: u32,
    /// How many seconds the race takes.
    #[cfg_attr(feature = "clap", arg(long))]
    pub seconds: u32,
    /// The class.
    #[cfg_attr(feature = "clap", arg(long))]
    pub class: u32,
    /// The race's id: the number of its five-minute window since 1970.
    #[cfg_attr(feature = "clap", arg(long))]
    pub race: u64,
    /// What the racers' form on the day is drawn from.
    #[cfg_attr(feature = "clap", arg(long))]
    pub seed: u32,
    /// How messages are keyed: `random` lets messages of neighbouring seconds overtake each other.
    #[cfg_attr(feature = "clap", arg(long, value_enum, default_value = "racer"))]
    #[serde(default)]
    pub key: PartitionKey,
    /// Broken messages to mix in, in percent of the sound ones.
    #[cfg_attr(feature = "clap", arg(long, default_value_t = 0.0))]
    #[serde(default)]
    pub errors: f64,
    /// Sound messages to send twice, in percent.
    #[cfg_attr(feature = "clap", arg(long, default_value_t = 0.0))]
    #[serde(default)]
    pub duplicates: f64,
}

impl Race {
    /// Whether it can be simulated, or what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=MOST_RACERS).contains(&self.racers) {
            return Err(format!("racers is {}, not within 1 and {MOST_RACERS}", self.racers));
        }
        if !(1..=86_400).contains(&self.seconds) {
            return Err(format!("seconds is {}, not within 1 and 86400", self.seconds));
        }
        if self.race > i64::MAX as u64 / WINDOW_MS / 2 {
            return Err(format!("race is {}, which is no window since 1970", self.race));
        }
        for (name, percent) in [("errors", self.errors), ("duplicates", self.duplicates)] {
            if !(0.0..=100.0).contains(&percent) {
                return Err(format!("{name} is {percent}, not within 0 and 100"));
            }
        }
        Ok(())
    }
}

/// A racer on the day: from where to where cadence and resistance rise.
struct Racer {
    cadence: (u32, u32),
    resistance: (u32, u32),
}

/// `int[low, high]` as the sample draws it.
fn draw(generator: &mut Mt, low: u32, high: u32) -> u32 {
    let random = f64::from(generator.next_u32()) / 4_294_967_296.0;
    (random * (f64::from(high) - f64::from(low) + 1.0) + f64::from(low)).floor() as u32
}

/// A range within bounds: its low end, then its high end above that.
fn range(generator: &mut Mt, low: u32, high: u32) -> (u32, u32) {
    let from = draw(generator, low, high);
    (from, draw(generator, from, high))
}

/// The racers' permanent bounds: least and greatest cadence, least and greatest resistance.
fn bounds() -> Vec<[u32; 4]> {
    serde_json::from_str(include_str!("racer-bounds.json")).expect("the file is part of the program")
}

/// The messages of a race, in the order in which they are sent; with each its second.
pub struct Messages {
    race: Race,
    racers: Vec<Racer>,
    second: u32,
    /// Lines that are due.
    due: VecDeque<(u32, Vec<u8>)>,
    /// Repeats that come later: how many sound messages from now, and the line.
    later: Vec<(u32, Vec<u8>)>,
    broken: u64,
    generator: Mt,
}

impl Messages {
    /// The messages of this race.
    pub fn new(race: &Race) -> Self {
        let mut generator = Mt::new(race.seed);
        let racers = bounds().into_iter().take(race.racers as usize).map(|[min_c, max_c, min_r, max_r]| Racer {
            cadence: range(&mut generator, min_c, max_c),
            resistance: range(&mut generator, min_r, max_r),
        });
        Self {
            racers: racers.collect(),
            race: race.clone(),
            second: 0,
            due: VecDeque::new(),
            later: Vec::new(),
            broken: 0,
            // What is broken and repeated does not change the race itself.
            generator: Mt::new(!race.seed),
        }
    }

    /// One racer's message of one second.
    fn message(&self, racer: usize, second: u32) -> String {
        let Race { class, race, seconds, .. } = self.race;
        let part = f64::from(second) / f64::from(seconds);
        let at = |(from, to): (u32, u32)| f64::from(from) + (f64::from(to) - f64::from(from)) * part;
        let Racer { cadence, resistance } = self.racers[racer];
        let mut text = String::with_capacity(200);
        let _ = write!(
            text,
            r#"{{"event":"{}","deviceTimestamp":{},"second":{second},"raceId":{race},"name":"{}","racerId":{},"classId":{class},"cadence":{},"resistance":{}}}"#,
            if second == seconds { "final" } else { "update" },
            race * WINDOW_MS + u64::from(second) * 1_000 + racer as u64 % 1_000,
            NAMES[racer % NAMES.len()],
            racer as u32 + ID_OFFSET,
            at(cadence),
            at(resistance),
        );
        text
    }

    fn chance(&mut self, percent: f64) -> bool {
        percent > 0.0 && f64::from(self.generator.next_u32()) / 4_294_967_296.0 * 100.0 < percent
    }

    /// Makes the lines of the next seconds due: of one, or of as many as overtake each other.
    fn advance(&mut self) {
        let seconds = match self.race.key {
            PartitionKey::Racer => 1,
            PartitionKey::Random => OVERTAKING_SECONDS,
        };
        let seconds = self.second + 1..=(self.second + seconds).min(self.race.seconds);
        let mut sound: Vec<(u32, usize)> =
            seconds.clone().flat_map(|second| (0..self.racers.len()).map(move |racer| (second, racer))).collect();
        if self.race.key == PartitionKey::Random {
            for last in (1..sound.len() as u32).rev() {
                let other = draw(&mut self.generator, 0, last);
                sound.swap(last as usize, other as usize);
            }
        }
        for (second, racer) in sound {
            let line = self.message(racer, second).into_bytes();
            if self.chance(self.race.errors) {
                let broken = broken::message(&line, self.broken);
                self.broken += 1;
                self.due.push_back((second, broken));
            }
            if self.chance(self.race.duplicates) {
                // At once, as after a time-out, or up to two seconds of messages later, as after a restart.
                let delay = draw(&mut self.generator, 0, 2 * self.race.racers);
                self.later.push((delay, line.clone()));
            }
            self.due.push_back((second, line));
            let due = &mut self.due;
            self.later.retain_mut(|(delay, line)| {
                if *delay == 0 {
                    due.push_back((second, std::mem::take(line)));
                    return false;
                }
                *delay -= 1;
                true
            });
        }
        self.second = *seconds.end();
        if self.second == self.race.seconds {
            let second = self.second;
            self.due.extend(self.later.drain(..).map(|(_, line)| (second, line)));
        }
    }
}

impl Iterator for Messages {
    type Item = (u32, Vec<u8>);

    fn next(&mut self) -> Option<(u32, Vec<u8>)> {
        while self.due.is_empty() && self.second < self.race.seconds {
            self.advance();
        }
        self.due.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn race() -> Race {
        Race {
            racers: 1_000,
            seconds: 300,
            class: 3,
            race: 131,
            seed: 7,
            key: PartitionKey::Racer,
            errors: 0.0,
            duplicates: 0.0,
        }
    }

    #[test]
    fn the_racers_bounds_are_the_samples() {
        // The sample's generator: MT19937 seeded with the hash of "alleycat".
        let mut generator = Mt::new(3_442_072_072);
        assert_eq!(f64::from(generator.clone().next_u32()) / 4_294_967_296.0, 0.797_615_567_455_068_2);
        let drawn: Vec<[u32; 4]> = (0..MOST_RACERS)
            .map(|_| {
                let (min_c, max_c) = range(&mut generator, 30, 90);
                let (min_r, max_r) = range(&mut generator, 33, 86);
                [min_c, max_c, min_r, max_r]
            })
            .collect();
        assert_eq!(drawn, bounds());
    }

    #[test]
    fn a_race_is_a_message_a_second_of_each_racer() {
        let race = Race { race: 5_403_307, ..race() };
        let messages: Vec<_> = Messages::new(&race).collect();
        assert_eq!(messages.len(), 300_000);
        let first = String::from_utf8(messages[0].1.clone()).unwrap();
        let start = r#"{"event":"update","deviceTimestamp":1620992101000,"second":1,"raceId":5403307,"name":"Ada","racerId":100,"classId":3,"cadence":"#;
        assert!(first.starts_with(start), "{first}");
        let bytes: usize = messages.iter().map(|(_, line)| line.len()).sum();
        let average = bytes as f64 / 300_000.0;
        // The sample's are 162.2; its names are a little longer.
        assert!((160.0..164.0).contains(&average), "{average}");
        for (_, line) in &messages[299_000..] {
            let last: serde_json::Value = serde_json::from_slice(line).unwrap();
            assert_eq!(last["event"], "final");
            // At the last second the values are whole numbers, and JavaScript writes those without a fraction.
            assert!(last["cadence"].is_u64() && last["resistance"].is_u64(), "{last}");
        }
    }

    #[test]
    fn one_seed_is_one_race() {
        let race = Race { racers: 50, seconds: 20, errors: 5.0, duplicates: 5.0, key: PartitionKey::Random, ..race() };
        let lines = |race: &Race| Messages::new(race).collect::<Vec<_>>();
        assert_eq!(lines(&race), lines(&race));
        assert_ne!(lines(&race), lines(&Race { seed: 8, ..race.clone() }));
    }

    #[test]
    fn broken_and_repeated_messages_are_mixed_in_and_the_sound_ones_stay() {
        let mut plain: Vec<_> = Messages::new(&Race { racers: 100, ..race() }).map(|(_, line)| line).collect();
        let mixed = Race { racers: 100, errors: 5.0, duplicates: 5.0, key: PartitionKey::Random, ..race() };
        let mut mixed: Vec<_> = Messages::new(&mixed).map(|(_, line)| line).collect();
        assert!((32_500..33_500).contains(&mixed.len()), "{}", mixed.len());
        plain.sort();
        mixed.sort();
        let broken: Vec<_> = mixed.iter().filter(|line| plain.binary_search(line).is_err()).collect();
        assert!((1_300..1_700).contains(&broken.len()), "{}", broken.len());
        mixed.dedup();
        assert!(plain.iter().all(|line| mixed.binary_search(line).is_ok()));
    }
}
