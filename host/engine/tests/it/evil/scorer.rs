//! Scorers that compute too long, use too much, or return invalid results.

use std::time::{Duration, Instant};

use paceline_engine::{
    CallsUntil, Ceilings, Engine, EngineError, Fault, Limits, PluginLimits, Scored, Settings, limits,
};

use super::{
    ENGINE, Efforts, UNFUELLED, all_rows, assert_contains, assert_panicked, assert_unharmed, deed, engine, plugin,
    without_fuel_limit,
};
use crate::plugins::require_plugins;
use crate::text::{self, Parts};

fn score(engine: &Engine, what: &str, efforts: &Efforts) -> Scored {
    let scorer = plugin(engine, "evil-scorer").scorer(&deed(what)).unwrap();
    scorer.session().score(efforts.rows(), &efforts.columns()).unwrap()
}

/// Asserts that exactly one row failed and that the others have their scores. Returns the fault.
#[track_caller]
fn one_failed(scored: Scored, efforts: &Efforts, victim: usize) -> Fault {
    let mut expected = efforts.scores();
    expected[victim] = 0.0;
    assert_eq!(scored.scores, expected);
    let [(row, fault)] = scored.failed.as_slice() else { panic!("{:?}", scored.failed) };
    assert_eq!(*row as usize, victim);
    fault.clone()
}

#[test]
fn fuel_limit_violated_names_fuel() {
    require_plugins!();
    let scored = score(&ENGINE, "spin", &Efforts::new(3));
    // The fuel of the last call, which was for one row.
    let fault = Fault::Fuel(limits::FUEL_PER_CALL + limits::FUEL_PER_ROW);
    assert_contains(&fault, &["used up its fuel of 2020000", "`fuel-per-call`", "`fuel-per-row`"]);
    assert_eq!((scored.scores, scored.failed), (vec![0.0; 3], all_rows(3, &fault)));
    assert_unharmed(&ENGINE);
}

#[test]
fn fuel_limits_are_settings() {
    require_plugins!();
    let engine = engine(Limits { fuel_per_call: 300_000, fuel_per_row: 7, ..Limits::default() });
    assert_eq!(score(&engine, "spin", &Efforts::new(2)).failed, all_rows(2, &Fault::Fuel(300_007)));
    assert_unharmed(&engine);
}

#[test]
fn a_rulebook_sets_the_limits_of_a_plugin_up_to_the_ceilings() {
    require_plugins!();
    let ceilings = Ceilings { fuel_per_row: 500, ..Ceilings::default() };
    let engine = engine(Limits { fuel_per_call: 300_000, fuel_per_row: 7, ceilings, ..Limits::default() });
    let evil = plugin(&engine, "evil-scorer");
    let limited = |limits| evil.with_limits(&limits).map(|plugin| plugin.limits().clone());
    let wanted = PluginLimits { fuel_per_row: Some(500), memory_bytes: Some(100 << 20), ..PluginLimits::default() };
    let limits = limited(wanted).unwrap();
    assert_eq!((limits.fuel_per_row, limits.fuel_per_call, limits.memory_bytes), (500, 300_000, 100 << 20));
    let scorer = evil.with_limits(&wanted).unwrap().scorer(&deed("spin")).unwrap();
    let efforts = Efforts::new(2);
    let scored = scorer.session().score(2, &efforts.columns()).unwrap();
    assert_eq!(scored.failed, all_rows(2, &Fault::Fuel(300_500)));
    // The plugin itself has the limits of the host.
    assert_eq!(score(&engine, "spin", &Efforts::new(2)).failed, all_rows(2, &Fault::Fuel(300_007)));
    let refused = limited(PluginLimits { fuel_per_row: Some(501), ..wanted }).unwrap_err();
    let text = std::error::Error::source(&refused).map_or(refused.to_string(), ToString::to_string);
    assert_contains(&text, &["`fuel-per-row` is 501; at most 500 is allowed", "`limits.ceilings.fuel-per-row`"]);
    assert_unharmed(&engine);
}

