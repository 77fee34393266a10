//! Rules in a bucket, changed while functions run.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use paceline_pipeline::model::BatchLimits;
use paceline_pipeline::receive::Redrive;
use paceline_pipeline::rules::operator::{Author, Operator, PluginFiles, Request, prepare};
use paceline_pipeline::rules::{Registry, Tail, TrialLimits, TrialMode};
use paceline_pipeline::run::run;
use paceline_pipeline::store::{DeadLetterStore, GroupStore};
use paceline_pipeline::{Pipeline, RetryPolicy, Rulebooks, TrialReport, read_trial};
use paceline_testbed::dynamodb::{endpoint, unique};
use paceline_testbed::lambda::Function;
use paceline_testbed::outcome::{Outcome, tally};
use paceline_testbed::poll::pause;
use paceline_testbed::{plugins, require, rules, s3};

use crate::support::{
    DedupMode, Deployment, all_committed, beat, block_on, event, messages, record, registry_in, response, rulebook,
};

const TIMEOUT: Duration = Duration::from_secs(60);
/// How long functions may take together until something is seen: it takes many invocations.
const PATIENCE: Duration = Duration::from_secs(240);
const RACERS: u32 = 8;
const SECONDS: u32 = 3;

/// A deployment whose functions follow a registry in a bucket.
struct Shared {
    deployment: Deployment,
    bucket: String,
    registry: Registry,
}

impl Shared {
    fn new() -> Self {
        let deployment = Deployment::new(DedupMode::Ordinal);
        let bucket = format!("s3://{}/{}", s3::BUCKET, unique("rules"));
        let shared = Self { registry: registry_in(&bucket), deployment, bucket };
        shared.activate(1);
        shared
    }

    /// Publishes a version of the rulebook and lets new races begin with it.
    fn activate(&self, version: u64) {
        let text = format!("{}{}", rulebook(DedupMode::Ordinal), tally(DedupMode::Ordinal));
        let folder = self.deployment.path("rulebooks");
        self.deployment.write("rulebooks/class-3.toml", &text.replace("version = 1", &format!("version = {version}")));
        rules::map(&folder);
        rules::apply(&folder, &self.registry).unwrap();
    }

    /// Tries a version whose scorer traps on one racer of a hundred. Functions tell each other at once what they see of it.
    fn try_beside(&self, mode: TrialMode) {
        let configuration = std::fs::read_to_string(self.deployment.path("paceline.toml")).unwrap();
        let at_once = configuration.replace("[rules]\n", "[rules]\ntrial-interval-ms = 1\n");
        self.deployment.write("paceline.toml", &at_once);
        let text = format!("{}{}", rulebook(DedupMode::Ordinal), tally(DedupMode::Ordinal));
        let trapping = "plugin = \"evil-scorer\"\nsettings = { deed = \"trap-on-row\" }";
        let text = text.replace("version = 1", "version = 2").replace("plugin = \"output\"", trapping);
        self.deployment.write("canary.toml", &text);
        let route = rules::route();
        let operator = Operator { registry: &self.registry, route: &route };
        block_on(async {
            let files = PluginFiles { folder: Some(plugins::folder()), ..PluginFiles::default() };
            let file = self.deployment.path("canary.toml");
            let prepared = prepare(&rules::engine(), &self.registry, &file, &files).await.unwrap();
            let (race_type, limits) = ("3".to_owned(), TrialLimits::default());
            let requests =
                [Request::Publish(&prepared), Request::Try { race_type, rulebook: prepared.digest, mode, limits }];
            operator.commit(&Author::default(), operator.plan(&requests).await.unwrap()).await.unwrap();
        });
    }

    /// What functions have seen of the trial: what `rules status` shows.
    fn report(&self) -> TrialReport {
        let store = self.deployment.store();
        block_on(async {
            let (tail, _) = Tail::open(&self.registry).await.unwrap();
            let trial = tail.rules.routing["3"].candidate.unwrap();
            read_trial(&store, &tail.registry.unwrap(), "3", &trial).await.unwrap()
        })
    }

