//! A Lambda event of 10,000 Alleycat messages, from bytes to a finished batch, against `aws_lambda_events`, the crate that
//! Lambda functions in Rust use.

use std::fmt::Write;
use std::hint::black_box;

use aws_lambda_events::encodings::Base64Data;
use aws_lambda_events::event::kinesis::KinesisEvent;
use paceline_lambda::event;

use crate::timing::in_turns;
use crate::{Results, print_line, simulated};

/// Records in the event: the maximum that Lambda sends.
const RECORDS: usize = 10_000;

/// The arrival of the first record. Each later one arrives a millisecond after the one before.
const ARRIVAL_MS: i64 = 1_620_992_101_000;

pub(crate) fn run(results: &mut Results) {
    let lines = simulated(1_000, 300);
    let event = lambda_event(&lines[lines.len() - RECORDS..]);
    print_line(&format!(
        "\na Lambda event of {RECORDS} records, {:.1} MB, to a finished batch",
        event.len() as f64 / 1e6
    ));
    let event = event.as_bytes();
    compare(&public(event), &event::decode(event).expect("the event is valid"));
    let [public_crate, control, paceline] = in_turns([
        &mut || drop(black_box(public(black_box(event)))),
        &mut || drop(black_box(public(black_box(event)))),
        &mut || drop(black_box(event::decode(black_box(event)))),
    ]);
    results.add("lambda_event_public_ns_per_record", public_crate / RECORDS as f64, "ns", "");
    results.add("lambda_event_public_control", control / public_crate, "A/A", "");
    results.add("lambda_event_ns_per_record", paceline / RECORDS as f64, "ns", "");
    results.add("lambda_event_over_public_crate", paceline / public_crate, "paceline/public", "at most 0.4");
}

fn public(event: &[u8]) -> KinesisEvent {
    serde_json::from_slice(event).expect("the event is valid")
}

/// Checks that both decode the same records.
fn compare(theirs: &KinesisEvent, ours: &event::Event) {
    let batch = &ours.batch;
    assert_eq!((theirs.records.len(), batch.records.len()), (RECORDS, RECORDS));
    for (at, (theirs, ours)) in theirs.records.iter().zip(&batch.records).enumerate() {
        let theirs = &theirs.kinesis;
        assert_eq!(batch.payload(at), &theirs.data[..]);
        assert_eq!(ours.partition_key.map(|key| batch.slice(key)), Some(theirs.partition_key.as_bytes()));
        assert_eq!(ours.position.sequence.to_string(), theirs.sequence_number);
        // Not compared with theirs: they drop trailing zeros of the fraction and read `.01` as one millisecond.
        assert_eq!(ours.arrival_ms, Some(ARRIVAL_MS + at as i64));
    }
}

/// An event as Lambda's event source mapping sends it: with random partition keys, as Alleycat's bikes choose them, and
/// ascending sequence numbers.
pub(crate) fn lambda_event(lines: &[Vec<u8>]) -> String {
    let mut event = r#"{"Records":["#.to_owned();
    let mut data = Base64Data::default();
    for (at, line) in lines.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        // Weyl's sequence instead of random numbers, for the same keys in every run.
        let key = (at as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let sequence = 49_590_338_271_490_256_608_559_692_538_361_571_095_u128 + at as u128 / 7;
        let sequence = format!("{sequence}{:018}", 921_575_989_136_588_898 + at as u64 * 60_013);
        data.0.clone_from(line);
        let data = serde_json::to_string(&data).expect("a text can be encoded");
        let arrival_ms = ARRIVAL_MS + at as i64;
        let (seconds, milliseconds) = (arrival_ms / 1_000, arrival_ms % 1_000);
        write!(
            event,
            r#"{comma}{{"kinesis":{{"kinesisSchemaVersion":"1.0","partitionKey":"{key:032x}","sequenceNumber":"{sequence}","data":{data},"approximateArrivalTimestamp":{seconds}.{milliseconds:03}}},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"shardId-000000000006:{sequence}","eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::123456789012:role/alleycat","awsRegion":"us-east-2","eventSourceARN":"arn:aws:kinesis:us-east-2:123456789012:stream/alleycat"}}"#
        )
        .expect("a String can be written");
    }
    event + "]}"
}
