//! Deployments as a source may observe them: a healthy one, one in trouble, one with many shards.

use std::f64::consts::PI;

use paceline_dashboard::Status;
use paceline_dashboard::status::{
    Candidate, CandidateMode, DeadLetterSummary, DeadLetters, Figures, Finding, Graph, History, Host, Lag, Part,
    Pinned, RaceKey, RaceType, Rules, Series, Severity, Shard, ShardState, Stream, Verdict,
};
use paceline_doctor::Timestamp;

/// When the deployments are observed: 2026-11-26 18:51:00 in milliseconds.
const NOW_MS: u64 = 1_795_719_060_000;
/// One value every 15 seconds, for 15 minutes.
const POINTS: usize = 60;
const STEP_SECONDS: u64 = 15;

/// A race on one shard in which nothing is wrong.
pub(crate) fn healthy() -> Status {
    let shards = vec![shard(0, Lag::KeepingUp, 0.42, 412.0)];
    Status {
        time: Timestamp(NOW_MS),
        deployment: "alleycat".to_owned(),
        origin: "paceline run".to_owned(),
        verdict: Verdict {
            severity: Severity::Sound,
            line: "Everything is committed within a second".to_owned(),
            findings: Vec::new(),
            sound: sound(),
        }
        .into(),
        stream: stream(shards).into(),
        history: history(0.4, 412.0, 1).into(),
        dead_letters: DeadLetters::default().into(),
        rules: rules().into(),
        races: races().into(),
    }
}

/// A race of 1,000 racers on one shard, before a table that is too small.
pub(crate) fn trouble() -> Status {
    let mut shards = vec![shard(0, Lag::Slow, 312.0, 1_000.0), shard(1, Lag::KeepingUp, 0.3, 40.0)];
    shards[0].loss_in_seconds = Some(29_520.0);
    let mut status = healthy();
    status.verdict = Verdict {
        severity: Severity::Critical,
        line: "The table alleycat-races throttles writes, so batches take longer than records arrive".to_owned(),
        findings: findings(),
        sound: sound().split_off(2),
    }
    .into();
    status.stream = stream(shards).into();
    let mut history = history(312.0, 1_000.0, 2);
    history.throttles = graph(vec![
        series("provisioned throughput of the table", None, |x| 14.0 + 9.0 * wave(x, 3.0)),
        series("provisioned throughput of GSI_Index", None, |x| 6.0 + 4.0 * wave(x, 5.0)),
    ]);
    history.dead_letters =
        graph(vec![series("not-json", None, |x| 3.0 + wave(x, 4.0)), series("rejected", None, |x| 8.0 * x)]);
    history.concurrency = Part::unknown("paceline run has no invocations");
    status.history = history.into();
    status.dead_letters = dead_letters().into();
    status
}

/// A stream with this many shards, of which a few are in trouble.
pub(crate) fn many(number: usize) -> Status {
    let mut status = trouble();
    let shards = (0..number).map(|at| {
        let (lag, age) = match at {
            17 => (Lag::Stuck, 4_210.0),
            18 => (Lag::Dead, 9_800.0),
            _ if at % 37 == 5 => (Lag::Slow, 60.0 + at as f64),
            _ if at % 41 == 7 => (Lag::CatchingUp, 31.0),
            _ => (Lag::KeepingUp, 0.2 + (at % 7) as f64 / 3.0),
        };
        let mut shard = shard(at, lag, age, 300.0 + (at * 7919 % 600) as f64);
        shard.loss_in_seconds = (lag > Lag::ReReading).then_some(86_400.0 - age);
        shard
    });
    let shards: Vec<Shard> = shards.collect();
    let ages = shards.iter().map(|shard| {
        let age = shard.age_seconds.unwrap_or_default();
        series(&shard.id, None, |x| age * (0.3 + 0.7 * x))
    });
    if let Part::Known(history) = &mut status.history {
        history.age = graph(ages.collect());
        let total = shards.iter().filter_map(|shard| shard.records_per_second).sum::<f64>();
        let records = |x| total * (0.97 + 0.03 * wave(x, 6.0));
        history.records_per_second = graph(vec![series("stream", Some(1_000.0 * number as f64), records)]);
        let bytes = series("stream", Some(1_048_576.0 * number as f64), |x| records(x) * 170.0);
        history.bytes_per_second = graph(vec![bytes]);
    }
    status.stream = stream(shards).into();
    status
}

