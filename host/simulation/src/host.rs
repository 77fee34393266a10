//! Hosts: each runs the real pipeline by rules that it follows by itself, dies at any call to the store, and starts again.

use std::sync::Arc;
use std::time::Duration;

use object_store::memory::InMemory;
use paceline_aws::dynamodb::{DynamoDbConfig, WriteWith};
use paceline_aws::kinesis::{KinesisConfig, Stream};
use paceline_lambda::{FunctionStore, Handler, Metrics};
use paceline_pipeline::model::BatchLimits;
use paceline_pipeline::rules::{Registry, Rulebooks};
use paceline_pipeline::{Clock, ErrorChain, Pipeline, RetryPolicy};
use tokio::sync::Mutex;

use crate::backend::Backend;
use crate::connection::Connected;
use crate::dynamodb::ITEMS;
use crate::endpoint::Endpoint;
use crate::finding::Finding;
use crate::http;
use crate::kinesis::SimulatedStream;
use crate::latch::Latch;
use crate::objects::SimulatedObjects;
use crate::setup::{Setup, route};
use crate::store::SimulatedStore;
use crate::world::{DISK_FULL, World, sleep_ms};

/// The longest time that a host takes to start, in milliseconds.
const LONGEST_START_MS: u64 = 3_000;
/// The longest time between two polls of the rules' log, in milliseconds.
const LONGEST_POLL_MS: u64 = 30_000;
/// How often a host shares what it has seen of trials.
const TRIAL_INTERVAL: Duration = Duration::from_secs(5);

/// What all hosts of a run have in common.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) world: Arc<World>,
    pub(crate) setup: Arc<Setup>,
    pub(crate) objects: Arc<InMemory>,
}

/// A host, which has one life after another.
#[derive(Debug)]
pub(crate) struct Host {
    id: u32,
    environment: Arc<Environment>,
    life: Mutex<Option<Arc<Life>>>,
    /// Whether it is a function, which reads the rules' log beside its invocations.
    is_function: bool,
    /// Held by what must be alone on a host: an invocation.
    pub(crate) busy: Mutex<()>,
}

impl FunctionStore for SimulatedStore {}

/// A host from its start to its death.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) pipeline: Arc<Pipeline<SimulatedStore>>,
    pub(crate) handler: Handler<SimulatedStore>,
    host: u32,
    killed: Arc<Latch>,
}

impl Life {
    /// The stream as this life polls it.
    pub(crate) fn stream(&self, world: &Arc<World>, config: &KinesisConfig) -> Stream {
        let (stream, clock) = (
            Arc::new(SimulatedStream::new(Arc::clone(world), self.host, Arc::clone(&self.killed))),
            self.pipeline.clock(),
        );
        match world.plan.has_sdk() {
            true => {
                Stream::connect_by(&http::sdk(Arc::new(Endpoint::new(Arc::clone(world), stream)), clock), config, clock)
            }
            false => Stream::polled(stream, &config.stream, clock),
        }
    }

    /// Ends this life.
    pub(crate) fn kill(&self, world: &World) {
        world.lose_volatile();
        self.killed.set();
    }

    fn is_over(&self) -> bool {
        self.killed.is_set()
    }

    /// Does some work. `None` if the host dies before the work is done, wherever the work is then.
    pub(crate) async fn work<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.killed.wait() => None,
            done = work => Some(done),
        }
    }
}

impl Host {
    pub(crate) fn new(id: u32, environment: &Arc<Environment>, is_function: bool) -> Self {
        let environment = Arc::clone(environment);
        Self { id, environment, life: Mutex::default(), is_function, busy: Mutex::default() }
    }

    /// The host's current life, or a new one.
    pub(crate) async fn life(&self) -> Arc<Life> {
        let mut current = self.life.lock().await;
        loop {
            if let Some(life) = current.as_ref().filter(|life| !life.is_over()) {
                return Arc::clone(life);
            }
            *current = self.start().await;
        }
    }

    /// Starts the host. `None` if it died before it followed the rules, or can't follow them yet.
    async fn start(&self) -> Option<Arc<Life>> {
        let Environment { world, setup, objects } = &*self.environment;
        sleep_ms(1 + world.below(LONGEST_START_MS)).await;
        let killed = Arc::new(Latch::default());
        let objects = SimulatedObjects::new(Arc::clone(objects), Arc::clone(world), self.id, Arc::clone(&killed));
        let registry = Registry::new(Arc::new(objects), "memory");
        let rulebooks =
            Rulebooks::new(setup.engine.clone(), registry, route()).with_shared_rulebooks(setup.shared.clone());
        let clock = world.draw_clock();
        let backend = backend(world, clock, self.id, &killed);
        let store = SimulatedStore::new(Arc::clone(world), backend, self.id, Arc::clone(&killed));
        let limits = BatchLimits { max_records: 1_000, ..BatchLimits::default() };
        let pipeline = Pipeline::new(store, Arc::new(rulebooks), limits, RetryPolicy::default());
        let name = format!("{}-{}", self.id, world.now_ms());
        let pipeline = pipeline.with_trial_interval(TRIAL_INTERVAL).with_trial_host(name).with_clock(clock);
        let pipeline = Arc::new(match world.plan.hold {
            0 => pipeline,
            seconds => pipeline.with_hold(Duration::from_secs(seconds.into())),
        });
        let every = Duration::from_millis(500 + world.below(LONGEST_POLL_MS));
        let handler = Handler::new(Arc::clone(&pipeline), Metrics::none(), every);
        let handler = match world.plan.state {
            0 => handler,
            bytes => handler.with_max_state_bytes(bytes as usize),
        };
        let life = Arc::new(Life { pipeline, handler, host: self.id, killed });
        world.trace(format_args!("host {} starts", self.id));
        match life.work(life.pipeline.start_following()).await? {
            Ok(_) => {}
            Err(error) if error.is_transient() => return None,
            Err(error) => {
                let error = ErrorChain(&error).to_string();
                if error.contains(DISK_FULL) {
                    return None;
                }
                world.report(Finding::Fatal { at_ms: world.now_ms(), error });
                return None;
            }
        }
        if self.is_function {
            return Some(life);
        }
        let followed = Arc::clone(&life);
        let (traced, id) = (Arc::clone(world), self.id);
        tokio::spawn(async move {
            let follow = async {
                loop {
                    tokio::time::sleep(every).await;
                    // What can't be read is read at the next poll.
                    let events = followed.pipeline.follow().await.map(|events| events.len());
                    traced.trace(format_args!("host {id} polls: {:?}", events.ok()));
                }
            };
            let _: Option<()> = followed.work(follow).await;
        });
        Some(life)
    }
}

/// What a host's store is in: the one that all hosts share, or DynamoDB over connections of its own.
fn backend(world: &Arc<World>, clock: Clock, host: u32, killed: &Arc<Latch>) -> Backend {
    let Some(database) = &world.database else { return world.store.clone() };
    let connected = Connected::new(Arc::clone(database), Arc::clone(world), host, Arc::clone(killed));
    let config = DynamoDbConfig {
        table: ITEMS.to_owned(),
        write: if world.plan.items == 1 { WriteWith::Items } else { WriteWith::Statements },
        cached_bytes: world.plan.cached as usize,
        concurrency: world.plan.concurrency as usize,
        ..DynamoDbConfig::default()
    };
    Backend::dynamodb(&http::sdk(Arc::new(connected), clock), clock, &config)
}