    /// Processes all dead letters again.
    fn redrive(&self) {
        let rulebooks = Arc::new(Rulebooks::new(rules::engine(), self.registry.clone(), rules::route()));
        let limits = BatchLimits::default();
        let pipeline = Pipeline::new(self.deployment.store(), rulebooks, limits.clone(), RetryPolicy::default());
        block_on(async {
            pipeline.start_following().await.unwrap();
            let letters = pipeline.store().list_dead_letters().await.unwrap();
            let ids: Vec<String> = letters.into_iter().map(|letter| letter.id).collect();
            let letters = pipeline.store().assign_redrive_sequences(&ids).await.unwrap();
            run(Redrive::new(letters), &pipeline, limits, std::future::pending(), |_, _| {}).await.unwrap();
        });
    }

    fn function(&self) -> Function {
        let configuration = self.deployment.configuration(&endpoint());
        Function::new(configuration.env("PACELINE_RULES", &self.bucket)).unwrap()
    }

    /// The versions by which the items of each race were last written.
    fn versions(&self) -> BTreeMap<String, BTreeSet<u64>> {
        let mut versions: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        for (key, item) in block_on(self.deployment.store().list_groups()).unwrap() {
            if let Some(race) = key.partition.strip_prefix("race-") {
                versions.entry(race.to_owned()).or_default().insert(item.provenance.rulebook.version);
            }
        }
        versions
    }
}

/// S3, until it falls silent: then connections stay open, requests are taken, and nothing is answered.
struct FallibleBucket {
    address: String,
    is_silent: Arc<AtomicBool>,
    unanswered: Arc<AtomicUsize>,
}

impl FallibleBucket {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let bucket = Self { address, is_silent: Arc::default(), unanswered: Arc::default() };
        let (is_silent, unanswered) = (Arc::clone(&bucket.is_silent), Arc::clone(&bucket.unanswered));
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                let mut upstream = TcpStream::connect(s3::endpoint().trim_start_matches("http://")).unwrap();
                let (mut from, mut to) = (upstream.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                let (is_silent, unanswered) = (Arc::clone(&is_silent), Arc::clone(&unanswered));
                std::thread::spawn(move || {
                    let mut bytes = [0; 4_096];
                    while let Ok(count @ 1..) = client.read(&mut bytes) {
                        match is_silent.load(Ordering::SeqCst) {
                            true => unanswered.fetch_add(1, Ordering::SeqCst),
                            false => upstream.write(&bytes[..count]).unwrap(),
                        };
                    }
                });
            }
        });
        bucket
    }
}

/// The messages of one second of a race of some racers.
fn payloads(race: u64, second: u32, racers: impl Iterator<Item = u32>) -> impl Iterator<Item = Vec<u8>> {
    racers.map(move |racer| {
        let mut message = beat(racer, second, if racer == 100 { 66 } else { 60 });
        message["raceId"] = race.into();
        message.to_string().into_bytes()
    })
}

/// An event with them.
fn second(race: u64, second: u32, racers: impl Iterator<Item = u32>) -> Vec<u8> {
    let messages: Vec<Vec<u8>> = payloads(race, second, racers).collect();
    // The records of all races are in one shard.
    let first = (race * 100 + u64::from(second)) as usize * 1_000;
    let records: Vec<_> = (first..).zip(&messages).map(|(number, message)| record(number, message)).collect();
    event(&records)
}

fn invoke(function: &Function, event: Vec<u8>) {
    assert_eq!(response(function.invoke(event, TIMEOUT)), all_committed(), "{}", function.logs());
}

