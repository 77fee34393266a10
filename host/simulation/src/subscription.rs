//! A subscription to a shard, "enhanced fan-out": what the stream in memory has, pushed as events in the encoding of the
//! service.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use http_body::{Body, Frame};
use paceline_aws::kinesis::{PolledRecords, PolledStream};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::kinesis::SimulatedStream;
use crate::shapes::{child, record};
use crate::world::{World, sleep_ms};

/// How long a subscription lasts at most, and how long it is silent.
const LASTS: Duration = Duration::from_secs(300);
const SILENT: Duration = Duration::from_secs(5);
/// The time between two looks at what has arrived, in milliseconds.
const LOOK_MS: u64 = 200;
/// The most records of an event.
const RECORDS: usize = 100;

/// A subscription of a consumer, which ends when the consumer subscribes to the shard once more.
#[derive(Debug)]
pub(crate) struct Subscription {
    pub(crate) world: Arc<World>,
    pub(crate) shard: String,
    /// Which of the consumers with the name has it.
    pub(crate) consumer: usize,
    pub(crate) id: u64,
}

impl Subscription {
    /// The events from an iterator on.
    pub(crate) fn events(self, stream: Arc<SimulatedStream>, iterator: String) -> SdkBody {
        let (events, pushed) = mpsc::channel(1);
        tokio::spawn(async move { self.push(&stream, iterator, &events).await });
        SdkBody::from_body_1_x(Pushed(pushed))
    }

    /// Pushes events until the subscription ends.
    async fn push(&self, stream: &SimulatedStream, mut iterator: String, events: &mpsc::Sender<Bytes>) {
        let (until, mut spoke, mut last) = (Instant::now() + LASTS, Instant::now(), String::new());
        while Instant::now() < until && self.world.is_subscribed(&self.shard, self.id) {
            if self.world.registered() != Some(self.consumer) {
                let gone = json!({ "message": "the consumer is not found" });
                let _ = events.send(event("exception", "ResourceNotFoundException", &gone)).await;
                return;
            }
            let Ok(found) = stream.get_records(&iterator, RECORDS).await else {
                if self.world.below(2) == 0 {
                    let failure = json!({ "message": "not now" });
                    let _ = events.send(event("exception", "InternalFailureException", &failure)).await;
                }
                return;
            };
            if let Some(record) = found.records.last() {
                last.clone_from(&record.sequence);
            }
            if !found.records.is_empty() || found.next.is_none() || spoke.elapsed() >= SILENT {
                spoke = Instant::now();
                if events.send(event("event", "SubscribeToShardEvent", &payload(&found, &last))).await.is_err() {
                    return;
                }
            }
            let Some(next) = found.next else { return };
            iterator = next;
            sleep_ms(LOOK_MS).await;
        }
    }
}

fn payload(found: &PolledRecords, last: &str) -> Value {
    let records: Vec<Value> = found.records.iter().map(record).collect();
    let mut payload =
        json!({ "Records": records, "MillisBehindLatest": found.behind_ms, "ContinuationSequenceNumber": last });
    if !found.children.is_empty() {
        payload["ChildShards"] = found.children.iter().map(child).collect();
    }
    payload
}

fn event(kind: &'static str, name: &'static str, payload: &Value) -> Bytes {
    let header = |name: String, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
    let message = Message::new(payload.to_string().into_bytes())
        .add_header(header(":message-type".to_owned(), kind))
        .add_header(header(format!(":{kind}-type"), name))
        .add_header(header(":content-type".to_owned(), "application/json"));
    let mut bytes = Vec::new();
    write_message_to(&message, &mut bytes).expect("a Vec can be written");
    bytes.into()
}

/// The body of a response that goes on.
struct Pushed(mpsc::Receiver<Bytes>);

impl Body for Pushed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
