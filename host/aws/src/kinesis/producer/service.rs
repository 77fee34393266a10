//! The requests: is the stream active, which shards has it, take these records.

use std::time::Duration;

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, PutRecordsResultEntry, StreamStatus};
use tokio::time::{Instant, sleep};

use super::core::PutResult;
use super::shard_map::ShardMap;
use crate::kinesis::client::Stream;
use crate::kinesis::describe;
use crate::kinesis::error::{StreamError, StreamErrorKind};
use crate::kpl::Packed;

/// The first and the longest wait between two looks at a stream that is not ready.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// The code of an entry that was too much for its shard.
const THROTTLED: &str = "ProvisionedThroughputExceededException";

/// The map to begin with, once the stream is active.
pub(super) async fn first_map(stream: &Stream, patience: Duration) -> Result<ShardMap, StreamError> {
    let deadline = Instant::now() + patience;
    let mut wait = FIRST_WAIT;
    let mut said = false;
    loop {
        let error = match is_active(stream).await {
            Ok(()) => match list(stream).await {
                Ok(map) => return Ok(map),
                Err(error) => error,
            },
            Err(error) => error,
        };
        if !error.kind.is_transient() || Instant::now() + wait > deadline {
            return Err(error);
        }
        if !said {
            tracing::warn!("{error}; waiting for up to {} s", patience.as_secs());
            said = true;
        }
        sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Whether records can be put, or why not.
async fn is_active(stream: &Stream) -> Result<(), StreamError> {
    let named = &stream.named;
    match describe::summary(stream).await.map(|described| described.status) {
        Ok(StreamStatus::Creating) => {
            Err(named.error(StreamErrorKind::InUse, "it is being created and not active yet"))
        }
        Ok(StreamStatus::Deleting) => Err(named.error(
            StreamErrorKind::Missing,
            "it is being deleted. Wait for that and create it anew, or name another one",
        )),
        // A producer need not be allowed to describe it. What else is broken, the next request tells as well.
        Err(error) if error.kind != StreamErrorKind::Fatal => Err(error),
        _ => Ok(()),
    }
}

/// Lists the shards.
pub(super) async fn list(stream: &Stream) -> Result<ShardMap, StreamError> {
    // While a stream is resharded, a listing may be neither before nor after.
    let wrong = |wrong| stream.named.error(StreamErrorKind::Ambiguous, wrong);
    ShardMap::new(describe::shards(stream).await?).map_err(wrong)
}

/// Puts records, and tells what became of each.
pub(super) async fn put(stream: &Stream, entries: Vec<Packed>) -> Result<Vec<PutResult>, StreamError> {
    let named = &stream.named;
    let entry = |packed: Packed| {
        let entry = PutRecordsRequestEntry::builder()
            .partition_key(packed.partition_key)
            .set_explicit_hash_key(packed.explicit_hash_key.map(|key| key.to_string()))
            .data(Blob::new(packed.data));
        entry.build().expect("key and data are set")
    };
    let entries = entries.into_iter().map(entry).collect();
    let request = stream.client.put_records().stream_name(&named.stream).set_records(Some(entries));
    let answer = request.send().await.map_err(|error| named.classify("putting records", &error))?;
    Ok(answer.records().iter().map(|entry| result(stream, entry)).collect())
}

fn result(stream: &Stream, entry: &PutRecordsResultEntry) -> PutResult {
    let said = |code: &str, what| {
        let message = entry.error_message().unwrap_or("no message");
        stream.named.error(StreamErrorKind::Ambiguous, format_args!("a record {what} ({code}): {message}")).text
    };
    match (entry.error_code(), entry.shard_id()) {
        (Some(THROTTLED), _) => PutResult::Throttled(said(THROTTLED, "is too much for its shard")),
        (Some(code), _) => PutResult::Ambiguous(said(code, "failed at the other end")),
        (None, Some(shard)) => PutResult::Permit(shard.into()),
        (None, None) => PutResult::Ambiguous(said("no code", "has neither a shard nor an error")),
    }
}