#[test]
fn a_function_follows_the_bucket_while_it_runs_and_races_keep_their_rulebook() {
    require!(Plugins, DynamoDbLocal, S3Local, UtilLinux);
    let shared = Shared::new();
    let function = shared.function();
    invoke(&function, second(131, 1, 1..=RACERS));
    shared.activate(2);
    // The change is taken over beside an invocation, and holds from a later one on.
    let deadline = Instant::now() + PATIENCE;
    let mut race = 200;
    while shared.versions().get(&race.to_string()).is_none_or(|versions| *versions != BTreeSet::from([2])) {
        assert!(Instant::now() < deadline, "{:?}\n{}", shared.versions(), function.logs());
        race += 1;
        invoke(&function, second(race, 1, 1..=RACERS));
        pause(Duration::from_millis(5));
    }
    assert!(function.logs().contains("race type 3: class-3@2 is active (revision 2)"), "{}", function.logs());
    invoke(&function, second(131, 2, 1..=RACERS));
    // An instance that starts now finds the race's rulebook in the bucket.
    assert!(function.kill_all());
    invoke(&function, second(131, 3, 1..=RACERS));
    assert_eq!(shared.versions()["131"], BTreeSet::from([1]));
    assert_eq!(block_on(shared.deployment.store().list_dead_letters()).unwrap(), []);
}

#[test]
fn four_functions_with_kills_and_swaps_agree_on_each_races_version_and_count_each_record_once() {
    require!(Plugins, DynamoDbLocal, S3Local, UtilLinux);
    const RACES: u64 = 12;
    let shared = Shared::new();
    std::thread::scope(|scope| {
        for share in 0..4 {
            let shared = &shared;
            scope.spawn(move || {
                let function = shared.function();
                for race in 1..=RACES {
                    for at in 1..=SECONDS {
                        let racers = (0..RACERS).filter(|racer| racer % 4 == share);
                        invoke(&function, second(race, at, racers));
                        if (race + u64::from(at + share)) % 7 == 0 {
                            function.kill_all();
                        }
                    }
                }
            });
        }
        for version in 2..=8 {
            shared.activate(version);
        }
    });
    let versions = shared.versions();
    assert_eq!(versions.len() as u64, RACES);
    assert!(versions.values().all(|versions| versions.len() == 1), "{versions:?}");
    let outcome = Outcome::of(&shared.deployment.store());
    assert_eq!((outcome.tallied(), outcome.dead_letters.len()), (RACES * u64::from(SECONDS * RACERS), 0));
}

#[test]
fn one_function_of_four_takes_a_failing_canary_back_and_the_dead_letters_complete_the_table() {
    require!(Plugins, DynamoDbLocal, S3Local, UtilLinux);
    const MANY: u32 = 100;
    let shared = Shared::new();
    shared.try_beside(TrialMode::Canary { share: "50%".parse().unwrap() });
    let functions = [(); 4].map(|()| shared.function());
    let vetoed = |function: &Function| function.logs().contains("class-3@2 has failed; its races go on");
    let deadline = Instant::now() + PATIENCE;
    let mut races = 1000..;
    while !functions.iter().all(vetoed) {
        assert!(Instant::now() < deadline, "{}", functions[0].logs());
        for function in &functions {
            invoke(function, second(races.next().unwrap(), 1, 1..=MANY));
        }
    }
    let taken_back = functions.iter().filter(|function| function.logs().contains("class-3@2 is taken back"));
    assert!(taken_back.count() >= 1);
    let (first_after, all) = (races.next().unwrap(), 1000..);
    let last = first_after + 8;
    for (race, function) in (first_after..=last).zip(functions.iter().cycle()) {
        invoke(function, second(race, 1, 1..=MANY));
    }
    let versions = shared.versions();
    assert!((first_after..=last).all(|race| versions[&race.to_string()] == BTreeSet::from([1])), "{versions:?}");
    let tried = versions.values().filter(|versions| **versions == BTreeSet::from([2])).count();
    assert!(tried > 0 && versions.values().all(|versions| versions.len() == 1), "{versions:?}");
    let letters = block_on(shared.deployment.store().list_dead_letters()).unwrap();
    assert_eq!(letters.len(), tried);
    shared.redrive();
    let outcome = Outcome::of(&shared.deployment.store());
    let races = all.take_while(|race| *race <= last).count() as u64;
    assert_eq!((outcome.tallied(), outcome.dead_letters.len()), (races * u64::from(MANY), 0));
}

