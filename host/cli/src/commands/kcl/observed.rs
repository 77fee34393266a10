//! What the HTTP server and the collector of traces get of a shard.

use std::sync::Arc;

use paceline_aws::kcl::{Observer, Processed};
use paceline_config::batch_trace;
use paceline_pipeline::{ErrorChain, PipelineError};
use paceline_traces::Traces;

use crate::serve::ShardWork;

/// Passes on how a shard is processed.
#[derive(Debug)]
pub(super) struct Observed {
    pub(super) work: Arc<ShardWork>,
    pub(super) traces: Option<Traces>,
}

impl Observer for Observed {
    fn began(&self, shard: &str) {
        self.work.begin(shard);
    }

    fn received(&self, records: usize, bytes: usize, behind_ms: Option<i64>) {
        self.work.received(records, bytes, behind_ms);
    }

    fn waits(&self, why: &PipelineError) {
        self.work.waits(ErrorChain(why).to_string());
    }

    fn processed(&self, &Processed { batch, summary, began, error }: &Processed<'_>) {
        if error.is_none() {
            self.work.finished(summary, began.elapsed());
        }
        if let Some(traces) = &self.traces {
            let error = error.map(|error| ErrorChain(error).to_string());
            traces.send(&batch_trace(batch, summary, began, error));
        }
    }

    fn committed(&self) {
        self.work.committed();
    }

    fn done(&self) {
        self.work.done();
    }
}
