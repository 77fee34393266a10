//! Partition keys for a race's messages.

use rand_mt::Mt;
use serde::Deserialize;

use super::race::{PartitionKey, Race};
use super::random::draw;

/// The bound of random keys, which is the sample's.
const RANDOM_KEYS: u32 = 100_000_000;

/// The key of broken messages that name no racer.
const NO_RACER: &str = "broken";

/// The partition keys of a race's messages. The same seed gives the same keys.
pub struct Keys {
    key: PartitionKey,
    generator: Mt,
}

/// The field of a message that determines its key.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyField {
    racer_id: u64,
}

impl Keys {
    /// The keys of this race.
    pub fn new(race: &Race) -> Self {
        // A separate generator: the messages do not depend on their keys.
        Self { key: race.key, generator: Mt::new(race.seed.rotate_left(16) ^ 0x6b65_7973) }
    }

    /// The next message's key: its racer's id, or a random number.
    pub fn next(&mut self, message: &[u8]) -> String {
        match self.key {
            PartitionKey::Random => draw(&mut self.generator, 0, RANDOM_KEYS - 1).to_string(),
            PartitionKey::Racer => serde_json::from_slice(message)
                .map_or_else(|_| NO_RACER.to_owned(), |KeyField { racer_id }| racer_id.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::Messages;

    fn race(key: PartitionKey) -> Race {
        Race { racers: 50, seconds: 40, class: 3, race: 131, seed: 7, key, errors: 5.0, duplicates: 0.0 }
    }

    fn keys(race: &Race) -> Vec<String> {
        let mut keys = Keys::new(race);
        Messages::new(race).map(|(_, line)| keys.next(&line)).collect()
    }

    #[test]
    fn a_racers_messages_have_the_racers_key_and_broken_ones_have_a_common_one() {
        let keys = keys(&race(PartitionKey::Racer));
        for racer in 100..150 {
            let count = keys.iter().filter(|key| **key == racer.to_string()).count();
            assert!(count >= 40, "{racer}: {count}");
        }
        let broken = keys.iter().filter(|key| *key == NO_RACER).count();
        assert!(broken > 10 && broken <= keys.len() - 2_000, "{broken}");
    }

    #[test]
    fn random_keys_are_distributed_and_the_same_for_a_seed() {
        let race = race(PartitionKey::Random);
        let drawn = keys(&race);
        assert_eq!(drawn, keys(&race));
        assert_ne!(drawn, keys(&Race { seed: 8, ..race }));
        let numbers: Vec<u32> = drawn.iter().map(|key| key.parse().unwrap()).collect();
        assert!(numbers.iter().all(|number| *number < RANDOM_KEYS));
        let low = numbers.iter().filter(|number| **number < RANDOM_KEYS / 2).count() as f64 / numbers.len() as f64;
        assert!((0.45..0.55).contains(&low), "{low}");
    }
}
