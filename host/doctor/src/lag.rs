//! How a reader lags, by the course of its age and not by one threshold.
//!
//! The age of a reader is that of the oldest record that it has not processed. Its course shows more than its height:
//! a reader that does nothing ages by one second a second, one that is too slow by less, one that works off a backlog
//! gets younger, and an age that jumps by more than the time that passed shows that older records are read again.

use serde::Serialize;

use crate::history::{Course, Point, Timestamp};

/// Points of the end of a course by which it is evaluated.
pub(crate) const WINDOW_PERIODS: f64 = 15.0;
/// A growth below this, in seconds a second, is none: ages are those of single records, and vary.
pub(crate) const STEADY_GROWTH: f64 = 0.02;
/// A growth from which on a reader does nothing, if nothing else shows what it does.
pub(crate) const STUCK_GROWTH: f64 = 0.9;
/// A growth from which on a reader does nothing whatever else shows: it does less than a fiftieth of what comes in.
pub(crate) const STANDING_GROWTH: f64 = 0.98;
/// Seconds by which an age may rise beyond the time that passed before it counts as a jump.
pub(crate) const JUMP_SECONDS: f64 = 60.0;
/// Periods without progress after which a reader does nothing.
pub(crate) const PROGRESS_PERIODS: f64 = 5.0;
/// Periods without a point after which a reader is gone: CloudWatch's points arrive some minutes late.
pub(crate) const SILENT_PERIODS: f64 = 5.0;
/// The share of the retention from which on an age is that of a reader that began with the oldest record.
pub(crate) const OLDEST_SHARE: f64 = 0.9;

/// How a reader lags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LagState {
    /// It reads records as they come.
    CaughtUp,
    /// Its age falls.
    CatchingUp,
    /// It is behind, and one value shows no course.
    Unknown,
    /// It began again with older records, and works them off.
    ReReading,
    /// It goes on, but does not get younger.
    Slow,
    /// It does not go on.
    Stuck,
    /// It is gone while records come in.
    Dead,
}

/// What is known besides the course.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LagContext {
    /// The end of the history.
    pub until: Timestamp,
    /// Seconds up to which an age is that of batches under way.
    pub allowance_seconds: f64,
    /// Seconds for which the stream keeps records.
    pub retention_seconds: f64,
    /// Whether records were processed within the last periods; nothing if that is not known.
    pub progress: Option<bool>,
    /// Whether records came in since the last point; nothing if that is not known.
    pub arrivals: Option<bool>,
}

/// How a reader lags, and where that leads.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Lag {
    /// The state.
    pub state: LagState,
    /// The last age, in seconds. Of a reader that is gone, the age that it has by now.
    pub age_seconds: f64,
    /// When that was.
    pub at: Timestamp,
    /// The growth of the age, in seconds a second; negative if it falls.
    pub growth: f64,
    /// Seconds until the first records expire unread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_to_loss: Option<f64>,
    /// Seconds until all records are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_to_catch_up: Option<f64>,
}

/// Evaluates the course of ages in seconds; nothing if it has no points.
#[must_use]
pub fn evaluate(ages: &Course, context: &LagContext) -> Option<Lag> {
    let last = ages.last()?;
    let silent = context.until.since(last.0).as_secs_f64();
    let limit = (ages.period_seconds * SILENT_PERIODS).max(ages.period_seconds + 10.0);
    if silent > limit && context.arrivals == Some(true) {
        return Some(lag(LagState::Dead, Point(context.until, last.1 + silent), 1.0, context));
    }
    let excursion = excursion(&ages.points, context.allowance_seconds);
    if excursion.len() == 1 && ages.points.len() == 1 {
        return Some(lag(LagState::Unknown, last, 0.0, context));
    }
    if excursion.len() < 2 {
        return Some(lag(LagState::CaughtUp, last, 0.0, context));
    }
    let jump = jump(ages, excursion, context);
    let segment = window(&excursion[jump.unwrap_or(0)..], ages.period_seconds);
    let growth = growth(segment);
    let falls = growth < -STEADY_GROWTH || segment.len() < 2;
    let state = match (jump, falls) {
        (Some(_), true) => LagState::ReReading,
        (None, true) => LagState::CatchingUp,
        _ if is_stuck(growth, context.progress) => LagState::Stuck,
        _ => LagState::Slow,
    };
    Some(lag(state, last, growth, context))
}

fn is_stuck(growth: f64, progress: Option<bool>) -> bool {
    match progress {
        Some(progress) => growth >= STANDING_GROWTH || !progress && growth > STEADY_GROWTH,
        None => growth >= STUCK_GROWTH,
    }
}

fn lag(state: LagState, last: Point, growth: f64, context: &LagContext) -> Lag {
    let age = last.1;
    let grows = matches!(state, LagState::Slow | LagState::Stuck | LagState::Dead) && growth > STEADY_GROWTH;
    let shrinks = matches!(state, LagState::CatchingUp | LagState::ReReading) && growth < -STEADY_GROWTH;
    Lag {
        state,
        age_seconds: age,
        at: last.0,
        growth,
        // Nothing ages by more than a second a second: a steeper course is a step of the metric.
        seconds_to_loss: grows.then(|| ((context.retention_seconds - age) / growth.min(1.0)).max(0.0)),
        seconds_to_catch_up: shrinks.then(|| age / -growth),
    }
}

/// The points since the age was within the allowance last.
fn excursion(points: &[Point], allowance_seconds: f64) -> &[Point] {
    let within = points.iter().rposition(|point| point.1 <= allowance_seconds);
    &points[within.map_or(0, |index| index + 1)..]
}

/// Where in the excursion older records were begun with, last: the age rose by more than the time that passed.
fn jump(ages: &Course, excursion: &[Point], context: &LagContext) -> Option<usize> {
    let start = ages.points.len() - excursion.len();
    let margin = JUMP_SECONDS.max(ages.period_seconds);
    let rises = |index: usize| {
        let (Point(before, old), Point(at, new)) = (ages.points[index - 1], ages.points[index]);
        new - old > at.since(before).as_secs_f64() + margin
    };
    let jump = (start.max(1)..ages.points.len()).rev().find(|index| rises(*index)).map(|index| index - start);
    let begins_with_the_oldest = start == 0 && excursion[0].1 >= OLDEST_SHARE * context.retention_seconds;
    jump.or_else(|| begins_with_the_oldest.then_some(0))
}

/// The last points.
fn window(points: &[Point], period_seconds: f64) -> &[Point] {
    let Some(last) = points.last() else { return points };
    let is_within = |point: &Point| last.0.since(point.0).as_secs_f64() <= period_seconds * WINDOW_PERIODS;
    let first = points.iter().position(is_within).unwrap_or(0);
    &points[first..]
}

/// The slope of the line of least squares, in seconds a second. It is never negative if the ages never fall.
fn growth(points: &[Point]) -> f64 {
    let Some(first) = points.first() else { return 0.0 };
    let time = |point: &Point| point.0.since(first.0).as_secs_f64();
    let count = points.len() as f64;
    let mean_time = points.iter().map(time).sum::<f64>() / count;
    let mean_age = points.iter().map(|point| point.1).sum::<f64>() / count;
    let spread: f64 = points.iter().map(|point| (time(point) - mean_time).powi(2)).sum();
    if spread == 0.0 {
        return 0.0;
    }
    points.iter().map(|point| (time(point) - mean_time) * (point.1 - mean_age)).sum::<f64>() / spread
}
