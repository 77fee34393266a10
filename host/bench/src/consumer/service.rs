//! A fake of Kinesis whose responses are prepared before the benchmark, so that it takes little processor time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use serde_json::{Value, json};

/// A stream. It runs until the process exits.
pub(crate) struct Service {
    pub(crate) endpoint: String,
}

/// The responses with records, by shard.
struct Responses {
    /// The bodies of the responses to `GetRecords`.
    polled: Vec<Vec<Vec<u8>>>,
    /// All events of a subscription.
    pushed: Vec<Vec<u8>>,
}

impl Service {
    pub(crate) fn start(shards: &[Vec<&[u8]>], records_per_call: usize) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("127.0.0.1 has a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        let responses = Arc::new(Responses::new(shards, records_per_call));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let responses = Arc::clone(&responses);
                // The thread ends when the consumer closes the connection.
                std::thread::spawn(move || responses.serve(&stream));
            }
        });
        Self { endpoint }
    }
}

impl Responses {
    fn new(shards: &[Vec<&[u8]>], records_per_call: usize) -> Self {
        let (mut polled, mut pushed) = (Vec::new(), Vec::new());
        for (shard, lines) in shards.iter().enumerate() {
            let (mut calls, mut events) = (Vec::new(), Vec::new());
            for (call, lines) in lines.chunks(records_per_call).enumerate() {
                let sequence = |at: usize| format!("49{:054}", call * records_per_call + at + 1);
                let record = |(at, line): (usize, &&[u8])| {
                    json!({
                        "SequenceNumber": sequence(at), "ApproximateArrivalTimestamp": 1_620_566_842.971,
                        "Data": paceline_aws::base64::encode(line), "PartitionKey": shard.to_string(),
                    })
                };
                let records: Value = lines.iter().enumerate().map(record).collect();
                let iterator = format!("{shard}/{}", call + 1);
                let response = json!({ "Records": records, "NextShardIterator": iterator, "MillisBehindLatest": 1 });
                calls.push(response.to_string().into_bytes());
                let event = json!({
                    "Records": response["Records"], "MillisBehindLatest": 1,
                    "ContinuationSequenceNumber": sequence(lines.len() - 1),
                });
                push_event(&mut events, event.to_string().into_bytes());
            }
            polled.push(calls);
            pushed.push(events);
        }
        Self { polled, pushed }
    }

    /// Answers the requests of a connection until it is closed.
    fn serve(&self, stream: &TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let mut requests = BufReader::new(stream);
        loop {
            let (operation, request) = read_request(&mut requests)?;
            let mut out = stream;
            if operation == "SubscribeToShard" {
                let shard = number(request["ShardId"].as_str()?)?;
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n\
                            Connection: close\r\n\r\n";
                out.write_all(head.as_bytes()).ok()?;
                // A consumer that resubscribes after a position has received all records.
                if request["StartingPosition"]["SequenceNumber"].is_null() {
                    out.write_all(&self.pushed[shard]).ok()?;
                }
                // The subscription stays open until the subscriber closes the connection.
                let _ = requests.read_to_end(&mut Vec::new());
                return None;
            }
            let other;
            let body: &[u8] = match self.records(&operation, &request) {
                Some(records) => records,
                None => {
                    other = self.other(&operation, &request).to_string();
                    other.as_bytes()
                }
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            out.write_all(head.as_bytes()).ok()?;
            out.write_all(body).ok()?;
        }
    }

    /// The response to a `GetRecords` that returns records.
    fn records(&self, operation: &str, request: &Value) -> Option<&[u8]> {
        let (shard, call) = request["ShardIterator"].as_str().filter(|_| operation == "GetRecords")?.split_once('/')?;
        self.polled.get(shard.parse::<usize>().ok()?)?.get(call.parse::<usize>().ok()?).map(Vec::as_slice)
    }

    /// The responses without records.
    fn other(&self, operation: &str, request: &Value) -> Value {
        match operation {
            "DescribeStreamSummary" => json!({ "StreamDescriptionSummary": {
                "StreamName": "alleycat", "StreamARN": "arn:aws:kinesis:us-east-1:1:stream/alleycat",
                "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24, "StreamCreationTimestamp": 1_620_566_842.5,
                "OpenShardCount": self.polled.len(), "EnhancedMonitoring": [],
            }}),
            "ListShards" => {
                let range = json!({ "StartingHashKey": "0", "EndingHashKey": u128::MAX.to_string() });
                let shard = |at: usize| {
                    json!({
                        "ShardId": format!("shardId-{at:012}"), "HashKeyRange": range,
                        "SequenceNumberRange": { "StartingSequenceNumber": "49" },
                    })
                };
                json!({ "Shards": (0..self.polled.len()).map(shard).collect::<Vec<_>>() })
            }
            "GetShardIterator" => {
                let shard = request["ShardId"].as_str().and_then(number).unwrap_or_default();
                json!({ "ShardIterator": format!("{shard}/0") })
            }
            "DescribeStreamConsumer" => json!({ "ConsumerDescription": {
                "ConsumerName": "paceline", "ConsumerARN": "arn:aws:kinesis:us-east-1:1:stream/alleycat/consumer/paceline:1",
                "ConsumerStatus": "ACTIVE", "ConsumerCreationTimestamp": 1_620_566_842,
                "StreamARN": "arn:aws:kinesis:us-east-1:1:stream/alleycat",
            }}),
            _ => json!({ "Records": [], "NextShardIterator": request["ShardIterator"], "MillisBehindLatest": 0 }),
        }
    }
}

/// The number in a shard's id.
fn number(shard: &str) -> Option<usize> {
    shard.strip_prefix("shardId-")?.parse().ok()
}

fn push_event(to: &mut Vec<u8>, payload: Vec<u8>) {
    let header = |name: &'static str, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
    let message = Message::new(payload)
        .add_header(header(":message-type", "event"))
        .add_header(header(":event-type", "SubscribeToShardEvent"))
        .add_header(header(":content-type", "application/json"));
    write_message_to(&message, to).expect("a Vec can be written");
}

/// The operation and the body of the next request; `None` at the end of the connection.
fn read_request(requests: &mut BufReader<&TcpStream>) -> Option<(String, Value)> {
    let (mut operation, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if requests.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "x-amz-target" => operation = value.rsplit('.').next()?.to_owned(),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    requests.read_exact(&mut body).ok()?;
    Some((operation, serde_json::from_slice(&body).ok()?))
}
