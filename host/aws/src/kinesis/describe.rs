//! What a stream says of itself.

use std::time::Duration;

use aws_sdk_kinesis::types::StreamStatus;
use tokio::time::sleep;

use super::client::Stream;
use super::error::{StreamError, StreamErrorKind};
use super::lineage::Shard;

/// How often a stream that is being made, or that does not answer, is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How often a failure that may pass is tried at the start: an address that is wrong looks like one that is out of reach.
const FIRST_TRIES: u32 = 30;

/// What a stream says of itself.
#[derive(Clone, Debug)]
pub(super) struct Described {
    pub(super) arn: String,
    pub(super) status: StreamStatus,
    /// How long it keeps its records.
    pub(super) retention_hours: i32,
    /// When it was made, in milliseconds since 1970: another stream of the same name was made at another time.
    pub(super) created_ms: i64,
}

/// Asks once.
pub(super) async fn summary(stream: &Stream) -> Result<Described, StreamError> {
    let named = &stream.named;
    let answer = stream.client.describe_stream_summary().stream_name(&named.stream).send().await;
    let answer = answer.map_err(|error| match named.classify("asking for the stream", &error) {
        StreamError { kind: StreamErrorKind::Missing, .. } => named.error(
            StreamErrorKind::Missing,
            "there is no such stream. Create it, or correct its name (`stream` in [source.kinesis], or \
             PACELINE_STREAM), the region or the endpoint",
        ),
        error => error,
    })?;
    let summary = answer
        .stream_description_summary
        .ok_or_else(|| named.error(StreamErrorKind::Ambiguous, "it was asked for, and nothing was said of it"))?;
    Ok(Described {
        arn: summary.stream_arn,
        status: summary.stream_status,
        retention_hours: summary.retention_period_hours,
        created_ms: summary.stream_creation_timestamp.to_millis().unwrap_or(0),
    })
}

/// Asks until the stream can be read. One that is being created is waited for; one that is being deleted is an error.
pub(super) async fn active(stream: &Stream) -> Result<Described, StreamError> {
    let (mut said, mut tries) = (false, 0);
    loop {
        match summary(stream).await {
            Ok(described) => match &described.status {
                StreamStatus::Creating => {
                    if !said {
                        tracing::info!("waiting for {}, which is being created", stream.named);
                        said = true;
                    }
                }
                StreamStatus::Deleting => {
                    let text = "it is being deleted: nothing of it can be read any more. Name another stream, or \
                                create it anew when it is gone";
                    return Err(stream.named.error(StreamErrorKind::Fatal, text));
                }
                _ => return Ok(described),
            },
            Err(error) if error.kind.is_transient() && tries < FIRST_TRIES => {
                tries += 1;
                tracing::warn!("{error}; it is tried again");
            }
            Err(error) => return Err(error),
        }
        sleep(ASK_AGAIN).await;
    }
}

/// All shards that the stream still has.
pub(super) async fn shards(stream: &Stream) -> Result<Vec<Shard>, StreamError> {
    let mut shards = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let request = stream.client.list_shards();
        // The name may only be given with the first page.
        let request = match next {
            Some(token) => request.next_token(token),
            None => request.stream_name(&stream.named.stream),
        };
        let answer = request.send().await.map_err(|error| stream.named.classify("listing the shards", &error))?;
        for shard in answer.shards() {
            let wrong = |wrong| stream.named.error(StreamErrorKind::Fatal, format_args!("listing the shards: {wrong}"));
            shards.push(Shard::listed(shard).map_err(wrong)?);
        }
        next = answer.next_token;
        if next.is_none() {
            return Ok(shards);
        }
    }
}
