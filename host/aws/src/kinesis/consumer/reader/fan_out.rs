//! Reads a shard by subscribing to it: `SubscribeToShard`, "enhanced fan-out". The service pushes records for five
//! minutes; then the reader subscribes again, after the last record.

use std::time::Duration;

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::primitives::event_stream::EventReceiver;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{SubscribeToShardEvent, SubscribeToShardEventStream as Event};
use tokio::time::{Instant, sleep_until, timeout};

use super::backoff::Backoff;
use super::chunk::RecordChunk;
use super::context::ReaderContext;
use crate::kinesis::consumer::iterator_position::IteratorPosition;
use crate::kinesis::error::{StreamError, StreamErrorKind};
use crate::kinesis::shard::Shard;
use crate::sdk::ServiceError;

/// The service sends an event every five seconds, also without records. A connection that is silent for so long is
/// dead.
const SILENCE: Duration = Duration::from_secs(30);
/// A subscription that ends sooner is not over as planned. Within this time the service would refuse the next one.
const SHORTEST: Duration = Duration::from_secs(5);

type Receiver = EventReceiver<Event, SubscribeToShardEventStreamError>;

/// Reads a shard by subscribing to it.
pub(in crate::kinesis::consumer) struct FanOut {
    context: ReaderContext,
    shard: Shard,
    /// After the last record that was read.
    position: IteratorPosition,
    subscription: Option<Subscription>,
    not_before: Instant,
    backoff: Backoff,
}

struct Subscription {
    events: Receiver,
    began: Instant,
    until: Instant,
}

impl FanOut {
    pub(super) fn new(context: ReaderContext, shard: Shard, position: IteratorPosition) -> Self {
        Self { context, shard, position, subscription: None, not_before: Instant::now(), backoff: Backoff::default() }
    }

    pub(super) async fn next(&mut self) -> Result<RecordChunk, StreamError> {
        loop {
            match self.receive().await {
                Ok(Some(chunk)) => {
                    self.backoff.reset();
                    return Ok(chunk);
                }
                Ok(None) => {
                    let began = self.subscription.take().map(|subscription| subscription.began);
                    if began.is_some_and(|began| began.elapsed() < SHORTEST) {
                        self.wait_to_subscribe(began);
                    }
                }
                Err(error) if error.kind.is_transient() => {
                    let began = self.subscription.take().map(|subscription| subscription.began);
                    match error.kind {
                        StreamErrorKind::InUse => self.context.record_conflict(&self.shard, &error),
                        _ => self.context.record_failure(&self.shard, &error),
                    }
                    self.wait_to_subscribe(began);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The next subscription waits as after an error, and for the time in which the service would refuse it, as if another
    /// reader had the shard. `began` is the beginning of the one that has ended; `None` if it could not begin.
    fn wait_to_subscribe(&mut self, began: Option<Instant>) {
        let after_error = Instant::now() + self.backoff.next_wait();
        self.not_before = began.map_or(after_error, |began| after_error.max(began + SHORTEST));
    }

    /// The next records of the subscription; `None` once it has ended.
    async fn receive(&mut self) -> Result<Option<RecordChunk>, StreamError> {
        if self.subscription.is_none() {
            sleep_until(self.not_before).await;
            self.subscription = Some(self.subscribe().await?);
        }
        let subscription = self.subscription.as_mut().expect("the reader has subscribed");
        let requested_ms = self.context.stream.clock.now_ms();
        let event = tokio::select! {
            biased;
            event = timeout(SILENCE, subscription.events.recv()) => event,
            () = sleep_until(subscription.until) => return Ok(None),
        };
        let stream_ref = &self.context.stream.stream_ref;
        match event {
            Ok(Ok(Some(Event::SubscribeToShardEvent(event)))) => Ok(Some(self.chunk(event, requested_ms))),
            // An event that this version of the SDK does not know carries no records.
            Ok(Ok(Some(_))) => Ok(Some(RecordChunk::new(Vec::new(), 0, requested_ms))),
            Ok(Ok(None)) => Ok(None),
            Ok(Err(SdkError::ServiceError(error))) => {
                let error = error.err();
                let error = ServiceError::new(code(error), error.message(), 500);
                Err(stream_ref.classify_service_error(&self.doing(), error))
            }
            Ok(Err(error)) => {
                let text = format_args!("{} broke off", self.doing());
                Err(stream_ref.error(StreamErrorKind::Ambiguous, text).with_source(error))
            }
            Err(_) => {
                let text = format_args!("{} received no event for {} s", self.doing(), SILENCE.as_secs());
                Err(stream_ref.error(StreamErrorKind::Ambiguous, text))
            }
        }
    }

    async fn subscribe(&self) -> Result<Subscription, StreamError> {
        let ReaderContext { stream, config, consumer_arn, .. } = &self.context;
        let request = stream
            .client()?
            .subscribe_to_shard()
            .consumer_arn(consumer_arn.as_deref().unwrap_or_default())
            .shard_id(&*self.shard.id)
            .starting_position(self.position.starting_position())
            .customize();
        let request = match stream.subscription() {
            Some(settings) => request.config_override(settings),
            None => request,
        };
        let response =
            Box::pin(request.send()).await.map_err(|error| stream.stream_ref.classify(&self.doing(), error))?;
        let began = Instant::now();
        let until = began + Duration::from_millis(config.resubscribe_ms);
        Ok(Subscription { events: response.event_stream, began, until })
    }

    fn chunk(&mut self, event: SubscribeToShardEvent, requested_ms: i64) -> RecordChunk {
        // The service may be past its last record, after stretches without any.
        let last = event.records.last().map(|record| &record.sequence_number);
        let continuation = Some(&event.continuation_sequence_number).filter(|sequence| !sequence.is_empty());
        if let Some(sequence) = continuation.or(last) {
            self.position = IteratorPosition::After(sequence.clone());
        }
        let chunk = RecordChunk::new(event.records, event.millis_behind_latest, requested_ms);
        match event.child_shards {
            Some(children) if !children.is_empty() => chunk.at_end(&children),
            _ => chunk,
        }
    }

    fn doing(&self) -> String {
        format!("the subscription to {}", self.shard.id)
    }
}

/// The code of an error that came as an event: the SDK parses which error it is, but leaves the code empty.
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
