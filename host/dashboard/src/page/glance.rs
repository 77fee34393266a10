use super::format;
use crate::status::{Graph, History, Part, Series, Shard, ShardState, Status, Stream};

/// A figure at the top of the page.
pub(super) struct Tile {
    /// What it is.
    pub(super) label: &'static str,
    /// The figure.
    pub(super) figure: String,
    /// What it is measured against, or where it comes from.
    pub(super) note: String,
    /// The share of its limit in per cent, for a bar.
    pub(super) percent: Option<u64>,
    /// Whether it is close to its limit, or beyond.
    pub(super) level: &'static str,
}

/// The six figures.
pub(super) fn tiles(status: &Status) -> Vec<Tile> {
    let stream = status.stream.known();
    let history = status.history.known();
    vec![
        age(stream),
        loss(stream),
        rate("records a second", stream, |shard| shard.records_per_second, format::quantity),
        rate("bytes a second", stream, |shard| shard.bytes_per_second, format::bytes),
        write_units(history),
        dead_letters(status),
    ]
}

/// How close a share of a limit is to it.
pub(super) fn level(share: f64) -> &'static str {
    match share {
        share if share >= 1.0 => "critical",
        share if share >= 0.8 => "warning",
        _ => "",
    }
}

fn plain(label: &'static str, figure: String, note: String) -> Tile {
    Tile { label, figure, note, percent: None, level: "" }
}

fn unknown(label: &'static str) -> Tile {
    plain(label, format::UNKNOWN.to_owned(), "unknown".to_owned())
}

fn against(label: &'static str, figure: String, limit: String, share: f64) -> Tile {
    let note = format!("{} of {limit}", format::percent(share));
    Tile { label, figure, note, percent: Some(bar(share)), level: level(share) }
}

/// The length of a bar in per cent.
pub(super) fn bar(share: f64) -> u64 {
    if share.is_finite() { (share.clamp(0.0, 1.0) * 100.0).round() as u64 } else { 0 }
}

fn age(stream: Option<&Stream>) -> Tile {
    const LABEL: &str = "iterator age";
    let ages = stream.into_iter().flat_map(|stream| &stream.shards);
    let worst = ages.filter_map(|shard| Some((shard, shard.age_seconds?))).max_by(|(_, a), (_, b)| a.total_cmp(b));
    let Some(((shard, age), stream)) = worst.zip(stream) else { return unknown(LABEL) };
    let share = age / (f64::from(stream.retention_hours) * 3_600.0);
    let note = if age > 0.0 { format!("of {}", shard.id) } else { "everything is committed".to_owned() };
    // Half of the retention is where AWS recommends to act.
    let level = if share >= 0.5 { "critical" } else { "" };
    Tile { label: LABEL, figure: format::duration(age), note, percent: None, level }
}

fn loss(stream: Option<&Stream>) -> Tile {
    const LABEL: &str = "time to data loss";
    let Some(stream) = stream else { return unknown(LABEL) };
    let soonest = stream.shards.iter().filter_map(|shard: &Shard| Some((shard, shard.loss_in_seconds?)));
    let half_of_retention = f64::from(stream.retention_hours) * 1_800.0;
    match soonest.min_by(|(_, a), (_, b)| a.total_cmp(b)) {
        Some((shard, seconds)) => Tile {
            label: LABEL,
            figure: format::duration(seconds),
            note: format!("of {}", shard.id),
            percent: None,
            level: if seconds < half_of_retention { "critical" } else { "warning" },
        },
        None if stream.shards.iter().all(|shard| shard.age_seconds.is_none()) => unknown(LABEL),
        None => plain(LABEL, "none".to_owned(), "no age grows".to_owned()),
    }
}

fn rate(
    label: &'static str,
    stream: Option<&Stream>,
    of: impl Fn(&Shard) -> Option<f64>,
    shown: impl Fn(f64) -> String,
) -> Tile {
    let Some(stream) = stream else { return unknown(label) };
    let rates: Vec<f64> = stream.shards.iter().filter_map(of).collect();
    if rates.is_empty() {
        return unknown(label);
    }
    let limit_of_one = if label.starts_with("records") { stream.records_limit } else { stream.bytes_limit };
    // An ended shard is read, and accepts nothing.
    let open = stream.shards.iter().filter(|shard| shard.state != Some(ShardState::Done)).count();
    let (sum, limit) = (rates.iter().sum::<f64>(), limit_of_one * open as f64);
    against(label, shown(sum), shown(limit), sum / limit)
}

/// Those of the table or index that is closest to its limit; without limits, the sum.
fn write_units(history: Option<&History>) -> Tile {
    const LABEL: &str = "write units a second";
    let Some(Part::Known(Graph { series })) = history.map(|history| &history.write_units) else {
        return unknown(LABEL);
    };
    let share = |series: &Series| Some((series.latest()?, series.limit?));
    let limited = series.iter().filter_map(|series| Some((series, share(series)?)));
    if let Some((series, (units, limit))) = limited.max_by(|(_, a), (_, b)| (a.0 / a.1).total_cmp(&(b.0 / b.1))) {
        let tile = against(LABEL, format::quantity(units), format::quantity(limit), units / limit);
        let note = format!("{}, {}", tile.note, series.name);
        return Tile { note, ..tile };
    }
    let latest: Vec<f64> = series.iter().filter_map(Series::latest).collect();
    match latest.is_empty() {
        true => unknown(LABEL),
        false => plain(LABEL, format::quantity(latest.iter().sum()), "on demand".to_owned()),
    }
}

fn dead_letters(status: &Status) -> Tile {
    const LABEL: &str = "dead letters";
    let Some(letters) = status.dead_letters.known() else { return unknown(LABEL) };
    let more = if letters.more { "+" } else { "" };
    let note = match letters.by_reason.iter().max_by_key(|(_, count)| **count) {
        Some((reason, _)) if letters.by_reason.len() > 1 => format!("mostly {reason}"),
        Some((reason, _)) => reason.clone(),
        None => "every record went on".to_owned(),
    };
    plain(LABEL, format!("{}{more}", format::count(letters.total())), note)
}
