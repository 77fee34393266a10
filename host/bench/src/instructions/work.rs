//! What is counted: each part does its work as often as its size says, with input that is the same in every run.

use std::hint::black_box;
use std::sync::Arc;

use paceline_aws::kpl::unpack;
use paceline_engine::{Engine, Limits, Settings};
use paceline_json::{PayloadReader, Pointer, Projection};
use paceline_kit::events::{Events, Grouping};
use paceline_lambda::event;
use paceline_pipeline::model::{Batch, BatchLimits};
use paceline_pipeline::rules::Registry;
use paceline_pipeline::store::MemoryStore;
use paceline_pipeline::{Pipeline, RetryPolicy, Rulebooks};
use paceline_testbed::{plugins, rules};

use crate::event::lambda_event;
use crate::projection::{self, POINTERS, Payloads};
use crate::{kpl, root, simulated};

/// Records of a batch.
const RECORDS: usize = 1_000;

/// Records of a small batch, which shows what a batch costs whatever its records.
const FEW_RECORDS: usize = 100;

/// Batches, where the size is something else.
const BATCHES: usize = 8;

/// Twice a size: the work of both runs differs by this.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) smaller: usize,
    pub(super) larger: usize,
}

/// Work whose instructions are counted.
pub(super) struct Part {
    /// Its name in the repository.
    pub(super) name: &'static str,
    pub(super) sizes: Sizes,
    /// Records of a size of 1.
    pub(super) records: usize,
    /// Whether it calls plugins, which have to be compiled before.
    pub(super) has_plugins: bool,
    work: fn(usize),
}

impl Part {
    const fn new(name: &'static str, work: fn(usize)) -> Self {
        Self { name, sizes: Sizes { smaller: 2, larger: 6 }, records: RECORDS, has_plugins: false, work }
    }

    const fn with_plugins(name: &'static str, work: fn(usize)) -> Self {
        Self { has_plugins: true, ..Self::new(name, work) }
    }
}

pub(super) const PARTS: [Part; 12] = [
    Part::new("projection", |size| project(size, |at| projection::message(at).into_bytes())),
    Part::new("projection_broken", |size| project(size, projection::sometimes_broken)),
    Part::new("projection_other_forms", |size| project(size, projection::of_other_form)),
    Part::new("lambda_event", decode),
    Part::new("kpl_unpack", unpack_aggregates),
    Part::with_plugins("validate", validate),
    // Its calls are short: few of them would drown in the noise of what surrounds them.
    Part { sizes: Sizes { smaller: 8, larger: 40 }, ..Part::with_plugins("score", |size| score(RECORDS, size)) },
    Part {
        sizes: Sizes { smaller: 8, larger: 72 },
        records: FEW_RECORDS,
        ..Part::with_plugins("score_small", |size| score(FEW_RECORDS, size))
    },
    Part { sizes: Sizes { smaller: 1, larger: 2 }, records: BATCHES * RECORDS, ..Part::with_plugins("fold", fold) },
    Part::with_plugins("pipeline", |size| pipeline(&race(), size)),
    Part::with_plugins("pipeline_own_groups", |size| pipeline(&finals(RECORDS), size)),
    Part {
        sizes: Sizes { smaller: 4, larger: 20 },
        records: FEW_RECORDS,
        ..Part::with_plugins("pipeline_small", |size| pipeline(&finals(FEW_RECORDS), size))
    },
];

/// The part that calls all plugins of the parts.
pub(super) const CALLS_ALL_PLUGINS: &str = "pipeline";

/// Does the work of a part, in a process of its own.
pub(crate) fn run(part: &str, size: usize) {
    let part = PARTS.iter().find(|known| known.name == part).expect("the part is one of these");
    (part.work)(size);
}

/// Reads eight fields of each payload. Each batch learns its templates anew.
fn project(batches: usize, payload: impl Fn(usize) -> Vec<u8>) {
    let mut payloads = Payloads::default();
    (0..RECORDS).for_each(|at| payloads.push(&payload(at)));
    let pointers = POINTERS.map(|pointer| Pointer::parse(pointer).expect("it is a pointer"));
    let projection = Projection::new(&pointers);
    for _ in 0..batches {
        let reader = PayloadReader::new(&projection, black_box(&payloads.bytes));
        black_box(projection::read(reader, projection.width(), &payloads));
    }
}

/// Decodes a Lambda event.
fn decode(events: usize) {
    let event = lambda_event(&simulated(RECORDS / 10, 10));
    for _ in 0..events {
        black_box(event::decode(black_box(event.as_bytes()))).expect("the event is valid");
    }
}

