//! What is known of a metric.

/// How a metric's values change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// It grows from 0 at the start of the process.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It counts values by size. The bounds are the upper ones of its buckets.
    Histogram(&'static [f64]),
}

impl Kind {
    /// The name of the type in Prometheus's text format.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// What a value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Things.
    Count,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
    /// Milliseconds: only in CloudWatch.
    Milliseconds,
    /// Hours.
    Hours,
    /// Nothing: 0 or 1, or a number that is a name.
    None,
}

impl Unit {
    /// The unit in tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Bytes => "bytes",
            Self::Seconds => "seconds",
            Self::Milliseconds => "milliseconds",
            Self::Hours => "hours",
            Self::None => "none",
        }
    }

    /// The unit's name in CloudWatch.
    pub const fn cloudwatch(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Bytes => "Bytes",
            Self::Seconds => "Seconds",
            Self::Milliseconds => "Milliseconds",
            Self::Hours | Self::None => "None",
        }
    }

    /// The unit's name in Grafana.
    pub const fn grafana(self) -> &'static str {
        match self {
            Self::Count | Self::None => "short",
            Self::Bytes => "bytes",
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Hours => "h",
        }
    }
}

/// The statistic of CloudWatch that answers an operator's question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistic {
    /// How many in all.
    Sum,
    /// The worst.
    Maximum,
    /// The usual.
    Average,
}

impl Statistic {
    /// The statistic's name in CloudWatch.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "Sum",
            Self::Maximum => "Maximum",
            Self::Average => "Average",
        }
    }
}

/// How a metric is called in CloudWatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloudWatch {
    /// The name.
    pub name: &'static str,
    /// The unit.
    pub unit: Unit,
    /// The statistic to look at.
    pub statistic: Statistic,
    /// The sets of dimensions that it is written with, each beside `function`. No two have the same length.
    pub dimensions: &'static [&'static [&'static str]],
}

/// A metric: what a host counts or measures, how it is called where, and what is healthy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// The name in Prometheus's text format. `None`: only a function has it.
    pub prometheus: Option<&'static str>,
    /// The labels, in order.
    pub labels: &'static [&'static str],
    /// How the values change.
    pub kind: Kind,
    /// The unit in Prometheus.
    pub unit: Unit,
    /// The name in CloudWatch. `None`: a function does not write it.
    pub cloudwatch: Option<CloudWatch>,
    /// What it means, in one line of Markdown whose links are relative to `docs/`.
    pub meaning: &'static str,
    /// Which values are healthy.
    pub healthy: &'static str,
}

impl Metric {
    const fn new(kind: Kind, unit: Unit, meaning: &'static str, healthy: &'static str) -> Self {
        Self { prometheus: None, labels: &[], kind, unit, cloudwatch: None, meaning, healthy }
    }

    /// Something that is counted.
    pub const fn counter(meaning: &'static str, healthy: &'static str) -> Self {
        Self::new(Kind::Counter, Unit::Count, meaning, healthy)
    }

    /// Something that goes up and down.
    pub const fn gauge(unit: Unit, meaning: &'static str, healthy: &'static str) -> Self {
        Self::new(Kind::Gauge, unit, meaning, healthy)
    }

    /// Something that is counted by size.
    pub const fn histogram(unit: Unit, bounds: &'static [f64], meaning: &'static str, healthy: &'static str) -> Self {
        Self::new(Kind::Histogram(bounds), unit, meaning, healthy)
    }

    /// The same in another unit.
    pub const fn of(self, unit: Unit) -> Self {
        Self { unit, ..self }
    }

    /// With a name and labels in Prometheus.
    pub const fn prometheus(self, name: &'static str, labels: &'static [&'static str]) -> Self {
        Self { prometheus: Some(name), labels, ..self }
    }

    /// With a name and sets of dimensions in CloudWatch.
    pub const fn cloudwatch(
        self,
        name: &'static str,
        unit: Unit,
        statistic: Statistic,
        dimensions: &'static [&'static [&'static str]],
    ) -> Self {
        Self { cloudwatch: Some(CloudWatch { name, unit, statistic, dimensions }), ..self }
    }

    /// The meaning without Markdown, for programs that show it as it is.
    pub fn plain_meaning(&self) -> String {
        let mut plain = String::new();
        let mut rest = self.meaning;
        while let Some((before, after)) = rest.split_once("](") {
            plain.push_str(before);
            rest = after.split_once(')').map_or("", |(_, rest)| rest);
        }
        plain.push_str(rest);
        plain.replace(['[', '`', '*'], "")
    }
}
