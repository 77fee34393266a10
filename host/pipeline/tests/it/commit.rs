//! Several hosts and a store that fails: every group ends as one host alone would leave it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::{FlakyStore, batch, block_on, committed, host, outcome, rulebooks};
use paceline_pipeline::model::{Batch, BatchLimits, DeadLetter, Item, Key};
use paceline_pipeline::summary::Summary;
use paceline_pipeline::{Pipeline, PipelineError, RetryPolicy, Rulebooks};
use paceline_testbed::require;

/// What one host alone makes of these batches.
fn alone(batches: &[Batch], rulebooks: &Arc<Rulebooks>) -> (Vec<(Key, Item)>, Vec<DeadLetter>) {
    let store = FlakyStore::default();
    let host = host(store.clone(), rulebooks);
    let mut summary = Summary::default();
    for batch in batches {
        committed(host.process(batch, None, &mut summary));
    }
    assert_eq!((summary.conflicts, summary.duplicates), (0, 0));
    outcome(&store.store)
}

#[test]
fn a_throttled_store_is_retried_and_nothing_counts_twice() {
    require!(Plugins);
    let folder = tempfile::tempdir().unwrap();
    for dedup in [r#""sequence""#, r#"{ ordinal = "/second" }"#] {
        let folder = folder.path().join(dedup.len().to_string());
        let rulebooks = rulebooks(&folder, dedup);
        let batches: Vec<_> = (1..=20).map(|second| batch("shard", second, 0..30)).collect();
        for transient_every in [2, 3, 5] {
            let store = FlakyStore { transient_every, ..FlakyStore::default() };
            let host = host(store.clone(), &rulebooks);
            let mut summary = Summary::default();
            for batch in &batches {
                committed(host.process(batch, None, &mut summary));
            }
            assert_eq!(outcome(&store.store), alone(&batches, &rulebooks), "{dedup}, every {transient_every}th call");
        }
    }
}

#[test]
fn a_rival_that_is_ahead_costs_a_conflict_and_no_record() {
    require!(Plugins);
    let folder = tempfile::tempdir().unwrap();
    let rulebooks = rulebooks(folder.path(), r#""sequence""#);
    // The rival has read another shard of the same race: some of the groups are the same.
    let (ours, theirs) = (batch("shard-1", 1, 0..30), batch("shard-2", 2, 20..50));
    let shared = FlakyStore::default();
    let rival = host(shared.clone(), &rulebooks);
    let their_batch = theirs.clone();
    let meddle = move || {
        let rival = &rival;
        std::thread::scope(|scope| {
            scope.spawn(|| committed(rival.process(&their_batch, None, &mut Summary::default())));
        });
    };
    let store = FlakyStore { rival: Some(Arc::new(meddle)), ..shared.clone() };
    let mut summary = Summary::default();
    committed(host(store, &rulebooks).process(&ours, None, &mut summary));
    assert_eq!((summary.conflicts, summary.groups, summary.duplicates), (10, 30, 0));
    let (items, letters) = outcome(&shared.store);
    assert_eq!((items, letters.len()), (alone(&[ours, theirs], &rulebooks).0, 2));
}

#[test]
fn a_rival_that_read_the_same_records_leaves_nothing_to_do() {
    require!(Plugins);
    let folder = tempfile::tempdir().unwrap();
    for dedup in [r#""sequence""#, r#"{ ordinal = "/second" }"#] {
        let rulebooks = rulebooks(&folder.path().join(dedup.len().to_string()), dedup);
        let shared = FlakyStore::default();
        let rival = host(shared.clone(), &rulebooks);
        let same = batch("shard", 1, 0..30);
        let theirs = same.clone();
        let meddle = move || {
            let rival = &rival;
            std::thread::scope(|scope| {
                scope.spawn(|| committed(rival.process(&theirs, None, &mut Summary::default())));
            });
        };
        let store = FlakyStore { rival: Some(Arc::new(meddle)), ..shared.clone() };
        let mut summary = Summary::default();
        committed(host(store, &rulebooks).process(&same, None, &mut summary));
        assert_eq!((summary.conflicts, summary.groups), (30, 0));
        assert_eq!(outcome(&shared.store), alone(&[same], &rulebooks));
    }
}

#[test]
fn endless_conflicts_end_in_an_error_that_names_a_group() {
    require!(Plugins);
    let folder = tempfile::tempdir().unwrap();
    let rulebooks = rulebooks(folder.path(), r#""sequence""#);
    let store = FlakyStore { contended: true, ..FlakyStore::default() };
    let error = block_on(host(store, &rulebooks).process(&batch("shard", 1, 7..8), None, &mut Summary::default()));
    let (record, error) = error.unwrap().first_uncommitted.unwrap();
    assert_eq!(record, 0);
    assert!(matches!(error, PipelineError::Contended { groups: 1, attempts: 21, .. }), "{error:?}");
    assert!(error.to_string().contains("race-131 / racer-7"), "{error}");
}

#[test]
fn a_store_that_stays_throttled_is_given_up_at_the_deadline() {
    require!(Plugins);
    let folder = tempfile::tempdir().unwrap();
    let rulebooks = rulebooks(folder.path(), r#""sequence""#);
    let store = FlakyStore { transient_every: 1, calls: Arc::new(AtomicU32::new(1)), ..FlakyStore::default() };
    let retry = RetryPolicy { deadline_ms: 50, first_wait_ms: 1, longest_wait_ms: 2, ..RetryPolicy::default() };
    let host = Pipeline::new(store.clone(), rulebooks, BatchLimits::default(), retry);
    let error = block_on(host.process(&batch("shard", 1, 0..3), None, &mut Summary::default())).unwrap_err();
    assert!(error.to_string().contains("throttled; retries went on for 50 ms (`retry.deadline-ms`)"), "{error}");
}

#[test]
fn what_is_committed_of_a_batch_is_durable_even_if_the_rest_is_not() {
    require!(Plugins);
    let folder = tempfile::tempdir().unwrap();
    let rulebooks = rulebooks(folder.path(), r#"{ ordinal = "/second" }"#);
    let store = FlakyStore { throttled: Some("racer-7"), ..FlakyStore::default() };
    let retry = RetryPolicy { deadline_ms: 20, first_wait_ms: 1, longest_wait_ms: 2, ..RetryPolicy::default() };
    let host = Pipeline::new(store.clone(), rulebooks, BatchLimits::default(), retry);
    let outcome = block_on(host.process(&batch("shard", 1, 0..30), None, &mut Summary::default())).unwrap();
    assert_eq!(outcome.first_uncommitted.unwrap().0, 7);
    // Its sender does not deliver the first seven again.
    assert_eq!(store.flushed.load(Ordering::Relaxed), 1);
}
