//! Changes of the rules while the stream flows.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object_store::memory::InMemory;
use paceline_pipeline::ErrorChain;
use paceline_pipeline::model::{Pointer, RulesRevision};
use paceline_pipeline::rules::operator::{Operator, Request};
use paceline_pipeline::rules::{Registry, Rules, Share, Tail, TrialLimits, TrialMode};
use paceline_pipeline::store::{NoticeStore, Pin};

use crate::finding::Finding;
use crate::objects::SimulatedObjects;
use crate::setup::{Rulebooks, Setup, VERSIONS, author, route};
use crate::world::{World, sleep_ms};

/// The first race type.
pub(crate) const FIRST_CLASS: u32 = 3;

/// Who changes the rules.
#[derive(Debug)]
pub(crate) struct Office<'a> {
    pub(crate) world: Arc<World>,
    pub(crate) rulebooks: &'a Rulebooks,
    pub(crate) registry: Registry,
    route: Pointer,
    /// Changes so far.
    turn: Cell<usize>,
}

/// What the rules have been, as far as the model has to know it.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// The versions that each race type has had.
    pub(crate) versions: BTreeMap<u32, BTreeSet<u64>>,
    /// Race types of which races were moved from one rulebook to another.
    pub(crate) reruled: BTreeSet<u32>,
}

impl<'a> Office<'a> {
    pub(crate) fn new(world: &Arc<World>, setup: &'a Setup, objects: &Arc<InMemory>) -> Self {
        let rulebooks = setup.rulebooks(&world.plan);
        let objects = SimulatedObjects::of_operator(Arc::clone(objects), Arc::clone(world));
        let registry = Registry::new(Arc::new(objects), "memory");
        Self { world: Arc::clone(world), rulebooks, registry, route: route(), turn: Cell::new(0) }
    }

    fn classes(&self) -> impl Iterator<Item = u32> + use<> {
        FIRST_CLASS..FIRST_CLASS + self.world.plan.classes
    }

    /// Whether races of a race type are pinned.
    pub(crate) fn is_pinned(&self, class: u32) -> bool {
        class - FIRST_CLASS >= self.world.plan.unpinned
    }

    /// Every race type begins with the first version, but the last one if it is late.
    pub(crate) async fn open(&self) {
        let on_time = self.world.plan.classes - self.world.plan.late;
        let begins = self.classes().take(on_time as usize);
        let requests: Vec<Request<'_>> = begins.map(|class| self.activate(class, 1, false)).collect();
        self.change(&requests).await;
    }

    /// Makes the plan's changes, at any time until faults end.
    pub(crate) async fn make_changes(&self) {
        let plan = &self.world.plan;
        let mut times: Vec<u64> =
            (0..plan.changes).map(|_| self.world.below(u64::from(plan.span + 10) * 1_000)).collect();
        times.sort_unstable();
        for at in times {
            sleep_ms(at.saturating_sub(self.world.now_ms())).await;
            let class = FIRST_CLASS + self.world.below(u64::from(plan.classes)) as u32;
            let request = self.draw(class);
            self.change(&[request]).await;
        }
    }

    /// In the end every race type has a rulebook again: what became a dead letter without one is redriven.
    pub(crate) async fn settle(&self) {
        for class in self.classes() {
            // Writes may fail: an operator tries again.
            for version in VERSIONS.into_iter().cycle().take(30) {
                let routing = self.rules().await.and_then(|rules| rules.routing.get(&class.to_string()).cloned());
                if routing.is_some_and(|routing| routing.current.is_some()) {
                    break;
                }
                self.change(&[self.activate(class, version, false)]).await;
            }
        }
    }

