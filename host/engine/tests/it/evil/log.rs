//! Plugins that log too much.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use paceline_engine::{Column, Engine, Fault, Limits, LoadError, Scored, Scorer, Settings, limits};
use tracing_subscriber::fmt::MakeWriter;

use super::{ENGINE, Efforts, UNFUELLED, all_rows, assert_contains, assert_unharmed, deed, engine, plugin};
use crate::plugins::require_plugins;
use crate::text::{self, Parts};

/// A log in memory.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<String> {
        String::from_utf8(std::mem::take(&mut self.lock())).unwrap().lines().map(str::to_owned).collect()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// Scores. Returns the lines that the host logged, too.
fn score(engine: &Engine, what: &str, efforts: &Efforts) -> (Scored, Vec<String>) {
    logged(&plugin(engine, "evil-scorer").scorer(&deed(what)).unwrap(), efforts)
}

/// Scores in a session of its own. Returns the lines that the host logged, too.
fn logged(scorer: &Scorer, efforts: &Efforts) -> (Scored, Vec<String>) {
    logged_of(scorer, efforts.rows(), &efforts.columns())
}

fn logged_of(scorer: &Scorer, rows: usize, columns: &[Column<'_>]) -> (Scored, Vec<String>) {
    /// Only one at a time, because tracing caches for all threads which subscribers want a line.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);

    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_writer(lines.clone()).with_ansi(false).without_time().finish();
    let scored = tracing::subscriber::with_default(subscriber, || scorer.session().score(rows, columns).unwrap());
    (scored, lines.take())
}

#[test]
fn log_lines_limit_violated_drops_and_counts_the_rest_until_the_fuel_is_used_up() {
    require_plugins!();
    let (scored, lines) = score(&ENGINE, "log", &Efforts::new(1));
    let fuel = limits::FUEL_PER_CALL + limits::FUEL_PER_ROW;
    assert_eq!(scored.failed, all_rows(1, &Fault::Fuel(fuel)));
    let (last, kept) = lines.split_last().unwrap();
    assert_eq!(kept.len(), limits::LOG_LINES as usize, "{lines:#?}");
    assert!(kept.iter().all(|line| line.contains("INFO plugin: and another thing digest=")), "{lines:#?}");
    assert_contains(last, &["WARN plugin:", "more lines dropped (limit `log-lines`)", "sha256:"]);
    // Each line costs fuel, dropped or not, so there are no more lines than the fuel pays for.
    let line = limits::LOG_FUEL + "and another thing".len() as u64;
    let dropped = fuel / line - u64::from(limits::LOG_LINES);
    assert_contains(last, &[&format!(" {dropped} more lines")]);
    assert_unharmed(&ENGINE);
}

#[test]
fn log_lines_limit_holds_for_all_calls_of_a_batch_together() {
    require_plugins!();
    // Each of five calls or more logs until its fuel is used up.
    let (scored, lines) = score(&ENGINE, "log", &Efforts::new(3));
    assert_eq!(scored.failed.len(), 3);
    assert_eq!(lines.len(), limits::LOG_LINES as usize + 1, "{lines:#?}");
    assert_contains(lines.last().unwrap(), &["more lines dropped (limit `log-lines`)"]);
}

#[test]
fn log_lines_limit_is_a_setting() {
    require_plugins!();
    let engine = engine(Limits { log_lines: 2, ..Limits::default() });
    // `chatter` logs three lines in each call and does nothing wrong.
    let (scored, lines) = score(&engine, "chatter", &Efforts::new(3));
    assert_eq!((scored.scores, scored.failed), (Efforts::new(3).scores(), vec![]));
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert_contains(&lines[0], &["INFO plugin: first things first"]);
    assert_contains(&lines[1], &["WARN plugin: xé"]);
    assert_contains(&lines[2], &["WARN plugin: 1 more lines dropped (limit `log-lines`)"]);
}

#[test]
fn log_line_bytes_limit_violated_cuts_the_line_between_two_characters() {
    require_plugins!();
    let (scored, lines) = score(&ENGINE, "chatter", &Efforts::new(3));
    assert_eq!((scored.scores, scored.failed), (Efforts::new(3).scores(), vec![]));
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert_contains(&lines[0], &["INFO plugin: first things first"]);
    assert_contains(&lines[2], &["ERROR plugin: last but not least"]);
    // One byte and 511 characters of two: the 512th would be beyond 1024 bytes.
    assert_contains(&lines[1], &[&format!("WARN plugin: x{} ", "é".repeat(511))]);
    assert_eq!(lines[1].matches('é').count(), 511);
}

#[test]
fn a_line_that_is_too_long_to_be_passed_fails_the_call() {
    require_plugins!();
    let (scored, lines) = score(&UNFUELLED, "huge-log", &Efforts::new(2));
    assert_eq!(scored.failed, all_rows(2, &Fault::TooManyBytes(limits::RETURNED_BYTES)));
    assert_eq!(lines, [""; 0]);
    assert_unharmed(&UNFUELLED);
}

#[test]
fn usage_counts_log_lines_and_those_that_were_cut() {
    require_plugins!();
    let scorer = plugin(&ENGINE, "evil-scorer").scorer(&deed("chatter")).unwrap();
    let (efforts, mut session) = (Efforts::new(2), scorer.session());
    for calls in 1..=2 {
        session.score(efforts.rows(), &efforts.columns()).unwrap();
        let usage = session.usage();
        assert_eq!((usage.calls, usage.log_lines, usage.cut_lines), (calls, 3 * calls, calls));
        // A page of a memory, at least.
        assert!(usage.memory_bytes >= 64 << 10 && usage.memory_bytes < limits::MEMORY_BYTES, "{}", usage.memory_bytes);
    }
}

#[test]
fn the_first_row_on_which_a_plugin_traps_is_logged_with_its_fields() {
    require_plugins!();
    let mut efforts = Efforts::with_victim(100, 7);
    efforts.cadence[50] = 66.0;
    let (scored, lines) = score(&ENGINE, "trap-on-row", &efforts);
    assert_eq!(scored.failed.len(), 2);
    let about: Vec<_> = lines.iter().filter(|line| line.contains("the record has")).collect();
    let [line] = about.as_slice() else { panic!("{lines:#?}") };
    assert_contains(line, &["WARN plugin: the plugin trapped: ", "; the record has /cadence 66, /resistance 31.75; "]);
}

#[test]
fn a_plugin_that_gets_done_by_halves_is_reported_once_with_what_that_costs() {
    require_plugins!();
    // A call for all rows needs more than that, one for a half does not.
    let efforts = Efforts::new(10_000);
    let sound = plugin(&ENGINE, "evil-scorer").scorer(&deed("trap-on-row")).unwrap();
    let mut session = sound.session();
    session.score(efforts.rows(), &efforts.columns()).unwrap();
    let needs = session.usage().fuel;
    let engine = engine(Limits { fuel_per_call: needs * 3 / 4, fuel_per_row: 1, ..Limits::default() });
    let scorer = plugin(&engine, "evil-scorer").scorer(&deed("trap-on-row")).unwrap();
    let (scored, mut lines) = logged(&scorer, &efforts);
    assert_eq!((scored.scores, scored.failed), (efforts.scores(), vec![]));
    lines.extend(logged(&scorer, &efforts).1);
    let [line] = &lines[..] else { panic!("{lines:?}") };
    let costs = "calls for fewer records succeed, but cost more: 3 calls instead of 1, 1.8 times the fuel; raise \
                 `fuel-per-row`";
    assert_contains(line, &["used up its fuel of", costs]);
}

/// A scorer as text.
fn written(parts: Parts<'_>) -> Scorer {
    ENGINE.load(&text::scorer(parts)).unwrap().scorer(&Settings::new()).unwrap()
}

#[test]
fn a_line_with_line_breaks_and_control_characters_is_one_line_of_the_host() {
    let line = r"x\0a2026-01-01T00:00:00Z ERROR paceline: forged\1b[31m\0d";
    let (scored, lines) = logged_of(&written(Parts { line, score: "(call $log)", ..Parts::default() }), 1, &[]);
    assert_eq!((scored.scores, scored.failed), (vec![0.0], vec![]));
    let [line] = &lines[..] else { panic!("{lines:#?}") };
    assert_contains(line, &["INFO plugin: x 2026-01-01T00:00:00Z ERROR paceline: forged [31m  digest=sha256:"]);
}

#[test]
fn log_lines_limit_is_for_the_lines_of_starting_instances_too() {
    let start = "(loop $again (call $log)
        (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 20))))";
    let scorer = written(Parts { line: "it starts", start, score: "unreachable", ..Parts::default() });
    let (scored, lines) = logged_of(&scorer, 200, &[]);
    assert_eq!(scored.failed.len(), 200);
    let started = lines.iter().filter(|line| line.contains("INFO plugin: it starts")).count();
    assert_eq!(started, limits::LOG_LINES as usize);
    let dropped = lines.iter().filter(|line| line.contains("more lines dropped (limit `log-lines`)")).count();
    assert_eq!((dropped, lines.len() - started), (1, 2), "{:#?}", &lines[started..]);
}

