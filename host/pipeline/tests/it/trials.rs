//! Rulebooks on trial: canaries, shadows, and rulebooks whose records wait when a plugin fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use std::sync::atomic::Ordering;

use paceline_pipeline::model::{Attribute, Batch, BatchLimits, Cause};
use paceline_pipeline::receive::Redrive;
use paceline_pipeline::rules::operator::{Prepared, Request};
use paceline_pipeline::rules::{Rulebooks, RulesEvent, TrialLimits, TrialMode, Verdict, verdict};
use paceline_pipeline::store::{DeadLetterStore, GroupStore, PinKey, PinStore};
use paceline_pipeline::summary::Summary;
use paceline_pipeline::window::Window;
use paceline_pipeline::{Pipeline, PipelineError, TrialReport, read_trial};
use paceline_testbed::{require, rules};

use crate::log::{Desk, text};
use crate::support::{FlakyStore, block_on, committed, host};

/// Racers of a race. With one victim among them, a scorer that traps on it traps on one record of a hundred.
const RACERS: u64 = 100;

/// A rulebook whose scorer traps on the records with the cadence 66.
fn trapping(version: u64) -> String {
    let scorer = "plugin = \"evil-scorer\"\nsettings = { deed = \"trap-on-row\" }";
    text(3, version).replace("plugin = \"output\"", scorer)
}

/// One second of a race.
fn second(race: u64, second: u64) -> Batch {
    let mut batch = Batch::new(format!("shard-{}", race % 4).into());
    for racer in 1..=RACERS {
        let cadence = if racer == 1 { 66 } else { 70 };
        let message = format!(
            r#"{{"event":"update","deviceTimestamp":{second}000,"second":{second},"raceId":{race},"racerId":{racer},"classId":3,"cadence":{cadence},"resistance":50}}"#
        );
        batch.push(message.as_bytes(), (race * 1_000_000 + second * 1_000 + racer).into());
    }
    batch
}

fn host_of(desk: &Desk, store: &FlakyStore) -> Pipeline<FlakyStore> {
    let rulebooks = Arc::new(Rulebooks::new(rules::engine(), desk.registry.clone(), rules::route()));
    block_on(rulebooks.poll()).unwrap();
    host(store.clone(), &rulebooks).with_trial_interval(Duration::ZERO)
}

fn follow(host: &Pipeline<FlakyStore>) -> Vec<RulesEvent> {
    block_on(host.follow()).unwrap()
}

fn process(host: &Pipeline<FlakyStore>, batch: &Batch) -> Summary {
    let mut summary = Summary::default();
    committed(host.process(batch, None, &mut summary));
    summary
}

fn try_beside(desk: &Desk, prepared: &Prepared, mode: TrialMode) {
    let (race_type, rulebook, limits) = ("3".to_owned(), prepared.digest, TrialLimits::default());
    desk.change(&[Request::Publish(prepared), Request::Try { race_type, rulebook, mode, limits }]).unwrap();
}

fn canary(percent: &str) -> TrialMode {
    TrialMode::Canary { share: percent.parse().unwrap() }
}

fn report(desk: &Desk, store: &FlakyStore) -> TrialReport {
    let (tail, _) = desk.tail();
    let trial = tail.rules.routing["3"].candidate.unwrap();
    block_on(read_trial(&*store.store, &tail.registry.unwrap(), "3", &trial)).unwrap()
}

/// How many rows a race's items hold, by the version that wrote them last.
fn by_version(store: &FlakyStore, race: u64) -> BTreeMap<u64, u64> {
    let mut rows = BTreeMap::new();
    for (_, item) in block_on(store.store.list_partition(&format!("race-3-{race}"))).unwrap() {
        let Some(Attribute::Integer(count)) = item.attribute("count") else { panic!("{item:?}") };
        *rows.entry(item.provenance.rulebook.version).or_default() += *count as u64;
    }
    rows
}

/// The version that wrote the race's items last, and how many rows they hold.
fn race(store: &FlakyStore, race: u64) -> (u64, u64) {
    let rows = by_version(store, race);
    assert_eq!(rows.len(), 1, "race {race}: {rows:?}");
    rows.into_iter().next().unwrap()
}

