//! `GetShardIterator` and `GetRecords`: iterators and records expire, and a shard has a limit of calls and bytes.

use std::borrow::Cow;
use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::CONTENT_LENGTH;
use hyper::{Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::super::body::{FullResponse, into_parts};
use super::super::call::Call;
use super::iterators::IteratorSource;
use super::request::{decoded_length, stream_name};
use super::response::{expired_iterator, rate_exceeded};

pub(super) async fn get_shard_iterator(call: &mut Call) -> FullResponse {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct GetShardIteratorRequest<'a> {
        #[serde(borrow)]
        shard_id: Cow<'a, str>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct GetShardIteratorResponse<'a> {
        #[serde(borrow)]
        shard_iterator: Cow<'a, str>,
    }
    let body = call.body.clone();
    let Some(stream) = stream_name(&body) else { return call.forward(body).await };
    let Ok(request) = serde_json::from_slice::<GetShardIteratorRequest<'_>>(&body) else {
        return call.forward(body).await;
    };
    let shard = request.shard_id.as_ref();
    if let Some(limits) = &call.plan.faults.kinesis.limits {
        let fits = call.state.kinesis().buckets.of(&stream, shard).take_iterator(limits, Instant::now());
        if !fits {
            call.state.count(|counts| counts.injected.over_limit += 1);
            return rate_exceeded(call, &stream, shard);
        }
    }
    let (response, body) = forward_and_read(call, body.clone()).await;
    if let Ok(created) = serde_json::from_slice::<GetShardIteratorResponse<'_>>(&body) {
        let source = IteratorSource { stream, shard: shard.to_owned(), created: Instant::now() };
        call.state.kinesis().iterators.insert(&created.shard_iterator, source);
    }
    response
}

pub(super) async fn get_records(call: &mut Call) -> FullResponse {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct GetRecordsRequest<'a> {
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
    struct GetRecordsResponse<'a> {
        #[serde(borrow, default)]
        records: Vec<Record<'a>>,
        #[serde(borrow, default)]
        next_shard_iterator: Option<Cow<'a, str>>,
    }
    let body = call.body.clone();
    let Ok(request) = serde_json::from_slice::<GetRecordsRequest<'_>>(&body) else { return call.forward(body).await };
    let source = call.state.kinesis().iterators.get(&request.shard_iterator).cloned();
    let faults = call.plan.faults.kinesis.clone();

    let too_old = match (&source, faults.iterator_age) {
        (Some(source), Some(age)) => source.created.elapsed() > age,
        _ => false,
    };
    if too_old || (!call.plan.exempt && call.plan.rng.f64() < faults.expired_iterator) {
        call.state.count(|counts| counts.injected.expired_iterators += 1);
        return expired_iterator(call);
    }
    if let (Some(source), Some(limits)) = (&source, &faults.limits) {
        let fits = call.state.kinesis().buckets.of(&source.stream, &source.shard).take_read(limits, Instant::now());
        if !fits {
            call.state.count(|counts| counts.injected.over_limit += 1);
            return rate_exceeded(call, &source.stream, &source.shard);
        }
    }

    let (mut response, mut body) = forward_and_read(call, body.clone()).await;
    if let Some(oldest) = &faults.oldest
        && response.status() == StatusCode::OK
    {
        body = without_expired(&body, oldest);
        response.headers_mut().remove(CONTENT_LENGTH);
        *response.body_mut() = Full::new(body.clone());
    }
    if let Some(source) = source
        && response.status() == StatusCode::OK
        && let Ok(read) = serde_json::from_slice::<GetRecordsResponse<'_>>(&body)
    {
        let size = |record: &Record<'_>| {
            decoded_length(&record.data) + record.partition_key.as_ref().map_or(0, |key| key.len())
        };
        let mut kinesis = call.state.kinesis();
        kinesis.buckets.of(&source.stream, &source.shard).take_read_bytes(read.records.iter().map(size).sum());
        if let Some(next) = read.next_shard_iterator {
            kinesis.iterators.insert(&next, IteratorSource { created: Instant::now(), ..source });
        }
    }
    response
}

/// The body of a `GetRecords` response without the records before the oldest one that has not expired.
fn without_expired(body: &Bytes, oldest: &str) -> Bytes {
    let Ok(mut read) = serde_json::from_slice::<Value>(body) else { return body.clone() };
    // Sequence numbers are decimal numbers without zeros in front.
    let place = |sequence: &str| (sequence.len(), sequence.to_owned());
    if let Some(records) = read["Records"].as_array_mut() {
        records
            .retain(|record| record["SequenceNumber"].as_str().is_none_or(|sequence| place(sequence) >= place(oldest)));
    }
    read.to_string().into()
}

/// The service's response, and its body once more.
async fn forward_and_read(call: &Call, body: Bytes) -> (FullResponse, Bytes) {
    let (head, body) = into_parts(call.forward(body).await).await;
    (Response::from_parts(head, Full::new(body.clone())), body)
}
