//! One event, from its bytes to the answer.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lambda_runtime::Context;
use paceline_aws::event::{self, Answer, Event};
use paceline_aws::kpl;
use paceline_config::AnyStore;
use paceline_pipeline::ProcessOutcome;
use paceline_pipeline::store::StoreError;
use paceline_pipeline::summary::Summary;
use paceline_pipeline::{Pipeline, PipelineError};

use crate::metrics::Metrics;
use crate::window;

/// What an event fails with as a whole: a message for a person. Lambda sends all of the batch again.
pub(crate) type Failure = String;

/// The share of the time left, as one in so many, that is kept back for dead letters and the answer.
const KEEP_BACK_ONE_IN: u32 = 10;
/// The least and the most that is kept back.
const KEEP_BACK: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// Deals with events, one after another.
#[derive(Debug)]
pub(crate) struct Handler {
    pipeline: Pipeline<AnyStore>,
    metrics: Metrics,
}

impl Handler {
    pub(crate) fn new(pipeline: Pipeline<AnyStore>, metrics: Metrics) -> Self {
        Self { pipeline, metrics }
    }

    /// From an event to its answer.
    pub(crate) async fn handle(&self, body: &[u8], context: &Context) -> Result<Answer, Failure> {
        let deadline = deadline(context);
        let mut summary = Summary::default();
        let event = event::read(body).map_err(|error| self.failed(&error.to_string()))?;
        let usage = self.usage();
        self.metrics.age(&event.batch);
        let answer = self.answer(event, deadline, &mut summary).await;
        self.metrics.summary(&summary, self.usage().since(usage));
        self.metrics.flush(&context.request_id);
        answer.map_err(|error| self.failed(&error))
    }

    fn failed(&self, why: &str) -> Failure {
        tracing::error!("the batch has to come again as a whole: {why}");
        why.to_owned()
    }

    fn usage(&self) -> paceline_aws::dynamodb::Usage {
        match self.pipeline.store() {
            AnyStore::DynamoDb(store) => store.usage(),
            AnyStore::Embedded(_) | AnyStore::Memory(_) => paceline_aws::dynamodb::Usage::default(),
        }
    }

    async fn answer(
        &self,
        mut event: Event,
        deadline: Option<Instant>,
        summary: &mut Summary,
    ) -> Result<Answer, Failure> {
        for unreadable in std::mem::take(&mut event.unreadable) {
            event.batch.records[unreadable.record].payload = unreadable.text;
            event.batch.undecodable.push((unreadable.record as u32, unreadable.why));
        }
        // No range: what Lambda hands over of a shard is the shard's.
        kpl::unpack(&mut event.batch, None);
        match event.window.take() {
            Some(window) => self.windowed(event, &window, deadline, summary).await,
            None if event.batch.records.is_empty() => Ok(Answer::default()),
            None => self.at_once(&event, deadline, summary).await,
        }
    }

    /// Commits a batch at once.
    async fn at_once(
        &self,
        event: &Event,
        deadline: Option<Instant>,
        summary: &mut Summary,
    ) -> Result<Answer, Failure> {
        let first_uncommitted = match self.pipeline.process(&event.batch, deadline, summary).await {
            Ok(Done { first_uncommitted }) => first_uncommitted,
            // Nothing could be begun; it is the store's mood, not the batch's fault.
            Err(busy @ PipelineError::Store(StoreError::Transient(_))) => Some((0, busy)),
            Err(error) => return Err(error.to_string()),
        };
        let mut answer = Answer::default();
        if let Some((record, why)) = first_uncommitted {
            // Lambda knows records of the stream, not what is packed in them: all of the outer record comes again.
            let failure = event.sequences.failure(event.batch.records[record as usize].position.sequence);
            tracing::warn!(
                shard = &*event.batch.shard,
                from = failure.item_identifier,
                safe = record,
                of = event.batch.records.len(),
                "the batch is not safe from here on and has to come again: {why}"
            );
            answer.failures.push(failure);
        }
        Ok(answer)
    }

    /// Takes a batch into the window, and commits the window when it closes. All or nothing: what Lambda does with the
    /// state of an answer that also reports failures is not documented.
    async fn windowed(
        &self,
        event: Event,
        carried: &event::Window,
        deadline: Option<Instant>,
        summary: &mut Summary,
    ) -> Result<Answer, Failure> {
        let batch = &event.batch;
        let mut window = window::read(&carried.state, &batch.shard)?;
        if !batch.records.is_empty() {
            self.pipeline.accumulate(batch, &mut window, deadline, summary).await.map_err(|error| error.to_string())?;
        }
        let mut state = window::write(&window);
        let closes = carried.is_final || carried.terminated_early;
        let too_large = state.get().len() > window::STATE_BYTES;
        if (closes || too_large) && !window.is_empty() {
            if too_large && !closes {
                tracing::warn!(
                    shard = &*batch.shard,
                    window = carried.start,
                    bytes = state.get().len(),
                    records = window.rows(),
                    "the window's state is larger than Lambda carries: it is committed before the window's end"
                );
                self.metrics.window_committed_early();
            }
            self.pipeline.flush(&window, deadline, summary).await.map_err(|error| error.to_string())?;
            window = paceline_pipeline::window::Window::new(batch.shard.clone());
            state = window::write(&window);
        }
        Ok(Answer { state: Some(state), failures: Vec::new() })
    }
}

/// When to stop trying, so that there is time to answer. Nothing where the deadline can't be one: local emulators of
/// Lambda send others than milliseconds since 1970.
fn deadline(context: &Context) -> Option<Instant> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let left = Duration::from_millis(context.deadline).checked_sub(now)?;
    let keep = (left / KEEP_BACK_ONE_IN).clamp(KEEP_BACK.0, KEEP_BACK.1);
    Some(Instant::now() + left.saturating_sub(keep))
}
