//! What of an event's records the measures need: when they arrived, and which shard's window they end.

use memchr::memmem;

const ARRIVAL: &[u8] = br#""approximateArrivalTimestamp":"#;
const FINAL: &[u8] = br#""isFinalInvokeForWindow":true"#;
const WINDOW: &[u8] = br#","window":{"#;
const SHARD: &[u8] = br#""shardId":""#;

/// The records of an event.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct EventRecords {
    /// Milliseconds since 1970, in the order of the records.
    pub(crate) arrivals_ms: Vec<i64>,
    /// The shard, of an event of a tumbling window.
    pub(crate) window_of: Option<String>,
    /// Whether it ends its window.
    pub(crate) is_final: bool,
}

/// Reads them from an event as the test bed writes it. Payloads are Base64, so that no text in them is taken for more.
pub(crate) fn of(event: &[u8]) -> EventRecords {
    let arrivals_ms =
        memmem::find_iter(event, ARRIVAL).filter_map(|at| arrival(&event[at + ARRIVAL.len()..])).collect();
    let tail = memmem::rfind(event, WINDOW).map(|at| &event[at..]);
    let window_of = tail.and_then(|tail| {
        let from = memmem::rfind(tail, SHARD)? + SHARD.len();
        let length = memchr::memchr(b'"', &tail[from..])?;
        Some(String::from_utf8_lossy(&tail[from..from + length]).into_owned())
    });
    EventRecords { arrivals_ms, window_of, is_final: tail.is_some_and(|tail| memmem::find(tail, FINAL).is_some()) }
}

/// How many records come before the one with this sequence number.
pub(crate) fn records_before(event: &[u8], sequence: &str) -> usize {
    let number = format!(r#""sequenceNumber":"{sequence}""#);
    let at = memmem::find(event, number.as_bytes()).unwrap_or(0);
    memmem::find_iter(&event[..at], ARRIVAL).count()
}

/// Seconds, as JSON has them, in milliseconds.
fn arrival(text: &[u8]) -> Option<i64> {
    let end = text.iter().position(|byte| *byte == b'}' || *byte == b',')?;
    let seconds: f64 = std::str::from_utf8(&text[..end]).ok()?.parse().ok()?;
    Some((seconds * 1e3).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_window_are_found() {
        let record = |sequence: u32, seconds: &str| {
            format!(
                r#"{{"kinesis":{{"partitionKey":"a","sequenceNumber":"{sequence}","data":"","approximateArrivalTimestamp":{seconds}}},"eventSource":"aws:kinesis"}}"#
            )
        };
        let records = [record(1, "1545084650.987"), record(2, "1545084651.0")].join(",");
        let plain = format!(r#"{{"Records":[{records}]}}"#);
        let found = of(plain.as_bytes());
        let arrivals_ms = vec![1_545_084_650_987, 1_545_084_651_000];
        assert_eq!(found, EventRecords { arrivals_ms: arrivals_ms.clone(), window_of: None, is_final: false });
        assert_eq!([records_before(plain.as_bytes(), "1"), records_before(plain.as_bytes(), "2")], [0, 1]);
        let window = format!(
            r#"{{"Records":[{records}],"window":{{"start":"","end":""}},"state":{{}},"shardId":"shardId-000000000001","eventSourceARN":"","isFinalInvokeForWindow":true,"isWindowTerminatedEarly":false}}"#
        );
        let window_of = Some("shardId-000000000001".to_owned());
        assert_eq!(of(window.as_bytes()), EventRecords { arrivals_ms, window_of, is_final: true });
    }
}
