//! A batch and its stages as spans.

use std::time::{Instant, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{IdGenerator, SpanData, SpanEvents, SpanLinks};

/// What is known of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// A text.
    Text(String),
    /// A number.
    Number(u64),
}

impl From<Attribute> for Value {
    fn from(attribute: Attribute) -> Self {
        match attribute {
            Attribute::Text(text) => text.into(),
            // OpenTelemetry's numbers have a sign.
            Attribute::Number(number) => i64::try_from(number).unwrap_or(i64::MAX).into(),
        }
    }
}

/// The time of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageTime {
    /// The stage's name.
    pub name: &'static str,
    /// When it began.
    pub began: Instant,
    /// When it ended.
    pub ended: Instant,
}

/// A batch, from its records to its commit.
#[derive(Clone, Debug)]
pub struct BatchTrace {
    /// When it began.
    pub began: Instant,
    /// When it was committed or given up.
    pub ended: Instant,
    /// What is known of it, by the names of attributes.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Why it is not committed as a whole.
    pub error: Option<String>,
    /// Its stages.
    pub stages: Vec<StageTime>,
}

impl BatchTrace {
    /// The spans: that of the batch, and those of its stages below it.
    pub(crate) fn spans(&self, ids: &impl IdGenerator) -> Vec<SpanData> {
        let (now, time) = (Instant::now(), SystemTime::now());
        let at = |instant: Instant| time.checked_sub(now.saturating_duration_since(instant)).unwrap_or(time);
        let trace = ids.new_trace_id();
        let span = |name: &'static str, kind, began, ended| SpanData {
            span_context: SpanContext::new(trace, ids.new_span_id(), TraceFlags::SAMPLED, false, TraceState::NONE),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: kind,
            name: name.into(),
            start_time: at(began),
            end_time: at(ended),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: scope(),
        };

        let mut batch = span("batch", SpanKind::Consumer, self.began, self.ended);
        batch.attributes = self.attributes.iter().map(|(key, value)| KeyValue::new(*key, value.clone())).collect();
        batch.attributes.push(KeyValue::new("messaging.system", "aws_kinesis"));
        if let Some(error) = &self.error {
            batch.status = Status::error(error.clone());
        }
        let parent_span_id = batch.span_context.span_id();
        let stage = |stage: &StageTime| SpanData {
            parent_span_id,
            ..span(stage.name, SpanKind::Internal, stage.began, stage.ended)
        };
        let stages = self.stages.iter().map(stage);
        std::iter::once(batch).chain(stages).collect()
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("paceline").with_version(env!("CARGO_PKG_VERSION")).build()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry_sdk::trace::RandomIdGenerator;

    use super::*;

    #[test]
    fn a_batch_is_the_parent_of_its_stages() {
        let (now, time) = (Instant::now(), SystemTime::now());
        let before = |ms: u64| now.checked_sub(Duration::from_millis(ms)).unwrap();
        let trace = BatchTrace {
            began: before(500),
            ended: before(0),
            attributes: vec![
                ("paceline.records", Attribute::Number(7)),
                ("paceline.shard", Attribute::Text("s".into())),
            ],
            error: Some("why".to_owned()),
            stages: vec![StageTime { name: "load", began: before(400), ended: before(100) }],
        };
        let spans = trace.spans(&RandomIdGenerator::default());
        let [batch, load] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!(
            (&*batch.name, batch.span_kind.clone(), batch.parent_span_id),
            ("batch", SpanKind::Consumer, SpanId::INVALID)
        );
        assert_eq!(batch.attributes[0], KeyValue::new("paceline.records", 7));
        assert_eq!(batch.status, Status::error("why"));
        let parent = batch.span_context.span_id();
        assert_eq!((&*load.name, load.span_kind.clone(), load.parent_span_id), ("load", SpanKind::Internal, parent));
        assert_eq!(load.span_context.trace_id(), batch.span_context.trace_id());
        // The clocks were read one after the other, a moment apart.
        let length = |span: &SpanData| span.end_time.duration_since(span.start_time).unwrap();
        assert_eq!((length(batch), length(load)), (Duration::from_millis(500), Duration::from_millis(300)));
        let ended = batch.end_time.duration_since(time).unwrap_or_else(|error| error.duration());
        assert!(ended < Duration::from_secs(10), "{ended:?}");
    }
}
