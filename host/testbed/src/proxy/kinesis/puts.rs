//! Puts: what is too large is refused, and what a shard has no room for comes back, in its place.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use fastrand::Rng;
use http_body_util::{BodyExt, Full};
use hyper::{Response, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::super::call::Call;
use super::super::lock;
use super::shards::{OpenShard, open_shards, taking};
use super::{Whole, decoded_length, error, json_answer, rate_message, stream_of};

/// The most records that a `PutRecords` may have.
const MAX_RECORDS: usize = 500;
/// The most bytes that it may have, keys included.
const MAX_BYTES: usize = 10 * 1_048_576;
/// The most bytes that a record may have, its key included, as a stream is set up unless somebody asks for more.
const MAX_RECORD_BYTES: usize = 1_048_576;

/// What matters of a record.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    #[serde(borrow)]
    data: Cow<'a, str>,
    #[serde(borrow)]
    partition_key: Cow<'a, str>,
    #[serde(borrow, default)]
    explicit_hash_key: Option<Cow<'a, str>>,
}

impl Entry<'_> {
    fn size(&self) -> usize {
        decoded_length(&self.data) + self.partition_key.len()
    }

    fn shard<'a>(&self, shards: &'a [OpenShard]) -> Option<&'a OpenShard> {
        taking(shards, &self.partition_key, self.explicit_hash_key.as_deref())
    }
}

/// What becomes of a record.
enum Told {
    /// The service's own answer.
    Truth,
    /// That its shard has no room; it was not forwarded.
    NoRoom(String),
    /// That the service failed; it was forwarded, or not.
    Failed { forwarded: bool },
}

impl Told {
    /// Whether it is forwarded.
    fn goes_on(&self) -> bool {
        matches!(self, Self::Truth | Self::Failed { forwarded: true })
    }
}

/// Answers a `PutRecord`.
pub(super) async fn one(call: &mut Call) -> Whole {
    let body = call.body.clone();
    let Ok(entry) = serde_json::from_slice::<Entry<'_>>(&body) else { return call.forward(body).await };
    if entry.size() > MAX_RECORD_BYTES {
        return too_large(call, "data");
    }
    if call.plan.faults.kinesis.limits.is_none() {
        return call.forward(body.clone()).await;
    }
    let Some(stream) = stream_of(&body) else { return call.forward(body.clone()).await };
    let shards = open_shards(call, &stream).await;
    if let Told::NoRoom(shard) = room_for(call, &stream, &shards, &entry, Instant::now()) {
        return error(
            StatusCode::BAD_REQUEST,
            "ProvisionedThroughputExceededException",
            &rate_message(&stream, &shard),
            &mut call.plan.rng,
        );
    }
    let answer = call.forward(body.clone()).await;
    noting_shards(call, &stream, &shards, answer).await
}

/// Answers a `PutRecords`.
pub(super) async fn many(call: &mut Call) -> Whole {
    #[derive(Deserialize)]
    struct Question<'a> {
        #[serde(rename = "Records", borrow)]
        entries: Vec<Entry<'a>>,
    }
    let body = call.body.clone();
    let Some(stream) = stream_of(&body) else { return call.forward(body).await };
    let Ok(Question { entries }) = serde_json::from_slice(&body) else { return call.forward(body).await };
    if let Some(refusal) = refused(call, &entries) {
        return refusal;
    }
    if call.plan.faults.kinesis.limits.is_none() && !call.plan.partial {
        return call.forward(body.clone()).await;
    }

    let shards = open_shards(call, &stream).await;
    // All at the same moment, however long it takes to look at them.
    let now = Instant::now();
    let mut told: Vec<Told> = entries.iter().map(|entry| room_for(call, &stream, &shards, entry, now)).collect();
    if call.plan.partial {
        let drawn = draw(&mut told, &entries, &shards, &mut call.plan.rng);
        call.shared.state().counts.held_back(drawn);
    }
    let mut said = json!({ "EncryptionType": "NONE" });
    if told.iter().any(Told::goes_on) {
        let answer = call.forward(rest(&body, &told)).await;
        let answer = noting_shards(call, &stream, &shards, answer).await;
        // An error is an error of the whole request.
        if answer.status() != StatusCode::OK || told.iter().all(|told| matches!(told, Told::Truth)) {
            return answer;
        }
        let Ok(body) = answer.into_body().collect().await;
        said = serde_json::from_slice(&body.to_bytes()).expect("kinesis-local answers in JSON");
    }
    json_answer(StatusCode::OK, &complete(said, &told, &stream), &mut call.plan.rng)
}

