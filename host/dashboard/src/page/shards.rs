use std::cmp::Ordering;

use super::format;
use super::glance::{bar, level};
use crate::status::{Lag, Shard, Stream};

/// Up to this number, the table has all shards.
const IN_ONE_TABLE: usize = 12;
/// The number of the worst ones that are shown of more.
const WORST: usize = 8;
/// The width of a shard's bar in the strip, its gap included.
const BAR_WIDTH: usize = 5;
/// The height of the strip.
const STRIP_HEIGHT: f64 = 44.0;

/// The table of shards, the worst first.
pub(super) struct Shards<'a> {
    pub(super) stream: &'a Stream,
    /// All shards, or the worst of many.
    pub(super) shown: Vec<Row>,
    /// All of many, in the stream's order.
    pub(super) all: Vec<Row>,
    /// The ages of many.
    pub(super) strip: Option<Strip>,
    /// The shards by how they keep up: `198 keeping up, 1 slow, 1 stuck`.
    pub(super) summary: String,
    /// The records a second that a shard accepts.
    pub(super) records_limit: String,
    /// The bytes a second that a shard accepts.
    pub(super) bytes_limit: String,
}

/// A shard in the table.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) state: String,
    pub(super) lag: String,
    pub(super) lag_level: &'static str,
    pub(super) age: String,
    pub(super) loss: String,
    pub(super) records: Rate,
    pub(super) bytes: Rate,
}

/// A rate against its limit.
pub(super) struct Rate {
    pub(super) figure: String,
    pub(super) share: String,
    pub(super) bar: u64,
    pub(super) level: &'static str,
}

/// Bars of the ages, one for each shard in the stream's order, on a logarithmic scale.
pub(super) struct Strip {
    pub(super) width: usize,
    /// The bars of each level as one path.
    pub(super) paths: Vec<(&'static str, String)>,
    /// The highest age.
    pub(super) highest: String,
}

impl<'a> Shards<'a> {
    pub(super) fn new(stream: &'a Stream) -> Self {
        let mut order: Vec<&Shard> = stream.shards.iter().collect();
        order.sort_by(|a, b| worse_first(a, b));
        let is_many = order.len() > IN_ONE_TABLE;
        let shown = order.iter().take(if is_many { WORST } else { IN_ONE_TABLE });
        let all = if is_many { &stream.shards[..] } else { &[] };
        Self {
            shown: shown.map(|shard| row(stream, shard)).collect(),
            all: all.iter().map(|shard| row(stream, shard)).collect(),
            strip: is_many.then(|| strip(&stream.shards)),
            summary: summary(&stream.shards),
            records_limit: format::quantity(stream.records_limit),
            bytes_limit: format::bytes(stream.bytes_limit),
            stream,
        }
    }
}

fn worse_first(a: &Shard, b: &Shard) -> Ordering {
    let soon = |shard: &Shard| shard.loss_in_seconds.unwrap_or(f64::INFINITY);
    let old = |shard: &Shard| shard.age_seconds.unwrap_or(-1.0);
    let by_lag = b.lag.cmp(&a.lag);
    by_lag.then(soon(a).total_cmp(&soon(b))).then(old(b).total_cmp(&old(a))).then_with(|| a.id.cmp(&b.id))
}

fn lag_level(lag: Option<Lag>) -> &'static str {
    match lag {
        None => "unknown",
        Some(Lag::KeepingUp) => "sound",
        Some(Lag::CatchingUp | Lag::ReReading) => "notice",
        Some(Lag::Slow) => "warning",
        Some(Lag::Stuck | Lag::Dead) => "critical",
    }
}

fn row(stream: &Stream, shard: &Shard) -> Row {
    let unknown = || format::UNKNOWN.to_owned();
    Row {
        id: shard.id.clone(),
        state: shard.state.map_or_else(unknown, |state| state.to_string()),
        lag: shard.lag.map_or_else(unknown, |lag| lag.to_string()),
        lag_level: lag_level(shard.lag),
        age: shard.age_seconds.map_or_else(unknown, format::duration),
        loss: shard.loss_in_seconds.map_or_else(unknown, format::duration),
        records: rate(shard.records_per_second, stream.records_limit, format::quantity),
        bytes: rate(shard.bytes_per_second, stream.bytes_limit, format::bytes),
    }
}

fn rate(value: Option<f64>, limit: f64, shown: impl Fn(f64) -> String) -> Rate {
    let Some(value) = value else {
        return Rate { figure: format::UNKNOWN.to_owned(), share: String::new(), bar: 0, level: "" };
    };
    let share = value / limit;
    Rate { figure: shown(value), share: format::percent(share), bar: bar(share), level: level(share) }
}

fn summary(shards: &[Shard]) -> String {
    const LAGS: [Option<Lag>; 7] = [
        Some(Lag::Dead),
        Some(Lag::Stuck),
        Some(Lag::Slow),
        Some(Lag::ReReading),
        Some(Lag::CatchingUp),
        Some(Lag::KeepingUp),
        None,
    ];
    let parts = LAGS.into_iter().filter_map(|lag| {
        let number = shards.iter().filter(|shard| shard.lag == lag).count() as u64;
        let name = lag.map_or_else(|| "unknown".to_owned(), |lag| lag.to_string());
        (number > 0).then(|| format!("{} {name}", format::count(number)))
    });
    parts.collect::<Vec<_>>().join(", ")
}

fn strip(shards: &[Shard]) -> Strip {
    let highest = shards.iter().filter_map(|shard| shard.age_seconds).fold(0.0, f64::max);
    // A logarithm shows seconds beside hours.
    let scale = |age: f64| if highest > 0.0 { (1.0 + age).ln() / (1.0 + highest).ln() } else { 0.0 };
    let mut paths: Vec<(&'static str, String)> = Vec::new();
    for (at, shard) in shards.iter().enumerate() {
        let level = lag_level(shard.lag);
        let height = (scale(shard.age_seconds.unwrap_or(0.0)) * STRIP_HEIGHT).max(2.0);
        let bar = format!("M{} {STRIP_HEIGHT}v-{height:.0}h{}v{height:.0}z", at * BAR_WIDTH, BAR_WIDTH - 1);
        match paths.iter_mut().find(|(other, _)| *other == level) {
            Some((_, path)) => path.push_str(&bar),
            None => paths.push((level, bar)),
        }
    }
    // The order does not depend on which shard is first.
    paths.sort_unstable_by_key(|(level, _)| *level);
    Strip { width: shards.len() * BAR_WIDTH, paths, highest: format::duration(highest) }
}
