//! A batch through all stages, in order: project, route, columns, validate, score, groups, commit, acknowledge.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use paceline_engine::{CallsUntil, Digest};

use crate::clock::Clock;
use crate::error::{ErrorChain, PipelineError};
use crate::evaluation::Evaluation;
use crate::holds::Holds;
use crate::model::{Batch, BatchLimits};
use crate::retry::{RetryBudget, RetryPolicy};
use crate::rules::{Acknowledger, PinCache, Rulebooks, RulesStanding};
use crate::stages::acknowledge::acknowledge;
use crate::stages::columns;
use crate::stages::commit::{Attempt, FoldWork, commit};
use crate::stages::context::Context;
use crate::stages::count::count;
use crate::stages::evaluated::Evaluated;
use crate::stages::fold::BatchFold;
use crate::stages::groups;
use crate::stages::observe::observe;
use crate::stages::pin::pin;
use crate::stages::project::{ProjectedBatch, project};
use crate::stages::record_batch::RecordBatch;
use crate::stages::route::{RoutedBatch, UnpinnedRace, route};
use crate::stages::score::score;
use crate::stages::uncommitted::{FirstUncommitted, record_first_failure};
use crate::stages::validate::validate;
use crate::store::Store;
use crate::summary::{Stage, Summary};
use crate::trials::{DEFAULT_TRIAL_INTERVAL, Trials};

/// The wait before a batch that is not committed is processed again. The store was retried for `deadline-ms` by then.
pub(crate) const PROCESS_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// How long records wait for a rulebook that can't be had: well below a day, for which a stream keeps them at least.
pub const DEFAULT_HOLD: Duration = Duration::from_secs(3600);

/// Takes batches through all stages into a store.
#[derive(Debug)]
pub struct Pipeline<S> {
    pub(crate) store: S,
    pub(crate) rulebooks: Arc<Rulebooks>,
    pub(crate) limits: BatchLimits,
    pub(crate) retry: RetryPolicy,
    pub(crate) pins: PinCache,
    pub(crate) holds: Holds,
    pub(crate) trials: Trials,
    /// `None` for a process that is no host of its own.
    pub(crate) acknowledger: Option<Acknowledger>,
    /// How this host follows the rules, as of its last poll.
    pub(crate) standing: Mutex<RulesStanding>,
    /// Whether summaries have a timeline.
    pub(crate) has_timeline: bool,
    pub(crate) clock: Clock,
}

/// How far a batch is committed.
#[derive(Debug)]
#[must_use = "records that are not committed have to be delivered again"]
pub struct ProcessOutcome {
    /// The first record that is not committed, by index, and why: it and all records after it have to be delivered again.
    /// `None` if the whole batch is committed.
    pub first_uncommitted: Option<(u32, PipelineError)>,
}

/// When the work for a batch ends.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ends {
    /// No store is retried beyond it.
    pub(crate) deadline: Option<Instant>,
    /// No plugin is called after it.
    pub(crate) plugins_until: Option<CallsUntil>,
}

impl<S: Store> Pipeline<S> {
    /// A pipeline into this store, by these rulebooks.
    pub fn new(store: S, rulebooks: Arc<Rulebooks>, limits: BatchLimits, retry: RetryPolicy) -> Self {
        let (pins, holds) = (PinCache::default(), Holds::new(DEFAULT_HOLD));
        let (trials, clock) = (Trials::new(DEFAULT_TRIAL_INTERVAL), Clock::default());
        let (acknowledger, standing) = (None, Mutex::default());
        let has_timeline = false;
        Self { store, rulebooks, limits, retry, pins, holds, trials, acknowledger, standing, has_timeline, clock }
    }

    /// The clock by which it asks the time of day.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The store.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The rulebooks.
    pub fn rulebooks(&self) -> &Arc<Rulebooks> {
        &self.rulebooks
    }