/// The version that a race is pinned to.
fn pinned(desk: &Desk, store: &FlakyStore, race: u64) -> Option<u64> {
    let key = PinKey { race_type: "3".to_owned(), value: race.to_string() };
    let pin = block_on(store.store.get_pins(&[key])).unwrap()[0]?;
    Some(desk.tail().0.rules.id(pin.rulebook).unwrap().version)
}

#[test]
fn a_canary_that_traps_on_one_record_of_a_hundred_is_taken_back_by_one_host_of_four() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepared(3, 1));
    try_beside(&desk, &desk.prepare(&trapping(2)), canary("50%"));
    let hosts = [(); 4].map(|()| host_of(&desk, &store));
    let mut vetoes = 0;
    let mut races = 0..;
    while vetoes < hosts.len() {
        let number = races.next().unwrap();
        assert!(number < 400, "no host took it back: {:?}", report(&desk, &store));
        let host = &hosts[number as usize % hosts.len()];
        process(host, &second(number, 1));
        vetoes += follow(host).iter().filter(|event| matches!(event, RulesEvent::Vetoed { .. })).count();
    }
    let first_after = races.next().unwrap();
    let report = report(&desk, &store);
    assert_eq!(report.hosts, 4);
    assert!(report.veto.as_ref().is_some_and(|why| why.contains("plugins failed on")), "{report:?}");
    // Some races began with each; from now on, all begin with the current rulebook.
    let (desk, store) = (&desk, &store);
    let begun = |version| (0..first_after).filter(|race| pinned(desk, store, *race) == Some(version)).count();
    assert!(begun(1) > 10 && begun(2) > 10, "{} and {}", begun(1), begun(2));
    for number in first_after..first_after + 20 {
        process(&hosts[0], &second(number, 1));
        assert_eq!(race(store, number), (1, RACERS));
    }
    // Races of the canary go on with the current rulebook, and their pins stay.
    let tried: Vec<u64> = (0..first_after).filter(|race| pinned(desk, store, *race) == Some(2)).collect();
    for &number in &tried {
        process(&hosts[1], &second(number, 2));
        assert_eq!(race(store, number).0, 1);
        assert_eq!(pinned(desk, store, number), Some(2));
    }
    // Its dead letters, evaluated by the current rulebook, complete the table.
    let letters = block_on(store.store.list_dead_letters()).unwrap();
    assert!(letters.iter().all(|letter| letter.reason.cause == Cause::PluginFailed
        && letter.reason.rulebook == Some(("class-3".to_owned(), 2))));
    assert_eq!(letters.len(), tried.len());
    let ids: Vec<String> = letters.into_iter().map(|letter| letter.id).collect();
    let letters = block_on(store.store.assign_redrive_sequences(&ids)).unwrap();
    let nobody = std::future::pending();
    block_on(paceline_pipeline::run::run(Redrive::new(letters), &hosts[2], BatchLimits::default(), nobody, |_, _| {}))
        .unwrap();
    assert_eq!(block_on(store.store.list_dead_letters()).unwrap(), []);
    assert!(tried.iter().all(|number| race(store, *number) == (1, 2 * RACERS)));
}

#[test]
fn a_veto_that_could_not_be_stored_is_stored_later_without_further_records() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepared(3, 1));
    try_beside(&desk, &desk.prepare(&trapping(2)), canary("100%"));
    let host = host_of(&desk, &store);
    (0..60).for_each(|number| drop(process(&host, &second(number, 1))));
    store.vetoes_are_down.store(true, Ordering::Relaxed);
    assert_eq!(follow(&host).len(), 0);
    assert!(report(&desk, &store).veto.is_none());
    store.vetoes_are_down.store(false, Ordering::Relaxed);
    let events = follow(&host);
    assert!(matches!(&events[..], [RulesEvent::Vetoed { .. }]), "{events:?}");
    assert!(report(&desk, &store).veto.is_some());
}

