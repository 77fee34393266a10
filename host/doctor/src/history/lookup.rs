use std::collections::BTreeMap;

use super::{History, Namespace, Point, Series, Statistic, Timestamp};

/// The period of a single point of a series without one, in seconds.
const MINUTE: f64 = 60.0;

/// The series of one metric, of all or some dimensions.
#[derive(Clone, Debug)]
pub struct Selection<'a> {
    series: Vec<&'a Series>,
}

/// A quantity over time, of one or several series together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Course {
    /// In the order of time.
    pub points: Vec<Point>,
    /// Seconds of a point.
    pub period_seconds: f64,
    /// Whether points are those of periods: CloudWatch has none where nothing was counted. Others are readings.
    pub of_periods: bool,
}

impl History {
    /// The series of a metric.
    #[must_use]
    pub fn select(&self, namespace: Namespace, name: &str) -> Selection<'_> {
        let is_it = |series: &&Series| series.metric.namespace == namespace && series.metric.name == name;
        Selection { series: self.series.iter().filter(is_it).collect() }
    }

    /// Whether there is any series of a namespace.
    #[must_use]
    pub fn observes(&self, namespace: Namespace) -> bool {
        self.series.iter().any(|series| series.metric.namespace == namespace && !series.points.is_empty())
    }

    /// Whether there is any series of a namespace with this dimension.
    #[must_use]
    pub fn observes_of(&self, namespace: Namespace, dimension: &str, value: &str) -> bool {
        let is_of = |series: &Series| series.dimensions.get(dimension).is_some_and(|it| it == value);
        self.series.iter().any(|series| series.metric.namespace == namespace && is_of(series))
    }
}

impl<'a> Selection<'a> {
    /// Those with this statistic.
    #[must_use]
    pub fn statistic(mut self, statistic: Statistic) -> Self {
        self.series.retain(|series| series.statistic == statistic);
        self
    }

    /// Those with this value of a dimension.
    #[must_use]
    pub fn with(mut self, dimension: &str, value: &str) -> Self {
        self.series.retain(|series| series.dimensions.get(dimension).is_some_and(|it| it == value));
        self
    }

    /// Those without a dimension, such as a stream's that are not by shard.
    #[must_use]
    pub fn without(mut self, dimension: &str) -> Self {
        self.series.retain(|series| !series.dimensions.contains_key(dimension));
        self
    }

    /// The selections of each value of a dimension.
    #[must_use]
    pub fn by(&self, dimension: &str) -> BTreeMap<&'a str, Self> {
        let mut parts: BTreeMap<&'a str, Self> = BTreeMap::new();
        for series in &self.series {
            if let Some(value) = series.dimensions.get(dimension) {
                parts.entry(value).or_insert_with(|| Self { series: Vec::new() }).series.push(series);
            }
        }
        parts
    }

    /// Whether no series has a point.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.iter().all(|series| series.points.is_empty())
    }

    /// The sum over all dimensions at each time.
    #[must_use]
    pub fn sum(&self) -> Course {
        self.combine(|sum, value| sum + value)
    }

    /// The highest of all dimensions at each time.
    #[must_use]
    pub fn highest(&self) -> Course {
        self.combine(f64::max)
    }

    /// The lowest of all dimensions at each time.
    #[must_use]
    pub fn lowest(&self) -> Course {
        self.combine(f64::min)
    }

    /// Of counters: what they grew by between two points, at the later one, over all dimensions. A counter that falls
    /// was reset to 0 in between.
    #[must_use]
    pub fn increases(&self) -> Course {
        let growth = |pair: &[Point]| {
            let (Point(_, before), Point(at, after)) = (pair[0], pair[1]);
            Point(at, if after < before { after } else { after - before })
        };
        let series = self.series.iter().map(|series| series.points.windows(2).map(growth).collect());
        self.course(combine(series, |sum, value| sum + value))
    }

    /// Of counters: the average growth a second from the first point to the last, over all dimensions.
    #[must_use]
    pub fn growth_per_second(&self) -> Option<f64> {
        let first = self.series.iter().filter_map(|series| series.points.first()).map(|point| point.0).min()?;
        let last = self.series.iter().filter_map(|series| series.points.last()).map(|point| point.0).max()?;
        let seconds = last.since(first).as_secs_f64();
        (seconds > 0.0).then(|| self.increases().total() / seconds)
    }

    fn combine(&self, with: impl Fn(f64, f64) -> f64) -> Course {
        self.course(combine(self.series.iter().map(|series| series.points.clone()), with))
    }

    /// Points with the period of the series, or with their average distance if the series have none.
    fn course(&self, points: Vec<Point>) -> Course {
        let period = self.series.iter().map(|series| series.period_seconds).fold(0.0, f64::max);
        let distance = || match points.as_slice() {
            [first, .., last] => last.0.since(first.0).as_secs_f64() / (points.len() - 1) as f64,
            _ => MINUTE,
        };
        let period_seconds = if period > 0.0 { period } else { distance() };
        Course { points, period_seconds, of_periods: period > 0.0 }
    }
}