#[test]
fn calls_per_batch_limit_violated_names_it_and_ends_the_calls_of_a_plugin_that_fails_on_every_row() {
    require_plugins!();
    let efforts = Efforts::new(2_000);
    let scorer = plugin(&ENGINE, "evil-scorer").scorer(&deed("spin")).unwrap();
    let mut session = scorer.session();
    let scored = session.score(efforts.rows(), &efforts.columns()).unwrap();
    assert_eq!(scored.failed.iter().map(|(row, _)| *row).collect::<Vec<_>>(), (0..2_000).collect::<Vec<_>>());
    let (_, last) = scored.failed.last().unwrap();
    assert_eq!(*last, Fault::Budget(limits::CALLS_PER_BATCH));
    assert_contains(last, &["used up what its calls for a batch may cost together", "`calls-per-batch`"]);
    let all = limits::FUEL_PER_CALL + 2_000 * limits::FUEL_PER_ROW;
    let (fuel, calls) = (session.usage().fuel, session.usage().calls);
    assert!(fuel <= u64::from(limits::CALLS_PER_BATCH) * all, "{fuel}");
    // Without the limit they are 3,999.
    assert!(calls < 400, "{calls}");
    assert_unharmed(&ENGINE);
}

#[test]
fn calls_per_batch_is_a_setting_and_leaves_some_bad_rows_room() {
    require_plugins!();
    // Twenty rows of 2,000 trap: each is found, at a small part of the fuel.
    let mut efforts = Efforts::new(2_000);
    (0..20).for_each(|nth| efforts.cadence[nth * 97] = 66.0);
    let scored = score(&ENGINE, "trap-on-row", &efforts);
    assert_eq!(scored.failed.len(), 20);
    scored.failed.iter().for_each(|(_, fault)| assert_panicked(fault));
    let once = engine(Limits { calls_per_batch: 1, ..Limits::default() });
    assert_eq!(score(&once, "spin", &Efforts::new(3)).failed, all_rows(3, &Fault::Budget(1)));
}

#[test]
fn a_call_ends_at_the_callers_deadline_and_blames_nobody() {
    require_plugins!();
    let scorer = plugin(&UNFUELLED, "evil-scorer").scorer(&deed("spin")).unwrap();
    let (efforts, started) = (Efforts::new(3), Instant::now());
    let mut session = scorer.session().until(Some(started + Duration::from_millis(100)));
    let error = session.score(3, &efforts.columns()).unwrap_err();
    assert!(matches!(error, EngineError::Deadline), "{error:?}");
    // A call may take two seconds.
    assert!(started.elapsed() < Duration::from_millis(1_900), "{:?}", started.elapsed());
    assert_unharmed(&UNFUELLED);
}

#[test]
fn calls_that_fail_get_half_of_the_callers_time_if_the_plugin_is_to_blame() {
    require_plugins!();
    // Neither fuel nor the calls for a batch end it.
    let engine = engine(Limits { call_ms: 50, calls_per_batch: 10_000, ..without_fuel_limit() });
    let scorer = plugin(&engine, "evil-scorer").scorer(&deed("spin")).unwrap();
    let (efforts, started) = (Efforts::new(500), Instant::now());
    let at = started + Duration::from_secs(2);
    let scored = scorer.session().until(Some(CallsUntil::blaming(at, Duration::MAX))).score(500, &efforts.columns());
    let (scored, took) = (scored.unwrap(), started.elapsed());
    assert_eq!(scored.failed.len(), 500);
    assert_eq!(scored.failed[499].1, Fault::Share);
    assert_contains(&Fault::Share, &["took half of the time"]);
    // Without the bound, the calls would end at the deadline, and blame nobody.
    assert!(took < Duration::from_millis(1_700), "{took:?}");
    let error =
        scorer.session().until(Some(Instant::now() + Duration::from_millis(300))).score(500, &efforts.columns());
    assert!(matches!(error, Err(EngineError::Deadline)), "{error:?}");
    assert_unharmed(&engine);
}