#[test]
fn a_canary_with_too_little_traffic_is_held() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepared(3, 1));
    try_beside(&desk, &desk.prepare(&trapping(2)), canary("100%"));
    let host = host_of(&desk, &store);
    for number in 0..5 {
        process(&host, &second(number, 1));
        assert_eq!(follow(&host).len(), 0);
    }
    let report = report(&desk, &store);
    assert_eq!((report.tally.candidate.rows.evaluated, report.tally.candidate.rows.failed), (500, 5));
    assert_eq!((report.veto, verdict(&report.tally, &TrialLimits::default())), (None, Verdict::Inconclusive));
    // It still gets its share.
    process(&host, &second(5, 1));
    assert_eq!(pinned(&desk, &store, 5), Some(2));
}

#[test]
fn a_host_that_has_not_read_a_veto_reads_it_before_it_writes_an_item_of_the_current_rulebook() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepared(3, 1));
    try_beside(&desk, &desk.prepare(&trapping(2)), canary("100%"));
    let (ahead, behind) = (host_of(&desk, &store), host_of(&desk, &store));
    process(&behind, &second(1, 1));
    let mut number = 100;
    while !follow(&ahead).iter().any(|event| matches!(event, RulesEvent::Vetoed { .. })) {
        process(&ahead, &second(number, 1));
        number += 1;
    }
    process(&ahead, &second(1, 2));
    assert_eq!(race(&store, 1).0, 1);
    process(&behind, &second(1, 3));
    // By the canary it would have trapped on the victim.
    assert_eq!(race(&store, 1), (1, 3 * RACERS - 1));
}

#[test]
fn a_shadow_harms_nothing_and_what_it_makes_of_the_records_is_reported() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepared(3, 1));
    try_beside(&desk, &desk.prepare(&trapping(2)), TrialMode::Shadow);
    let host = host_of(&desk, &store);
    // A machine that stalls in the first race uses the shadow's time up, and it is skipped until there is more.
    let mut races = 0;
    while races < 50 || (races < 2_000 && report(&desk, &store).tally.candidate.rows.evaluated == 0) {
        process(&host, &second(races, 1));
        assert_eq!(follow(&host).len(), 0);
        races += 1;
    }
    assert!((0..races).all(|number| race(&store, number) == (1, RACERS)));
    assert_eq!(block_on(store.store.list_dead_letters()).unwrap(), []);
    assert!((0..races).all(|number| pinned(&desk, &store, number) == Some(1)));
    let TrialReport { tally, hosts, veto } = report(&desk, &store);
    assert_eq!((hosts, veto), (1, None));
    let (shadow, candidate) = (tally.shadow, tally.candidate);
    assert_eq!(shadow.equal + shadow.other_score + shadow.only_shadow_rejects + shadow.skipped, races * RACERS);
    assert_eq!(candidate.rows.evaluated + shadow.skipped, races * RACERS);
    assert!(candidate.rows.evaluated > 0 && candidate.fuel > 0, "{tally:?}");
    // It fails on one record of each race that it sees, and its scores are the product, not the output.
    assert_eq!(candidate.rows.failed * RACERS, candidate.rows.evaluated);
    assert_eq!(shadow.only_shadow_rejects, candidate.rows.failed);
    assert_eq!(tally.current.rows.evaluated, races * RACERS);
}

#[test]
fn a_shadow_that_never_returns_takes_a_bounded_share_of_the_time() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepared(3, 1));
    let spinning = trapping(2).replace("trap-on-row", "spin");
    try_beside(&desk, &desk.prepare(&spinning), TrialMode::Shadow);
    let host = host_of(&desk, &store);
    let started = Instant::now();
    for number in 0..50 {
        process(&host, &second(number, 1));
    }
    // A single row's fuel takes it about a millisecond, and it would spin on each of 5,000.
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    follow(&host);
    let tally = report(&desk, &store).tally;
    assert!(tally.shadow.skipped >= 4_000 && tally.candidate.faults > 0, "{tally:?}");
    assert!((0..50).all(|number| race(&store, number) == (1, RACERS)));
}

