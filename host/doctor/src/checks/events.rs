//! Occurrences over time.

use std::time::Duration;

use super::facts::recent;
use crate::history::{Course, History, Point, Timestamp};

/// The earliest instant at which something can have begun, and the latest at which it can have happened.
pub(super) type Span = (Option<Timestamp>, Option<Timestamp>);

/// Occurrences over time.
pub(super) struct Events {
    pub(super) total: f64,
    pub(super) peak: Point,
    pub(super) last: Timestamp,
    pub(super) ongoing: bool,
    pub(super) span: Span,
}

/// The occurrences of a course of counts; nothing if there are none.
pub(super) fn events(history: &History, course: &Course) -> Option<Events> {
    let peak = course.peak().filter(|peak| peak.1 > 0.0)?;
    let last = course.last_above(0.0)?.0;
    let ongoing = last >= recent(history, course.period_seconds);
    Some(Events { total: course.total(), peak, last, ongoing, span: span_above(history, course, 0.0) })
}

/// When a course was above a threshold.
///
/// What is above it from the first reading on began at an unknown time.
pub(super) fn span_above(history: &History, course: &Course, threshold: f64) -> Span {
    let Some(first) = course.points.iter().position(|point| point.1 > threshold) else { return (None, None) };
    let period = Duration::try_from_secs_f64(course.period_seconds.max(0.0)).unwrap_or(Duration::MAX).as_millis();
    let after = |at: Timestamp| Timestamp(at.0.saturating_add(u64::try_from(period).unwrap_or(u64::MAX)));
    let first_at = course.points[first].0;
    // CloudWatch has no point for a period without occurrences, so that the first one may be the only one.
    let since_begin = course.of_periods.then_some(first_at).filter(|at| *at > after(history.since));
    let before = first.checked_sub(1).map(|before| course.points[before].0);
    (since_begin.or(before), course.last_above(threshold).map(|point| after(point.0)))
}