/// Unpacks aggregates of the KPL.
fn unpack_aggregates(batches: usize) {
    let aggregated = kpl::aggregates(&simulated(RECORDS / 10, 10));
    for _ in 0..batches {
        let mut batch = aggregated.clone();
        unpack(black_box(&mut batch), None);
        assert_eq!(black_box(batch).records.len(), RECORDS);
    }
}

/// A sandbox whose calls do not run out of time under Valgrind, with the cache of the tests.
fn engine() -> Engine {
    let limits = Limits { call_ms: 600_000, ..Limits::default() };
    Engine::with_cache(limits, &root().join("target/tmp/compiled")).expect("the sandbox starts")
}

/// Validates columns in the sandbox, with a fresh instance for each batch.
fn validate(batches: usize) {
    let component = engine().load(&plugins::bytes("telemetry")).expect("the plugin loads");
    let validator = component.validator(&Settings::new()).expect("the plugin is a validator");
    let events = Events::parse(&simulated(RECORDS / 10, 10).join(&b'\n'));
    let input = events.input(validator.plugin().fields(), &Grouping::default()).expect("the fields are pointers");
    for _ in 0..batches {
        let mut session = validator.session();
        black_box(session.validate(RECORDS, black_box(&input.columns()))).expect("the rows are validated");
    }
}

/// Scores columns of so many rows in the sandbox, with a fresh instance for each batch.
fn score(rows: usize, batches: usize) {
    let component = engine().load(&plugins::bytes("output")).expect("the plugin loads");
    let scorer = component.scorer(&Settings::new()).expect("the plugin is a scorer");
    let events = Events::parse(&simulated(rows / 10, 10).join(&b'\n'));
    let input = events.input(scorer.plugin().fields(), &Grouping::default()).expect("the fields are pointers");
    for _ in 0..batches {
        black_box(scorer.session().score(rows, black_box(&input.columns()))).expect("the rows are scored");
    }
}

/// A batch of 100 racers and ten seconds.
fn race() -> Vec<Vec<u8>> {
    simulated(RECORDS / 10, 10)
}

/// A batch of the last messages of so many racers: each is in two groups that no other record touches.
fn finals(racers: usize) -> Vec<Vec<u8>> {
    simulated(racers, 2).split_off(racers)
}

/// Takes payloads through all stages up to folded groups, by the rulebooks of the example.
fn pipeline(messages: &[Vec<u8>], batches: usize) {
    let registry = Registry::memory();
    rules::apply(&root().join("examples/alleycat/rulebooks"), &registry).expect("the rules are accepted");
    evaluate(registry, messages, batches);
}

/// The same with a rulebook of so many equal aggregates: the difference is what the fold of an aggregate costs.
fn fold(aggregates: usize) {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let mut book = "name = \"counted\"\nversion = 1\n[score]\nplugin = \"output\"\n".to_owned();
    for number in 0..aggregates {
        book.push_str(&format!(
            "[[aggregate]]\nplugin = \"last-output\"\ndedup = {{ ordinal = \"/second\" }}\n\
             key = {{ PK = \"race-{number}-{{/raceId}}\", SK = \"racer-{{/racerId}}\" }}\n"
        ));
    }
    std::fs::write(folder.path().join("class-3.toml"), book).expect("the temporary folder can be written");
    rules::map(folder.path());
    let registry = Registry::memory();
    rules::apply(folder.path(), &registry).expect("the rules are accepted");
    evaluate(registry, &race(), BATCHES);
}

/// Evaluates a batch of these messages as often, without committing it.
fn evaluate(registry: Registry, messages: &[Vec<u8>], times: usize) {
    let rulebooks = Arc::new(Rulebooks::new(engine(), registry, rules::route()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("the runtime starts");
    runtime.block_on(rulebooks.poll()).expect("the registry can be read");
    let pipeline = Pipeline::new(MemoryStore::default(), rulebooks, BatchLimits::default(), RetryPolicy::default());
    let mut batch = Batch::new("bench".into());
    for (at, line) in (0_u64..).zip(messages) {
        batch.push(line, at.into());
    }
    for _ in 0..times {
        let evaluation = runtime.block_on(pipeline.evaluate(black_box(&batch))).expect("the batch is evaluated");
        assert!(evaluation.dead_letters.is_empty() && !evaluation.writes.is_empty(), "every message is folded");
    }
}