#[test]
fn a_promoted_canary_is_the_current_rulebook_and_a_roll_back_ends_a_trial() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let (one, two, three) = (desk.prepared(3, 1), desk.prepared(3, 2), desk.prepared(3, 3));
    desk.activate(3, &one);
    try_beside(&desk, &two, canary("100%"));
    let host = host_of(&desk, &store);
    process(&host, &second(1, 1));
    let refused = |request: Request<'_>| desk.change(&[request]).unwrap_err().to_string();
    let activate = Request::Activate { race_type: "3".to_owned(), rulebook: one.digest, now: false };
    assert_eq!(desk.change(&[activate]).unwrap().changes.len(), 0);
    desk.change(&[Request::Publish(&three)]).unwrap();
    let activate = Request::Activate { race_type: "3".to_owned(), rulebook: three.digest, now: false };
    assert!(refused(activate).contains("has class-3@2 on trial since revision 2: `promote` it or `rollback` first"));
    assert!(refused(Request::Retire { race_type: "3".to_owned() }).contains("on trial"));

    desk.change(&[Request::Promote { race_type: "3".to_owned() }]).unwrap();
    follow(&host);
    process(&host, &second(2, 1));
    assert_eq!((race(&store, 1).0, race(&store, 2).0), (2, 2));
    let routing = desk.tail().0.rules.routing["3"].clone();
    assert_eq!((routing.current, routing.fallback, routing.candidate), (Some(two.digest), Some(one.digest), None));

    try_beside(&desk, &three, canary("100%"));
    follow(&host);
    process(&host, &second(3, 1));
    assert_eq!(race(&store, 3).0, 3);
    desk.change(&[Request::Rollback { race_type: "3".to_owned() }]).unwrap();
    follow(&host);
    process(&host, &second(3, 2));
    process(&host, &second(4, 1));
    assert_eq!((race(&store, 3), race(&store, 4).0), ((2, 2 * RACERS), 2));
    assert!(refused(Request::Promote { race_type: "3".to_owned() }).contains("has no rulebook on trial"));
}

#[test]
fn a_rulebook_without_a_pin_or_with_other_groups_is_no_canary() {
    require!(Plugins);
    let desk = Desk::new();
    desk.activate(3, &desk.prepared(3, 1));
    let unpinned = desk.prepare(&text(3, 2).replace("pin = \"/raceId\"\n", ""));
    let regrouped = desk.prepare(&text(3, 3).replace("racer-{/racerId}", "rider-{/racerId}"));
    for (prepared, why) in [(&unpinned, "pins no races"), (&regrouped, "has other groups")] {
        let (race_type, rulebook, limits) = ("3".to_owned(), prepared.digest, TrialLimits::default());
        let request = Request::Try { race_type, rulebook, mode: canary("5%"), limits };
        let error = desk.change(&[Request::Publish(prepared), request]).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let two = desk.prepared(3, 4);
    let (race_type, rulebook, limits) = ("3".to_owned(), two.digest, TrialLimits::default());
    let request = Request::Try { race_type, rulebook, mode: canary("0%"), limits };
    let error = desk.change(&[Request::Publish(&two), request]).unwrap_err().to_string();
    assert!(error.contains("a share of 0% would show nothing"), "{error}");
    // As a shadow both can be tried: it writes nothing.
    try_beside(&desk, &regrouped, TrialMode::Shadow);
}

#[test]
fn records_on_which_a_plugin_fails_wait_if_the_rulebook_wants_that() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let (one, two) = (desk.prepared(3, 1), desk.prepare(&trapping(2).replace("pin =", "on-failure = \"hold\"\npin =")));
    desk.activate(3, &one);
    desk.activate(3, &two);
    let host = host_of(&desk, &store);
    let mut batch = second(1, 1);
    // The victim is the first; let it come in the middle.
    batch.records.rotate_left(60);
    (0_u64..).zip(&mut batch.records).for_each(|(at, record)| record.position.sequence = (1_000 + at).into());
    let outcome = block_on(host.process(&batch, None, &mut Summary::default())).unwrap();
    let (first, why) = outcome.first_uncommitted.unwrap();
    assert_eq!(first, 40);
    assert!(matches!(why, PipelineError::Failing { .. }) && why.is_transient() && why.waits_for_rules(), "{why}");
    assert_eq!(race(&store, 1), (2, 40));
    assert_eq!(block_on(store.store.list_dead_letters()).unwrap(), []);
    // The roll-back lets them go on.
    desk.change(&[Request::Rollback { race_type: "3".to_owned() }]).unwrap();
    follow(&host);
    process(&host, &batch);
    assert_eq!(by_version(&store, 1), [(1, 60), (2, 40)].into());
    assert_eq!(block_on(store.store.list_dead_letters()).unwrap(), []);
}

