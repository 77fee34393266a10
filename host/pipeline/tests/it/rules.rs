//! Rulebooks of several race types side by side.

use paceline_pipeline::ErrorChain;
use paceline_pipeline::rules::{Registry, RulesEvent, Tail};
use paceline_testbed::{require, rules};

use crate::support::{block_on, open, rulebook};

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
    rules::map(&folder.path().join("rulebooks"));
    let registry = Registry::create_folder(&folder.path().join("registry")).unwrap();
    let error = rules::apply(&folder.path().join("rulebooks"), &registry).unwrap_err();
    let reason = ErrorChain(&error).to_string();
    assert!(reason.contains("of race type 5 are also those of race type 3"), "{reason}");
    assert!(reason.contains("Add the race type, {/classId}, to the key"), "{reason}");
    assert_eq!(block_on(Tail::open(&registry)).unwrap().0.revision, 0, "nothing is written");
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
    assert!(events.iter().all(|event| matches!(event, RulesEvent::Activated { .. })), "{events:?}");
    assert_eq!(rulebooks.catalog().current().len(), 2);
}
