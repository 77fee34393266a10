//! Lambda's Kinesis events, in AWS's format and in other valid formats, and the responses to them.

mod styles;

use std::fmt::Write;

use paceline_aws::{base64, kpl};
use paceline_lambda::event::{Event, EventResponse, decode};
use paceline_pipeline::ErrorChain;
use paceline_pipeline::model::{RecordPosition, SequenceNumber};
use serde_json::Value;
use serde_json::value::RawValue;

/// A record: payload, partition key, sequence number, arrival time.
type Plain = (Vec<u8>, Option<String>, String, Option<i64>);

fn plain(event: &Event) -> Vec<Plain> {
    let batch = &event.batch;
    let records = batch.records.iter().map(|record| {
        assert_eq!((record.position.sub_sequence, record.cut_from), (0, None));
        let key = record.partition_key.map(|key| str::from_utf8(batch.slice(key)).unwrap().to_owned());
        let sequence = event.sequences.text(record.position.sequence).into_owned();
        (batch.slice(record.payload).to_vec(), key, sequence, record.arrival_ms)
    });
    records.collect()
}

fn record(payload: &str, key: Option<&str>, sequence: &str, arrival_ms: Option<i64>) -> Plain {
    (payload.into(), key.map(str::to_owned), sequence.to_owned(), arrival_ms)
}

/// The message for a text that is not an event.
fn error(event: &str) -> String {
    ErrorChain(&decode(event.as_bytes()).unwrap_err()).to_string()
}