/// What Kinesis refuses as a whole.
fn refused(call: &mut Call, entries: &[Entry<'_>]) -> Option<Whole> {
    if entries.len() > MAX_RECORDS {
        let message = "1 validation error detected: Value at 'records' failed to satisfy constraint: Member must have \
                       length less than or equal to 500";
        return Some(error(StatusCode::BAD_REQUEST, "ValidationException", message, &mut call.plan.rng));
    }
    if let Some(place) = entries.iter().position(|entry| entry.size() > MAX_RECORD_BYTES) {
        return Some(too_large(call, &format!("records.{}.member.data", place + 1)));
    }
    if entries.iter().map(Entry::size).sum::<usize>() > MAX_BYTES {
        let message = "Records size exceeds 10 MB limit";
        return Some(error(StatusCode::BAD_REQUEST, "InvalidArgumentException", message, &mut call.plan.rng));
    }
    None
}

fn too_large(call: &mut Call, place: &str) -> Whole {
    let message = format!(
        "1 validation error detected: Value at '{place}' failed to satisfy constraint: Member must have length less \
         than or equal to {MAX_RECORD_BYTES}"
    );
    error(StatusCode::BAD_REQUEST, "ValidationException", &message, &mut call.plan.rng)
}

/// Whether the shard that takes a record has room for it. Without limits, and where no shard is known, it does.
fn room_for(call: &Call, stream: &str, shards: &[OpenShard], entry: &Entry<'_>, now: Instant) -> Told {
    let Some(limits) = &call.plan.faults.kinesis.limits else { return Told::Truth };
    let Some(shard) = entry.shard(shards) else { return Told::Truth };
    if lock(&call.shared.kinesis).buckets.of(stream, &shard.id).put(limits, entry.size(), now) {
        return Told::Truth;
    }
    call.shared.state().counts.injected.over_limit += 1;
    Told::NoRoom(shard.id.clone())
}

/// Draws what fails by chance; how many do.
fn draw(told: &mut [Told], entries: &[Entry<'_>], shards: &[OpenShard], rng: &mut Rng) -> usize {
    let mut standing: Vec<usize> = (0..told.len()).filter(|place| told[*place].goes_on()).collect();
    if standing.is_empty() {
        return 0;
    }
    rng.shuffle(&mut standing);
    standing.truncate(rng.usize(1..=standing.len()));
    for place in &standing {
        told[*place] = match entries[*place].shard(shards) {
            Some(shard) if rng.bool() => Told::NoRoom(shard.id.clone()),
            _ => Told::Failed { forwarded: rng.bool() },
        };
    }
    standing.len()
}

/// The request without the records that do not go on.
fn rest(request: &[u8], told: &[Told]) -> Bytes {
    let mut request: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(request).expect("it was read before");
    let records: Vec<&RawValue> = serde_json::from_str(request["Records"].get()).expect("it was read before");
    let going: Vec<_> =
        records.into_iter().zip(told).filter(|(_, told)| told.goes_on()).map(|(record, _)| record).collect();
    let going = serde_json::value::to_raw_value(&going).expect("what was JSON is JSON");
    request.insert("Records".into(), &going);
    serde_json::to_vec(&request).expect("what was JSON is JSON").into()
}

/// The answer to the whole request, from the service's to the rest of it.
fn complete(mut said: Value, told: &[Told], stream: &str) -> Value {
    let mut true_ones = match said["Records"].take() {
        Value::Array(records) => records.into_iter(),
        _ => Vec::new().into_iter(),
    };
    let failed = |code: &str, message: &str| json!({ "ErrorCode": code, "ErrorMessage": message });
    let records: Vec<Value> = told
        .iter()
        .map(|told| {
            let truth = if told.goes_on() { Some(true_ones.next().expect("an answer to each record")) } else { None };
            match told {
                Told::Truth => truth.expect("it went on"),
                Told::NoRoom(shard) => failed("ProvisionedThroughputExceededException", &rate_message(stream, shard)),
                Told::Failed { .. } => failed("InternalFailure", "Internal service failure."),
            }
        })
        .collect();
    said["FailedRecordCount"] = records.iter().filter(|record| record["ErrorCode"].is_string()).count().into();
    said["Records"] = records.into();
    said
}

/// The answer, whose shards are looked at: one that nobody knows is of a stream that has changed.
async fn noting_shards(call: &Call, stream: &str, shards: &[OpenShard], answer: Whole) -> Whole {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Placed<'a> {
        #[serde(borrow, default)]
        shard_id: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        records: Vec<Placed<'a>>,
    }
    let (head, body) = answer.into_parts();
    let Ok(body) = body.collect().await;
    let body = body.to_bytes();
    let unknown = |id: &Cow<'_, str>| shards.iter().all(|shard| shard.id != **id);
    if let Ok(placed) = serde_json::from_slice::<Placed<'_>>(&body)
        && placed.records.iter().chain([&placed]).filter_map(|placed| placed.shard_id.as_ref()).any(unknown)
    {
        lock(&call.shared.kinesis).shards.forget(stream);
    }
    Response::from_parts(head, Full::new(body))
}
