//! The laws of lag.

use paceline_doctor::history::{Course, Point, Timestamp};
use paceline_doctor::{Lag, LagContext, LagState, evaluate};
use proptest::prelude::*;

const START: u64 = 1_795_718_400_000;
const RETENTION: f64 = 86_400.0;

fn course(ages: &[f64], start: u64) -> Course {
    let point = |(index, age): (usize, &f64)| Point(Timestamp(start + index as u64 * 60_000), *age);
    Course { points: ages.iter().enumerate().map(point).collect(), period_seconds: 60.0, of_periods: true }
}

fn context(ages: &Course) -> LagContext {
    let until = Timestamp(ages.points.last().map_or(START, |point| point.0.0) + 60_000);
    LagContext { until, allowance_seconds: 10.0, retention_seconds: RETENTION, progress: None, arrivals: Some(true) }
}

fn lag(ages: &[f64]) -> Lag {
    let course = course(ages, START);
    evaluate(&course, &context(&course)).unwrap()
}

#[test]
fn states() {
    let state = |ages: &[f64]| lag(ages).state;
    assert_eq!(state(&[0.5, 0.9, 0.7]), LagState::CaughtUp);
    assert_eq!(state(&[0.5, 300.0, 0.7]), LagState::CaughtUp, "one batch was late");
    assert_eq!(state(&[0.5, 0.7, 40.0]), LagState::CaughtUp, "one point is no course");
    assert_eq!(state(&[40.0]), LagState::Unknown);
    assert_eq!(state(&[1.0, 20.0, 40.0, 60.0, 80.0]), LagState::Slow);
    assert_eq!(state(&[90.0, 91.0, 90.0, 90.0]), LagState::Slow, "it does not catch up");
    assert_eq!(state(&[1.0, 61.0, 121.0, 181.0]), LagState::Stuck);
    assert_eq!(state(&[600.0, 500.0, 400.0]), LagState::CatchingUp);
    assert_eq!(state(&[1.0, 1.0, 80_000.0, 79_000.0, 78_000.0]), LagState::ReReading);
    assert_eq!(state(&[86_000.0, 85_000.0, 84_000.0]), LagState::ReReading, "it begins with the oldest record");
}

#[test]
fn a_reader_without_points_is_dead_while_records_come_in() {
    let ages = course(&[1.0, 1.0, 1.0], START);
    let until = Timestamp(START + 30 * 60_000);
    let gone = evaluate(&ages, &LagContext { until, ..context(&ages) }).unwrap();
    assert_eq!((gone.state, gone.age_seconds), (LagState::Dead, 28.0 * 60.0 + 1.0));
    let idle = evaluate(&ages, &LagContext { until, arrivals: Some(false), ..context(&ages) }).unwrap();
    assert_eq!(idle.state, LagState::CaughtUp);
    let unknown = evaluate(&ages, &LagContext { until, arrivals: None, ..context(&ages) }).unwrap();
    assert_eq!(unknown.state, LagState::CaughtUp);
}

#[test]
fn progress_decides_between_slow_and_stuck() {
    let with = |ages: &[f64], progress| {
        let ages = course(ages, START);
        evaluate(&ages, &LagContext { progress: Some(progress), ..context(&ages) }).unwrap().state
    };
    assert_eq!(with(&[20.0, 77.0, 134.0], true), LagState::Slow, "a reader that does a twentieth");
    assert_eq!(with(&[20.0, 80.0, 140.0], true), LagState::Stuck, "what it did was before");
    assert_eq!(with(&[20.0, 50.0, 80.0], false), LagState::Stuck);
}

#[test]
fn the_time_to_loss_is_what_is_left_by_growth() {
    let slow = lag(&[3_600.0, 3_630.0, 3_660.0]);
    assert!((slow.growth - 0.5).abs() < 1e-9);
    assert!((slow.seconds_to_loss.unwrap() - (RETENTION - 3_660.0) / 0.5).abs() < 1e-6);
    let catching_up = lag(&[600.0, 480.0, 360.0]);
    assert_eq!(catching_up.seconds_to_loss, None);
    assert!((catching_up.seconds_to_catch_up.unwrap() - 180.0).abs() < 1e-6);
}

fn age() -> impl Strategy<Value = f64> {
    0.0..100_000.0
}

fn ages() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(age(), 1..40)
}

fn steps() -> impl Strategy<Value = Vec<f64>> {
    prop::collection::vec(0.0..400.0, 1..40)
}

/// Ages from the first one on, by steps in one direction.
fn walk(first: f64, steps: &[f64], direction: f64) -> Vec<f64> {
    let mut ages = vec![first];
    for step in steps {
        ages.push((ages[ages.len() - 1] + direction * step).max(0.0));
    }
    ages
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_age_that_never_falls_is_never_catching_up(first in age(), steps in steps()) {
        let ages = walk(first, &steps, 1.0);
        let lag = lag(&ages);
        prop_assert_ne!(lag.state, LagState::CatchingUp);
        prop_assert_eq!(lag.seconds_to_catch_up, None);
    }

    #[test]
    fn an_age_that_never_rises_is_never_stuck_and_loses_nothing(first in age(), steps in steps()) {
        let ages = walk(first, &steps, -1.0);
        let lag = lag(&ages);
        prop_assert!(lag.state != LagState::Stuck && lag.state != LagState::Dead, "{:?}", lag);
        prop_assert_eq!(lag.seconds_to_loss, None);
    }

    #[test]
    fn a_shift_of_time_changes_nothing(ages in ages(), shift in 0_u64..4_000_000_000_000) {
        let (before, after) = (course(&ages, START), course(&ages, START + shift));
        let before = evaluate(&before, &context(&before)).unwrap();
        let after = evaluate(&after, &context(&after)).unwrap();
        prop_assert_eq!(before.at.0 + shift, after.at.0);
        prop_assert_eq!(Lag { at: after.at, ..before }, after);
    }

    #[test]
    fn a_reader_whose_last_point_is_within_the_allowance_is_caught_up(ages in ages(), last in 0.0..10.0) {
        let ages: Vec<f64> = ages.into_iter().chain([last]).collect();
        prop_assert_eq!(lag(&ages).state, LagState::CaughtUp);
    }

    #[test]
    fn no_estimate_is_negative(ages in ages()) {
        let lag = lag(&ages);
        prop_assert!(lag.seconds_to_loss.is_none_or(|it| it >= 0.0));
        prop_assert!(lag.seconds_to_catch_up.is_none_or(|it| it >= 0.0));
        prop_assert!(lag.seconds_to_loss.is_none() || lag.seconds_to_catch_up.is_none());
    }
}
