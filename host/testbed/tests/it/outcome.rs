//! The outcome of a run in one process.

use paceline_simulator::{PartitionKey, Race};
use paceline_testbed::outcome::{DedupMode, local, race, rulebook, tally};
use paceline_testbed::require;

#[test]
fn every_record_of_a_race_is_tallied_or_a_dead_letter() {
    require!(Plugins);
    let parameters = Race {
        racers: 5,
        seconds: 20,
        class: 3,
        race: 131,
        seed: 7,
        key: PartitionKey::Racer,
        errors: 10.0,
        duplicates: 0.0,
    };
    let messages = race(&parameters);
    let broken = messages.len() - 100;
    assert!(broken > 0);

    let folder = tempfile::tempdir().unwrap();
    let rulebooks = folder.path().join("rulebooks");
    std::fs::create_dir(&rulebooks).unwrap();
    let tallies = [DedupMode::Ordinal, DedupMode::Sequence].map(tally).concat();
    std::fs::write(rulebooks.join("class-3.toml"), rulebook(DedupMode::Ordinal) + &tallies).unwrap();
    let outcome = local(&rulebooks, &folder.path().join("registry"), &messages);
    assert_eq!((outcome.tallied(), outcome.dead_letters.len()), (2 * 100, broken));

    let rest = local(&rulebooks, &folder.path().join("registry-of-the-rest"), &messages[1..]);
    assert!(outcome.reaches(&rest) && !rest.reaches(&outcome));
    outcome.must_be(&outcome.clone(), "the same run");
    assert!(std::panic::catch_unwind(|| outcome.must_be(&rest, "fewer messages")).is_err());
}
