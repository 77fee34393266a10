//! `PutRecord` and `PutRecords`: oversized requests fail as a whole; a record that its shard has no capacity for fails
//! in its place in the response.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use fastrand::Rng;
use http_body_util::Full;
use hyper::{Response, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::super::body::{FullResponse, into_parts};
use super::super::call::Call;
use super::list_shards::open_shards;
use super::request::{decoded_length, stream_name};
use super::response::{THROUGHPUT_EXCEEDED, bad_request, json_response, rate_exceeded, rate_exceeded_message};
use super::shards::{OpenShard, shard_for};

/// Kinesis's limit of records in a `PutRecords`.
const MAX_RECORDS: usize = 500;
/// Kinesis's limit of bytes in a `PutRecords`, keys included.
const MAX_BYTES: usize = 10 * 1_048_576;
/// Kinesis's default limit of bytes in a record, its key included.
const MAX_RECORD_BYTES: usize = 1_048_576;

/// A record to put.
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
        shard_for(shards, &self.partition_key, self.explicit_hash_key.as_deref())
    }
}

/// What the response reports for a record.
enum EntryResult {
    /// The service's own result.
    Original,
    /// This shard has no capacity; the record is not forwarded.
    Throttled { shard: String },
    /// An internal failure, whether the record is forwarded or not.
    Failed { forwarded: bool },
}

impl EntryResult {
    fn is_forwarded(&self) -> bool {
        matches!(self, Self::Original | Self::Failed { forwarded: true })
    }
}

pub(super) async fn put_record(call: &mut Call) -> FullResponse {
    let body = call.body.clone();
    let Ok(entry) = serde_json::from_slice::<Entry<'_>>(&body) else { return call.forward(body).await };
    if entry.size() > MAX_RECORD_BYTES {
        return too_large(call, "data");
    }
    if call.plan.faults.kinesis.limits.is_none() {
        return call.forward(body.clone()).await;
    }
    let Some(stream) = stream_name(&body) else { return call.forward(body.clone()).await };
    let shards = open_shards(call, &stream).await;
    if let EntryResult::Throttled { shard } =
        take_capacity(call, &stream, entry.shard(&shards), entry.size(), Instant::now())
    {
        return rate_exceeded(call, &stream, &shard);
    }
    let response = call.forward(body.clone()).await;
    check_shards(call, &stream, &shards, response).await
}

pub(super) async fn put_records(call: &mut Call) -> FullResponse {
    #[derive(Deserialize)]
    struct PutRecordsRequest<'a> {
        #[serde(rename = "Records", borrow)]
        entries: Vec<Entry<'a>>,
    }
    let body = call.body.clone();
    let Some(stream) = stream_name(&body) else { return call.forward(body).await };
    let Ok(PutRecordsRequest { entries }) = serde_json::from_slice(&body) else { return call.forward(body).await };
    if let Some(error) = invalid_request(call, &entries) {
        return error;
    }
    if call.plan.faults.kinesis.limits.is_none() && !call.plan.partial {
        return call.forward(body.clone()).await;
    }

    let shards = open_shards(call, &stream).await;
    // The same time for all records, however long the loop takes.
    let now = Instant::now();
    let result = |entry: &Entry<'_>| take_capacity(call, &stream, entry.shard(&shards), entry.size(), now);
    let mut results: Vec<EntryResult> = entries.iter().map(result).collect();
    if call.plan.partial {
        let failed = draw_failures(&mut results, &entries, &shards, &mut call.plan.rng);
        call.state.count(|counts| counts.held_back(failed));
    }
    let mut response = json!({ "EncryptionType": "NONE" });
    if results.iter().any(EntryResult::is_forwarded) {
        let forwarded = call.forward(forwarded_part(&body, &results)).await;
        let forwarded = check_shards(call, &stream, &shards, forwarded).await;
        // An error response is about the whole request.
        let all_original = results.iter().all(|result| matches!(result, EntryResult::Original));
        if forwarded.status() != StatusCode::OK || all_original {
            return forwarded;
        }
        let (_, body) = into_parts(forwarded).await;
        response = serde_json::from_slice(&body).expect("a response of kinesis-local in JSON");
    }
    json_response(StatusCode::OK, &complete(response, &results, &stream), &mut call.plan.rng)
}