#[test]
fn usage_counts_what_an_instance_costs_to_start() {
    let usage_of = |start, score| {
        let scorer = written(Parts { line: "a line", start, score, ..Parts::default() });
        let mut session = scorer.session();
        for _ in 0..2 {
            assert_eq!(session.score(1, &[]).unwrap().failed, []);
        }
        session.usage().clone()
    };
    let (bare, in_start, in_score) = (usage_of("", ""), usage_of("(call $log)", ""), usage_of("", "(call $log)"));
    // The instance starts once and is called twice.
    assert_eq!((bare.log_lines, in_start.log_lines, in_score.log_lines), (0, 1, 2));
    assert_eq!(in_score.fuel - bare.fuel, 2 * (in_start.fuel - bare.fuel));
    assert!(in_start.fuel - bare.fuel > limits::LOG_FUEL, "{} {}", in_start.fuel, bare.fuel);
}

#[test]
fn an_instance_whose_start_fails_in_a_function_of_the_host_is_the_plugins_fault() {
    // The host has four levels.
    let start = "(call $write (i32.const 99) (i32.const 0) (i32.const 0))";
    let error = ENGINE.load(&text::scorer(Parts { start, ..Parts::default() })).unwrap();
    let error = error.scorer(&Settings::new()).unwrap_err();
    assert!(matches!(error, LoadError::DescribeFault(Fault::Trap(_))), "{error:?}");
}
