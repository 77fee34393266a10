//! `SubscribeToShard`: forwards events one by one, until the subscription is cut or ended, or its shard ends.

use std::time::Duration;

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder, write_message_to};
use aws_smithy_types::event_stream::Message;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Response, StatusCode, header};
use serde_json::{Value, json};
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep_until};

use super::super::body::{ConnectionReset, ResponseBody};
use super::super::call::Call;

/// Longer than any test takes.
const NEVER: Duration = Duration::from_secs(86_400);

/// Opens a subscription and forwards it in the background. Each event meets the faults that are set at its time.
pub(super) async fn subscribe(call: &mut Call) -> Response<ResponseBody> {
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
    let request: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let text = |name: &str| request[name].as_str().unwrap_or_default().to_owned();
    let subscription = Subscription {
        stream_arn: text("ConsumerARN").split("/consumer/").next().unwrap_or_default().to_owned(),
        shard: text("ShardId"),
        call: call.fork(),
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
    /// With its shard, whose last event this is.
    ShardEnded(Message),
}

impl Subscription {
    async fn run(mut self, body: Incoming) {
        let state = self.call.state.clone();
        match self.forward(body).await {
            SubscriptionEnd::Closed => {}
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
        let is_event = message.headers().iter().any(|header| {
            header.name().as_str() == ":event-type"
                && header.value().as_string().is_ok_and(|value| value.as_str() == "SubscribeToShardEvent")
        });
        if !is_event {
            return self.sender.send(Ok(encode(message))).await.is_err().then_some(SubscriptionEnd::Closed);
        }
        let faults = self.call.state.faults();
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

/// A message as a frame of the event stream.
fn encode(message: &Message) -> Bytes {
    let mut frame = Vec::new();
    write_message_to(message, &mut frame).expect("a message that was decoded before");
    frame.into()
}