/// The error of a request that exceeds Kinesis's limits.
fn invalid_request(call: &mut Call, entries: &[Entry<'_>]) -> Option<FullResponse> {
    if entries.len() > MAX_RECORDS {
        let message = "1 validation error detected: Value at 'records' failed to satisfy constraint: Member must have \
                       length less than or equal to 500";
        return Some(bad_request(call, "ValidationException", message));
    }
    if let Some(index) = entries.iter().position(|entry| entry.size() > MAX_RECORD_BYTES) {
        return Some(too_large(call, &format!("records.{}.member.data", index + 1)));
    }
    if entries.iter().map(Entry::size).sum::<usize>() > MAX_BYTES {
        return Some(bad_request(call, "InvalidArgumentException", "Records size exceeds 10 MB limit"));
    }
    None
}

fn too_large(call: &mut Call, member: &str) -> FullResponse {
    let message = format!(
        "1 validation error detected: Value at '{member}' failed to satisfy constraint: Member must have length less \
         than or equal to {MAX_RECORD_BYTES}"
    );
    bad_request(call, "ValidationException", &message)
}

/// Takes a record's capacity from its shard. Without limits, or for an unknown shard, there is always enough.
fn take_capacity(call: &Call, stream: &str, shard: Option<&OpenShard>, bytes: usize, now: Instant) -> EntryResult {
    let Some(limits) = &call.plan.faults.kinesis.limits else { return EntryResult::Original };
    let Some(shard) = shard else { return EntryResult::Original };
    if call.state.kinesis().buckets.of(stream, &shard.id).take_put(limits, bytes, now) {
        return EntryResult::Original;
    }
    call.state.count(|counts| counts.injected.over_limit += 1);
    EntryResult::Throttled { shard: shard.id.clone() }
}

/// Draws the records that fail at random; their number.
fn draw_failures(results: &mut [EntryResult], entries: &[Entry<'_>], shards: &[OpenShard], rng: &mut Rng) -> usize {
    let mut chosen: Vec<usize> = (0..results.len()).filter(|index| results[*index].is_forwarded()).collect();
    if chosen.is_empty() {
        return 0;
    }
    rng.shuffle(&mut chosen);
    chosen.truncate(rng.usize(1..=chosen.len()));
    for index in &chosen {
        results[*index] = match entries[*index].shard(shards) {
            Some(shard) if rng.bool() => EntryResult::Throttled { shard: shard.id.clone() },
            _ => EntryResult::Failed { forwarded: rng.bool() },
        };
    }
    chosen.len()
}

/// The request without the records that are not forwarded.
fn forwarded_part(request: &[u8], results: &[EntryResult]) -> Bytes {
    let mut request: BTreeMap<Cow<'_, str>, &RawValue> =
        serde_json::from_slice(request).expect("a request that was parsed before");
    let records: Vec<&RawValue> =
        serde_json::from_str(request["Records"].get()).expect("records that were parsed before");
    let forwarded: Vec<&RawValue> = records
        .into_iter()
        .zip(results)
        .filter(|(_, result)| result.is_forwarded())
        .map(|(record, _)| record)
        .collect();
    let forwarded = serde_json::value::to_raw_value(&forwarded).expect("records in JSON");
    request.insert("Records".into(), &forwarded);
    serde_json::to_vec(&request).expect("a request in JSON").into()
}

/// The response to the whole request, from the service's response to the forwarded records.
fn complete(mut response: Value, results: &[EntryResult], stream: &str) -> Value {
    let mut originals = match response["Records"].take() {
        Value::Array(records) => records.into_iter(),
        _ => Vec::new().into_iter(),
    };
    let failure = |code: &str, message: &str| json!({ "ErrorCode": code, "ErrorMessage": message });
    let records: Vec<Value> = results
        .iter()
        .map(|result| {
            let original = result.is_forwarded().then(|| originals.next().expect("a result for each record"));
            match result {
                EntryResult::Original => original.expect("the result of a forwarded record"),
                EntryResult::Throttled { shard } => failure(THROUGHPUT_EXCEEDED, &rate_exceeded_message(stream, shard)),
                EntryResult::Failed { .. } => failure("InternalFailure", "Internal service failure."),
            }
        })
        .collect();
    response["FailedRecordCount"] = records.iter().filter(|record| record["ErrorCode"].is_string()).count().into();
    response["Records"] = records.into();
    response
}

/// Invalidates the known shards if the response names another one: the stream was split or merged.
async fn check_shards(call: &Call, stream: &str, shards: &[OpenShard], response: FullResponse) -> FullResponse {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct PutResponse<'a> {
        #[serde(borrow, default)]
        shard_id: Option<Cow<'a, str>>,
        #[serde(borrow, default)]
        records: Vec<PutResponse<'a>>,
    }
    let (head, body) = into_parts(response).await;
    let is_unknown = |id: &Cow<'_, str>| shards.iter().all(|shard| shard.id != **id);
    if let Ok(put) = serde_json::from_slice::<PutResponse<'_>>(&body)
        && put.records.iter().chain([&put]).filter_map(|result| result.shard_id.as_ref()).any(is_unknown)
    {
        call.state.kinesis().shards.invalidate(stream);
    }
    Response::from_parts(head, Full::new(body))
}
