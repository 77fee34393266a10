//! Subscriptions: events go through one by one as they come, until the subscription is cut or ended, or its shard ends.

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

use super::super::body::{AnswerBody, Reset};
use super::super::call::Call;
use super::super::faults::Faults;

/// Farther away than any test lasts.
const NEVER: Duration = Duration::from_secs(86_400);

/// Answers a `SubscribeToShard`. What goes wrong in it later follows the settings of that time.
pub(super) async fn open(call: &mut Call) -> Response<AnswerBody> {
    let (head, body) = match call.open().await {
        Ok(answer) => answer.into_parts(),
        Err(error) => return call.out_of_reach(&error).map(AnswerBody::Whole),
    };
    let events =
        head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/vnd.amazon.eventstream");
    if head.status != StatusCode::OK || !events {
        return match body.collect().await {
            Ok(body) => Response::from_parts(head, AnswerBody::Whole(Full::new(body.to_bytes()))),
            Err(error) => call.out_of_reach(&error.into()).map(AnswerBody::Whole),
        };
    }
    let (sender, pieces) = AnswerBody::pieces();
    let question: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let text = |name: &str| question[name].as_str().unwrap_or_default().to_owned();
    let subscription = Subscription {
        stream: text("ConsumerARN").split("/consumer/").next().unwrap_or_default().to_owned(),
        shard: text("ShardId"),
        call: call.another(),
        sender,
        opened: Instant::now(),
        events: 0,
    };
    tokio::spawn(subscription.run(body));
    Response::from_parts(head, pieces)
}

/// A subscription under way.
struct Subscription {
    call: Call,
    /// The stream's ARN.
    stream: String,
    shard: String,
    /// Where the caller reads.
    sender: Sender<Result<Bytes, Reset>>,
    opened: Instant,
    /// Events sent so far.
    events: u64,
}

/// How a subscription ends.
enum End {
    /// The caller is gone, or the service.
    Theirs,
    Cut,
    Orderly,
    /// With the shard: the last event.
    Shard(Message),
}

impl Subscription {
    async fn run(mut self, body: Incoming) {
        let end = self.pass(body).await;
        let injected = |count: fn(&mut super::super::Injected) -> &mut u64| {
            *count(&mut self.call.shared.state().counts.injected) += 1;
        };
        match end {
            End::Theirs => {}
            End::Orderly => injected(|injected| &mut injected.ended_subscriptions),
            End::Cut => {
                injected(|injected| &mut injected.cut_subscriptions);
                let _ = self.sender.send(Err(Reset)).await;
            }
            End::Shard(last) => {
                injected(|injected| &mut injected.ended_shards);
                let _ = self.sender.send(Ok(frame(&last))).await;
            }
        }
    }

    /// Passes events on.
    async fn pass(&mut self, mut body: Incoming) -> End {
        let (mut decoder, mut buffer) = (MessageFrameDecoder::new(), BytesMut::new());
        loop {
            let rules = self.faults().kinesis.clone();
            let piece = tokio::select! {
                piece = body.frame() => piece,
                () = self.sender.closed() => return End::Theirs,
                () = sleep_until(self.opened + rules.end_when.unwrap_or(NEVER)) => return End::Orderly,
            };
            match piece {
                None => return End::Theirs,
                // What the service cuts is cut.
                Some(Err(_)) => return End::Cut,
                Some(Ok(piece)) => buffer.extend(piece.into_data().ok()),
            }
            while let Ok(DecodedFrame::Complete(message)) = decoder.decode_frame(&mut buffer) {
                if let Some(end) = self.event(&message).await {
                    return end;
                }
            }
        }
    }

    /// Passes a message on, unless it is the end.
    async fn event(&mut self, message: &Message) -> Option<End> {
        let is_event = message.headers().iter().any(|header| {
            header.name().as_str() == ":event-type"
                && header.value().as_string().is_ok_and(|value| value.as_str() == "SubscribeToShardEvent")
        });
        if !is_event {
            return self.sender.send(Ok(frame(message))).await.is_err().then_some(End::Theirs);
        }
        let faults = self.faults();
        let rules = &faults.kinesis;
        let drawn = self.call.plan.rng.f64();
        let counted = |limit: Option<u64>| limit.is_some_and(|limit| self.events >= limit);
        if counted(rules.cut_after) || (drawn < rules.cut && !faults.spares("SubscribeToShard")) {
            return Some(End::Cut);
        }
        if counted(rules.end_after) {
            return Some(End::Orderly);
        }
        if self.sender.send(Ok(frame(message))).await.is_err() {
            return Some(End::Theirs);
        }
        self.events += 1;
        if rules.end_with_shard { self.shard_end(message).await.map(End::Shard) } else { None }
    }

    /// The last event, if the shard is closed and this event brought its last record.
    ///
    /// kinesis-local sends an event every second, if only to say that there is nothing; so this looks often enough.
    async fn shard_end(&self, message: &Message) -> Option<Message> {
        let event: Value = serde_json::from_slice(message.payload()).ok()?;
        // A shard without a record has no number to read on from.
        let position = match event["ContinuationSequenceNumber"].as_str() {
            Some(number) if number.len() > 1 => {
                json!({ "ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": number })
            }
            _ => json!({ "ShardIteratorType": "TRIM_HORIZON" }),
        };
        let mut question = json!({ "StreamARN": self.stream, "ShardId": self.shard });
        question.as_object_mut()?.extend(position.as_object()?.clone());
        let told = self.call.ask("GetShardIterator", &question).await?;
        let read = json!({ "ShardIterator": told["ShardIterator"], "Limit": 1 });
        let told = self.call.ask("GetRecords", &read).await?;
        let more = told["NextShardIterator"].is_string() || !told["Records"].as_array()?.is_empty();
        if more {
            return None;
        }
        let last = json!({ "Records": [], "MillisBehindLatest": 0, "ChildShards": told["ChildShards"] });
        Some(Message::new_from_parts(message.headers().to_vec(), last.to_string().into_bytes()))
    }

    fn faults(&self) -> std::sync::Arc<Faults> {
        self.call.shared.state().faults.clone()
    }
}

/// A message as it travels.
fn frame(message: &Message) -> Bytes {
    let mut frame = Vec::new();
    write_message_to(message, &mut frame).expect("a message that was read can be written");
    frame.into()
}
