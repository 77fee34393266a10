//! `SubscribeToShard`: forwards events one by one, until the subscription is cut or ended, or its shard ends.

use std::sync::Arc;
use std::time::Duration;

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder, write_message_to};
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep, sleep_until};

use super::super::body::{ConnectionReset, ResponseBody};
use super::super::call::Call;
use super::response::bad_request;

/// Longer than any test takes.
const NEVER: Duration = Duration::from_secs(86_400);

/// The interval at which kinesis-local is asked again after the one that was taken over: it notices the end of that a
/// moment later.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(20);

const IN_USE: &str = "ResourceInUseException";

/// Opens a subscription and forwards it in the background. Each event meets the faults that are set at its time.
pub(super) async fn subscribe(call: &mut Call) -> Response<ResponseBody> {
    let request: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let text = |name: &str| request[name].as_str().unwrap_or_default().to_owned();
    let (consumer, shard) = (text("ConsumerARN"), text("ShardId"));
    let taken = match call.state.faults().kinesis.hand_over {
        None => Arc::new(Notify::new()),
        Some(younger_than) => {
            let taken = call.state.kinesis().holders.take(&consumer, &shard, younger_than);
            let Some(taken) = taken else {
                let message = format!("Another active subscription exists for this consumer: {consumer}");
                return bad_request(call, IN_USE, &message).map(ResponseBody::Complete);
            };
            taken
        }
    };
    let (head, body) = match call.forward_streaming().await {
        Ok(response) => response.into_parts(),
        Err(error) => return call.bad_gateway(&error).map(ResponseBody::Complete),
    };
    let is_event_stream = head
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|content_type| content_type == "application/vnd.amazon.eventstream");
    if head.status != StatusCode::OK || !is_event_stream {
        return match body.collect().await {
            Ok(body) => Response::from_parts(head, ResponseBody::Complete(Full::new(body.to_bytes()))),
            Err(error) => call.bad_gateway(&error).map(ResponseBody::Complete),
        };
    }
    let (sender, stream) = ResponseBody::stream();
    let subscription = Subscription {
        stream_arn: consumer.split("/consumer/").next().unwrap_or_default().to_owned(),
        shard,
        call: Call { body: call.body.clone(), ..call.fork() },
        taken,
        sender,
        opened: Instant::now(),
        events: 0,
    };
    tokio::spawn(subscription.run(body));
    Response::from_parts(head, stream)
}

/// An open subscription.
struct Subscription {
    call: Call,
    stream_arn: String,
    shard: String,
    /// Notified when another subscription takes over.
    taken: Arc<Notify>,
    /// To the caller.
    sender: Sender<Result<Bytes, ConnectionReset>>,
    opened: Instant,
    /// The number of events forwarded so far.
    events: u64,
}

enum SubscriptionEnd {
    /// The caller or the service closed the connection.
    Closed,
    /// By a reset of the connection.
    Cut,
    /// Normally, as after five minutes.
    Ended,
    /// By another subscription.
    Taken,
    /// The service still has the one before, which was taken over.
    Refused,
    /// With its shard, whose last event this is.
    ShardEnded(Message),
}

impl Subscription {
    async fn run(mut self, mut body: Incoming) {
        let state = self.call.state.clone();
        let end = loop {
            match self.forward(body).await {
                SubscriptionEnd::Refused => sleep(ASK_AGAIN_AFTER).await,
                end => break end,
            }
            body = match self.call.forward_streaming().await {
                Ok(response) => response.into_body(),
                Err(_) => break SubscriptionEnd::Cut,
            };
        };
        match end {
            SubscriptionEnd::Closed | SubscriptionEnd::Refused => {}
            SubscriptionEnd::Taken => {
                state.count(|counts| counts.injected.taken_subscriptions += 1);
                let _ = self.sender.send(Ok(encode(&in_use()))).await;
            }
            SubscriptionEnd::Ended => state.count(|counts| counts.injected.ended_subscriptions += 1),
            SubscriptionEnd::Cut => {
                state.count(|counts| counts.injected.cut_subscriptions += 1);
                let _ = self.sender.send(Err(ConnectionReset)).await;
            }
            SubscriptionEnd::ShardEnded(last) => {
                state.count(|counts| counts.injected.ended_shards += 1);
                let _ = self.sender.send(Ok(encode(&last))).await;
            }
        }
    }