#[test]
fn a_call_that_the_deadline_cuts_off_is_to_blame_only_if_it_ran_long_enough() {
    require_plugins!();
    let scorer = plugin(&UNFUELLED, "evil-scorer").scorer(&deed("spin")).unwrap();
    let efforts = Efforts::new(1);
    let score = |blamed_after| {
        let at = Instant::now() + Duration::from_millis(200);
        scorer.session().until(Some(CallsUntil::blaming(at, blamed_after))).score(1, &efforts.columns())
    };
    let scored = score(Duration::from_millis(100)).unwrap();
    let [(0, fault @ Fault::Late(_))] = &scored.failed[..] else { panic!("{:?}", scored.failed) };
    assert_contains(fault, &["did not return within", "the host had no more time"]);
    let error = score(Duration::from_secs(60));
    assert!(matches!(error, Err(EngineError::Deadline)), "{error:?}");
}

#[test]
fn reading_a_setting_by_a_huge_name_costs_fuel() {
    require_plugins!();
    // The name takes 8 MiB, and each further call costs as much fuel: without that, time would end the plugin.
    let fuel = 200_000_000;
    let engine = engine(Limits { fuel_per_call: fuel, fuel_per_row: 0, ..Limits::default() });
    assert_eq!(score(&engine, "huge-setting", &Efforts::new(1)).failed, all_rows(1, &Fault::Fuel(fuel)));
}

#[test]
fn time_limit_violated_names_time_and_ends_promptly() {
    require_plugins!();
    let engine = engine(Limits { call_ms: 100, ..without_fuel_limit() });
    let scorer = plugin(&engine, "evil-scorer").scorer(&deed("spin")).unwrap();
    let efforts = Efforts::new(1);
    let started = Instant::now();
    let scored = scorer.session().score(1, &efforts.columns()).unwrap();
    let took = started.elapsed();
    assert_contains(&scored.failed[0].1, &["did not return within 100 ms", "`call-ms`"]);
    assert_eq!((scored.scores, scored.failed), (vec![0.0], all_rows(1, &Fault::Time(100))));
    // The fuel would last for days. The upper bound leaves room for a busy machine.
    assert!((Duration::from_millis(100)..Duration::from_secs(5)).contains(&took), "{took:?}");
    assert_unharmed(&engine);
}

#[test]
fn a_spinning_plugin_does_not_delay_other_plugins() {
    require_plugins!();
    let engine = engine(Limits { call_ms: 300, ..without_fuel_limit() });
    let evil = plugin(&engine, "evil-scorer").scorer(&deed("spin")).unwrap();
    let good = plugin(&engine, "evil-scorer").scorer(&deed("trap-on-row")).unwrap();
    let efforts = Efforts::new(10);
    std::thread::scope(|scope| {
        let spinning = scope.spawn(|| evil.session().score(1, &Efforts::new(1).columns()).unwrap());
        // Fresh instances process batches until the spinning one is stopped, and at least one batch.
        let mut batches = 0;
        while batches == 0 || !spinning.is_finished() {
            let scored = good.session().score(efforts.rows(), &efforts.columns()).unwrap();
            assert_eq!((scored.scores, scored.failed), (efforts.scores(), vec![]));
            batches += 1;
        }
        assert_eq!(spinning.join().unwrap().failed, all_rows(1, &Fault::Time(300)));
    });
}

#[test]
fn memory_limit_violated_names_memory() {
    require_plugins!();
    let scored = score(&UNFUELLED, "eat-memory", &Efforts::new(2));
    assert_eq!(scored.scores, [0.0; 2]);
    assert_eq!(scored.failed.len(), 2);
    for (_, fault) in scored.failed {
        let Fault::Memory { requested, limit } = fault else { panic!("{fault:?}") };
        assert_eq!(limit, limits::MEMORY_BYTES);
        assert!(requested > limit && requested <= limit + (2 << 20), "{requested}");
        assert_contains(&fault, &[&format!("requested {requested} bytes"), "67108864 are allowed", "`memory-bytes`"]);
    }
    assert_unharmed(&UNFUELLED);
}

