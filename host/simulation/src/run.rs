//! One run: a plan from its first record to the comparison with the model.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::compare::compare;
use crate::deliver::{Fleet, consumer, kcl, mapping, poll, redrive, windows};
use crate::finding::Finding;
use crate::host::{Environment, Host};
use crate::operator::Office;
use crate::plan::Plan;
use crate::plant::Plant;
use crate::setup::Setup;
use crate::world::{World, sleep_ms};

/// The sandbox goes by the machine's clock. Deadlines of the run's clock are this far away for it, and never pass in a call.
const AHEAD: Duration = Duration::from_secs(3_600);
/// How long a run may take after its faults have ended, by its own clock.
const PATIENCE: Duration = Duration::from_secs(2 * 3600);
/// The number of the first host that redrives, and the time in which it has followed any change of the rules in milliseconds: a
/// poll's interval and a slow call.
const REDRIVER: u32 = 100;
const FOLLOWED_MS: u64 = 80_000;
/// Redrives that have to come to their end once faults have ended: the second one finds what the first one left.
const LAST_REDRIVES: u32 = 2;

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What is wrong.
    pub finding: Option<Finding>,
    /// The hash of everything that happened.
    pub hash: u64,
    /// How many things happened.
    pub events: u64,
    /// What happened, if it was kept.
    pub trace: Option<String>,
}

/// What a run is made with, beside its plan.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The bug that is planted.
    pub plant: Option<Plant>,
    /// Whether the text of the trace is kept.
    pub keep_trace: bool,
}

/// Runs a plan. It takes no time of the clock's, and depends on nothing but the plan, the options and the program.
///
/// # Panics
///
/// If no runtime can be started.
pub fn run(setup: &Arc<Setup>, plan: &Plan, options: Options) -> Outcome {
    // The pipeline draws its waits from the thread's generator.
    fastrand::seed(plan.seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O needs nothing of the system");
    // What goes wrong on purpose is not worth a line.
    tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::default(), || {
        runtime.block_on(async {
            tokio::time::sleep(AHEAD).await;
            let world = Arc::new(World::new(plan.clone(), options.plant, options.keep_trace));
            let limit = Duration::from_millis(plan.calm_ms()) + PATIENCE;
            let ended = tokio::select! {
                biased;
                () = world.found() => Ok(()),
                ended = tokio::time::timeout(limit, simulate(&world, setup)) => ended,
            };
            if ended.is_err() {
                let what = "records are not delivered, or letters not redriven".to_owned();
                world.report(Finding::Stuck { at_ms: world.now_ms(), what });
            }
            let (hash, events, trace) = world.take_trace();
            Outcome { finding: world.take_finding(), hash, events, trace }
        })
    })
}

/// Runs a plan twice: both runs must go the same way.
pub fn run_twice(setup: &Arc<Setup>, plan: &Plan, options: Options) -> Outcome {
    let first = run(setup, plan, options);
    let second = run(setup, plan, Options { keep_trace: false, ..options });
    if first.hash == second.hash {
        return first;
    }
    Outcome { finding: Some(Finding::NotDeterministic { first: first.hash, second: second.hash }), ..first }
}

async fn simulate(world: &Arc<World>, setup: &Arc<Setup>) {
    let plan = &world.plan;
    let objects = setup.rulebooks(plan).objects();
    let office = Office::new(world, setup, &objects);
    office.open().await;
    let environment = Arc::new(Environment { world: Arc::clone(world), setup: Arc::clone(setup), objects });
    let host = |id| Arc::new(Host::new(id, &environment, plan.has_functions()));
    let fleet = Fleet::new(&environment, (0..plan.hosts).map(host).collect());
    let redrivers: Vec<Arc<Host>> =
        (0..plan.redrivers).map(|nth| Arc::new(Host::new(REDRIVER + nth, &environment, false))).collect();

    let mut deliveries = start(&fleet);
    let calm = async {
        sleep_ms(plan.calm_ms()).await;
        world.calm();
        world.trace(format_args!("faults end"));
    };
    let stream = async {
        let redrives = async {
            for _ in 0..plan.redrives {
                sleep_ms(world.below(u64::from(plan.span + 30) * 1_000)).await;
                redrive::redrive_at_once(&fleet, &redrivers).await;
            }
        };
        let delivered = async { while deliveries.join_next().await.is_some() {} };
        tokio::join!(delivered, office.make_changes(), redrives);
        world.set_delivered();
        office.settle().await;
        while !world.is_calm() {
            // A store that is lost with its host has nobody else who redrives.
            if !plan.is_volatile() {
                redrive::redrive_at_once(&fleet, &redrivers).await;
            }
            sleep_ms(1 + world.below(5_000)).await;
        }
    };
    tokio::join!(calm, stream);
    sleep_ms(FOLLOWED_MS).await;
    let mut done = 0;
    while done < LAST_REDRIVES {
        done += u32::from(redrive::redrive_at_once(&fleet, &redrivers).await);
        sleep_ms(1_000).await;
    }
    compare(&office).await;
}

/// Starts what delivers the records.
fn start(fleet: &Fleet) -> JoinSet<()> {
    let (plan, mut deliveries) = (&fleet.world.plan, JoinSet::new());
    if plan.mode == 3 {
        deliveries.spawn(consumer::read(fleet.clone(), 0));
        for _ in 0..plan.zombies {
            deliveries.spawn(consumer::read(fleet.clone(), fleet.world.below(u64::from(plan.span) * 1_000)));
        }
        return deliveries;
    }
    if plan.has_kcl() {
        deliveries.spawn(kcl::deliver(fleet.clone()));
        return deliveries;
    }
    for shard in 0..fleet.world.stream.shards.len() {
        match plan.mode {
            0 => drop(deliveries.spawn(poll::read(fleet.clone(), shard, 0))),
            1 => (0..plan.factor).for_each(|part| drop(deliveries.spawn(mapping::deliver(fleet.clone(), shard, part)))),
            _ => drop(deliveries.spawn(windows::deliver(fleet.clone(), shard))),
        }
    }
    for _ in 0..plan.zombies {
        let shard = fleet.world.below(fleet.world.stream.shards.len() as u64) as usize;
        let delay = fleet.world.below(u64::from(plan.span) * 1_000);
        deliveries.spawn(poll::read(fleet.clone(), shard, delay));
    }
    deliveries
}
