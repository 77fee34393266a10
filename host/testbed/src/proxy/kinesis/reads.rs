//! Iterators and reads: iterators grow old, and a shard is read so often and so much in a second.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Response, StatusCode};
use serde::Deserialize;

use super::super::call::Call;
use super::super::lock;
use super::{Whole, decoded_length, expired, rate_exceeded, stream_of};

/// Iterators that are kept in mind before old ones are dropped.
const MANY: usize = 20_000;
/// How long an iterator is good for in the real one. One that is older is not kept in mind where many are.
const OLD: Duration = Duration::from_secs(300);

/// What an iterator stands for.
#[derive(Clone)]
struct Origin {
    stream: String,
    shard: String,
    made: Instant,
}

/// The iterators that went through.
#[derive(Default)]
pub(super) struct Iterators {
    origins: HashMap<String, Origin>,
}

impl Iterators {
    fn learn(&mut self, iterator: &str, origin: Origin) {
        if self.origins.len() >= MANY {
            self.origins.retain(|_, origin| origin.made.elapsed() < OLD);
        }
        self.origins.insert(iterator.to_owned(), origin);
    }
}

/// Answers a `GetShardIterator`.
pub(super) async fn iterator(call: &mut Call) -> Whole {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Question<'a> {
        #[serde(borrow)]
        shard_id: Cow<'a, str>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Told<'a> {
        #[serde(borrow)]
        shard_iterator: Cow<'a, str>,
    }
    let body = call.body.clone();
    let Some(stream) = stream_of(&body) else { return call.forward(body).await };
    let Ok(question) = serde_json::from_slice::<Question<'_>>(&body) else { return call.forward(body).await };
    let shard = question.shard_id.as_ref();
    if let Some(limits) = &call.plan.faults.kinesis.limits {
        let room = lock(&call.shared.kinesis).buckets.of(&stream, shard).iterator(limits, Instant::now());
        if !room {
            return rate_exceeded(call, &stream, shard);
        }
    }
    let (answer, said) = read(call.forward(body.clone()).await).await;
    if let Ok(told) = serde_json::from_slice::<Told<'_>>(&said) {
        let origin = Origin { stream, shard: shard.to_owned(), made: Instant::now() };
        lock(&call.shared.kinesis).iterators.learn(&told.shard_iterator, origin);
    }
    answer
}

/// Answers a `GetRecords`.
pub(super) async fn records(call: &mut Call) -> Whole {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Question<'a> {
        #[serde(borrow)]
        shard_iterator: Cow<'a, str>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Record<'a> {
        #[serde(borrow)]
        data: Cow<'a, str>,
        #[serde(borrow, default)]
        partition_key: Option<Cow<'a, str>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Told<'a> {
        #[serde(borrow, default)]
        records: Vec<Record<'a>>,
        #[serde(borrow, default)]
        next_shard_iterator: Option<Cow<'a, str>>,
    }
    let body = call.body.clone();
    let Ok(question) = serde_json::from_slice::<Question<'_>>(&body) else { return call.forward(body).await };
    let origin = lock(&call.shared.kinesis).iterators.origins.get(question.shard_iterator.as_ref()).cloned();
    let rules = call.plan.faults.kinesis.clone();

    let too_old = match (&origin, rules.iterator_age) {
        (Some(origin), Some(age)) => origin.made.elapsed() > age,
        _ => false,
    };
    if too_old || (!call.plan.spared && call.plan.rng.f64() < rules.expired_iterator) {
        return expired(call);
    }
    if let (Some(origin), Some(limits)) = (&origin, &rules.limits) {
        let room = lock(&call.shared.kinesis).buckets.of(&origin.stream, &origin.shard).read(limits, Instant::now());
        if !room {
            return rate_exceeded(call, &origin.stream, &origin.shard);
        }
    }

    let (answer, said) = read(call.forward(body.clone()).await).await;
    if let Some(origin) = origin
        && answer.status() == StatusCode::OK
        && let Ok(told) = serde_json::from_slice::<Told<'_>>(&said)
    {
        let size = |record: &Record<'_>| {
            decoded_length(&record.data) + record.partition_key.as_ref().map_or(0, |key| key.len())
        };
        let mut kinesis = lock(&call.shared.kinesis);
        kinesis.buckets.of(&origin.stream, &origin.shard).gave(told.records.iter().map(size).sum());
        if let Some(next) = told.next_shard_iterator {
            kinesis.iterators.learn(&next, Origin { made: Instant::now(), ..origin });
        }
    }
    answer
}

/// An answer, and what is in it.
async fn read(answer: Whole) -> (Whole, Bytes) {
    let (head, body) = answer.into_parts();
    let Ok(body) = body.collect().await;
    let body = body.to_bytes();
    (Response::from_parts(head, Full::new(body.clone())), body)
}