#[test]
fn records_on_which_an_aggregator_fails_wait_as_well_in_a_batch_and_in_a_window() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    let evil = "plugin = \"evil-aggregator\"";
    let trapping = text(3, 1).replace(evil, &format!("{evil}\nsettings = {{ deed = \"trap-on-row\" }}"));
    desk.activate(3, &desk.prepare(&trapping.replace("pin =", "on-failure = \"hold\"\npin =")));
    let host = host_of(&desk, &store);
    let mut batch = second(1, 1);
    batch.records.rotate_left(60);
    (0_u64..).zip(&mut batch.records).for_each(|(at, record)| record.position.sequence = (1_000 + at).into());
    let outcome = block_on(host.process(&batch, None, &mut Summary::default())).unwrap();
    let (first, why) = outcome.first_uncommitted.unwrap();
    assert!(first == 40 && matches!(why, PipelineError::Failing { .. }), "{first}: {why}");
    assert_eq!(race(&store, 1), (1, 40));
    let mut window = Window::new("shard".into());
    let why = block_on(host.accumulate(&batch, &mut window, None, &mut Summary::default())).unwrap_err();
    assert!(matches!(why, PipelineError::Failing { .. }), "{why}");
    assert_eq!(block_on(store.store.list_dead_letters()).unwrap(), []);
}

#[test]
fn records_that_wait_for_too_long_become_dead_letters() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepare(&trapping(1).replace("pin =", "on-failure = \"hold\"\npin =")));
    let host = host_of(&desk, &store).with_hold(Duration::ZERO);
    process(&host, &second(1, 1));
    assert_eq!(race(&store, 1), (1, RACERS - 1));
    assert_eq!(block_on(store.store.list_dead_letters()).unwrap()[0].reason.cause, Cause::PluginFailed);
}

#[test]
fn calls_faults_and_records_are_counted_by_rulebook_role_and_plugin() {
    require!(Plugins);
    let (desk, store) = (Desk::new(), FlakyStore::default());
    desk.activate(3, &desk.prepare(&trapping(1)));
    let host = host_of(&desk, &store);
    let summary = process(&host, &second(1, 1));
    let calls: Vec<(String, u64, u64)> = summary
        .calls
        .iter()
        .map(|(plugin, usage)| (plugin.role.to_string(), usage.calls, usage.faults.values().sum()))
        .collect();
    // The scorer is called for 100 rows, and for halves of them until the victim is alone.
    assert_eq!(calls, [("validator".to_owned(), 1, 0), ("scorer".to_owned(), 13, 7), ("aggregator".to_owned(), 2, 0)]);
    let (scorer, usage) = summary.calls.iter().find(|(_, usage)| usage.calls == 13).unwrap();
    assert_eq!(usage.faults.iter().collect::<Vec<_>>(), [(&"trap", &7)]);
    assert_eq!(scorer.rulebook.to_string(), "class-3@1");
    assert!(usage.fuel > 0 && usage.time > Duration::ZERO);
    let rows: Vec<_> = summary.rows.iter().map(|(by, rows)| (&*by.race_type, by.rulebook.version, *rows)).collect();
    assert_eq!(rows.len(), 1);
    let (race_type, version, rows) = rows[0];
    assert_eq!((race_type, version, rows.evaluated, rows.failed, rows.rejected), ("3", 1, 100, 1, 0));
}
