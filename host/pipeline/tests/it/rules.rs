//! Rulebooks of several race types side by side.

use paceline_pipeline::ErrorChain;
use paceline_pipeline::rules::RulebookEvent;
use paceline_testbed::require;

use crate::support::{open, rulebook};

const DEDUP: &str = r#"{ ordinal = "/second" }"#;

#[test]
fn two_race_types_with_the_same_groups_are_refused() {
    require!(Plugins);
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("rulebooks")).unwrap();
    for race_type in [3, 5] {
        let file = folder.path().join(format!("rulebooks/class-{race_type}.toml"));
        std::fs::write(file, rulebook(race_type, "race-{/raceId}", DEDUP)).unwrap();
    }
    let (rulebooks, events) = open(folder.path());
    let [RulebookEvent::Activated { race_type, .. }, RulebookEvent::Refused { file, reason }] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((race_type.as_str(), file.file_name().unwrap().to_str().unwrap()), ("3", "class-5.toml"));
    let reason = ErrorChain(reason).to_string();
    assert!(reason.contains("are also those of race type 3"), "{reason}");
    assert!(reason.contains("Add the race type, {/classId}, to the key"), "{reason}");
    assert_eq!(rulebooks.catalog().versions().len(), 1);
}

#[test]
fn groups_with_the_race_type_in_their_key_are_disjoint() {
    require!(Plugins);
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("rulebooks")).unwrap();
    for race_type in [3, 5] {
        let file = folder.path().join(format!("rulebooks/class-{race_type}.toml"));
        std::fs::write(file, rulebook(race_type, "race-{/classId}-{/raceId}", DEDUP)).unwrap();
    }
    let (rulebooks, events) = open(folder.path());
    assert!(events.iter().all(|event| matches!(event, RulebookEvent::Activated { .. })), "{events:?}");
    assert_eq!(rulebooks.catalog().versions().len(), 2);
}