    /// Takes a batch through all stages, as a whole.
    pub(crate) async fn process_whole(
        &self,
        batch: &Batch,
        ends: Ends,
        summary: &mut Summary,
    ) -> Result<ProcessOutcome, PipelineError> {
        // Boxed, because the compiler limits how deep futures nest in one type.
        match Box::pin(self.process_by_current_rules(batch, ends, summary)).await {
            Err(PipelineError::Behind { theirs, .. }) if self.catch_up(&theirs).await => {
                // What was written stays written; dedup recognizes it.
                Box::pin(self.process_by_current_rules(batch, ends, summary)).await
            }
            done => done,
        }
    }

    async fn process_by_current_rules(
        &self,
        batch: &Batch,
        Ends { deadline, plugins_until }: Ends,
        summary: &mut Summary,
    ) -> Result<ProcessOutcome, PipelineError> {
        let mut context = self.context(deadline, summary);
        context.plugins_until = plugins_until;
        loop {
            let (projected, routed) = self.project_and_route(&mut context, batch).await?;
            let record_batches = evaluate(&mut context, &projected, routed.by_rulebook())?;
            if self.pin(&mut context, &projected, &routed.unpinned, &record_batches).await? {
                let evaluated = Evaluated { projected: &projected, routed: &routed, record_batches: &record_batches };
                // Boxed, because the compiler limits how deep futures nest in one type.
                return Box::pin(self.commit_and_acknowledge(context, evaluated)).await;
            }
            context.start_again();
        }
    }

    /// The stages after evaluation.
    async fn commit_and_acknowledge(
        &self,
        mut context: Context<'_, S>,
        evaluated: Evaluated<'_, '_>,
    ) -> Result<ProcessOutcome, PipelineError> {
        let Evaluated { projected, record_batches, .. } = evaluated;
        let groups = groups::find(&mut context, projected, record_batches);
        context.book(Stage::Fold);

        let mut fold = BatchFold::new(evaluated, &groups);
        let uncommitted = commit(&mut context, &mut fold).await?;

        let batch = projected.batch;
        let mut first_uncommitted: FirstUncommitted = context.held.take();
        for uncommitted in uncommitted {
            if let Some(record) = fold.first_record(&uncommitted) {
                record_first_failure(&mut first_uncommitted, record, uncommitted.why);
            }
        }
        let letters = fold.into_dead_letters(&context);
        acknowledge(&mut context, batch, &letters, &first_uncommitted).await?;
        context.book(Stage::Acknowledge);
        let committed = first_uncommitted.as_ref().map_or(batch.records.len() as u32, |(first, _)| *first);
        context.summary.records += u64::from(committed);
        context.summary.batches += 1;
        observe(&mut context, evaluated, &letters, committed, &self.trials);
        Ok(ProcessOutcome { first_uncommitted })
    }

    /// Processes a batch until it is committed as a whole, as long as what prevents it is transient.
    ///
    /// `on_wait` is called before each wait with the records that are not committed and the reason; it may break off. An
    /// error leaves the records that are not committed in `batch`. So does dropping the future.
    pub async fn process_until_committed(
        &self,
        batch: &mut Batch,
        summary: &mut Summary,
        mut on_wait: impl FnMut(&Batch, &PipelineError) -> ControlFlow<()>,
    ) -> Result<(), PipelineError> {
        loop {
            let (first, why) = match self.process(batch, None, summary).await {
                Ok(ProcessOutcome { first_uncommitted: None }) => return Ok(()),
                Ok(ProcessOutcome { first_uncommitted: Some(uncommitted) }) => uncommitted,
                Err(error) => (0, error),
            };
            batch.skip(first as usize);
            if !why.is_transient() {
                return Err(why);
            }
            if on_wait(batch, &why).is_break() {
                return Err(why);
            }
            tracing::warn!(
                shard = &*batch.shard,
                committed = first,
                left = batch.records.len(),
                "the batch is not committed yet and is processed again: {}",
                ErrorChain(&why)
            );
            tokio::time::sleep(PROCESS_AGAIN_AFTER).await;
        }
    }