/// One point for each time. Series of one source have the same times, so each is merged into what there is so far.
fn combine(series: impl Iterator<Item = Vec<Point>>, with: impl Fn(f64, f64) -> f64) -> Vec<Point> {
    let mut combined: Vec<Point> = Vec::new();
    for mut points in series {
        // They are in the order of time, but for those of a document that somebody has edited.
        points.sort_by_key(|point| point.0);
        let mut merged = Vec::with_capacity(combined.len().max(points.len()));
        let mut others = combined.iter().copied().peekable();
        for Point(at, value) in points {
            while let Some(other) = others.next_if(|other| other.0 < at) {
                merged.push(other);
            }
            let before = others.next_if(|other| other.0 == at);
            let before = before.or_else(|| merged.pop_if(|last| last.0 == at));
            merged.push(before.map_or(Point(at, value), |Point(_, before)| Point(at, with(before, value))));
        }
        merged.extend(others);
        combined = merged;
    }
    combined
}

impl Course {
    /// The sum of all points.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.points.iter().map(|point| point.1).sum()
    }

    /// The average of all points; nothing without any.
    #[must_use]
    pub fn average(&self) -> Option<f64> {
        (!self.points.is_empty()).then(|| self.total() / self.points.len() as f64)
    }

    /// The highest point, the first of several.
    #[must_use]
    pub fn peak(&self) -> Option<Point> {
        self.points.iter().rev().copied().max_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// The lowest point, the first of several.
    #[must_use]
    pub fn trough(&self) -> Option<Point> {
        self.points.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// The last point.
    #[must_use]
    pub fn last(&self) -> Option<Point> {
        self.points.last().copied()
    }

    /// The last point above a threshold.
    #[must_use]
    pub fn last_above(&self, threshold: f64) -> Option<Point> {
        self.points.iter().rev().copied().find(|point| point.1 > threshold)
    }

    /// Of sums: the average a second of each point's period.
    #[must_use]
    pub fn per_second(&self) -> Self {
        self.map(|value| value / self.period_seconds.max(f64::MIN_POSITIVE))
    }

    /// Each value by a function.
    #[must_use]
    pub fn map(&self, of: impl Fn(f64) -> f64) -> Self {
        let points = self.points.iter().map(|Point(at, value)| Point(*at, of(*value))).collect();
        Self { points, ..*self }
    }

    /// The points from a time on.
    #[must_use]
    pub fn from(&self, time: Timestamp) -> Self {
        let points = self.points.iter().copied().filter(|point| point.0 >= time).collect();
        Self { points, ..*self }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn series_with_any_times_are_added_at_each_time(
            series in proptest::collection::vec(proptest::collection::vec((0_u64..8, 0_u32..100), 0..6), 0..5)
        ) {
            let mut expected: BTreeMap<Timestamp, f64> = BTreeMap::new();
            for (at, value) in series.iter().flatten() {
                *expected.entry(Timestamp(*at)).or_default() += f64::from(*value);
            }
            let points = series.iter().map(|points| {
                points.iter().map(|(at, value)| Point(Timestamp(*at), f64::from(*value))).collect()
            });
            let combined = combine(points, |sum, value| sum + value);
            let expected: Vec<Point> = expected.into_iter().map(|(at, value)| Point(at, value)).collect();
            prop_assert_eq!(combined, expected);
        }
    }
}