    async fn forward(&mut self, mut body: Incoming) -> SubscriptionEnd {
        let (mut decoder, mut buffer) = (MessageFrameDecoder::new(), BytesMut::new());
        loop {
            let end_when = self.call.state.faults().kinesis.end_when.unwrap_or(NEVER);
            let frame = tokio::select! {
                frame = body.frame() => frame,
                () = self.sender.closed() => return SubscriptionEnd::Closed,
                () = self.taken.notified() => return SubscriptionEnd::Taken,
                () = sleep_until(self.opened + end_when) => return SubscriptionEnd::Ended,
            };
            match frame {
                None => return SubscriptionEnd::Closed,
                Some(Err(_)) => return SubscriptionEnd::Cut,
                Some(Ok(frame)) => buffer.extend(frame.into_data().ok()),
            }
            while let Ok(DecodedFrame::Complete(message)) = decoder.decode_frame(&mut buffer) {
                if let Some(end) = self.forward_message(&message).await {
                    return end;
                }
            }
        }
    }

    /// Forwards a message, unless the subscription ends before it or after it.
    async fn forward_message(&mut self, message: &Message) -> Option<SubscriptionEnd> {
        let faults = self.call.state.faults();
        let is_event = message.headers().iter().any(|header| {
            header.name().as_str() == ":event-type"
                && header.value().as_string().is_ok_and(|value| value.as_str() == "SubscribeToShardEvent")
        });
        if !is_event && faults.kinesis.hand_over.is_some() && is_in_use(message) {
            return Some(SubscriptionEnd::Refused);
        }
        if !is_event {
            return self.sender.send(Ok(encode(message))).await.is_err().then_some(SubscriptionEnd::Closed);
        }
        let kinesis = &faults.kinesis;
        let drawn = self.call.plan.rng.f64();
        let is_reached = |limit: Option<u64>| limit.is_some_and(|limit| self.events >= limit);
        if is_reached(kinesis.cut_after) || (drawn < kinesis.cut && !faults.exempts("SubscribeToShard")) {
            return Some(SubscriptionEnd::Cut);
        }
        if is_reached(kinesis.end_after) {
            return Some(SubscriptionEnd::Ended);
        }
        if self.sender.send(Ok(encode(message))).await.is_err() {
            return Some(SubscriptionEnd::Closed);
        }
        self.events += 1;
        if kinesis.end_with_shard { self.last_event(message).await.map(SubscriptionEnd::ShardEnded) } else { None }
    }

    /// The shard's last event, if the shard is closed and this event carried its last record.
    ///
    /// kinesis-local sends an event every second, with or without records, so that the end is noticed in time.
    async fn last_event(&self, message: &Message) -> Option<Message> {
        let event: Value = serde_json::from_slice(message.payload()).ok()?;
        // A shard without records has no sequence number to continue from.
        let position = match event["ContinuationSequenceNumber"].as_str() {
            Some(number) if number.len() > 1 => {
                json!({ "ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": number })
            }
            _ => json!({ "ShardIteratorType": "TRIM_HORIZON" }),
        };
        let mut request = json!({ "StreamARN": self.stream_arn, "ShardId": self.shard });
        request.as_object_mut()?.extend(position.as_object()?.clone());
        let iterator = self.call.query("GetShardIterator", &request).await?;
        let request = json!({ "ShardIterator": iterator["ShardIterator"], "Limit": 1 });
        let read = self.call.query("GetRecords", &request).await?;
        let has_more = read["NextShardIterator"].is_string() || !read["Records"].as_array()?.is_empty();
        if has_more {
            return None;
        }
        let last = json!({ "Records": [], "MillisBehindLatest": 0, "ChildShards": read["ChildShards"] });
        Some(Message::new_from_parts(message.headers().to_vec(), last.to_string().into_bytes()))
    }
}

/// The event by which a subscription ends that another one takes over.
fn in_use() -> Message {
    let text = |name: &'static str, value: &'static str| Header::new(name, HeaderValue::String(value.into()));
    let headers = vec![
        text(":message-type", "exception"),
        text(":exception-type", IN_USE),
        text(":content-type", "application/json"),
    ];
    let body = json!({ "message": "Another subscription of this consumer took over" });
    Message::new_from_parts(headers, body.to_string().into_bytes())
}

/// Whether a message says that another subscription exists.
fn is_in_use(message: &Message) -> bool {
    let is = |header: &Header| header.value().as_string().is_ok_and(|value| value.as_str() == IN_USE);
    message.headers().iter().any(|header| header.name().as_str() == ":exception-type" && is(header))
}

/// A message as a frame of the event stream.
fn encode(message: &Message) -> Bytes {
    let mut frame = Vec::new();
    write_message_to(message, &mut frame).expect("a message that was decoded before");
    frame.into()
}
