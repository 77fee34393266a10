//! What traces show of a batch, and where they are sent.

use std::time::{Duration, Instant};

use paceline_aws::sdk;
use paceline_pipeline::model::Batch;
use paceline_pipeline::summary::{StageSpan, Summary};
use paceline_traces::{Attribute, BatchTrace, ExporterError, StageTime, Traces};

use crate::Config;

/// The name under which traces are found, if none is configured.
const SERVICE: &str = "paceline";
/// The connect timeout of a collector, including TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Starts to send traces, if the configuration or OpenTelemetry's variables name a collector. To be called in a runtime.
pub fn open_traces(config: &Config) -> Result<Option<Traces>, ExporterError> {
    let Some(url) = &config.traces.url else { return Ok(None) };
    let service = config.traces.service.clone().unwrap_or_else(|| SERVICE.to_owned());
    Traces::start(url, service, sdk::connector(CONNECT_TIMEOUT)).map(Some)
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