    /// Takes a batch through all stages but the last. Nothing is written, not even pins.
    pub async fn evaluate(&self, batch: &Batch) -> Result<Evaluation, PipelineError> {
        let mut summary = Summary::default();
        let mut context = self.context(None, &mut summary);
        let (projected, routed) = self.project_and_route(&mut context, batch).await?;
        let record_batches = evaluate(&mut context, &projected, routed.by_rulebook())?;
        if let Some((_, why)) = context.held.take() {
            return Err(why);
        }
        let groups = groups::find(&mut context, &projected, &record_batches);
        context.book(Stage::Fold);
        let loaded = context.budget.retry(|| self.store.load_groups(&groups.keys)).await?;
        context.book(Stage::Load);
        let evaluated = Evaluated { projected: &projected, routed: &routed, record_batches: &record_batches };
        let mut fold = BatchFold::new(evaluated, &groups);
        let open: Vec<u32> = (0..groups.keys.len() as u32).collect();
        let writes = fold.fold(&mut context, &Attempt { number: 0, open: &open, loaded: &loaded })?;
        context.book(Stage::Fold);
        let letters = fold.into_dead_letters(&context);
        count(context.summary, &projected.catalog, &routed, &letters, batch.records.len() as u32);
        Ok(Evaluation::new(writes.writes, letters, record_batches, groups.into_parts(), summary))
    }

    /// Pins the races that begin in a batch. Returns false if one of them runs another rulebook: the batch has to be
    /// evaluated again.
    pub(crate) async fn pin(
        &self,
        context: &mut Context<'_, S>,
        projected: &ProjectedBatch<'_>,
        unpinned: &[UnpinnedRace],
        record_batches: &[RecordBatch<'_>],
    ) -> Result<bool, PipelineError> {
        pin(context, projected, unpinned, record_batches, &self.pins).await
    }

    pub(crate) fn context<'a>(&'a self, deadline: Option<Instant>, summary: &'a mut Summary) -> Context<'a, S> {
        let budget = RetryBudget { policy: &self.retry, deadline: deadline.map(Into::into) };
        if self.has_timeline {
            summary.timeline.get_or_insert_default();
        }
        Context::new(&self.store, budget, &self.holds, summary)
    }

    /// Projects and routes a batch by a catalog that holds every rulebook that its races are pinned to.
    pub(crate) async fn project_and_route<'b>(
        &self,
        context: &mut Context<'_, S>,
        batch: &'b Batch,
    ) -> Result<(ProjectedBatch<'b>, RoutedBatch), PipelineError> {
        loop {
            let projected = project(context, self.rulebooks.catalog(), batch, &self.limits);
            context.book(Stage::Project);
            let routed = route(context, &projected, &self.rulebooks, &self.pins).await?;
            context.book(Stage::Route);
            if let Some(routed) = routed {
                return Ok((projected, routed));
            }
            // A rulebook was loaded. It may read other fields, so the payloads are read again.
            context.start_again();
        }
    }
}

/// Validates and scores the records of each rulebook.
pub(crate) fn evaluate<'c, S>(
    context: &mut Context<'_, S>,
    projected: &'c ProjectedBatch<'_>,
    records: Vec<(Digest, Vec<u32>)>,
) -> Result<Vec<RecordBatch<'c>>, PipelineError> {
    let mut record_batches = Vec::new();
    for records in records {
        let mut record_batch = columns::build(context, projected, records);
        context.book(Stage::Columns);
        validate(context, projected.batch, &mut record_batch)?;
        context.book(Stage::Validate);
        score(context, projected.batch, &mut record_batch)?;
        context.book(Stage::Score);
        record_batches.push(record_batch);
    }
    if let Some((first, _)) = &context.held {
        record_batches.iter_mut().for_each(|record_batch| record_batch.stop_before(*first));
    }
    Ok(record_batches)
}
