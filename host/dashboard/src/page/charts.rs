use serde::Serialize;

use super::format;
use crate::status::{Graph, History, Part, Series, Status};

/// The most series that a chart has: more can't be told apart.
const MAX_SERIES: usize = 6;

/// The charts of the page.
pub(crate) struct Charts {
    charts: Vec<Chart>,
    times: Vec<u64>,
}

/// A chart: its legend for the page, and its series for the script.
pub(crate) struct Chart {
    pub(super) kind: &'static Kind,
    pub(super) legend: Vec<Entry>,
    /// Whether a series has a limit.
    pub(super) has_limit: bool,
    /// Why there is nothing to draw.
    pub(super) unknown: Option<String>,
    series: Vec<Series>,
}

/// A line of a chart's legend.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) latest: String,
    pub(super) highest: String,
    pub(super) limit: String,
}

/// What a chart shows.
pub(super) struct Kind {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) unit: Unit,
    /// How its series belong together.
    sum: Sum,
    of: fn(&History) -> &Part<Graph>,
}

/// The unit of a chart's values.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Unit {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A number.
    Number,
}

/// How the series of a chart belong together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sum {
    /// Each by itself: of many, the highest is shown and the worst few.
    Separate,
    /// They are parts of a whole and are stacked: of many, the least are one.
    Stacked,
}

const KINDS: [Kind; 10] = [
    Kind { id: "age", title: "Iterator age", unit: Unit::Seconds, sum: Sum::Separate, of: |history| &history.age },
    Kind {
        id: "records-per-second",
        title: "Records a second",
        unit: Unit::Number,
        sum: Sum::Separate,
        of: |history| &history.records_per_second,
    },
    Kind {
        id: "bytes-per-second",
        title: "Bytes a second",
        unit: Unit::Bytes,
        sum: Sum::Separate,
        of: |history| &history.bytes_per_second,
    },
    Kind {
        id: "batch-time",
        title: "Batch time by stage",
        unit: Unit::Seconds,
        sum: Sum::Stacked,
        of: |history| &history.batch_time,
    },
    Kind {
        id: "duration",
        title: "Duration against the time-out",
        unit: Unit::Seconds,
        sum: Sum::Separate,
        of: |history| &history.duration,
    },
    Kind {
        id: "concurrency",
        title: "Concurrent invocations",
        unit: Unit::Number,
        sum: Sum::Separate,
        of: |history| &history.concurrency,
    },
    Kind {
        id: "write-units",
        title: "Write units a second",
        unit: Unit::Number,
        sum: Sum::Separate,
        of: |history| &history.write_units,
    },
    Kind {
        id: "units-per-1000-records",
        title: "Write units for 1,000 records",
        unit: Unit::Number,
        sum: Sum::Separate,
        of: |history| &history.units_per_1000_records,
    },
    Kind {
        id: "throttles",
        title: "Throttles a second by cause",
        unit: Unit::Number,
        sum: Sum::Stacked,
        of: |history| &history.throttles,
    },
    Kind {
        id: "dead-letters",
        title: "Dead letters a minute by reason",
        unit: Unit::Number,
        sum: Sum::Stacked,
        of: |history| &history.dead_letters,
    },
];

/// A chart as the script reads it.
#[derive(Serialize)]
struct Drawn<'a> {
    id: &'static str,
    unit: Unit,
    stacked: bool,
    series: Vec<DrawnSeries<'a>>,
}

#[derive(Serialize)]
struct DrawnSeries<'a> {
    name: &'a str,
    limit: Option<f64>,
    values: Vec<Option<f64>>,
}

#[derive(Serialize)]
struct AllDrawn<'a> {
    times: &'a [u64],
    charts: Vec<Drawn<'a>>,
}

impl Chart {
    /// Whether its series are parts of a whole.
    pub(super) fn is_stacked(&self) -> bool {
        self.kind.sum == Sum::Stacked
    }

    /// Whether it counts what did not happen.
    pub(super) fn is_nothing(&self) -> bool {
        self.is_stacked() && self.series.iter().all(|series| series.highest().is_none_or(|highest| highest <= 0.0))
    }
}

impl Charts {
    /// The charts of a status.
    pub(crate) fn new(status: &Status) -> Self {
        let times = status.history.known().map(|history| history.times.clone()).unwrap_or_default();
        let charts = KINDS.iter().map(|kind| match &status.history {
            Part::Known(history) => chart(kind, (kind.of)(history)),
            Part::Unknown(unknown) => empty(kind, &unknown.reason),
        });
        Self { charts: charts.collect(), times }
    }