fn stream(shards: Vec<Shard>) -> Stream {
    Stream {
        name: "alleycat".to_owned(),
        retention_hours: 24,
        records_limit: 1_000.0,
        bytes_limit: 1_048_576.0,
        shards,
    }
}

fn shard(at: usize, lag: Lag, age: f64, records: f64) -> Shard {
    Shard {
        id: format!("shardId-{at:012}"),
        state: Some(ShardState::Reading),
        lag: Some(lag),
        age_seconds: Some(age),
        loss_in_seconds: None,
        records_per_second: Some(records),
        bytes_per_second: Some(records * 170.0),
    }
}

fn history(age: f64, records: f64, shards: usize) -> History {
    let limit = shards as f64;
    let start = NOW_MS / 1_000 - POINTS as u64 * STEP_SECONDS;
    let stages = [
        ("receive", 0.004),
        ("project", 0.021),
        ("route", 0.002),
        ("columns", 0.006),
        ("validate", 0.012),
        ("score", 0.018),
        ("load", 0.09),
        ("fold", 0.031),
        ("commit", 0.21),
        ("acknowledge", 0.008),
    ];
    let stages =
        stages.map(|(name, seconds)| series(name, None, |x| seconds * (1.0 + 0.3 * wave(x, 3.0 + 40.0 * seconds))));
    History {
        times: (1..=POINTS as u64).map(|at| start + at * STEP_SECONDS).collect(),
        age: graph(vec![series("shardId-000000000000", None, |x| age * (0.2 + 0.8 * x) + 0.1 * wave(x, 9.0))]),
        records_per_second: graph(vec![series("stream", Some(1_000.0 * limit), |x| {
            records * (0.92 + 0.08 * wave(x, 6.0))
        })]),
        bytes_per_second: graph(vec![series("stream", Some(1_048_576.0 * limit), |x| {
            records * 170.0 * (0.92 + 0.08 * wave(x, 6.0))
        })]),
        batch_time: graph(stages.into()),
        duration: graph(vec![
            series("average", Some(15.0), |x| 0.4 + age.min(280.0) / 40.0 * x),
            series("highest", Some(15.0), |x| 0.9 + age.min(280.0) / 20.0 * x),
        ]),
        concurrency: graph(vec![series("alleycat", Some(10.0), |x| 1.0 + (3.0 * x).floor())]),
        write_units: graph(vec![
            series("alleycat-races", Some(20.0), |x| records / 62.0 + 3.0 * wave(x, 5.0)),
            series("GSI_Index", Some(10.0), |x| records / 110.0 + wave(x, 7.0)),
        ]),
        units_per_1000_records: graph(vec![series("alleycat-races", None, |x| 14.0 + wave(x, 8.0))]),
        throttles: graph(vec![series("provisioned throughput of the table", None, |_| 0.0)]),
        dead_letters: graph(vec![series("rejected", None, |_| 0.0)]),
    }
}

/// A series of what the function gives for 0 to 1.
fn series(name: &str, limit: Option<f64>, value: impl Fn(f64) -> f64) -> Series {
    let values = (0..POINTS).map(|at| Some(value(at as f64 / (POINTS - 1) as f64).max(0.0)));
    Series { name: name.to_owned(), limit, values: values.collect() }
}

fn graph(series: Vec<Series>) -> Part<Graph> {
    Graph { series }.into()
}

/// Between -1 and 1, with about this number of periods.
fn wave(x: f64, periods: f64) -> f64 {
    let sine = |factor: f64| (2.0 * PI * periods * factor * x + factor).sin();
    0.45 * sine(1.0) + 0.3 * sine(2.7) + 0.25 * sine(7.3)
}

fn sound() -> Vec<String> {
    [
        "write-throttles: no request was throttled in 15 minutes",
        "lag: every shard keeps up",
        "shard-full: 41% of the records that the stream accepts",
        "stream-bytes: 7% of the bytes that the stream accepts",
        "function-duration: at most 0.9 s of 15 s",
        "hosts: 3 of 3 hosts are on revision 17",
    ]
    .map(str::to_owned)
    .into()
}

