//! Records that expired before they were read.

/// Gaps that are shorter are not reported: there is always some time between two records.
const SHORTEST_GAP_MS: i64 = 60_000;

/// A stretch of time whose records expired before they were read, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kinesis::consumer) struct Gap {
    pub(in crate::kinesis::consumer) from_ms: i64,
    pub(in crate::kinesis::consumer) to_ms: i64,
}

impl Gap {
    pub(in crate::kinesis::consumer) fn hours(&self) -> f64 {
        (self.to_ms - self.from_ms) as f64 / 3_600_000.0
    }

    /// The gap before records that were just read.
    ///
    /// Everything that arrived before `read_until_ms` was read earlier. `retention_begin_ms` is the earliest arrival
    /// that has not expired, `first_ms` the arrival of the first record. The service deletes expired records when it
    /// likes: those that it still returned are not missing.
    pub(super) fn find(read_until_ms: Option<i64>, retention_begin_ms: i64, first_ms: Option<i64>) -> Option<Self> {
        let from_ms = read_until_ms?;
        let to_ms = first_ms.map_or(retention_begin_ms, |first| first.min(retention_begin_ms));
        (to_ms - from_ms >= SHORTEST_GAP_MS).then_some(Self { from_ms, to_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_expired_unread_are_a_gap() {
        const HOUR: i64 = 3_600_000;
        let retention_begin = 76 * HOUR;
        let gap = |read_until: Option<i64>, first: Option<i64>| {
            Gap::find(read_until, retention_begin, first).map(|gap| (gap.from_ms, gap.to_ms))
        };
        assert_eq!(gap(None, Some(80 * HOUR)), None, "a first start misses nothing");
        assert_eq!(gap(Some(77 * HOUR), Some(80 * HOUR)), None, "three hours without records");
        assert_eq!(gap(Some(70 * HOUR), Some(80 * HOUR)), Some((70 * HOUR, 76 * HOUR)));
        assert_eq!(gap(Some(70 * HOUR), None), Some((70 * HOUR, 76 * HOUR)));
        assert_eq!(gap(Some(70 * HOUR), Some(71 * HOUR)), Some((70 * HOUR, 71 * HOUR)), "not deleted yet");
        assert_eq!(gap(Some(70 * HOUR), Some(70 * HOUR + 500)), None, "the next record was still there");
        assert_eq!(Gap { from_ms: 0, to_ms: HOUR / 2 }.hours(), 0.5);
    }
}