/// An event of valid records; in the last one, the first occurrence of `replaced` is replaced.
fn event(records: usize, replaced: &str, by: &str) -> String {
    let valid = |number| {
        format!(
            r#"{{"kinesis":{{"partitionKey":"k","sequenceNumber":"{number}","data":"aGk=","approximateArrivalTimestamp":1.5}},"eventSource":"aws:kinesis","eventID":"shardId-000000000006:{number}","eventSourceARN":"arn:aws:kinesis:us-east-2:123456789012:stream/alleycat"}}"#
        )
    };
    let last = valid(records);
    assert!(last.contains(replaced), "{replaced}");
    let mut all: Vec<_> = (1..records).map(valid).collect();
    all.push(last.replacen(replaced, by, 1));
    format!(r#"{{"Records":[{}]}}"#, all.join(","))
}

/// The event with one more record, which is valid and after all others.
fn with_another(event_text: &str) -> String {
    let other = event(1, "", "").replace("\"1\"", "\"9\"").replace(":1\"", ":9\"");
    event_text.replace("]}", &format!(",{}", &other["{\"Records\":[".len()..]))
}

#[test]
fn the_sample_of_the_documentation_is_decoded() {
    let event = decode(include_bytes!("../fixtures/two-records.json")).unwrap();
    let first = "49590338271490256608559692538361571095921575989136588898";
    let second = "49590338271490256608559692540925702759324208523137515618";
    let expected = [
        record("Hello, this is a test.", Some("1"), first, Some(1_545_084_650_987)),
        record("This is only a test.", Some("1"), second, Some(1_545_084_711_166)),
    ];
    assert_eq!(plain(&event), expected);
    assert_eq!(&*event.batch.shard, "lambda-stream/shardId-000000000006");
    assert_eq!(event.batch.checkpoint, None, "Lambda keeps the checkpoint");
    assert!(event.window.is_none() && event.batch.undecodable.is_empty());
}

#[test]
fn a_window_has_its_state() {
    let event = decode(include_bytes!("../fixtures/window.json")).unwrap();
    assert_eq!(event.batch.records.len(), 1);
    let window = event.window.unwrap();
    assert_eq!((&*window.start, &*window.end), ("2020-12-09T07:04:00Z", "2020-12-09T07:06:00Z"));
    assert_eq!(serde_json::from_str::<Value>(window.state.get()).unwrap(), serde_json::json!({"1": 282}));
    assert!(!window.is_final && !window.terminated_early);
}

#[test]
fn the_last_event_of_a_window_has_no_records() {
    let event = decode(include_bytes!("../fixtures/window-final.json")).unwrap();
    assert!(event.batch.records.is_empty());
    assert_eq!(&*event.batch.shard, "alleycat/shardId-000000000000");
    let window = event.window.unwrap();
    assert_eq!(window.state.get(), r#"{"103": {"1": 164.16, "2": 98.0}, "104": {}}"#, "byte for byte");
    assert!(window.is_final && !window.terminated_early);
}

#[test]
fn a_new_window_has_an_empty_state() {
    let event = br#"{"window":{"start":"a","end":"b"},"isWindowTerminatedEarly":true,"Records":[]}"#;
    let window = decode(event).unwrap().window.unwrap();
    assert_eq!(window.state.get(), "{}");
    assert!(!window.is_final && window.terminated_early);
}

#[test]
fn no_records_are_an_empty_batch() {
    let event = decode(b" {\"Records\" : [ ] } \n").unwrap();
    assert!(event.batch.records.is_empty() && event.window.is_none());
    assert_eq!(&*event.batch.shard, "");
}

#[test]
fn keys_may_be_null_and_records_may_have_other_formats() {
    let event = decode(include_bytes!("../fixtures/other-ways-of-writing.json")).unwrap();
    let four = "00000000000000000000000000000000000000000000000000000004";
    let expected = [
        record("one", None, "1", Some(1_545_084_650_987)),
        record("two", None, "2", Some(1_545_084_651_000)),
        record("three", Some("a\"bé"), "3", Some(1_545_084_652_000)),
        record("", Some("Zoë"), four, None),
        record("five", None, "5", None),
    ];
    assert_eq!(plain(&event), expected);
    assert_eq!(&*event.batch.shard, "alleycat/shardId-000000000006", "one record has the ARN of a consumer");
    assert!(event.window.is_none() && event.batch.undecodable.is_empty());
}

#[test]
fn data_may_be_escaped_in_some_records_only() {
    for (data, payload) in [(r"aGk\/", b"hi?".as_slice()), (r"aGk\u003d", b"hi"), (r"\u0061Gk=", b"hi")] {
        for before in [0, 2] {
            let event = decode(with_another(&event(before + 1, "aGk=", data)).as_bytes()).unwrap();
            assert!(event.batch.undecodable.is_empty(), "{data}");
            let payloads: Vec<_> = (0..before + 2).map(|record| event.batch.payload(record)).collect();
            let expected: Vec<&[u8]> = (0..before + 2).map(|at| if at == before { payload } else { b"hi" }).collect();
            assert_eq!(payloads, expected);
        }
    }
}

#[test]
fn data_that_is_not_base64_does_not_stop_the_others() {
    for (data, why) in [
        ("a-k=", "the data is not base64: unexpected '-' at byte 1"),
        ("aGkü", "the data is not base64: unexpected 'ü' at byte 3"),
        ("aG=k", "the data is not base64: unexpected '=' at byte 2"),
        ("aGk", "the data is not base64: its length, 3, is not a multiple of four"),
        ("aGl=", "the data is not base64: the unused bits of its last digit are not zero"),
        ("====", "the data is not base64: unexpected '=' at byte 0"),
    ] {
        // In the first record, which is parsed, and in a later one, which is compared with the one before.
        for before in [0, 2] {
            let text = with_another(&event(before + 1, "aGk=", data));
            let event = decode(text.as_bytes()).unwrap();
            assert_eq!(event.batch.undecodable, [(before as u32, why.to_owned())], "{data}");
            let payloads: Vec<_> = (0..before + 2).map(|record| event.batch.payload(record)).collect();
            let expected: Vec<&[u8]> =
                (0..before + 2).map(|at| if at == before { data.as_bytes() } else { b"hi" }).collect();
            assert_eq!(payloads, expected);
            assert_eq!(event.batch.records[before].position.sequence, (before as u64 + 1).into());
        }
    }
}

#[test]
fn aggregates_are_unpacked() {
    let mut aggregator = kpl::Aggregator::default();
    for payload in [b"a", b"b"] {
        assert!(aggregator.add("k", None, payload).is_none());
    }
    let aggregate = base64::encode(&aggregator.finish().unwrap().data);
    let text = event(2, "aGk=", &aggregate).replacen("aGk=", "*", 1);
    let batch = decode(text.as_bytes()).unwrap().batch;
    let positions: Vec<_> = batch.records.iter().map(|record| record.position).collect();
    let expected = [(1_u64, 0), (2, 0), (2, 1)];
    let expected = expected.map(|(sequence, sub_sequence)| RecordPosition { sequence: sequence.into(), sub_sequence });
    assert_eq!(positions, expected);
    let payloads: Vec<_> = (0..3).map(|record| batch.payload(record)).collect();
    assert_eq!(payloads, [&b"*"[..], b"a", b"b"]);
    assert_eq!(batch.undecodable.len(), 1);
    assert_eq!(batch.undecodable[0].0, 0);
}

#[test]
fn text_that_is_not_json_is_rejected_with_the_byte() {
    let message = |what: &str, byte: usize| {
        format!(
            "the event is not JSON: {what} at byte {byte}; send it in the format of Lambda's event source mapping for \
             Kinesis"
        )
    };
    for (event, what, byte) in [
        ("", "unexpected end, expected `{`", 0),
        ("Records", "expected `{`", 0),
        ("{", "unexpected end, expected a key in quotes", 1),
        ("{Records:[]}", "expected a key in quotes", 1),
        (r#"{"Records" []}"#, "expected `:`", 11),
        (r#"{"Records":[,]}"#, "expected value", 12),
        (r#"{"Records":[] "window":null}"#, "expected `,` or `}`", 14),
        (r#"{"Records":[]}}"#, "expected the end after the event's `}`", 14),
        (r#"{"Records":[]"#, "unexpected end, expected `,` or `}`", 13),
        ("{\n  \"Records\": [\n    {\"kinesis\": nil}\n  ]\n}", "expected ident", 34),
        (r#"{"Records":[{"kinesis":{"data":"a"#, "EOF while parsing a string", 33),
    ] {
        assert_eq!(error(event), message(what, byte), "{event}");
    }
    let cut = event(3, "", "");
    for length in 0..cut.len() {
        assert!(error(&cut[..length]).starts_with("the event is not JSON: "), "{length}");
    }
    let position = cut.rfind("aGk=").unwrap();
    let mut not_utf8 = cut.into_bytes();
    not_utf8[position] = 0xff;
    let error = decode(&not_utf8).unwrap_err().to_string();
    assert!(error.starts_with("the event is not JSON: invalid unicode code point at byte "), "{error}");
}

#[test]
fn an_event_without_records_is_described() {
    let message = |found: &str| {
        format!(
            "the event has no `Records`: it is {found}. This function processes batches of a Kinesis stream: check that \
             an event source mapping for Kinesis invokes it"
        )
    };
    assert_eq!(error("{}"), message("an empty object"));
    assert_eq!(error(" [1]"), message("an array"));
    assert_eq!(error("\"hello\""), message("a string"));
    assert_eq!(error("-1"), message("a number"));
    assert_eq!(error("null\n"), message("null"));
    assert_eq!(error(r#"{"detail":{"Records":[]}}"#), message("an object with the key `detail`"));
    let firehose = r#"{"invocationId":"1","deliveryStreamArn":"arn","region":"us-east-1","records":[]}"#;
    let keys = "an object with the keys `invocationId`, `deliveryStreamArn`, `region`, `records`";
    assert_eq!(error(firehose), message(keys));
    let many = (0..12).fold(String::new(), |mut many, key| {
        write!(many, r#"{}"k{key}":0"#, if key == 0 { "" } else { "," }).unwrap();
        many
    });
    let keys = "an object with the keys `k0`, `k1`, `k2`, `k3`, `k4`, `k5`, `k6`, `k7`, `k8`, `k9` and 2 more";
    assert_eq!(error(&format!("{{{many}}}")), message(keys));
}

#[test]
fn records_of_other_services_are_named() {
    let message = |record: usize, service: &str| {
        format!(
            "Records[{record}].eventSource is {service}, not aws:kinesis. This function processes batches of a \
             Kinesis stream: check its event source mappings"
        )
    };
    let queue = r#"{"Records":[{"messageId":"19dd0b57","body":"hello","attributes":{},"eventSource":"aws:sqs"}]}"#;
    assert_eq!(error(queue), message(0, "aws:sqs"));
    let topic = r#"{"Records":[{"EventVersion":"1.0","EventSource":"aws:sns","Sns":{}}]}"#;
    assert_eq!(error(topic), message(0, "aws:sns"));
    assert_eq!(error(&event(3, "aws:kinesis\"", "aws:dynamodb\"")), message(2, "aws:dynamodb"));
}

/// The remarks on an event, which must be decoded.
fn remarks(event: &str) -> String {
    decode(event.as_bytes()).unwrap().remarks.to_string()
}

#[test]
fn a_record_needs_its_position_and_nothing_else() {
    let message = |record: usize, field: &str, why: &str| {
        format!("Records[{record}] has no `{field}`, which every record of a Kinesis event has: {why}")
    };
    for record in [0, 2] {
        let without = |field: &str| {
            let id = format!("\"eventID\":\"shardId-000000000006:{}\"", record + 1);
            event(record + 1, field, "\"other").replace(&id, "\"eventID\":\"7\"")
        };
        let stream_part = "it holds the stream's part of the record";
        assert_eq!(error(&without("\"kinesis")), message(record, "kinesis", stream_part));
        let position = "it is the record's position in the shard";
        assert_eq!(error(&without("\"sequenceNumber")), message(record, "kinesis.sequenceNumber", position));
    }
}

#[test]
fn a_position_that_is_missing_or_wrong_is_taken_from_the_id() {
    let of_id = "the one in `eventID` is taken";
    for (by, what) in [
        ("\"other\":\"2\"", "is missing"),
        ("\"sequenceNumber\":null", "is missing"),
        ("\"sequenceNumber\":\"two\"", "is not a sequence number"),
        ("\"sequenceNumber\":[2]", "is not a sequence number"),
    ] {
        let event = decode(event(2, "\"sequenceNumber\":\"2\"", by).as_bytes()).unwrap();
        assert_eq!(event.batch.records[1].position.sequence, 2.into(), "{by}");
        assert_eq!(event.remarks.to_string(), format!("Records[1].kinesis.sequenceNumber {what}: {of_id}"));
    }
    let number = decode(event(2, "\"sequenceNumber\":\"2\"", "\"sequenceNumber\":2").as_bytes()).unwrap();
    assert_eq!(number.batch.records[1].position.sequence, 2.into());
    assert_eq!(number.remarks.to_string(), "Records[1].kinesis.sequenceNumber is a number, not a text");
}

#[test]
fn data_that_is_no_text_is_undecodable_at_its_position_and_does_not_stop_the_others() {
    for (replaced, by, payload, why) in [
        ("\"aGk=\"", "null", "", "the record has no `kinesis.data`"),
        ("\"data\":\"aGk=\"", "\"other\":0", "", "the record has no `kinesis.data`"),
        ("\"aGk=\"", "{\"a\":1}", "{\"a\":1}", "`kinesis.data` is an object, not a text in base64"),
        ("\"aGk=\"", "17", "17", "`kinesis.data` is a number, not a text in base64"),
        ("\"kinesis\":{", "\"kinesis\":[],\"other\":{", "", "the record has no `kinesis`, which holds the data"),
    ] {
        for before in [0, 2] {
            let text = with_another(&event(before + 1, replaced, by));
            let event = decode(text.as_bytes()).unwrap();
            assert_eq!(event.batch.undecodable, [(before as u32, why.to_owned())], "{text}");
            assert_eq!(event.batch.payload(before), payload.as_bytes(), "{text}");
            assert_eq!(event.batch.records[before].position.sequence, (before as u64 + 1).into());
            assert_eq!(event.batch.payload(before + 1), b"hi");
        }
    }
}

#[test]
fn a_sequence_number_is_a_number() {
    for record in [0, 2] {
        let number = format!("\"{}\"", record + 1);
        let id = format!("000006:{}\"", record + 1);
        let long = "x".repeat(300);
        for (text, shown) in [("TRIM_HORIZON", "TRIM_HORIZON"), ("-1", "-1"), ("", ""), (&long, &long[..100])] {
            let expected = format!(
                "Records[{record}].kinesis.sequenceNumber: `{shown}` is not a sequence number: a decimal of at most \
                 192 bits"
            );
            let wrong = event(record + 1, &number, &format!("\"{text}\"")).replace(&id, "000006:of-a-kit\"");
            assert_eq!(error(&wrong), expected);
        }
    }
}

#[test]
fn an_event_has_records_of_one_shard() {
    let advice = "an event holds records of one shard; send the others in a separate event";
    assert_eq!(
        error(&event(3, "shardId-000000000006", "shardId-000000000007")),
        format!(
            "Records[2].eventID names shardId-000000000007, but the records before it are of shardId-000000000006: \
             {advice}"
        )
    );
    assert_eq!(
        error(&event(2, "stream/alleycat", "stream/other")),
        format!("Records[1].eventSourceARN names other, but the records before it are of alleycat: {advice}")
    );
    let window = event(1, "", "").replace("]}", r#"],"shardId":"shardId-000000000007"}"#);
    assert!(error(&window).starts_with("shardId names shardId-000000000007, but "));
}

#[test]
fn values_of_other_types_and_formats_are_named() {
    let message =
        |path: &str, byte: usize, what: &str| format!("{path} has the wrong type: {what}, at byte {byte} of the event");
    let list = message("Records", 11, "invalid type: map, expected a sequence");
    assert_eq!(error(r#"{"Records":{}}"#), list);
    assert_eq!(error(r#"{"Records":[["a"]]}"#), message("Records[0]", 12, "expected an object"));
    let last = message("isFinalInvokeForWindow", 44, "invalid type: string \"yes\", expected a boolean");
    assert_eq!(error(r#"{"Records":[],"isFinalInvokeForWindow":"yes"}"#), last);
}

#[test]
fn a_name_in_another_format_is_assumed_with_a_remark() {
    let shard = |event: &str| decode(event.as_bytes()).unwrap().batch.shard.to_string();
    let arn = "arn:aws:kinesis:us-east-2:123456789012:stream/alleycat";
    for (by, name) in [
        ("arn:aws:kinesis:EXAMPLE", "EXAMPLE"),
        ("arn:aws:kinesis:us-east-2:000000000000:alleycat", "alleycat"),
        ("arn:aws:kinesis:us-east-2:123456789012:table/alleycat", "alleycat"),
        ("alleycat", "alleycat"),
    ] {
        let event = event(1, arn, by);
        assert_eq!(shard(&event), format!("{name}/shardId-000000000006"));
        let expected = format!(
            "Records[0].eventSourceARN is `{by}`, not the ARN of a stream, \
             arn:aws:kinesis:REGION:ACCOUNT:stream/NAME: the name `{name}` is assumed"
        );
        assert_eq!(remarks(&event), expected);
    }
    for by in ["17", "{}", "[]", "true", "\"\"", "\"arn:aws:kinesis:us-east-2:123456789012:stream/\"", "\"\\ud800\""] {
        let event = event(1, &format!("\"{arn}\""), by);
        assert_eq!(shard(&event), "unknown-stream/shardId-000000000006", "{by}");
        assert!(remarks(&event).contains("the name `unknown-stream` is assumed"), "{by}");
    }
    for (replaced, by) in [("\"eventSourceARN\"", "\"other\""), (&format!("\"{arn}\""), "null")] {
        let event = event(1, replaced, by);
        assert_eq!(shard(&event), "unknown-stream/shardId-000000000006", "{by}");
        assert_eq!(remarks(&event), "no `eventSourceARN` names the stream: `unknown-stream` is assumed");
    }
    for by in ["\"1\"", "\":1\"", "\"\"", "17", "null", "{\"of\":[1]}"] {
        let event = event(1, "\"shardId-000000000006:1\"", by);
        assert_eq!(shard(&event), "alleycat/unknown-shard", "{by}");
        assert!(remarks(&event).contains("no `eventID` names the shard"), "{by}");
        // Another record names it.
        let two = event.replace("]}", &format!(",{}", &self::event(1, "", "")["{\"Records\":[".len()..]));
        assert_eq!(shard(&two), "alleycat/shardId-000000000006", "{by}");
    }
}

#[test]
fn a_remark_is_made_once_and_counts_the_others() {
    let events = event(3, "", "").replace("1.5", "\"1.5\"");
    let expected = "Records[0].kinesis.approximateArrivalTimestamp is `\"1.5\"`, not a number of seconds since 1970: the \
                    time is unknown (the same in 2 more)";
    assert_eq!(remarks(&events), expected);
    assert_eq!(remarks(&event(3, "", "")), "");
}

#[test]
fn what_evaluation_does_not_need_never_fails_an_event() {
    let arrival = |by: &str| decode(event(2, "1.5", by).as_bytes()).unwrap().batch.records[1].arrival_ms;
    assert_eq!(arrival("1620566844017"), Some(1_620_566_844_017));
    for by in ["\"1.5\"", "\"yesterday\"", "null", "true", "[]", "{}", "-1.5", "1e999"] {
        assert_eq!(arrival(by), None, "{by}");
    }
    let key = |by: &str| plain(&decode(event(2, "\"k\"", by).as_bytes()).unwrap())[1].1.clone();
    assert_eq!(key("17"), Some("17".to_owned()));
    for by in ["null", "[1]", "{\"a\":1}", "false", "\"\\udc00\""] {
        assert_eq!(key(by), None, "{by}");
    }
    let half = "Records[1].kinesis.partitionKey has half of a character (an unpaired surrogate): the record has none";
    assert_eq!(remarks(&event(2, "\"k\"", r#""\ud83e""#)), half);
    for by in ["17", "null", "[\"aws:sqs\"]"] {
        assert_eq!(decode(event(2, "\"aws:kinesis\"", by).as_bytes()).unwrap().batch.records.len(), 2, "{by}");
    }
    let window = |window: &str| {
        let event = format!(r#"{{"Records":[],"window":{window},"state":{{}},"shardId":7}}"#);
        let event = decode(event.as_bytes()).unwrap();
        assert_eq!(&*event.batch.shard, "unknown-stream/unknown-shard");
        event.window.map(|window| (window.start, window.end)).unwrap()
    };
    assert_eq!(window(r#"{"start":"a"}"#), ("a".to_owned(), String::new()));
    for odd in [r#"{"start":1,"end":[]}"#, "{}", "true", "[1]"] {
        assert_eq!(window(odd), <(String, String)>::default(), "{odd}");
    }
}

#[test]
fn responses_have_the_format_of_lambda() {
    let encoded = |response: &EventResponse| serde_json::to_string(response).unwrap();
    assert_eq!(encoded(&EventResponse::default()), r#"{"batchItemFailures":[]}"#);

    let text = "00000000000000000000000000000000000000000000000000000004";
    let event = decode(include_bytes!("../fixtures/other-ways-of-writing.json")).unwrap();
    let failure = |number: u64| event.sequences.failure(SequenceNumber::from(number));
    let mut response = EventResponse { state: None, batch_item_failures: vec![failure(4)] };
    assert_eq!(encoded(&response), format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"{text}"}}]}}"#));

    response.batch_item_failures = vec![failure(3)];
    response.state = Some(RawValue::from_string(r#"{"103": {"1": 164.16}}"#.to_owned()).unwrap());
    let expected = r#"{"state":{"103": {"1": 164.16}},"batchItemFailures":[{"itemIdentifier":"3"}]}"#;
    assert_eq!(encoded(&response), expected);
}
