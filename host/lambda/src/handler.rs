//! One event: its batch through the pipeline, and the response.

use std::sync::Arc;
use std::time::{Duration, Instant};

use paceline_config::batch_trace;
use paceline_pipeline::model::Batch;
use paceline_pipeline::summary::Summary;
use paceline_pipeline::window::Window;
use paceline_pipeline::{Clock, ErrorChain, Pipeline, PipelineError, ProcessOutcome};
use paceline_traces::{Attribute, Traces};

use crate::event::{self, Event, EventError, EventResponse, TumblingWindow};
use crate::metrics::{Measured, Metrics, Used};
use crate::poll::Poll;
use crate::store::FunctionStore;
use crate::window::{self, WindowStateError};

/// The part of the remaining time that is reserved for dead letters and the response: one in so many.
const RESERVE_ONE_IN: u32 = 10;
/// The least and the most time that is reserved.
const RESERVE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// A deadline that is further away is none. Lambda's longest timeout is 15 minutes, an emulator's may be longer.
const FURTHEST_DEADLINE: Duration = Duration::from_secs(24 * 3_600);

/// How long the response waits for the collector, at most.
const TRACE_WITHIN: Duration = Duration::from_millis(200);

/// Why an invocation fails. Lambda retries the whole batch; dedup absorbs the replay of what was written.
#[derive(Debug, thiserror::Error)]
pub enum InvocationError {
    /// The event is not of a Kinesis event source mapping.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The window's state is not of this function.
    #[error(transparent)]
    WindowState(#[from] WindowStateError),
    /// The pipeline failed.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
}

/// What is known of an invocation beside its event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Invocation<'a> {
    /// Its id.
    pub request_id: &'a str,
    /// When Lambda ends it, in milliseconds since 1970; 0 if that is not known.
    pub deadline_ms: u64,
}

/// What becomes of an event.
#[derive(Debug, Default)]
struct Outcome {
    summary: Summary,
    measured: Measured,
}

/// Processes events, one after another.
#[derive(Debug)]
pub struct Handler<S> {
    pipeline: Arc<Pipeline<S>>,
    metrics: Metrics,
    rules: Poll<S>,
    max_state_bytes: usize,
    traces: Option<Traces>,
}

impl<S: FunctionStore> Handler<S> {
    /// A handler that commits to this pipeline's store.
    pub fn new(pipeline: Arc<Pipeline<S>>, metrics: Metrics, poll_rules_every: Duration) -> Self {
        let rules = Poll::new(Arc::clone(&pipeline), poll_rules_every);
        Self { pipeline, metrics, rules, max_state_bytes: window::MAX_STATE_BYTES, traces: None }
    }

    /// Sends a trace of each event. The response waits for it: a function is frozen afterwards.
    pub fn with_traces(self, traces: Option<Traces>) -> Self {
        Self { traces, ..self }
    }

    /// The largest state of a window in bytes of JSON. A larger one is committed before the window's end.
    pub fn with_max_state_bytes(self, max_state_bytes: usize) -> Self {
        Self { max_state_bytes, ..self }
    }

    /// Processes the event in `body`. The response names what Lambda has to retry.
    pub async fn handle(&self, body: &[u8], invocation: Invocation<'_>) -> Result<EventResponse, InvocationError> {
        self.rules.start_if_due();
        let event = event::decode(body)?;
        let deadline = deadline(invocation.deadline_ms, self.pipeline.clock());
        warn_of_remarks(&event, invocation.deadline_ms, deadline.is_some());
        let clock = self.pipeline.clock();
        let (mut outcome, began) = (Outcome::default(), Instant::now());
        let before = self.used();
        outcome.measured.age(&event.batch, clock);
        let response = self.respond(&event, deadline, &mut outcome).await;
        let Outcome { summary, mut measured } = outcome;
        warn_of_dead_letters(&event.batch, &summary);
        if response.as_ref().map_or(true, |response| !response.batch_item_failures.is_empty()) {
            measured.uncommitted();
        }
        measured.summary(&summary);
        measured.store(&self.used().since(&before));
        measured.rules(self.pipeline.standing(), &summary);
        self.metrics.write(&measured, invocation.request_id, clock);
        if let Some(traces) = &self.traces {
            let error = match &response {
                Ok(response) if response.batch_item_failures.is_empty() => None,
                Ok(_) => Some("the batch is not committed as a whole".to_owned()),
                Err(error) => Some(ErrorChain(error).to_string()),
            };
            let mut trace = batch_trace(&event.batch, &summary, began, error);
            trace.attributes.push(("faas.invocation_id", Attribute::Text(invocation.request_id.to_owned())));
            traces.send(&trace);
            // The collector is beside the function.
            traces.flush(TRACE_WITHIN).await;
        }
        response
    }

    /// What this process has used of DynamoDB.
    fn used(&self) -> Used {
        let store = self.pipeline.store();
        Used { usage: store.usage(), throttles: store.throttles() }
    }