#[test]
fn memory_limit_is_for_tables_too() {
    // It has 128 KiB of memory. Four tables of 320 KB are within the limit, and five are not.
    let engine = engine(Limits { memory_bytes: (128 << 10) + 4 * 320_000, ..Limits::default() });
    let scored = |grown: usize| {
        let calls: String = (0..grown).map(|table| format!("(call $grow{table})")).collect();
        let parts = Parts { score: &calls, tables: 5, ..Parts::default() };
        let scorer = engine.load(&text::scorer(parts)).unwrap().scorer(&Settings::new()).unwrap();
        scorer.session().score(1, &[]).unwrap()
    };
    assert_eq!(scored(4).failed, []);
    let limit = (128 << 10) + 4 * 320_000;
    assert_eq!(scored(5).failed, all_rows(1, &Fault::Memory { requested: limit + 320_000, limit }));
}

#[test]
fn filling_memory_costs_fuel() {
    require_plugins!();
    // The fuel of a single row does not suffice to fill 64 MiB.
    assert_eq!(score(&ENGINE, "eat-memory", &Efforts::new(1)).failed, all_rows(1, &Fault::Fuel(2_020_000)));
    assert_unharmed(&ENGINE);
}

#[test]
fn memory_limit_is_a_setting() {
    require_plugins!();
    let engine = engine(Limits { memory_bytes: 4 << 20, ..without_fuel_limit() });
    let fault = &score(&engine, "eat-memory", &Efforts::new(1)).failed[0].1;
    assert!(matches!(fault, Fault::Memory { limit: 4_194_304, .. }), "{fault:?}");
    assert_unharmed(&engine);
}

#[test]
fn stack_limit_violated_names_the_stack() {
    require_plugins!();
    let scored = score(&ENGINE, "recurse", &Efforts::new(2));
    let fault = Fault::Stack(limits::STACK_BYTES);
    assert_contains(&fault, &["recursed too deeply", "524288 bytes"]);
    assert_eq!((scored.scores, scored.failed), (vec![0.0; 2], all_rows(2, &fault)));
    assert_unharmed(&ENGINE);
}

#[test]
fn returned_bytes_limit_violated_names_it() {
    require_plugins!();
    let scored = score(&UNFUELLED, "far-too-long", &Efforts::new(2));
    let fault = Fault::TooManyBytes(limits::RETURNED_BYTES);
    assert_contains(&fault, &["passed more than 16777216 bytes", "`returned-bytes`"]);
    assert_eq!((scored.scores, scored.failed), (vec![0.0; 2], all_rows(2, &fault)));
    assert_unharmed(&UNFUELLED);
}

#[test]
fn a_result_of_the_wrong_length_fails_every_row() {
    require_plugins!();
    let scored = score(&ENGINE, "too-long", &Efforts::new(5));
    let fault = Fault::InvalidResult("2 scores for 1 rows".to_owned());
    assert_eq!((scored.scores, scored.failed), (vec![0.0; 5], all_rows(5, &fault)));

    let scored = score(&ENGINE, "too-short", &Efforts::new(5));
    let fault = Fault::InvalidResult("0 scores for 1 rows".to_owned());
    assert_eq!((scored.scores, scored.failed), (vec![0.0; 5], all_rows(5, &fault)));
    assert_unharmed(&ENGINE);
}

#[test]
fn after_an_invalid_result_the_instance_is_not_called_again() {
    require_plugins!();
    // The instance would be right from its second call on, but each half gets a fresh one.
    let scored = score(&ENGINE, "too-long-at-first", &Efforts::new(4));
    assert_eq!(scored.failed, all_rows(4, &Fault::InvalidResult("2 scores for 1 rows".to_owned())));
    assert_eq!(scored.scores, [0.0; 4]);
}

#[test]
fn a_score_that_is_not_finite_fails_its_row_alone() {
    require_plugins!();
    let efforts = Efforts::with_victim(1000, 421);
    let fault = one_failed(score(&ENGINE, "nan-on-row", &efforts), &efforts, 421);
    assert_eq!(fault, Fault::Score("NaN".to_owned()));
    assert_contains(&fault, &["the score is NaN"]);
    assert_unharmed(&ENGINE);
}

