//! What the proxy does in front of Kinesis, and Kinesis' errors in its own words.
//!
//! - `limits`: what a shard has room for.
//! - `shards`: which shard takes a record.
//! - `puts`: records that come back, since their shard has no room or by chance.
//! - `reads`: iterators that grow old, reads that come too often.
//! - `subscription`: streams of events, cut or ended.
//!
//! Requests and answers are JSON. One in CBOR goes through as it is, but for the faults that any request meets.

mod limits;
mod puts;
mod reads;
mod shards;
mod subscription;

use std::borrow::Cow;
use std::time::Duration;

use fastrand::Rng;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

pub use limits::KinesisLimits;

use super::body::AnswerBody;
use super::call::Call;

type Whole = Response<Full<Bytes>>;

/// What goes wrong in Kinesis and nowhere else. By default nothing does.
///
/// [`super::Faults::only`] spares an operation what is drawn, not what is a rule: limits, ages, ends.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KinesisFaults {
    /// What each shard takes and gives in a second: a `PutRecords` comes back in part, other requests are refused.
    pub limits: Option<KinesisLimits>,
    /// Probability that a `GetRecords` is told that its iterator has expired.
    pub expired_iterator: f64,
    /// How old an iterator may grow. Kinesis says five minutes.
    pub iterator_age: Option<Duration>,
    /// Probability, of each event of a subscription, that the subscription is cut before it: the connection is reset,
    /// or with HTTP/2 the stream in it.
    pub cut: f64,
    /// A subscription is cut after so many events.
    pub cut_after: Option<u64>,
    /// A subscription ends in good order after so many events.
    pub end_after: Option<u64>,
    /// A subscription ends in good order after so long. Kinesis says five minutes.
    pub end_when: Option<Duration>,
    /// A subscription to a shard that was split or merged ends when all its records have been sent, by an event that
    /// names the shard's children. Kinesis does so; kinesis-local does not.
    pub end_with_shard: bool,
}

/// What was learnt of streams, and what their shards have room for.
#[derive(Default)]
pub(super) struct Known {
    shards: shards::ShardMap,
    buckets: limits::Buckets,
    iterators: reads::Iterators,
}

impl KinesisFaults {
    pub(super) fn check(&self) {
        if let Some(limits) = &self.limits {
            limits.check();
        }
    }
}

/// Answers a request by what the service says and what the settings do to it.
pub(super) async fn answer(call: &mut Call) -> Response<AnswerBody> {
    let whole = match call.operation.as_str() {
        "PutRecord" => puts::one(call).await,
        "PutRecords" => puts::many(call).await,
        "GetShardIterator" => reads::iterator(call).await,
        "GetRecords" => reads::records(call).await,
        "SubscribeToShard" => return subscription::open(call).await,
        _ => call.forward(call.body.clone()).await,
    };
    whole.map(AnswerBody::Whole)
}

/// A refusal as one of too many requests.
pub(super) fn throttled(call: &mut Call) -> Whole {
    let stream = stream_of(&call.body).unwrap_or_else(|| "unknown".to_owned());
    let (code, message) = match call.operation.as_str() {
        "PutRecord" | "PutRecords" | "GetRecords" | "GetShardIterator" => {
            ("ProvisionedThroughputExceededException", rate_message(&stream, "shardId-000000000000"))
        }
        operation => ("LimitExceededException", format!("Rate exceeded for {operation} of account 000000000000.")),
    };
    error(StatusCode::BAD_REQUEST, code, &message, &mut call.plan.rng)
}

/// A failure of the server.
pub(super) fn server_error(rng: &mut Rng) -> Whole {
    if rng.bool() {
        let message = "The request processing has failed because of an unknown error, exception or failure.";
        error(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", message, rng)
    } else {
        let message = "The request has failed due to a temporary failure of the server.";
        error(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message, rng)
    }
}

/// Refuses a request that a shard has no room for.
fn rate_exceeded(call: &mut Call, stream: &str, shard: &str) -> Whole {
    call.shared.state().counts.injected.over_limit += 1;
    let message = rate_message(stream, shard);
    error(StatusCode::BAD_REQUEST, "ProvisionedThroughputExceededException", &message, &mut call.plan.rng)
}

fn rate_message(stream: &str, shard: &str) -> String {
    format!("Rate exceeded for shard {shard} in stream {stream} under account 000000000000.")
}

/// Refuses an iterator as too old.
fn expired(call: &mut Call) -> Whole {
    call.shared.state().counts.injected.expired_iterators += 1;
    let message = "Iterator expired. The iterator is older than the tolerated delay of 300000 milliseconds.";
    error(StatusCode::BAD_REQUEST, "ExpiredIteratorException", message, &mut call.plan.rng)
}

fn error(status: StatusCode, code: &str, message: &str, rng: &mut Rng) -> Whole {
    json_answer(status, &json!({ "__type": code, "message": message }), rng)
}

/// An answer as Kinesis would send it.
fn json_answer(status: StatusCode, body: &Value, rng: &mut Rng) -> Whole {
    let hex: String = std::iter::repeat_with(|| rng.digit(16)).take(32).collect();
    let id = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-");
    let mut answer = Response::new(Full::new(body.to_string().into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.1"));
    headers.insert("x-amzn-requestid", HeaderValue::from_str(&id).expect("digits and letters"));
    answer
}

/// The name of the stream that a request is about.
fn stream_of(request: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(rename = "StreamName", borrow, default)]
        name: Option<Cow<'a, str>>,
        #[serde(rename = "StreamARN", borrow, default)]
        arn: Option<Cow<'a, str>>,
    }
    let named: Named<'_> = serde_json::from_slice(request).ok()?;
    let of_arn = || Some(named.arn.as_deref()?.rsplit_once(":stream/")?.1.to_owned());
    named.name.as_deref().map(str::to_owned).or_else(of_arn)
}

/// How long something is that is written in Base64.
fn decoded_length(text: &str) -> usize {
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_found_by_name_and_by_arn() {
        assert_eq!(stream_of(br#"{"StreamName":"a"}"#).unwrap(), "a");
        assert_eq!(stream_of(br#"{"StreamARN":"arn:aws:kinesis:us-east-1:1:stream/b"}"#).unwrap(), "b");
        assert_eq!(stream_of(b"{}"), None);
    }

    #[test]
    fn the_length_is_what_was_written() {
        for length in 0..20 {
            let text = base64_simd::STANDARD.encode_to_string(vec![0; length]);
            assert_eq!(decoded_length(&text), length, "{text}");
        }
    }
}
