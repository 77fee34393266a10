//! Reading a shard by subscribing to it: `SubscribeToShard`, "enhanced fan-out". The service pushes what comes, for five
//! minutes; then one subscribes anew, after what came last.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::primitives::event_stream::EventReceiver;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{ConsumerStatus, SubscribeToShardEvent, SubscribeToShardEventStream as Event};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::client::Stream;
use super::error::{StreamErrorKind, StreamError};
use super::lineage::Shard;
use super::position::IteratorPosition;
use super::reader::{ReaderContext, Backoff, RecordChunk};
use crate::sdk::{ServiceError, chain};

/// The service sends something every five seconds, if only that there is nothing. After so long the connection is dead.
const SILENCE: Duration = Duration::from_secs(30);
/// Somebody else's subscription passes within seconds when its process ends. What takes longer is told.
const IN_USE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a consumer may take to become active, and how often that is looked at.
const ACTIVE: (Duration, Duration) = (Duration::from_secs(120), Duration::from_millis(500));

type Receiver = EventReceiver<Event, SubscribeToShardEventStreamError>;

/// Reads a shard by subscribing to it.
pub(super) struct FanOut {
    context: ReaderContext,
    shard: Shard,
    /// After what was read last.
    position: IteratorPosition,
    subscription: Option<Subscription>,
    not_before: Instant,
    backoff: Backoff,
    /// Since when somebody else has the subscription.
    in_use: Option<Instant>,
}

struct Subscription {
    events: Receiver,
    until: Instant,
}

impl FanOut {
    pub(super) fn new(context: ReaderContext, shard: Shard, position: IteratorPosition) -> Self {
        Self {
            context,
            shard,
            position,
            subscription: None,
            not_before: Instant::now(),
            backoff: Backoff::default(),
            in_use: None,
        }
    }