#[test]
fn a_trap_fails_its_row_alone_wherever_it_is() {
    require_plugins!();
    for victim in [0, 1, 499, 500, 617, 999] {
        let efforts = Efforts::with_victim(1000, victim);
        let fault = one_failed(score(&ENGINE, "trap-on-row", &efforts), &efforts, victim);
        assert_panicked(&fault);
        // The function that panicked, not Rust's panic machinery; what it said, with file and line.
        assert_contains(
            &fault,
            &["the plugin trapped", ", in `", "; it logged: panicked at plugins/evil/scorer/src/lib.rs:"],
        );
    }
    assert_unharmed(&ENGINE);
}

#[test]
fn a_trap_in_a_batch_of_one_row_fails_that_row() {
    require_plugins!();
    let efforts = Efforts::with_victim(1, 0);
    assert_panicked(&one_failed(score(&ENGINE, "trap-on-row", &efforts), &efforts, 0));
}

#[test]
fn several_rows_that_trap_are_each_found() {
    require_plugins!();
    let mut efforts = Efforts::new(64);
    let mut expected = efforts.scores();
    for victim in [0, 31, 32, 63] {
        efforts.cadence[victim] = 66.0;
        expected[victim] = 0.0;
    }
    let scored = score(&ENGINE, "trap-on-row", &efforts);
    assert_eq!(scored.failed.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [0, 31, 32, 63]);
    assert_eq!(scored.scores, expected);
}

#[test]
fn a_session_works_after_a_trap() {
    require_plugins!();
    let scorer = plugin(&ENGINE, "evil-scorer").scorer(&deed("trap-on-row")).unwrap();
    let mut session = scorer.session();
    let (bad, good) = (Efforts::with_victim(7, 6), Efforts::new(7));
    assert_panicked(&one_failed(session.score(7, &bad.columns()).unwrap(), &bad, 6));
    let scored = session.score(7, &good.columns()).unwrap();
    assert_eq!((scored.scores, scored.failed), (good.scores(), vec![]));
}

#[test]
fn nothing_that_a_plugin_remembers_outlives_its_batch() {
    require_plugins!();
    let scorer = plugin(&ENGINE, "evil-scorer").scorer(&deed("remember")).unwrap();
    let efforts = Efforts::new(2);
    for _ in 0..3 {
        let mut session = scorer.session();
        // Within a session there is one instance, as the contract allows.
        for calls in [1.0, 2.0] {
            let scored = session.score(2, &efforts.columns()).unwrap();
            assert_eq!((scored.scores, scored.failed), (vec![calls; 2], vec![]));
        }
    }
}

#[test]
fn a_trap_in_one_session_leaves_another_alone() {
    require_plugins!();
    let remember = plugin(&ENGINE, "evil-scorer").scorer(&deed("remember")).unwrap();
    let evil = plugin(&ENGINE, "evil-scorer").scorer(&deed("trap-on-row")).unwrap();
    let (efforts, bad) = (Efforts::new(3), Efforts::with_victim(3, 1));
    let mut beside = remember.session();
    for calls in [1.0, 2.0, 3.0] {
        assert_panicked(&one_failed(evil.session().score(3, &bad.columns()).unwrap(), &bad, 1));
        assert_eq!(beside.score(3, &efforts.columns()).unwrap().scores, [calls; 3]);
    }
}

#[test]
fn the_same_records_take_the_same_fuel() {
    require_plugins!();
    let scorer = plugin(&ENGINE, "evil-scorer").scorer(&deed("trap-on-row")).unwrap();
    let efforts = Efforts::with_victim(100, 42);
    let used = || {
        let mut session = scorer.session();
        session.score(100, &efforts.columns()).unwrap();
        session.usage().fuel
    };
    let first = used();
    assert!(first > 0);
    assert_eq!([used(), used()], [first; 2]);
}
