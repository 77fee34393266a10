//! The messages of a race, in the order in which they are sent.

use std::collections::VecDeque;
use std::fmt::Write as _;

use rand_mt::Mt;

use super::broken;
use super::race::{PartitionKey, Race, WINDOW_MS};
use super::random::{draw, draw_range, fraction};

/// The simulator's first racer id.
const ID_OFFSET: u32 = 100;

/// The number of seconds within which messages with random partition keys overtake each other.
const OVERTAKING_SECONDS: u32 = 3;

/// Names of racers. The sample's come from a library.
const NAMES: [&str; 40] = [
    "Ada", "Bela", "Chidi", "Dagny", "Emeka", "Farah", "Goran", "Hana", "Imani", "Jonas", "Keiko", "Lars", "Mina",
    "Nils", "Olga", "Pedro", "Quinn", "Rosa", "Sven", "Tala", "Ugo", "Vera", "Wim", "Xenia", "Yusuf", "Zoë", "Anouk",
    "Bjarne", "Carla", "Dario", "Elif", "Frida", "Gael", "Hugo", "Ines", "Jana", "Kofi", "Lina", "Mats", "Noor",
];

/// A racer's form on the day: the first and last value of cadence and resistance.
struct Racer {
    cadence: (u32, u32),
    resistance: (u32, u32),
}

/// The racers' permanent bounds: minimum and maximum cadence, minimum and maximum resistance.
fn bounds() -> Vec<[u32; 4]> {
    serde_json::from_str(include_str!("racer-bounds.json")).expect("four numbers for each racer")
}

/// The messages of a race, in the order in which they are sent, each with its second.
pub struct Messages {
    race: Race,
    racers: Vec<Racer>,
    second: u32,
    /// Messages to send now.
    due: VecDeque<(u32, Vec<u8>)>,
    /// Repeats to send later: after how many valid messages, and the message.
    later: Vec<(u32, Vec<u8>)>,
    broken: u64,
    generator: Mt,
}

impl Messages {
    /// The messages of this race.
    pub fn new(race: &Race) -> Self {
        let mut generator = Mt::new(race.seed);
        let racers = bounds().into_iter().take(race.racers as usize).map(|[min_c, max_c, min_r, max_r]| Racer {
            cadence: draw_range(&mut generator, min_c, max_c),
            resistance: draw_range(&mut generator, min_r, max_r),
        });
        Self {
            racers: racers.collect(),
            race: race.clone(),
            second: 0,
            due: VecDeque::new(),
            later: Vec::new(),
            broken: 0,
            // A second generator: broken and repeated messages do not change the valid ones.
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
        percent > 0.0 && fraction(&mut self.generator) * 100.0 < percent
    }

    /// Makes the messages of the next seconds due: of one, or of as many as overtake each other.
    fn advance(&mut self) {
        let seconds = match self.race.key {
            PartitionKey::Racer => 1,
            PartitionKey::Random => OVERTAKING_SECONDS,
        };
        let seconds = self.second + 1..=(self.second + seconds).min(self.race.seconds);
        let mut valid: Vec<(u32, usize)> =
            seconds.clone().flat_map(|second| (0..self.racers.len()).map(move |racer| (second, racer))).collect();
        if self.race.key == PartitionKey::Random {
            for last in (1..valid.len() as u32).rev() {
                let other = draw(&mut self.generator, 0, last);
                valid.swap(last as usize, other as usize);
            }
        }
        for (second, racer) in valid {
            let line = self.message(racer, second).into_bytes();
            if self.chance(self.race.errors) {
                let broken = broken::message(&line, self.broken);
                self.broken += 1;
                self.due.push_back((second, broken));
            }
            if self.chance(self.race.duplicates) {
                // At once, as after a timeout, or up to two seconds of messages later, as after a restart.
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
    use crate::race::MAX_RACERS;

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
    fn the_bounds_are_the_samples() {
        // The sample's generator: MT19937 seeded with the hash of "alleycat".
        let mut generator = Mt::new(3_442_072_072);
        assert_eq!(fraction(&mut generator.clone()), 0.797_615_567_455_068_2);
        let drawn: Vec<[u32; 4]> = (0..MAX_RACERS)
            .map(|_| {
                let (min_c, max_c) = draw_range(&mut generator, 30, 90);
                let (min_r, max_r) = draw_range(&mut generator, 33, 86);
                [min_c, max_c, min_r, max_r]
            })
            .collect();
        assert_eq!(drawn, bounds());
    }

    #[test]
    fn a_race_has_one_message_a_second_for_each_racer() {
        let race = Race { race: 5_403_307, ..race() };
        let messages: Vec<_> = Messages::new(&race).collect();
        assert_eq!(messages.len(), 300_000);
        let first = String::from_utf8(messages[0].1.clone()).unwrap();
        let start = r#"{"event":"update","deviceTimestamp":1620992101000,"second":1,"raceId":5403307,"name":"Ada","racerId":100,"classId":3,"cadence":"#;
        assert!(first.starts_with(start), "{first}");
        let bytes: usize = messages.iter().map(|(_, line)| line.len()).sum();
        let average = bytes as f64 / 300_000.0;
        // The sample's average is 162.2; its names are a little longer.
        assert!((160.0..164.0).contains(&average), "{average}");
        for (_, line) in &messages[299_000..] {
            let last: serde_json::Value = serde_json::from_slice(line).unwrap();
            assert_eq!(last["event"], "final");
            // In the last second the values are whole numbers, which JavaScript writes without a fraction.
            assert!(last["cadence"].is_u64() && last["resistance"].is_u64(), "{last}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_race() {
        let race = Race { racers: 50, seconds: 20, errors: 5.0, duplicates: 5.0, key: PartitionKey::Random, ..race() };
        let lines = |race: &Race| Messages::new(race).collect::<Vec<_>>();
        assert_eq!(lines(&race), lines(&race));
        assert_ne!(lines(&race), lines(&Race { seed: 8, ..race.clone() }));
    }

    #[test]
    fn broken_and_repeated_messages_are_mixed_in_and_the_valid_ones_stay() {
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
