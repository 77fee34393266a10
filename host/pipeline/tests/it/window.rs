//! Windows: whatever is repeated, cut otherwise or given up in the middle, the table is what batches alone make of it.

use std::sync::{Arc, LazyLock};

use crate::hosts::{BY_RACE, host_of, pin_key, poll, process, second, with_aggregator};
use crate::log::Desk;
use crate::support::{FlakyStore, block_on, committed, host, outcome, rulebooks};
use paceline_pipeline::Rulebooks;
use paceline_pipeline::dedup::{DedupState, OrdinalSet};
use paceline_pipeline::model::Batch;
use paceline_pipeline::store::{DeadLetterStore, GroupStore, Pin, PinStore, Write};
use paceline_pipeline::summary::Summary;
use paceline_pipeline::window::Window;
use paceline_testbed::require;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

const SHARD: &str = "alleycat/shardId-000000000000";

/// A message of a race: second and racer.
type Message = (u64, u64);

/// Messages as a batch of a shard, the first at this place.
fn batch(shard: &str, messages: &[Message], first: u64) -> Batch {
    let mut batch = Batch::new(shard.into());
    for (at, (second, racer)) in messages.iter().enumerate() {
        let message = format!(
            r#"{{"event":"update","deviceTimestamp":{second}000,"second":{second},"raceId":131,"racerId":{racer},"classId":3,"cadence":{},"resistance":{}}}"#,
            30 + (racer + second) % 60,
            33 + (racer * second) % 53
        );
        // A number of the length that Kinesis's have.
        let sequence = format!("49590338271490256608559692538361571095921575989{:09}", first + at as u64);
        batch.push(message.as_bytes(), sequence.parse().unwrap());
    }
    batch
}

/// What happens at a step of the stream.
#[derive(Clone, Debug)]
struct Step {
    /// How many records come.
    records: usize,
    /// The window is closed afterwards.
    flush: bool,
    /// The answer is not heard: the same state comes again, and the records, perhaps cut otherwise.
    unheard: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (1..12_usize, prop::bool::weighted(0.3), prop::bool::weighted(0.3))
        .prop_map(|(records, flush, unheard)| Step { records, flush, unheard });
    prop::collection::vec(step, 1..40)
}

const SEQUENCE: &str = r#""sequence""#;
const ORDINAL: &str = r#"{ ordinal = "/second" }"#;

/// Rulebooks whose plugins are compiled once for all cases.
fn compiled(ordinal: bool) -> &'static Arc<Rulebooks> {
    static COMPILED: LazyLock<[Arc<Rulebooks>; 2]> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        [SEQUENCE, ORDINAL].map(|dedup| rulebooks(&folder.path().join(dedup.len().to_string()), dedup))
    });
    &COMPILED[usize::from(ordinal)]
}

