//! What traces show of a batch.

use std::time::Instant;

use paceline_pipeline::model::Batch;
use paceline_pipeline::summary::{StageSpan, Summary};
use paceline_traces::{Attribute, BatchTrace, ExporterError, StageTime, Traces};

use crate::Config;

/// The name under which traces are found, if none is configured.
const SERVICE: &str = "paceline";

/// Starts to send traces, if the configuration or OpenTelemetry's variables name a collector.
pub fn open_traces(config: &Config) -> Result<Option<Traces>, ExporterError> {
    let Some(collector) = &config.traces.collector else { return Ok(None) };
    Traces::start(collector.clone(), config.traces.service.as_deref().unwrap_or(SERVICE)).map(Some)
}

/// A batch that began then and ends now. `first` is the position of its first record, `error` why it is not committed as a
/// whole.
pub fn batch_trace(batch: &Batch, summary: &Summary, began: Instant, error: Option<String>) -> BatchTrace {
    let mut attributes = vec![
        ("paceline.shard", Attribute::Text(batch.shard.to_string())),
        ("paceline.records", Attribute::Number(batch.records.len() as u64)),
        ("paceline.committed", Attribute::Number(summary.records)),
        ("paceline.dead_letters", Attribute::Number(summary.dead_letter_count())),
        ("paceline.groups", Attribute::Number(summary.groups)),
        ("paceline.duplicates", Attribute::Number(summary.duplicates)),
        ("paceline.conflicts", Attribute::Number(summary.conflicts)),
    ];
    if let Some(first) = batch.records.first() {
        attributes.push(("paceline.first_sequence", Attribute::Text(first.position.sequence.to_string())));
    }
    let stage = |StageSpan { stage, began, ended }: &StageSpan| StageTime {
        name: stage.as_str(),
        began: *began,
        ended: *ended,
    };
    let stages = summary.timeline.iter().flatten().map(stage).collect();
    BatchTrace { began, ended: Instant::now(), attributes, error, stages }
}
