//! The JSON that a function is invoked with.

use std::io::Write;

use serde_json::Value;

use crate::lambda::{ACCOUNT, REGION};
use crate::stream::StreamRecord;

/// The fields of an event that a tumbling window adds.
pub(super) struct Window<'a> {
    /// Seconds since 1970.
    pub(super) start: i64,
    /// Seconds since 1970.
    pub(super) end: i64,
    /// The state of the last response.
    pub(super) state: &'a Value,
    pub(super) is_final: bool,
    pub(super) terminated_early: bool,
}

/// The shard of the records.
pub(super) struct ShardRef<'a> {
    pub(super) id: &'a str,
    /// The stream's ARN.
    pub(super) arn: &'a str,
}

/// An event with the first of these records, as many as fit into `limit` bytes; the number of those records.
pub(super) fn write(
    shard: &ShardRef<'_>,
    records: &[&StreamRecord],
    window: Option<&Window<'_>>,
    limit: usize,
) -> (Vec<u8>, usize) {
    let tail = tail(shard, window);
    // It is the same for all records, of which a batch has up to 10,000.
    let common = format!(
        concat!(
            r#"","eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::{}:role/paceline","#,
            r#""awsRegion":"{}","eventSourceARN":"{}"}}"#
        ),
        ACCOUNT, REGION, shard.arn
    );
    let mut event = br#"{"Records":["#.to_vec();
    let mut written = 0;
    for record in records {
        let before = event.len();
        if written > 0 {
            event.push(b',');
        }
        event.extend_from_slice(br#"{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"#);
        json(&mut event, &record.partition_key);
        event.extend_from_slice(br#","sequenceNumber":""#);
        event.extend_from_slice(record.sequence.as_bytes());
        event.extend_from_slice(br#"","data":""#);
        base64_simd::STANDARD.encode_append(&record.data, &mut event);
        event.extend_from_slice(br#"","approximateArrivalTimestamp":"#);
        json(&mut event, &(record.arrival_ms as f64 / 1_000.0));
        event.extend_from_slice(br#"},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":""#);
        event.extend_from_slice(shard.id.as_bytes());
        event.push(b':');
        event.extend_from_slice(record.sequence.as_bytes());
        event.extend_from_slice(common.as_bytes());
        if event.len() + tail.len() > limit {
            event.truncate(before);
            break;
        }
        written += 1;
    }
    event.extend_from_slice(&tail);
    (event, written)
}

fn tail(shard: &ShardRef<'_>, window: Option<&Window<'_>>) -> Vec<u8> {
    let mut tail = b"]".to_vec();
    if let Some(Window { start, end, state, is_final, terminated_early }) = window {
        let (start, end) = (rfc3339(*start), rfc3339(*end));
        write!(tail, r#","window":{{"start":"{start}","end":"{end}"}},"state":"#).expect("a write to memory");
        json(&mut tail, state);
        write!(
            tail,
            concat!(
                r#","shardId":"{}","eventSourceARN":"{}","#,
                r#""isFinalInvokeForWindow":{},"isWindowTerminatedEarly":{}"#
            ),
            shard.id, shard.arn, is_final, terminated_early
        )
        .expect("a write to memory");
    }
    tail.push(b'}');
    tail
}

fn json(event: &mut Vec<u8>, value: &impl serde::Serialize) {
    serde_json::to_writer(event, value).expect("JSON in memory");
}

/// `2021-05-05T18:51:00Z`, from seconds since 1970.
fn rfc3339(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // A year begins in March, so that the leap day is its last; an era of 400 years has 146,097 days.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::*;

    const SHARD: ShardRef<'_> =
        ShardRef { id: "shardId-000000000006", arn: "arn:aws:kinesis:us-east-1:123456789012:stream/race" };

    fn record(data: &str) -> StreamRecord {
        StreamRecord {
            sequence: "49590338271490256608559692538361571095921575989136588898".to_owned(),
            partition_key: "a \"key\"".to_owned(),
            data: data.into(),
            arrival_ms: 1_545_084_650_987,
        }
    }

    #[test]
    fn an_event_is_as_aws_documents_it() {
        let record = record("Hello, this is a test.");
        let state = json!({"1": 282});
        let (start, end) = (1_620_240_660, 1_620_240_675);
        let window = Window { start, end, state: &state, is_final: false, terminated_early: true };
        let (event, written) = write(&SHARD, &[&record], Some(&window), 6 << 20);
        assert_eq!(written, 1);
        let event: Value = serde_json::from_slice(&event).unwrap();
        let expected = json!({
            "Records": [{
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": "a \"key\"",
                    "sequenceNumber": "49590338271490256608559692538361571095921575989136588898",
                    "data": "SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==",
                    "approximateArrivalTimestamp": 1545084650.987,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": "shardId-000000000006:49590338271490256608559692538361571095921575989136588898",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws:iam::123456789012:role/paceline",
                "awsRegion": "us-east-1",
                "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/race",
            }],
            "window": {"start": "2021-05-05T18:51:00Z", "end": "2021-05-05T18:51:15Z"},
            "state": {"1": 282},
            "shardId": "shardId-000000000006",
            "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/race",
            "isFinalInvokeForWindow": false,
            "isWindowTerminatedEarly": true,
        });
        assert_eq!(event, expected);
    }

    #[test]
    fn dates_are_right_around_leap_days() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }

    #[test]
    fn ten_thousand_records_are_written_quickly() {
        let record = record(&"x".repeat(100));
        let records = vec![&record; 10_000];
        let quickest = (0..5).map(|_| {
            let start = Instant::now();
            let (event, written) = write(&SHARD, &records, None, 16 << 20);
            assert_eq!(written, 10_000);
            drop(event);
            start.elapsed()
        });
        // The target is 50 ms; other programs share the machine.
        assert!(quickest.min().unwrap() < Duration::from_millis(100));
    }
}