#[test]
fn a_window_leaves_what_its_batches_alone_would_leave() {
    require!(Plugins);
    let messages = prop::collection::vec((1..30_u64, 0..4_u64), 1..60);
    let mut runner = TestRunner::new(ProptestConfig { cases: 60, ..ProptestConfig::default() });
    let ran = runner.run(&(messages, steps(), any::<bool>()), |(messages, steps, ordinal)| {
        let rulebooks = compiled(ordinal);
        let alone = FlakyStore::default();
        committed(host(alone.clone(), rulebooks).process(&batch(SHARD, &messages, 0), None, &mut Summary::default()));

        // It fails now and then, so that windows are flushed in part.
        let store = FlakyStore { transient_every: 7, ..FlakyStore::default() };
        let shard: Arc<str> = SHARD.into();
        let host = host(store.clone(), rulebooks);
        let (mut at, mut state) = (0, Window::new(Arc::clone(&shard)).to_bytes());
        // After the drawn steps the rest arrives at once, and the window is flushed.
        let rest = Step { records: messages.len(), flush: true, unheard: false };
        for Step { records, flush, unheard } in steps.into_iter().chain([rest]) {
            let end = (at + records).min(messages.len());
            let mut window = Window::from_bytes(&state, &shard).unwrap();
            let mut summary = Summary::default();
            let batch = batch(SHARD, &messages[at..end], at as u64);
            block_on(host.accumulate(&batch, &mut window, None, &mut summary)).unwrap();
            if flush {
                block_on(host.flush_window(&window, None, &mut summary)).unwrap();
                window = Window::new(Arc::clone(&shard));
            }
            if !unheard {
                (at, state) = (end, window.to_bytes());
            }
        }
        prop_assert_eq!(outcome(&store.store), outcome(&alone.store));
        Ok(())
    });
    ran.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn records_that_a_producer_sent_twice_to_two_shards_count_once() {
    require!(Plugins);
    let folder = tempfile::tempdir().unwrap();
    let rulebooks = rulebooks(folder.path(), ORDINAL);
    // Seconds 3 to 6 come by both shards, in windows that are closed one after the other.
    let (left, right): (Vec<Message>, Vec<Message>) =
        ((1..7).map(|second| (second, 1)).collect(), (3..9).map(|second| (second, 1)).collect());
    let store = FlakyStore::default();
    let host = host(store.clone(), &rulebooks);
    let mut summary = Summary::default();
    let mut windows = Vec::new();
    for (shard, messages) in [("alleycat/left", &left), ("alleycat/right", &right)] {
        let mut window = Window::new(shard.into());
        block_on(host.accumulate(&batch(shard, messages, 0), &mut window, None, &mut summary)).unwrap();
        windows.push(window);
    }
    for window in &windows {
        block_on(host.flush_window(window, None, &mut summary)).unwrap();
    }
    assert_eq!((summary.duplicates, summary.groups), (4, 2));
    let alone = FlakyStore::default();
    let all: Vec<Message> = (1..9).map(|second| (second, 1)).collect();
    committed(crate::support::host(alone.clone(), &rulebooks).process(
        &batch("alleycat/left", &all, 0),
        None,
        &mut summary,
    ));
    assert_eq!(outcome(&store.store), outcome(&alone.store));
}

#[test]
fn a_window_is_one_write_a_group_however_many_batches() {
    require!(Plugins);
    let folder = tempfile::tempdir().unwrap();
    let rulebooks = rulebooks(folder.path(), SEQUENCE);
    let host = host(FlakyStore::default(), &rulebooks);
    let mut window = Window::new(SHARD.into());
    let mut summary = Summary::default();
    for second in 1..=15 {
        let messages: Vec<Message> = (0..10).map(|racer| (second, racer)).collect();
        block_on(host.accumulate(&batch(SHARD, &messages, second * 10), &mut window, None, &mut summary)).unwrap();
    }
    assert_eq!((summary.groups, window.groups(), window.rows()), (0, 10, 150));
    block_on(host.flush_window(&window, None, &mut summary)).unwrap();
    assert_eq!((summary.groups, summary.records, summary.batches), (10, 150, 15));
    // A second call, as after a time-out, finds all of it there.
    block_on(host.flush_window(&window, None, &mut summary)).unwrap();
    assert_eq!((summary.groups, summary.duplicates), (10, 150));
}

#[test]
fn bytes_that_are_no_window_are_refused() {
    require!(Plugins);
    let shard: Arc<str> = SHARD.into();
    let folder = tempfile::tempdir().unwrap();
    let host = host(FlakyStore::default(), &rulebooks(folder.path(), SEQUENCE));
    let mut window = Window::new(Arc::clone(&shard));
    let records = batch(SHARD, &[(1, 1), (2, 1)], 0);
    block_on(host.accumulate(&records, &mut window, None, &mut Summary::default())).unwrap();
    let bytes = window.to_bytes();
    assert_eq!(Window::from_bytes(&bytes, &shard).unwrap(), window);
    for cut in 0..bytes.len() {
        Window::from_bytes(&bytes[..cut], &shard).unwrap_err();
    }
    let other = Window::from_bytes(&bytes, &"alleycat/shardId-000000000001".into()).unwrap_err();
    assert_eq!(
        other.to_string(),
        "the window's state is of shard alleycat/shardId-000000000000, the records are of alleycat/shardId-000000000001"
    );
}

#[test]
fn the_rows_of_a_window_are_merged_into_items_that_went_over_to_a_later_state_format() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepare(&with_aggregator(1, "best-output", BY_RACE, ORDINAL)));
    let host = host_of(&desk, &store);
    let (mut window, mut summary) = (Window::new("shard".into()), Summary::default());
    for at in [1, 2] {
        block_on(host.accumulate(&second("131", at), &mut window, None, &mut summary)).unwrap();
    }
    let next = desk.prepare(&with_aggregator(2, "evil-migration", BY_RACE, ORDINAL));
    desk.activate(3, &next);
    poll(&host);
    // Another shard's records of the race went to a host that migrated its items.
    let elsewhere = FlakyStore::default();
    let pin = Pin { rulebook: next.digest, revision: 2 };
    block_on(elsewhere.store.put_pins(&[(pin_key("131"), pin)])).unwrap();
    for at in [2, 3] {
        process(&host_of(&desk, &elsewhere), &second("131", at));
    }
    for (key, item) in block_on(elsewhere.store.list_groups()).unwrap() {
        let write = Write { key, expected: None, item };
        block_on(store.store.write_groups(&[write])).unwrap();
    }
    block_on(host.flush_window(&window, None, &mut summary)).unwrap();

    assert_eq!(block_on(store.store.list_dead_letters()).unwrap(), []);
    let all = DedupState::Ordinal([1, 2, 3].into_iter().fold(OrdinalSet::default(), |mut all, at| {
        all.insert(at);
        all
    }));
    let items = block_on(store.store.list_groups()).unwrap();
    assert_eq!(items.len(), 3);
    for (key, item) in items {
        assert_eq!((&*item.provenance.state_format, &item.dedup), ("evil-migration/1", &all), "{key}");
        assert!(item.reruled, "two rulebooks evaluated the race's records");
    }
    // The second at which both hosts met was in the items already.
    assert_eq!((summary.groups, summary.duplicates), (3, 3));
}
