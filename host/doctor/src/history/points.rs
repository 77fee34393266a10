//! Points in the document. Those of a regular series are values from a time on; others are pairs.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Point, Timestamp};

/// Points as they are written.
#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Written<'a> {
    Run(Run),
    Pairs(Cow<'a, [Point]>),
}

/// Values at equal distances; nothing where there is no point.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Run {
    from: Timestamp,
    every_ms: u64,
    values: Vec<Option<f64>>,
}

pub(super) fn serialize<S: Serializer>(points: &[Point], serializer: S) -> Result<S::Ok, S::Error> {
    match run(points) {
        Some(run) => Written::Run(run).serialize(serializer),
        None => Written::Pairs(Cow::Borrowed(points)).serialize(serializer),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Point>, D::Error> {
    Ok(match Written::deserialize(deserializer)? {
        Written::Pairs(points) => points.into_owned(),
        Written::Run(Run { from, every_ms, values }) => {
            let time = |index: usize| Timestamp(from.0.saturating_add(every_ms.saturating_mul(index as u64)));
            let values = values.into_iter().enumerate();
            values.filter_map(|(index, value)| Some(Point(time(index), value?))).collect()
        }
    })
}

/// The points as a run, if most of its places have one.
fn run(points: &[Point]) -> Option<Run> {
    let Point(from, _) = *points.first()?;
    let gaps = points.windows(2).map(|pair| pair[1].0.0.checked_sub(pair[0].0.0).filter(|gap| *gap > 0));
    let gaps: Vec<u64> = gaps.collect::<Option<_>>()?;
    let every_ms = *gaps.iter().min()?;
    let places = gaps.iter().sum::<u64>() / every_ms + 1;
    if gaps.iter().any(|gap| gap % every_ms != 0) || places > 2 * points.len() as u64 {
        return None;
    }
    let mut values = vec![None; usize::try_from(places).ok()?];
    for Point(at, value) in points {
        *values.get_mut(usize::try_from((at.0 - from.0) / every_ms).ok()?)? = Some(*value);
    }
    Some(Run { from, every_ms, values })
}
