//! Redriven records: what a group keeps of them is bounded.

use paceline_pipeline::dedup::MAX_RUNS;
use paceline_pipeline::model::{BatchLimits, Cause, DeadLetter, Reason, RecordPosition};
use paceline_pipeline::receive::Redrive;
use paceline_pipeline::run::run;
use paceline_pipeline::store::{DeadLetterStore, GroupStore};
use paceline_testbed::require;

use crate::support::{FlakyStore, block_on, host, rulebooks};

fn letter(at: u64, racer: u64) -> DeadLetter {
    // The validator accepts the seconds 1 to 600.
    let second = 1 + at % 300;
    let message = format!(
        r#"{{"event":"update","deviceTimestamp":{second}000,"second":{second},"raceId":131,"racerId":{racer},"classId":3,"cadence":70,"resistance":50}}"#
    );
    DeadLetter {
        id: format!("shard:{at}"),
        shard: "shard".to_owned(),
        position: RecordPosition { sequence: at.into(), sub_sequence: 0 },
        partition_key: None,
        arrival_ms: None,
        payload: message.into_bytes(),
        cut_from: None,
        reason: Reason::new(Cause::NoRulebook, "there was no rulebook"),
        redrive_sequence: None,
        folded: Vec::new(),
        unsure: false,
    }
}

#[test]
fn letters_that_are_redriven_into_their_groups_by_turns_do_not_let_an_item_grow_without_end() {
    require!(Plugins);
    let folder = tempfile::tempdir().unwrap();
    let host = host(FlakyStore::default(), &rulebooks(folder.path(), r#""sequence""#));
    // The numbers of one racer's letters are never adjacent.
    let many = 2 * (MAX_RUNS as u64 + 10);
    let letters: Vec<DeadLetter> = (0..many).map(|at| letter(at, at % 2)).collect();
    let ids: Vec<String> = letters.iter().map(|letter| letter.id.clone()).collect();
    let numbered = block_on(async {
        host.store().put_dead_letters(&letters).await.unwrap();
        host.store().assign_redrive_sequences(&ids).await.unwrap()
    });
    let redrive = |letters: &[DeadLetter]| {
        let limits = BatchLimits::default();
        block_on(run(Redrive::new(letters.to_vec()), &host, limits, std::future::pending(), |_, _| {})).unwrap()
    };
    // All but the first of racer 0.
    assert_eq!(redrive(&numbered[1..]).redriven, many - 1);
    for (key, item) in block_on(host.store().list_groups()).unwrap() {
        let bytes = item.dedup.to_bytes().len();
        assert!(bytes < 12 * MAX_RUNS, "{key}: {bytes}");
    }
    // Whether the group holds the first one is not known any more.
    for _ in 0..2 {
        redrive(&numbered[..1]);
        let left = block_on(host.store().list_dead_letters()).unwrap();
        let [left] = &left[..] else { panic!("{} letters", left.len()) };
        assert_eq!((&left.id, left.reason.cause, left.unsure), (&letters[0].id, Cause::TooOld, true));
        assert!(left.reason.text.contains("were redriven into its group before"), "{}", left.reason.text);
    }
}