#[test]
fn what_a_shadow_saw_in_two_functions_is_reported_and_it_changes_nothing() {
    require!(Plugins, DynamoDbLocal, S3Local, UtilLinux);
    const MANY: u32 = 100;
    let shared = Shared::new();
    shared.try_beside(TrialMode::Shadow);
    let functions = [(); 2].map(|()| shared.function());
    let deadline = Instant::now() + PATIENCE;
    let mut races = 0;
    // A function notes what it has seen beside a later invocation.
    let report = loop {
        for function in &functions {
            invoke(function, second(1000 + races, 1, 1..=MANY));
            races += 1;
        }
        let report = shared.report();
        if report.hosts == 2 && report.tally.current.rows.evaluated >= 10 * u64::from(MANY) {
            break report;
        }
        assert!(Instant::now() < deadline, "{report:?}\n{}", functions[0].logs());
    };
    let (current, candidate, shadow) = (report.tally.current, report.tally.candidate, report.tally.shadow);
    assert_eq!(candidate.rows.evaluated + shadow.skipped, current.rows.evaluated);
    assert_eq!(candidate.rows.failed * u64::from(MANY), candidate.rows.evaluated, "it traps on one racer of a hundred");
    assert_eq!((shadow.only_shadow_rejects, report.veto), (candidate.rows.failed, None));
    assert!(candidate.rows.failed > 0 && candidate.faults > 0 && candidate.fuel > 0, "{candidate:?}");
    let versions = shared.versions();
    assert_eq!(versions.len() as u64, races);
    assert!(versions.values().all(|versions| *versions == BTreeSet::from([1])), "{versions:?}");
    let outcome = Outcome::of(&shared.deployment.store());
    assert_eq!((outcome.tallied(), outcome.dead_letters.len()), (races * u64::from(MANY), 0));
}

#[test]
fn a_function_whose_bucket_is_out_of_reach_starts_by_its_seed() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let whole = std::fs::read_to_string(deployment.path("paceline.toml")).unwrap();
    deployment.write("paceline.toml", &whole.replace("[rules]\n", "[rules]\nseed = \"registry\"\n"));
    let configuration = deployment.configuration(&endpoint()).env("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9");
    let function = Function::new(configuration.env("PACELINE_RULES", "s3://nowhere/rules")).unwrap();
    invoke(&function, second(131, 1, 1..=RACERS));
    assert!(function.logs().contains("the rules come from the seed"), "{}", function.logs());
    assert_eq!(deployment.outcome().items.len() as u32, RACERS);
}

#[test]
fn a_bucket_that_falls_silent_does_not_hold_up_batches() {
    require!(Plugins, DynamoDbLocal, S3Local, UtilLinux);
    let (shared, bucket) = (Shared::new(), FallibleBucket::start());
    let configuration = shared.deployment.configuration(&endpoint()).env("PACELINE_RULES", &shared.bucket);
    let function = Function::new(configuration.env("AWS_ENDPOINT_URL_S3", &bucket.address)).unwrap();
    let invoke = |number: u32| {
        let began = Instant::now();
        let answer = response(function.invoke(second(131, number, 100..100 + RACERS), TIMEOUT));
        assert_eq!(answer, all_committed(), "second {number}");
        began.elapsed()
    };
    let cold = invoke(1);
    bucket.is_silent.store(true, Ordering::SeqCst);
    let slowest = (2..=20).map(invoke).max().unwrap();
    assert!(bucket.unanswered.load(Ordering::SeqCst) > 0, "the rules are polled");
    // A poll is given up after ten seconds.
    assert!(slowest < Duration::from_secs(3), "the slowest of 19 batches took {slowest:?}, the first one {cold:?}");
    let all: Vec<Vec<u8>> = (1..=20).flat_map(|number| payloads(131, number, 100..100 + RACERS)).collect();
    let expected = shared.deployment.local(&messages(all.iter().map(|payload| &payload[..])));
    assert_eq!(shared.deployment.outcome().items, expected.items);
}
