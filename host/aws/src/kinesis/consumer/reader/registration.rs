//! The registration of a fan-out consumer with the stream.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::types::ConsumerStatus;
use paceline_pipeline::ErrorChain;
use tokio::time::{Instant, sleep};

use crate::kinesis::client::Stream;
use crate::kinesis::error::{StreamError, StreamErrorKind};

/// How long a consumer may take to become active.
const ACTIVE_WITHIN: Duration = Duration::from_secs(120);
/// The interval at which its status is requested.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// The ARN of the consumer with this name, once it is active. It is registered if it does not exist.
pub(in crate::kinesis::consumer) async fn register(
    stream: &Stream,
    stream_arn: &str,
    name: &str,
) -> Result<Arc<str>, StreamError> {
    let began = Instant::now();
    let mut logged = false;
    loop {
        match find(stream, stream_arn, name).await {
            Ok((arn, ConsumerStatus::Active)) => return Ok(arn.into()),
            Ok((_, status)) => {
                if !logged {
                    tracing::info!("waiting for the fan-out consumer `{name}`, which is {status}");
                    logged = true;
                }
            }
            Err(error) if error.kind == StreamErrorKind::Missing => {
                let request = stream.client()?.register_stream_consumer().stream_arn(stream_arn).consumer_name(name);
                match Box::pin(request.send()).await {
                    Ok(_) => tracing::info!("registered the fan-out consumer `{name}`"),
                    Err(error) => {
                        let doing = format!("registering the fan-out consumer `{name}`");
                        retry_or_fail(stream.stream_ref.classify(&doing, error), began)?;
                    }
                }
            }
            Err(error) => retry_or_fail(error, began)?,
        }
        if began.elapsed() >= ACTIVE_WITHIN {
            let seconds = ACTIVE_WITHIN.as_secs();
            let text = format_args!("the fan-out consumer `{name}` did not become active within {seconds} s");
            return Err(stream.stream_ref.error(StreamErrorKind::Fatal, text));
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// Whether the consumer with this name is still the one with this ARN. One that was registered again has another.
pub(in crate::kinesis::consumer) async fn is_registered(
    stream: &Stream,
    stream_arn: &str,
    name: &str,
    arn: &str,
) -> Result<bool, StreamError> {
    let began = Instant::now();
    loop {
        match find(stream, stream_arn, name).await {
            Ok((found, status)) => return Ok(found == arn && status != ConsumerStatus::Deleting),
            Err(error) if error.kind == StreamErrorKind::Missing => return Ok(false),
            Err(error) => retry_or_fail(error, began)?,
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// Returns the error unless it is transient and there is time for a retry.
fn retry_or_fail(error: StreamError, began: Instant) -> Result<(), StreamError> {
    if !error.kind.is_transient() || began.elapsed() >= ACTIVE_WITHIN {
        return Err(error);
    }
    tracing::warn!("{}; retrying", ErrorChain(&error));
    Ok(())
}

async fn find(stream: &Stream, stream_arn: &str, name: &str) -> Result<(String, ConsumerStatus), StreamError> {
    let doing = format!("describing the fan-out consumer `{name}`");
    let request = stream.client()?.describe_stream_consumer().stream_arn(stream_arn).consumer_name(name);
    let response = Box::pin(request.send()).await.map_err(|error| stream.stream_ref.classify(&doing, error))?;
    let found = response.consumer_description.map(|found| (found.consumer_arn, found.consumer_status));
    found.ok_or_else(|| {
        let text = format_args!("{doing} got a response without a description");
        stream.stream_ref.error(StreamErrorKind::Ambiguous, text)
    })
}