    fn draw(&self, class: u32) -> Request<'static> {
        let race_type = class.to_string();
        let with_third = !self.is_pinned(class) && self.world.plan.migrations == 1;
        // One version after the other: the same again would be no change.
        self.turn.set(self.turn.get() + 1);
        let version = VERSIONS[self.turn.get() % if with_third { 3 } else { 2 }];
        let digest = |version| self.rulebooks.digest(self.is_pinned(class), version);
        match self.world.below(10) {
            0..=3 => self.activate(class, version, false),
            4 => self.activate(class, version, true),
            5 => Request::Rollback { race_type },
            6 if self.world.plan.retires == 1 => Request::Retire { race_type },
            7 => {
                let race = (131 + self.world.below(u64::from(self.world.plan.races))).to_string();
                let (from, to) = if self.world.below(2) == 0 { (1, 2) } else { (2, 1) };
                // As if the race had begun just now: it is moved if it runs this version.
                let pin = Pin { rulebook: digest(from), revision: u64::MAX };
                Request::Repin { race_type, race, pin, to: digest(to) }
            }
            8 => {
                let mode = TrialMode::Canary { share: Share::from_hundredths(5_000) };
                Request::Try { race_type, rulebook: digest(version), mode, limits: TrialLimits::default() }
            }
            _ => Request::Promote { race_type },
        }
    }

    fn activate(&self, class: u32, version: u64, now: bool) -> Request<'static> {
        let rulebook = self.rulebooks.digest(self.is_pinned(class), version);
        Request::Activate { race_type: class.to_string(), rulebook, now }
    }

    /// A change that the rules refuse is left out.
    async fn change(&self, requests: &[Request<'_>]) {
        let operator = Operator { registry: &self.registry, route: &self.route };
        let changed = match operator.plan(requests).await {
            Ok(plan) => operator.commit(&author(), plan).await,
            Err(error) => Err(error),
        };
        match changed {
            Ok(changed) => self.world.trace(format_args!("rules {} {:?}", changed.revision, changed.changes)),
            Err(error) => self.world.trace(format_args!("rules refuse: {}", ErrorChain(&error))),
        }
    }

    async fn rules(&self) -> Option<Rules> {
        match Tail::open(&self.registry).await {
            Ok((tail, _)) => Some(tail.rules),
            Err(error) => {
                let (at_ms, error) = (self.world.now_ms(), ErrorChain(&error).to_string());
                self.world.report(Finding::Fatal { at_ms, error });
                None
            }
        }
    }

    /// What the rules have been, read from the log.
    pub(crate) async fn history(&self) -> History {
        let mut history = History::default();
        for revision in 1.. {
            let Ok(Some(entry)) = paceline_pipeline::rules::entry_at(&self.registry, revision).await else { break };
            for (race_type, routing) in &entry.rules.routing {
                let Ok(class) = race_type.parse::<u32>() else { continue };
                let candidate = routing.candidate.map(|trial| trial.rulebook);
                let named = routing.current.into_iter().chain(candidate);
                let versions = named.filter_map(|digest| self.rulebooks.version(digest));
                history.versions.entry(class).or_default().extend(versions);
            }
            history.reruled.extend(entry.rules.reruled.iter().filter_map(|moved| moved.race_type.parse::<u32>().ok()));
            // A race may be moved to a version that its race type never had.
            for moved in &entry.rules.reruled {
                if let (Ok(class), Some(version)) = (moved.race_type.parse(), self.rulebooks.version(moved.to)) {
                    history.versions.entry(class).or_default().insert(version);
                }
            }
        }
        history.reruled.extend(self.vetoed().await);
        history
    }

    /// Race types of which a canary failed: its races went on with the rulebook beside it.
    async fn vetoed(&self) -> Vec<u32> {
        let Ok(Some(entry)) = paceline_pipeline::rules::entry_at(&self.registry, 1).await else { return Vec::new() };
        let registry = RulesRevision::new(&entry.registry, 0).registry;
        let vetoes = self.world.store.list_notices(&format!("vetoes/{registry}")).await.unwrap_or_default();
        let race_type = |name: &str| name.split_once('/').and_then(|(race_type, _)| race_type.parse().ok());
        vetoes.iter().filter_map(|veto| race_type(&veto.name)).collect()
    }
}