    async fn respond(
        &self,
        event: &Event,
        deadline: Option<Instant>,
        outcome: &mut Outcome,
    ) -> Result<EventResponse, InvocationError> {
        match &event.window {
            Some(window) => self.accumulate(&event.batch, window, deadline, outcome).await,
            None if event.batch.records.is_empty() => Ok(EventResponse::default()),
            None => self.commit(event, deadline, &mut outcome.summary).await,
        }
    }

    /// Commits a batch.
    async fn commit(
        &self,
        event: &Event,
        deadline: Option<Instant>,
        summary: &mut Summary,
    ) -> Result<EventResponse, InvocationError> {
        let first_uncommitted = match self.pipeline.process(&event.batch, deadline, summary).await {
            Ok(ProcessOutcome { first_uncommitted }) => first_uncommitted,
            // Nothing is committed. A partial failure from the first record on makes Lambda retry the batch without
            // counting an error of the function.
            Err(error) if error.is_transient() => Some((0, error)),
            Err(error) => return Err(error.into()),
        };
        let mut response = EventResponse::default();
        if let Some((record, why)) = first_uncommitted {
            // Lambda knows stream records only: a record from an aggregate has the aggregate's sequence number.
            let failure = event.sequences.failure(event.batch.records[record as usize].position.sequence);
            tracing::error!(
                shard = &*event.batch.shard,
                from = failure.item_identifier,
                committed = record,
                records = event.batch.records.len(),
                "the batch is not committed from this record on, and Lambda retries the rest: {}",
                ErrorChain(&why)
            );
            response.batch_item_failures.push(failure);
        }
        Ok(response)
    }

    /// Accumulates a batch in the window, and flushes the window at its end. A batch succeeds or fails as a whole:
    /// Lambda's documentation does not define the effect of a state beside failed records.
    async fn accumulate(
        &self,
        batch: &Batch,
        tumbling: &TumblingWindow,
        deadline: Option<Instant>,
        Outcome { summary, measured }: &mut Outcome,
    ) -> Result<EventResponse, InvocationError> {
        let mut window = window::decode(&tumbling.state, &batch.shard)?;
        if !batch.records.is_empty() {
            self.pipeline.accumulate(batch, &mut window, deadline, summary).await?;
        }
        let mut state = window::encode(&window);
        let ends = tumbling.is_final || tumbling.terminated_early;
        let too_large = state.get().len() > self.max_state_bytes;
        if (ends || too_large) && !window.is_empty() {
            if !ends {
                tracing::warn!(
                    shard = &*batch.shard,
                    window = tumbling.start,
                    bytes = state.get().len(),
                    rows = window.rows(),
                    "the window's state exceeds {} bytes: the window is committed before its end",
                    self.max_state_bytes
                );
                measured.early_commit();
            }
            self.pipeline.flush_window(&window, deadline, summary).await?;
            window = Window::new(batch.shard.clone());
            state = window::encode(&window);
        }
        Ok(EventResponse { state: Some(state), batch_item_failures: Vec::new() })
    }
}

/// The time by which the stores are no longer retried, so that a response is in time. `None` if the invocation has no
/// valid deadline: some local emulators of Lambda send something else than milliseconds since 1970.
fn deadline(deadline_ms: u64, clock: Clock) -> Option<Instant> {
    let left = Duration::from_millis(deadline_ms).checked_sub(clock.since_epoch())?;
    let left = Some(left).filter(|left| *left <= FURTHEST_DEADLINE)?;
    let reserve = (left / RESERVE_ONE_IN).clamp(RESERVE.0, RESERVE.1);
    Some((tokio::time::Instant::now() + left.saturating_sub(reserve)).into_std())
}

/// Logs what of an event is not as Lambda sends it, in one line.
fn warn_of_remarks(event: &Event, deadline_ms: u64, is_valid: bool) {
    let mut remarks = event.remarks.clone();
    if !is_valid {
        remarks.add("deadline", || {
            format!(
                "the deadline, {deadline_ms}, is not a time in milliseconds within the next day: the stores are retried \
                 for `retry.deadline-ms`"
            )
        });
    }
    if !remarks.is_empty() {
        tracing::warn!(
            shard = &*event.batch.shard,
            "the invocation is not as Lambda makes it for a Kinesis stream, and goes on nevertheless: {remarks}"
        );
    }
}

/// Logs how many of a batch's records became dead letters, in one line.
fn warn_of_dead_letters(batch: &Batch, summary: &Summary) {
    let dead_letters = summary.dead_letter_count();
    if dead_letters == 0 {
        return;
    }
    let causes = summary.dead_letters.iter().map(|(cause, count)| format!("{count} {cause}"));
    tracing::warn!(
        shard = &*batch.shard,
        dead_letters,
        records = batch.records.len(),
        "records of the batch are dead letters: {}",
        causes.collect::<Vec<_>>().join(", ")
    );
}
