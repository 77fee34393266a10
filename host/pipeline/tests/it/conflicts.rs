//! Groups that a rival changes while a batch is written: what is folded again, and what waits.

use std::sync::Arc;

use paceline_pipeline::dedup::MAX_RUNS;
use paceline_pipeline::model::{Attribute, Batch, BatchLimits, Cause};
use paceline_pipeline::store::{DeadLetterStore, GroupStore};
use paceline_pipeline::summary::Summary;
use paceline_pipeline::{Pipeline, PipelineError, RetryPolicy};
use paceline_testbed::require;

use crate::hosts::{BY_RACE, count, follow, host_of, process, with_aggregator};
use crate::log::Desk;
use crate::support::{FlakyStore, block_on};

/// An aggregate by class.
const BY_CLASS: &str = r#"
[[aggregate]]
plugin = "evil-aggregator"
key = { PK = "class-{/classId}", SK = "of-{/racerId}" }
dedup = "sequence"
"#;

/// The cadence of the rows on which a trapping aggregator fails.
const VICTIM: u64 = 66;

/// A message of racer 1 in a race.
fn message(race: u64, ms: u64, cadence: u64) -> String {
    format!(
        r#"{{"event":"update","deviceTimestamp":{ms},"second":1,"raceId":{race},"racerId":1,"classId":3,"cadence":{cadence},"resistance":50}}"#
    )
}

fn batch(shard: &str, messages: impl IntoIterator<Item = String>) -> Batch {
    let mut batch = Batch::new(shard.into());
    for (sequence, message) in (1_u64..).zip(messages) {
        batch.push(message.as_bytes(), sequence.into());
    }
    batch
}

/// The store of a host to which a rival writes its batch first.
fn with_rival(desk: &Desk, store: &FlakyStore, theirs: Batch) -> FlakyStore {
    let rival = host_of(desk, store);
    let meddle = move || {
        let rival = &rival;
        std::thread::scope(|scope| {
            scope.spawn(|| process(rival, &theirs));
        });
    };
    FlakyStore { rival: Some(Arc::new(meddle)), ..store.clone() }
}

/// The rows that each group has counted, by partition.
fn counts(store: &FlakyStore) -> Vec<(String, Option<Attribute>)> {
    let items = block_on(store.store.list_groups()).unwrap();
    items.into_iter().map(|(key, item)| (key.partition.into(), count(&item))).collect()
}

#[test]
fn a_dead_letter_names_no_group_whose_write_failed() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let by_race = with_aggregator(1, "evil-aggregator", BY_RACE, r#"{ ordinal = "/deviceTimestamp" }"#);
    desk.activate(3, &desk.prepare(&format!("{by_race}{BY_CLASS}")));
    // After these, whether the group of the race holds an ordinal as low as ours is not known.
    let theirs = batch("other", (0..MAX_RUNS as u64 + 3).map(|nth| message(131, 1_000 + 2 * nth, 60)));
    let ours = batch("shard", [message(131, 1, 60)]);
    let retry = RetryPolicy { deadline_ms: 20, first_wait_ms: 1, longest_wait_ms: 2, ..RetryPolicy::default() };
    let throttled = FlakyStore { throttled: Some("of-1"), ..with_rival(&desk, &store, theirs) };
    let host = Pipeline::new(throttled, follow(&desk), BatchLimits::default(), retry);
    let outcome = block_on(host.process(&ours, None, &mut Summary::default())).unwrap();
    let (first, why) = outcome.first_uncommitted.unwrap();
    assert!(first == 0 && why.is_transient(), "{first}: {why}");
    assert_eq!(block_on(store.store.list_dead_letters()).unwrap(), []);
    // It comes again, and is in no group by then.
    process(&host_of(&desk, &store), &ours);
    let letters = block_on(store.store.list_dead_letters()).unwrap();
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((letter.reason.cause, &letter.folded[..]), (Cause::TooOld, &[][..]));
}

#[test]
fn what_waits_with_a_record_on_which_an_aggregator_fails_waits_after_a_conflict_as_well() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let by_race = with_aggregator(1, "evil-aggregator", BY_RACE, r#""sequence""#);
    let by_race = by_race.replace("pin =", "on-failure = \"hold\"\npin =");
    desk.activate(3, &desk.prepare(&format!("{by_race}settings = {{ deed = \"trap-on-row\" }}\n{BY_CLASS}")));
    let theirs = batch("other", [message(132, 1, 60)]);
    let ours = batch("shard", [60, VICTIM, 61].map(|cadence| message(131, 1, cadence)));
    let host = host_of(&desk, &with_rival(&desk, &store, theirs));
    let mut summary = Summary::default();
    let outcome = block_on(host.process(&ours, None, &mut summary)).unwrap();
    let (first, why) = outcome.first_uncommitted.unwrap();
    assert!(first == 1 && matches!(why, PipelineError::Failing { .. }), "{first}: {why}");
    // Theirs and our first one are of one class.
    let expected = [("class-3", 2), ("race-3-131", 1), ("race-3-132", 1)];
    assert_eq!(counts(&store), expected.map(|(of, count)| (of.to_owned(), Some(Attribute::Integer(count)))));
    assert_eq!(summary.conflicts, 1);
}