fn findings() -> Vec<Finding> {
    let finding = |id: &str, severity, subject: &str, reason: &str| Finding {
        id: id.to_owned(),
        severity,
        subject: subject.to_owned(),
        reason: reason.to_owned(),
        remedies: Vec::new(),
        commands: Vec::new(),
    };
    vec![
        Finding {
            remedies: vec!["120 write units hold this load. They cost $0.08 an hour.".to_owned()],
            commands: vec![
                "aws dynamodb update-table --table-name alleycat-races \\\n    --provisioned-throughput ReadCapacityUnits=20,WriteCapacityUnits=120".to_owned(),
            ],
            ..finding(
                "write-throttles",
                Severity::Critical,
                "table alleycat-races",
                "It has 20 write units a second and needs 105: 1,000 racers, and 15 units for each results item. The burst credit was used up at 18:44.",
            )
        },
        Finding {
            remedies: vec!["It is a consequence of the table: nothing to do here.".to_owned()],
            ..finding(
                "iterator-age",
                Severity::Critical,
                "shard shardId-000000000000",
                "Its age grows by 0.3 s a second. At this pace the oldest record expires in 8 h 12 min.",
            )
        },
        Finding {
            remedies: vec!["Pack records: 290 of them fit into one, which makes 4 records a second.".to_owned()],
            commands: vec!["paceline simulate --stream alleycat --racers 1000 --seconds 300 --class 3 --race 5403307 --aggregate".to_owned()],
            ..finding(
                "shard-full",
                Severity::Warning,
                "stream alleycat",
                "1,000 records a second on 1 shard of 1,000: full by count, 17% by bytes.",
            )
        },
    ]
}

fn dead_letters() -> DeadLetters {
    let newest = [
        (
            "shardId-000000000000:49671246667567228643283430150187087032206582658",
            "rejected",
            "cadence is 240, and at most 200 is possible",
            52_000,
        ),
        (
            "shardId-000000000000:49671246667567228643283430150187087032206582211.7",
            "not-json",
            "broken JSON at byte 161: expected `}`",
            71_000,
        ),
        (
            "shardId-000000000001:49671246667567228643283430150187087032206581907",
            "rejected",
            "<b>cadence</b> is -3",
            98_000,
        ),
    ];
    let newest = newest.map(|(id, reason, message, before)| DeadLetterSummary {
        id: id.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        time: Some(Timestamp(NOW_MS - before)),
    });
    let by_reason = [("rejected", 1_204), ("not-json", 37), ("missing-field", 2)];
    DeadLetters {
        by_reason: by_reason.map(|(reason, number)| (reason.to_owned(), number)).into(),
        more: false,
        newest: newest.into(),
    }
}

fn rules() -> Rules {
    let figures = |records, rejected, fuel| Figures {
        records,
        rejected,
        fuel: Some(fuel),
        nanoseconds: Some(fuel / 3),
        ..Figures::default()
    };
    let flat = RaceType {
        current: Some("flat@2".to_owned()),
        candidate: Some(Candidate {
            rulebook: "flat@3".to_owned(),
            mode: CandidateMode::Canary,
            share: Some(5.0),
            verdict: Some("passed: both limits are kept in 2,412 records".to_owned()),
            veto: None,
            figures: Some(figures(2_412, 9, 4_120)),
            current_figures: Some(figures(48_307, 181, 3_990)),
        }),
        fallback: Some("flat@1".to_owned()),
        since: 17,
        pinned: [("flat@1", 2), ("flat@2", 118), ("flat@3", 6)]
            .map(|(rulebook, races)| Pinned { rulebook: rulebook.to_owned(), races })
            .into(),
        more: false,
    };
    let climb = RaceType { current: Some("climb@1".to_owned()), since: 4, ..RaceType::default() };
    let retired = RaceType { since: 9, ..RaceType::default() };
    let host = |name: &str, kind: &str, revision, refusals: &[&str]| Host {
        name: name.to_owned(),
        kind: kind.to_owned(),
        revision,
        since: Some(Timestamp(NOW_MS - 3_600_000)),
        refusals: refusals.iter().map(ToString::to_string).collect(),
    };
    Rules {
        registry: "s3://alleycat-rules/production".to_owned(),
        revision: 17,
        race_types: [("3", flat), ("5", climb), ("6", retired)].map(|(name, rules)| (name.to_owned(), rules)).into(),
        hosts: vec![
            host("ip-10-0-3-17/1201", "run", 17, &[]),
            host("ip-10-0-4-2/844", "run", 17, &[]),
            host("2026/11/26/[$LATEST]0f1e", "lambda", 16, &["flat@3: fuel of a call exceeds its limit"]),
        ],
    }
}

fn races() -> Vec<RaceKey> {
    let key = |class: &str, race: Option<&str>| RaceKey { class: class.to_owned(), race: race.map(str::to_owned) };
    vec![key("3", Some("5403307")), key("5", Some("5403307")), key("3", Some("5403306")), key("3", None)]
}
