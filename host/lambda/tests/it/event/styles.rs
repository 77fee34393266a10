//! Events in every style that leaves their JSON value unchanged, and corrupted ones, against serde_json.

use paceline_lambda::event::decode;
use paceline_pipeline::model::SequenceNumber;
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{Plain, plain};

/// The variations of an event's text that leave its JSON value unchanged.
#[derive(Clone, Debug)]
struct Style {
    spaces: bool,
    id_first: bool,
    escaped: bool,
    exponent: bool,
    more: bool,
}

fn style() -> impl Strategy<Value = Style> {
    any::<[bool; 5]>().prop_map(|[spaces, id_first, escaped, exponent, more]| Style {
        spaces,
        id_first,
        escaped,
        exponent,
        more,
    })
}

/// A record, and its own style if it differs from the event's.
fn styled_record() -> impl Strategy<Value = (Plain, Option<Style>)> {
    let payload = prop::collection::vec(any::<u8>(), 0..80);
    let sequence = "0|[1-9][0-9]{0,55}|0{1,3}[0-9]{50}";
    let record = (payload, prop::option::of(any::<String>()), sequence, prop::option::of(0..4_102_444_800_000_i64));
    (record, prop::option::weighted(0.2, style()))
}

/// Encodes a record.
fn encode(record: &Plain, style: &Style) -> String {
    let (payload, key, sequence, arrival_ms) = record;
    let colon = if style.spaces { " :\n\t" } else { ":" };
    let text = |text: &str| match style.escaped {
        true => format!("\"{}\"", text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect::<String>()),
        false => serde_json::to_string(text).unwrap(),
    };
    let mut kinesis = vec![
        ("partitionKey", key.as_deref().map_or_else(|| "null".to_owned(), text)),
        ("sequenceNumber", text(sequence)),
        ("data", text(&base64_simd::STANDARD.encode_to_string(payload))),
    ];
    if let Some(ms) = arrival_ms {
        let seconds = format!("{}.{:03}", ms / 1_000, ms % 1_000);
        let seconds = if style.exponent { format!("{:E}", *ms as f64 / 1_000.0) } else { seconds };
        kinesis.push(("approximateArrivalTimestamp", seconds));
    }
    let object = |members: &[(&str, String)]| {
        let members = members.iter().map(|(key, value)| format!("\"{key}\"{colon}{value}"));
        format!("{{{}}}", members.collect::<Vec<_>>().join(if style.spaces { " , " } else { "," }))
    };
    let mut members = vec![
        ("kinesis", object(&kinesis)),
        ("eventSource", text("aws:kinesis")),
        ("eventID", text(&format!("shardId-000000000006:{sequence}"))),
        ("eventSourceARN", text("arn:aws:kinesis:us-east-2:123456789012:stream/alleycat")),
    ];
    if style.more {
        members.push(("more", r#"{"data":["}",null,{"kinesis":{}}]}"#.to_owned()));
    }
    if style.id_first {
        members.swap(0, 2);
    }
    object(&members)
}

proptest! {
    #[test]
    fn records_round_trip_in_any_style(mut records in prop::collection::vec(styled_record(), 0..20), common in style()) {
        // Sequence numbers are unique in Kinesis.
        let mut seen = std::collections::HashSet::new();
        records.retain(|((_, _, sequence, _), _)| seen.insert(sequence.parse::<SequenceNumber>().unwrap()));
        let texts: Vec<_> = records.iter().map(|(it, own)| encode(it, own.as_ref().unwrap_or(&common))).collect();
        let event = decode(format!(r#"{{"Records":[{}]}}"#, texts.join(",")).as_bytes()).unwrap();
        let mut expected: Vec<_> = records.into_iter().map(|(record, _)| record).collect();
        expected.sort_by_key(|(_, _, sequence, _)| sequence.parse::<SequenceNumber>().unwrap());
        prop_assert_eq!(plain(&event), expected);
        prop_assert!(event.batch.undecodable.is_empty());
    }

    #[test]
    fn a_corrupted_event_is_decoded_as_serde_json_decodes_it(
        mut records in prop::collection::vec(styled_record(), 1..5),
        common in style(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        records.sort_by_key(|((_, _, sequence, _), _)| sequence.parse::<SequenceNumber>().unwrap());
        let texts: Vec<_> = records.iter().map(|(it, own)| encode(it, own.as_ref().unwrap_or(&common))).collect();
        let mut event = format!(r#"{{"Records":[{}]}}"#, texts.join(",")).into_bytes();
        for (at, byte) in changes {
            let at = at.index(event.len());
            event[at] = byte;
        }
        if let Ok(found) = decode(&event) {
            // Strings that are not used are not checked: they need not be UTF-8.
            let text = String::from_utf8_lossy(&event);
            let syntax = serde_json::from_str::<IgnoredAny>(&text);
            prop_assert!(syntax.is_ok(), "{:?}", syntax);
            let value = match serde_json::from_str::<Value>(&text) {
                Ok(value) => value,
                // Half of a character, in a partition key (the record has none then) or in a string that is not used.
                Err(error) => {
                    let known = ["surrogate", "unexpected end of hex escape"];
                    prop_assert!(known.iter().any(|known| error.to_string().contains(known)), "{}", error);
                    return Err(TestCaseError::reject("a string has half of a character"));
                }
            };
            // What is assumed in place of another value is no concern of serde_json.
            let is_text = |record: &Value| record["kinesis"]["data"].is_string();
            let all_texts = value["Records"].as_array().unwrap().iter().all(is_text);
            prop_assume!(found.remarks.is_empty() && all_texts);
            let position = |(payload, key, sequence, arrival_ms): Plain| {
                (payload, key, sequence.parse::<SequenceNumber>().unwrap(), arrival_ms)
            };
            let found: Vec<_> = plain(&found).into_iter().map(position).collect();
            let expected: Vec<_> = by_serde_json(&value).into_iter().map(position).collect();
            prop_assert_eq!(found, expected);
        }
    }
}

/// The records of an event that serde_json has parsed as a whole.
fn by_serde_json(event: &Value) -> Vec<Plain> {
    let records = event["Records"].as_array().unwrap().iter().map(|record| {
        let kinesis = &record["kinesis"];
        let text = |key: &str| kinesis[key].as_str().map(str::to_owned);
        let data = text("data").unwrap();
        let payload = base64_simd::STANDARD.decode_to_vec(&data).unwrap_or(data.into_bytes());
        let seconds = kinesis["approximateArrivalTimestamp"].as_f64();
        let arrival_ms = seconds.map(|seconds| (seconds * 1_000.0).round() as i64);
        (payload, text("partitionKey"), text("sequenceNumber").unwrap(), arrival_ms)
    });
    records.collect()
}
