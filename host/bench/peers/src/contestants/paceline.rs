//! paceline: the host reads the declared fields into columns, and the plugin scores these. It does what the stages
//! `project` and `score` of the pipeline do.

use paceline_engine::{Column, Engine, Limits, Scorer, ScorerSession, Settings};
use paceline_json::{FieldValue, PayloadReader, Pointer, Projection, Row, Span};

use crate::messages::Batch;

/// The plugin `output`.
pub(crate) struct Paceline {
    scorer: Scorer,
    pointers: Vec<Pointer>,
    projection: Projection,
}

impl Paceline {
    pub(crate) fn new(plugin: &[u8]) -> Self {
        let engine = Engine::new(Limits::default()).expect("the sandbox starts");
        let component = engine.load(plugin).expect("the plugin loads");
        let scorer = component.scorer(&Settings::new()).expect("the plugin is a scorer");
        let fields = scorer.plugin().fields().iter();
        let pointers: Vec<_> =
            fields.map(|field| Pointer::parse(&field.path).expect("the fields are members of the payload")).collect();
        let projection = Projection::new(&pointers);
        Self { scorer, pointers, projection }
    }

    /// Messages to scores, on a fresh instance, as each batch of the pipeline gets one.
    pub(crate) fn json(&self, batch: &Batch) -> Vec<f64> {
        self.score_messages(&mut self.scorer.session(), &batch.lines, &batch.spans)
    }

    /// The same on an instance that is kept.
    pub(crate) fn json_kept<'a>(&'a self, batch: &'a Batch) -> impl FnMut() -> Vec<f64> + 'a {
        let mut session = self.scorer.session();
        move || self.score_messages(&mut session, &batch.lines, &batch.spans)
    }

    /// Messages in base64 to scores, on a fresh instance.
    pub(crate) fn base64(&self, batch: &Batch) -> Vec<f64> {
        let (mut bytes, mut spans) = (Vec::new(), Vec::with_capacity(batch.rows()));
        for message in &batch.base64 {
            let start = bytes.len() as u32;
            base64_simd::STANDARD.decode_append(message, &mut bytes).expect("it is base64");
            spans.push(Span { start, end: bytes.len() as u32 });
        }
        self.score_messages(&mut self.scorer.session(), &bytes, &spans)
    }

    /// Columns to scores, on a fresh instance.
    pub(crate) fn columns(&self, batch: &Batch) -> Vec<f64> {
        score(&mut self.scorer.session(), &batch.cadence, &batch.resistance)
    }

    /// The same on an instance that is kept.
    pub(crate) fn columns_kept<'a>(&'a self, batch: &'a Batch) -> impl FnMut() -> Vec<f64> + 'a {
        let mut session = self.scorer.session();
        move || score(&mut session, &batch.cadence, &batch.resistance)
    }

    fn score_messages(&self, session: &mut ScorerSession<'_>, bytes: &[u8], spans: &[Span]) -> Vec<f64> {
        let width = self.projection.width();
        let mut values = vec![FieldValue::Missing; width * spans.len()];
        let mut unescaped = Vec::new();
        let mut reader = PayloadReader::new(&self.projection, bytes);
        for (values, span) in values.chunks_exact_mut(width).zip(spans) {
            let row = Row { values, unescaped: &mut unescaped };
            reader.read(*span, row).expect("the message is JSON");
        }
        let column = |pointer| -> Vec<f64> {
            let field = self.projection.field(pointer).0 as usize;
            values.chunks_exact(width).map(|values| number(values[field])).collect()
        };
        let [cadence, resistance] = &self.pointers[..] else { panic!("the plugin declares two fields") };
        score(session, &column(cadence), &column(resistance))
    }
}

fn number(value: FieldValue) -> f64 {
    match value {
        FieldValue::Number(value) => value,
        FieldValue::Integer(value) => value as f64,
        other => panic!("{other:?} is not a number"),
    }
}

fn score(session: &mut ScorerSession<'_>, cadence: &[f64], resistance: &[f64]) -> Vec<f64> {
    let columns = [Column::Numbers(cadence), Column::Numbers(resistance)];
    let scored = session.score(cadence.len(), &columns).expect("the rows are scored");
    assert!(scored.failed.is_empty(), "no row fails");
    scored.scores
}