    pub(super) async fn next(&mut self) -> Result<RecordChunk, StreamError> {
        loop {
            match self.attempt().await {
                Ok(Some(chunk)) => {
                    self.backoff.reset();
                    self.in_use = None;
                    return Ok(chunk);
                }
                // Its time was up.
                Ok(None) => self.subscription = None,
                Err(error) if error.kind.is_transient() => {
                    self.subscription = None;
                    self.context.note(&self.shard, &error);
                    self.complain(&error);
                    self.not_before = Instant::now() + self.backoff.next();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What comes next of the subscription; nothing where it is over.
    async fn attempt(&mut self) -> Result<Option<RecordChunk>, StreamError> {
        if self.subscription.is_none() {
            sleep_until(self.not_before).await;
            self.subscription = Some(self.subscribe().await?);
        }
        let subscription = self.subscription.as_mut().expect("it is there by now");
        let asked_ms = self.context.stream.clock.now_ms();
        let event = tokio::select! {
            event = timeout(SILENCE, subscription.events.recv()) => event,
            () = sleep_until(subscription.until) => return Ok(None),
        };
        let named = &self.context.stream.named;
        match event {
            Ok(Ok(Some(Event::SubscribeToShardEvent(event)))) => Ok(Some(self.chunk(event, asked_ms))),
            // What this version of the SDK does not know brings no records.
            Ok(Ok(Some(_))) => Ok(Some(RecordChunk::new(Vec::new(), 0, asked_ms))),
            Ok(Ok(None)) => Ok(None),
            Ok(Err(SdkError::ServiceError(error))) => {
                let error = error.err();
                Err(named.classify_service_error(&self.doing(), &ServiceError::new(code(error), error.message(), 500)))
            }
            Ok(Err(error)) => {
                Err(named.error(StreamErrorKind::Ambiguous, format_args!("{} broke off: {}", self.doing(), chain(&error))))
            }
            Err(_) => {
                let text = format_args!("{} brought nothing for {} s", self.doing(), SILENCE.as_secs());
                Err(named.error(StreamErrorKind::Ambiguous, text))
            }
        }
    }

    async fn subscribe(&self) -> Result<Subscription, StreamError> {
        let ReaderContext { stream, config, consumer_arn, .. } = &self.context;
        let answer = stream
            .client
            .subscribe_to_shard()
            .consumer_arn(consumer_arn.as_deref().unwrap_or_default())
            .shard_id(&*self.shard.id)
            .starting_position(self.position.subscription())
            .send()
            .await
            .map_err(|error| stream.named.classify(&self.doing(), &error))?;
        let until = Instant::now() + Duration::from_millis(config.resubscribe_ms);
        Ok(Subscription { events: answer.event_stream, until })
    }

    fn chunk(&mut self, event: SubscribeToShardEvent, asked_ms: i64) -> RecordChunk {
        // The service may be further than its last record, where it looked at stretches without any.
        let last = event.records.last().map(|record| &record.sequence_number);
        let continuation = Some(&event.continuation_sequence_number).filter(|sequence| !sequence.is_empty());
        if let Some(sequence) = continuation.or(last) {
            self.position = IteratorPosition::After(sequence.clone());
        }
        let chunk = RecordChunk::new(event.records, event.millis_behind_latest, asked_ms);
        match event.child_shards {
            Some(children) if !children.is_empty() => chunk.ended(&children),
            _ => chunk,
        }
    }

    fn doing(&self) -> String {
        format!("the subscription to {}", self.shard.id)
    }

    /// Somebody else has the subscription, and does not let go.
    fn complain(&mut self, error: &StreamError) {
        if error.kind != StreamErrorKind::InUse {
            self.in_use = None;
            return;
        }
        let since = *self.in_use.get_or_insert_with(Instant::now);
        if since.elapsed() >= IN_USE_PATIENCE {
            self.in_use = Some(Instant::now());
            tracing::error!(
                shard = &*self.shard.id,
                "the fan-out consumer `{}` is in use by another reader, which does not let go of {}: give this one \
                 another `consumer-name`, or end the other one. Nothing is lost meanwhile, but nothing is read. {error}",
                self.context.config.consumer_name,
                self.shard.id
            );
        }
    }
}

/// The code of an error that came as an event. The SDK tells which it is, but leaves its code empty.
fn code(error: &SubscribeToShardEventStreamError) -> &str {
    use SubscribeToShardEventStreamError as Error;
    match error {
        Error::ResourceNotFoundException(_) => "ResourceNotFoundException",
        Error::ResourceInUseException(_) => "ResourceInUseException",
        Error::KmsDisabledException(_) => "KMSDisabledException",
        Error::KmsInvalidStateException(_) => "KMSInvalidStateException",
        Error::KmsAccessDeniedException(_) => "KMSAccessDeniedException",
        Error::KmsNotFoundException(_) => "KMSNotFoundException",
        Error::KmsOptInRequired(_) => "KMSOptInRequired",
        Error::KmsThrottlingException(_) => "KMSThrottlingException",
        Error::InternalFailureException(_) => "InternalFailureException",
        other => other.code().unwrap_or("no code"),
    }
}

/// The consumer's ARN: one that is registered under the name is taken over, otherwise it is registered now.
pub(super) async fn register(stream: &Stream, stream_arn: &str, name: &str) -> Result<Arc<str>, StreamError> {
    let waited = Instant::now();
    let mut said = false;
    loop {
        match find(stream, stream_arn, name).await {
            Ok((arn, ConsumerStatus::Active)) => return Ok(arn.into()),
            Ok((_, status)) => {
                if !said {
                    tracing::info!("waiting for the fan-out consumer `{name}`, which is {status}");
                    said = true;
                }
            }
            Err(error) if error.kind == StreamErrorKind::Missing => {
                let request = stream.client.register_stream_consumer().stream_arn(stream_arn).consumer_name(name);
                match request.send().await {
                    Ok(_) => tracing::info!("registered the fan-out consumer `{name}`"),
                    Err(error) => {
                        let error = classify(stream, &format!("registering the fan-out consumer `{name}`"), &error);
                        if !error.kind.is_transient() || waited.elapsed() >= ACTIVE.0 {
                            return Err(error);
                        }
                        tracing::warn!("{error}; it is tried again");
                    }
                }
            }
            Err(error) if error.kind.is_transient() && waited.elapsed() < ACTIVE.0 => tracing::warn!("{error}"),
            Err(error) => return Err(error),
        }
        if waited.elapsed() >= ACTIVE.0 {
            let text = format_args!("the fan-out consumer `{name}` did not become active in {} s", ACTIVE.0.as_secs());
            return Err(stream.named.error(StreamErrorKind::Fatal, text));
        }
        sleep(ACTIVE.1).await;
    }
}

async fn find(stream: &Stream, stream_arn: &str, name: &str) -> Result<(String, ConsumerStatus), StreamError> {
    let request = stream.client.describe_stream_consumer().stream_arn(stream_arn).consumer_name(name);
    let answer = request.send().await;
    let answer = answer.map_err(|error| classify(stream, &format!("asking for the fan-out consumer `{name}`"), &error))?;
    let found = answer.consumer_description.map(|found| (found.consumer_arn, found.consumer_status));
    found.ok_or_else(|| stream.named.error(StreamErrorKind::Ambiguous, format_args!("nothing was said of the consumer `{name}`")))
}

fn classify<E>(stream: &Stream, doing: &str, error: &SdkError<E, HttpResponse>) -> StreamError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    stream.named.classify(doing, error)
}
