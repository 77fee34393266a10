//! Groups that a rival changes while a batch is written.

use std::sync::Arc;

use paceline_pipeline::dedup::MAX_RUNS;
use paceline_pipeline::model::{Batch, BatchLimits, Cause};
use paceline_pipeline::store::DeadLetterStore;
use paceline_pipeline::summary::Summary;
use paceline_pipeline::{Pipeline, RetryPolicy};
use paceline_testbed::require;

use crate::hosts::{BY_RACE, follow, host_of, process, with_aggregator};
use crate::log::Desk;
use crate::support::{FlakyStore, block_on};

/// An aggregate by class.
const BY_CLASS: &str = r#"
[[aggregate]]
plugin = "evil-aggregator"
key = { PK = "class-{/classId}", SK = "of-{/racerId}" }
dedup = "sequence"
"#;

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