    /// Some of them, in this order.
    pub(super) fn of(&self, ids: &[&str]) -> Vec<&Chart> {
        ids.iter().filter_map(|id| self.charts.iter().find(|chart| chart.kind.id == *id)).collect()
    }

    /// What the script draws, as JSON that can stand in an element of HTML.
    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        let drawn = self.charts.iter().filter(|chart| chart.unknown.is_none()).map(|chart| Drawn {
            id: chart.kind.id,
            unit: chart.kind.unit,
            stacked: chart.is_stacked(),
            series: chart.series.iter().map(drawn).collect(),
        });
        let json = serde_json::to_string(&AllDrawn { times: &self.times, charts: drawn.collect() })?;
        // `<` is only in strings, where this means the same and can't end the element.
        Ok(json.replace('<', "\\u003c"))
    }
}

/// Four digits are more than a chart can show, and a tenth of the bytes.
fn drawn(series: &Series) -> DrawnSeries<'_> {
    let short = |value: f64| {
        let scale = 10f64.powi(3 - value.abs().max(1e-3).log10().floor() as i32);
        (value * scale).round() / scale
    };
    let values = series.values.iter().map(|value| value.filter(|value| value.is_finite()).map(short)).collect();
    DrawnSeries { name: &series.name, limit: series.limit, values }
}

fn empty(kind: &'static Kind, reason: &str) -> Chart {
    let unknown = Some(reason.to_owned());
    Chart { kind, legend: Vec::new(), has_limit: false, unknown, series: Vec::new() }
}

fn chart(kind: &'static Kind, graph: &Part<Graph>) -> Chart {
    let graph = match graph {
        Part::Known(graph) => graph,
        Part::Unknown(unknown) => return empty(kind, &unknown.reason),
    };
    let series = match kind.sum {
        _ if graph.series.len() <= MAX_SERIES => graph.series.clone(),
        Sum::Separate => worst(&graph.series),
        Sum::Stacked => largest(&graph.series),
    };
    let legend = series.iter().map(|series| entry(kind.unit, series)).collect();
    let has_limit = series.iter().any(|series| series.limit.is_some());
    Chart { kind, legend, has_limit, unknown: None, series }
}

fn entry(unit: Unit, series: &Series) -> Entry {
    let shown = |value: Option<f64>| match (value, unit) {
        (None, _) => format::UNKNOWN.to_owned(),
        (Some(value), Unit::Seconds) => format::duration(value),
        (Some(value), Unit::Bytes) => format::bytes(value),
        (Some(value), Unit::Number) => format::quantity(value),
    };
    Entry {
        name: series.name.clone(),
        latest: shown(series.latest()),
        highest: shown(series.highest()),
        limit: shown(series.limit),
    }
}

/// By their newest values, the highest first.
fn by_latest(series: &[Series]) -> Vec<&Series> {
    let mut order: Vec<&Series> = series.iter().collect();
    let latest = |series: &Series| series.latest().unwrap_or(f64::NEG_INFINITY);
    order.sort_by(|a, b| latest(b).total_cmp(&latest(a)).then_with(|| a.name.cmp(&b.name)));
    order
}

/// The highest of all, and the worst few.
fn worst(all: &[Series]) -> Vec<Series> {
    let name = format!("highest of {}", format::count(all.len() as u64));
    let highest = combined(name, all.iter(), f64::max);
    std::iter::once(highest).chain(by_latest(all).into_iter().take(MAX_SERIES - 1).cloned()).collect()
}

/// The largest few in the order that they have, and the sum of the others.
fn largest(all: &[Series]) -> Vec<Series> {
    let mut order: Vec<&Series> = all.iter().collect();
    let sum = |series: &Series| series.values.iter().flatten().sum::<f64>();
    order.sort_by(|a, b| sum(b).total_cmp(&sum(a)).then_with(|| a.name.cmp(&b.name)));
    let (large, small) = order.split_at(MAX_SERIES - 1);
    let is_large = |series: &&Series| large.iter().any(|other| other.name == series.name);
    let name = format!("{} others", format::count(small.len() as u64));
    let others = combined(name, small.iter().copied(), |a, b| a + b);
    all.iter().filter(is_large).cloned().chain(std::iter::once(others)).collect()
}

fn combined<'a>(name: String, all: impl Iterator<Item = &'a Series>, with: fn(f64, f64) -> f64) -> Series {
    let mut values: Vec<Option<f64>> = Vec::new();
    for series in all {
        values.resize(values.len().max(series.values.len()), None);
        for (sum, value) in values.iter_mut().zip(&series.values) {
            *sum = match (*sum, *value) {
                (Some(sum), Some(value)) => Some(with(sum, value)),
                (sum, value) => sum.or(value),
            };
        }
    }
    Series { name, limit: None, values }
}
