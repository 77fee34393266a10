//! A stream's status and its shards.

use std::time::Duration;

use aws_sdk_kinesis::types::StreamStatus;
use paceline_pipeline::ErrorChain;
use tokio::time::sleep;

use super::client::{Service, Stream};
use super::error::{StreamError, StreamErrorKind};
use super::polled_stream::PolledShard;
use super::shard::Shard;

/// The interval between requests for a stream that is being created or that does not answer.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Attempts at the start, while failures are transient: a wrong address looks like one that is out of reach.
const ATTEMPTS: u32 = 30;

/// A stream's status.
#[derive(Clone, Debug)]
pub(super) struct StreamSummary {
    pub(super) arn: String,
    pub(super) status: StreamStatus,
    /// How long the stream keeps its records.
    pub(super) retention_hours: i32,
    /// The time of creation, in milliseconds since 1970. It differs for another stream of the same name.
    pub(super) created_ms: i64,
}

/// Describes the stream, with one attempt.
pub(super) async fn summary(stream: &Stream) -> Result<StreamSummary, StreamError> {
    let stream_ref = &stream.stream_ref;
    let client = match &stream.service {
        Service::Kinesis(client) => client,
        Service::Other(other) => {
            let described = stream.answer("describing the stream", &**other, other.describe().await);
            let (created_ms, retention_hours) = described?;
            let arn = format!("arn:aws:kinesis:::stream/{}", stream_ref.stream);
            return Ok(StreamSummary { arn, status: StreamStatus::Active, retention_hours, created_ms });
        }
    };
    let response = Box::pin(client.describe_stream_summary().stream_name(&stream_ref.stream).send()).await;
    let response = response.map_err(|error| match stream_ref.classify("describing the stream", error) {
        missing if missing.kind == StreamErrorKind::Missing => stream_ref.reword(
            missing,
            "there is no such stream. Create it, or correct its name (`stream` in [source.kinesis], PACELINE_STREAM or \
             `--stream`), the region or the endpoint",
        ),
        error => error,
    })?;
    let summary = response.stream_description_summary.ok_or_else(|| {
        stream_ref.error(StreamErrorKind::Ambiguous, "describing the stream got a response without a description")
    })?;
    Ok(StreamSummary {
        arn: summary.stream_arn,
        status: summary.stream_status,
        retention_hours: summary.retention_period_hours,
        created_ms: summary.stream_creation_timestamp.to_millis().unwrap_or(0),
    })
}

/// Describes the stream once it can be read: waits while it is created; fails if it is being deleted.
pub(super) async fn active(stream: &Stream) -> Result<StreamSummary, StreamError> {
    let (mut logged, mut failures) = (false, 0);
    loop {
        match summary(stream).await {
            Ok(summary) => match &summary.status {
                StreamStatus::Creating => {
                    if !logged {
                        tracing::info!("waiting for {}, which is being created", stream.stream_ref);
                        logged = true;
                    }
                }
                StreamStatus::Deleting => {
                    let text = "it is being deleted and can't be read any more. Configure another stream, or create it \
                                again once it is gone";
                    return Err(stream.stream_ref.error(StreamErrorKind::Fatal, text));
                }
                _ => return Ok(summary),
            },
            Err(error) if error.kind.is_transient() && failures < ATTEMPTS => {
                failures += 1;
                tracing::warn!("{}; retrying", ErrorChain(&error));
            }
            Err(error) => return Err(error),
        }
        sleep(RETRY_AFTER).await;
    }
}

/// All shards that the stream still has.
pub(super) async fn shards(stream: &Stream) -> Result<Vec<Shard>, StreamError> {
    if let Service::Other(other) = &stream.service {
        let listed = stream.answer("listing the shards", &**other, other.list_shards().await)?;
        return Ok(listed.into_iter().map(PolledShard::into_shard).collect());
    }
    let (client, mut shards) = (stream.client()?, Vec::new());
    let mut next: Option<String> = None;
    loop {
        let request = client.list_shards();
        // Kinesis accepts the name only with the first page.
        let request = match next {
            Some(token) => request.next_token(token),
            None => request.stream_name(&stream.stream_ref.stream),
        };
        let response =
            Box::pin(request.send()).await.map_err(|error| stream.stream_ref.classify("listing the shards", error))?;
        for listed in response.shards() {
            let shard = Shard::from_listing(listed).map_err(|malformed| {
                let text = "listing the shards got a response that can't be read";
                stream.stream_ref.error(StreamErrorKind::Fatal, text).with_source(malformed)
            })?;
            shards.push(shard);
        }
        next = response.next_token;
        if next.is_none() {
            return Ok(shards);
        }
    }
}
