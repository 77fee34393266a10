//! The requests: is the stream active, which shards does it have, put these records.

use std::time::Duration;

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, PutRecordsResultEntry, StreamStatus};
use paceline_pipeline::ErrorChain;
use tokio::time::{Instant, sleep};

use super::request::PutResult;
use super::shard_map::ShardMap;
use crate::kinesis::client::Stream;
use crate::kinesis::describe;
use crate::kinesis::error::{StreamError, StreamErrorKind};
use crate::kpl::Packed;

/// The first and the longest wait for a stream that is not active.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The code of an entry whose shard is over its limit.
const THROTTLED: &str = "ProvisionedThroughputExceededException";

/// The first map, once the stream is active.
pub(super) async fn first_map(stream: &Stream, give_up_after: Duration) -> Result<ShardMap, StreamError> {
    let deadline = Instant::now() + give_up_after;
    let mut wait = FIRST_WAIT;
    let mut logged = false;
    loop {
        let listed = match check_active(stream).await {
            Ok(()) => list(stream).await,
            Err(error) => Err(error),
        };
        let error = match listed {
            Ok(map) => return Ok(map),
            Err(error) => error,
        };
        if !error.kind.is_transient() || Instant::now() + wait > deadline {
            return Err(error);
        }
        if !logged {
            tracing::warn!("{}; waiting for up to {} s", ErrorChain(&error), give_up_after.as_secs());
            logged = true;
        }
        sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Whether the stream takes records.
async fn check_active(stream: &Stream) -> Result<(), StreamError> {
    let stream_ref = &stream.stream_ref;
    match describe::summary(stream).await.map(|summary| summary.status) {
        Ok(StreamStatus::Creating) => {
            Err(stream_ref.error(StreamErrorKind::InUse, "it is being created and not active yet"))
        }
        Ok(StreamStatus::Deleting) => {
            let text = "it is being deleted. Create it again once it is gone, or use another stream";
            Err(stream_ref.error(StreamErrorKind::Missing, text))
        }
        // A producer needs no permission to describe the stream. Other fatal errors meet the next request, too.
        Err(error) if error.kind != StreamErrorKind::Fatal => Err(error),
        _ => Ok(()),
    }
}

/// Lists the shards.
pub(super) async fn list(stream: &Stream) -> Result<ShardMap, StreamError> {
    // While a stream is resharded, a listing may be between the states before and after.
    ShardMap::new(describe::shards(stream).await?)
        .map_err(|error| stream.stream_ref.error(StreamErrorKind::Ambiguous, &error).with_source(error))
}

/// Puts records. Returns the result of each.
pub(super) async fn put(stream: &Stream, entries: Vec<Packed>) -> Result<Vec<PutResult>, StreamError> {
    let stream_ref = &stream.stream_ref;
    let entry = |packed: Packed| {
        let entry = PutRecordsRequestEntry::builder()
            .partition_key(packed.partition_key)
            .set_explicit_hash_key(packed.explicit_hash_key.map(|key| key.to_string()))
            .data(Blob::new(packed.data));
        entry.build().expect("key and data are set")
    };
    let entries = entries.into_iter().map(entry).collect();
    let request = stream.client()?.put_records().stream_name(&stream_ref.stream).set_records(Some(entries));
    let response = Box::pin(request.send()).await.map_err(|error| stream_ref.classify("putting records", error))?;
    Ok(response.records().iter().map(|entry| result(stream, entry)).collect())
}

fn result(stream: &Stream, entry: &PutRecordsResultEntry) -> PutResult {
    let reason = |what: &str, code: &str| {
        let message = entry.error_message().unwrap_or("no message");
        format!("{}: a record {what} ({code}: {message})", stream.stream_ref)
    };
    match (entry.error_code(), entry.shard_id()) {
        (Some(THROTTLED), _) => PutResult::Throttled(reason("exceeds its shard's limit", THROTTLED)),
        (Some(code), _) => PutResult::Ambiguous(reason("failed in the service", code)),
        (None, Some(shard)) => PutResult::Stored(shard.into()),
        (None, None) => PutResult::Ambiguous(reason("got neither a shard nor an error", "no code")),
    }
}
