//! How readers lag, in lines.

use super::ReaderLag;
use crate::lag::LagState;
use crate::words::{counted, duration};

/// Shards of a reader that have a line each. Of more, those that are late have one, the oldest first, as many as these.
const SHARDS: usize = 10;

/// A line for each reader and shard, unless there are many.
pub(super) fn lines(readers: &[ReaderLag]) -> Vec<String> {
    let same_reader = readers.chunk_by(|a, b| a.reader == b.reader && a.shard.is_some() && b.shard.is_some());
    same_reader
        .flat_map(|shards| if shards.len() > SHARDS { of_many(shards) } else { shards.iter().map(line).collect() })
        .collect()
}

fn line(it: &ReaderLag) -> String {
    let reader = match &it.shard {
        Some(shard) => format!("{}, {shard}", it.reader),
        None => it.reader.clone(),
    };
    let mut words = format!("{reader}: {}, {} behind", state(it.lag.state), duration(it.lag.age_seconds));
    if let Some(left) = it.lag.seconds_to_loss {
        words.push_str(&format!(", loses records in {}", duration(left)));
    }
    if let Some(left) = it.lag.seconds_to_catch_up {
        words.push_str(&format!(", caught up in {}", duration(left)));
    }
    words
}

/// The oldest late shards, and how many others there are.
fn of_many(shards: &[ReaderLag]) -> Vec<String> {
    let (caught_up, mut late): (Vec<&ReaderLag>, Vec<&ReaderLag>) =
        shards.iter().partition(|it| it.lag.state == LagState::CaughtUp);
    late.sort_by(|a, b| b.lag.age_seconds.total_cmp(&a.lag.age_seconds));
    let mut lines: Vec<String> = late.iter().take(SHARDS).map(|it| line(it)).collect();
    let together = |shards: &[&ReaderLag], how: &str| {
        let oldest = shards.iter().map(|it| it.lag.age_seconds).fold(0.0, f64::max);
        let reader = shards.first().map(|it| it.reader.as_str())?;
        Some(format!("{reader}: {} {how}, {} behind at most", counted(shards.len(), "shard"), duration(oldest)))
    };
    lines.extend(together(late.get(SHARDS..).unwrap_or_default(), "more late"));
    lines.extend(together(&caught_up, "caught up"));
    lines
}

fn state(state: LagState) -> &'static str {
    match state {
        LagState::CaughtUp => "caught up",
        LagState::Unknown => "course unknown",
        LagState::CatchingUp => "catching up",
        LagState::ReReading => "re-reading",
        LagState::Slow => "slow",
        LagState::Stuck => "stuck",
        LagState::Dead => "dead",
    }
}
