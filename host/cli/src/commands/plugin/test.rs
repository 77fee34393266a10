//! `paceline plugin test`: sample events through a plugin in the sandbox, compared with what is expected, and what it costs.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use paceline_engine::{Limits, Profile};
use paceline_kit::bill::{Cost, bill, fuel_setting};
use paceline_kit::events::{Events, Grouping};
use paceline_kit::expected::{Difference, Expected};
use paceline_kit::project::Project;
use paceline_kit::results::{Id, Row, results};
use paceline_kit::subject::Subject;
use serde_json::{Value, json};

use super::failed_row::{FailedRow, failed_rows, sound_rows};
use super::profile;
use super::sample::SampleArguments;
use super::subject::{SubjectArguments, Wanted};
use super::watch::watch;
use crate::report;

/// How many differences are shown.
const SHOWN: usize = 20;

/// How many events are shown that failed.
const FAILED_SHOWN: usize = 3;

/// The part of a bound from which on a plugin is too near to it.
const NEAR: f64 = 0.5;

/// Arguments of `paceline plugin test`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    subject: SubjectArguments,
    #[command(flatten)]
    sample: SampleArguments,
    /// The expected results [default: those of the project, or expected.ndjson beside the events]
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// Write the results to the file of expected results, instead of comparing them.
    #[arg(long)]
    update: bool,
    /// Run again whenever a file of the project changes, or the component, the events or the expected results.
    #[arg(long, conflicts_with = "update")]
    watch: bool,
    /// Show in which functions the calls spend their time.
    #[arg(long)]
    profile: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What a test has shown.
struct Tested {
    role: String,
    events: usize,
    unreadable: usize,
    results: Vec<Row>,
    differences: Vec<Difference>,
    bill: Vec<Cost>,
    failed: Vec<FailedRow>,
    profile: Option<Profile>,
}

/// Runs the events. Fails, with the differences printed, if a result is not as expected.
pub(super) fn test(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if !arguments.watch {
        return test_once(arguments);
    }
    let path = arguments.subject.path.clone();
    // Beside a component stand its events and expected results.
    let beside = ["events.ndjson", "expected.ndjson"].map(|name| path.with_file_name(name));
    let named = arguments.sample.file().into_iter().chain(arguments.expect.clone());
    let files: Vec<PathBuf> = match path.is_dir() {
        true => std::iter::once(path).chain(named).collect(),
        false => std::iter::once(path.clone()).chain(beside).chain(named).collect(),
    };
    watch(&files, || test_once(arguments))
}

fn test_once(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let wanted = arguments.subject.read()?;
    let (events_file, events) = arguments.sample.events(&wanted)?;
    let beside = || events_file.parent().unwrap_or(Path::new("")).join("expected.ndjson");
    // Those of the project belong to its own events.
    let project = wanted.project.as_ref().filter(|project| project.events() == events_file);
    let expect_file = arguments.expect.clone().unwrap_or_else(|| project.map_or_else(beside, Project::expected));
    let grouping = arguments.sample.grouping(&wanted)?;
    let (subject, tested) = run(&wanted, &events, &grouping)?;
    if arguments.update {
        std::fs::write(&expect_file, Expected::render(&tested.results))
            .with_context(|| expect_file.display().to_string())?;
        report::print_lines(&tested.updated(&expect_file))?;
        return Ok(ExitCode::SUCCESS);
    }
    let expected = std::fs::read_to_string(&expect_file).with_context(|| {
        format!("{}: `paceline plugin test --update` writes the results there", expect_file.display())
    })?;
    let expected = Expected::parse(&expected).with_context(|| expect_file.display().to_string())?;
    let profile =
        arguments.profile.then(|| profile::take(&wanted, &events, &grouping, subject.plugin().limits())).transpose()?;
    let tested = Tested { differences: expected.compare(&tested.results), profile, ..tested };
    match arguments.json {
        true => report::print_json(&tested.to_json())?,
        false => report::print_lines(&tested.to_text(&subject, &expect_file))?,
    }
    Ok(if tested.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The results under the bounds of a host, and the bill.
fn run(wanted: &Wanted, events: &Events, grouping: &Grouping) -> anyhow::Result<(Subject, Tested)> {
    let subject = wanted.subject()?;
    // Those that its language and the arguments give it, too.
    let limits: &Limits = subject.plugin().limits();
    let input = events.input(subject.fields(), grouping)?;
    if let (0, Some((line, reason))) = (input.rows(), input.unreadable.first()) {
        bail!("the plugin can read none of the events; line {line}: {}", reason.text);
    }
    let results = results(&subject, &input)?;
    // Calls that fail are bisected, which would be most of what is measured.
    let sound = input.take(&sound_rows(&input, &results));
    let bill = bill(&wanted.raised_subject(limits)?, &sound, limits)?;
    let tested = Tested {
        role: subject.role().to_string(),
        events: events.len(),
        unreadable: input.unreadable.len(),
        differences: Vec::new(),
        failed: failed_rows(&subject, &input, &results),
        results,
        bill,
        profile: None,
    };
    Ok((subject, tested))
}

impl Tested {
    fn to_json(&self) -> Value {
        json!({
            "role": self.role,
            "events": self.events,
            "unreadable": self.unreadable,
            "results": self.results.iter().map(Row::to_json).collect::<Vec<_>>(),
            "differences": self.differences.iter().map(difference_json).collect::<Vec<_>>(),
            "bill": self.bill.iter().map(cost_json).collect::<Vec<_>>(),
            "failed": self.failed.iter().map(FailedRow::to_json).collect::<Vec<_>>(),
            "profile": self.profile.as_ref().map(profile::to_json),
        })
    }

    /// What `--update` prints: how many results the file has now, how many of them are failures, and the first of these.
    fn updated(&self, file: &Path) -> Vec<String> {
        let mut line = format!("{}  {}", file.display(), report::counted(self.results.len(), "result"));
        let failures = [(self.failed.len(), "failed"), (self.unreadable, "unreadable")];
        let failures = failures.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
        let failures: Vec<String> = failures.collect();
        if !failures.is_empty() {
            line.push_str(&format!(", of them {}", failures.join(", ")));
        }
        let shown = self.failed.iter().take(FAILED_SHOWN).flat_map(FailedRow::lines);
        std::iter::once(line).chain(shown).collect()
    }

    fn to_text(&self, subject: &Subject, expect: &Path) -> Vec<String> {
        let unreadable = match self.unreadable {
            0 => String::new(),
            count => format!(", {count} of them unreadable for the plugin"),
        };
        let mut lines = vec![format!("{}{unreadable}", report::counted(self.events, "event"))];
        match self.differences.len() {
            0 => {
                lines.push(format!("{}, all as in {}", report::counted(self.results.len(), "result"), expect.display()))
            }
            count => {
                lines.push(format!("{} from {}:", report::counted(count, "difference"), expect.display()));
                lines.push(String::new());
                let mut rows = vec![["", "value", "expected", "found"].map(str::to_owned).to_vec()];
                self.differences.iter().take(SHOWN).for_each(|difference| rows.extend(difference_rows(difference)));
                lines.extend(report::aligned(&rows).into_iter().map(|line| format!("  {line}")));
                if count > SHOWN {
                    lines.push(format!("  and {} more", count - SHOWN));
                }
            }
        }
        lines.extend(self.failed.iter().take(FAILED_SHOWN).flat_map(FailedRow::lines));
        if self.failed.len() > FAILED_SHOWN {
            lines.push(format!("and {} more failed", self.failed.len() - FAILED_SHOWN));
        }
        lines.push(String::new());
        lines.extend(bill_lines(&self.bill));
        lines.extend(warnings(&self.bill, subject));
        lines.extend(self.profile.iter().flat_map(profile::lines));
        lines
    }
}

fn difference_json(difference: &Difference) -> Value {
    match difference {
        Difference::Missing(row) => json!({ "missing": row.to_json() }),
        Difference::Unexpected(row) => json!({ "unexpected": row.to_json() }),
        Difference::Other { id, column, expected, found } => {
            let (line, group) = match id {
                Id::Line(line) => (Some(line), None),
                Id::Group(name) => (None, Some(name)),
            };
            json!({ "line": line, "group": group, "value": column, "expected": expected, "found": found })
        }
    }
}

fn difference_rows(difference: &Difference) -> Vec<Vec<String>> {
    let row = |id: &Id, column: &str, expected: Option<&Value>, found: Option<&Value>| {
        let shown = |value: Option<&Value>| value.map_or("-".to_owned(), Value::to_string);
        vec![id.to_string(), column.to_owned(), shown(expected), shown(found)]
    };
    match difference {
        Difference::Missing(missing) => {
            missing.cells.iter().map(|(column, value)| row(&missing.id, column, Some(value), None)).collect()
        }
        Difference::Unexpected(found) => {
            found.cells.iter().map(|(column, value)| row(&found.id, column, None, Some(value))).collect()
        }
        Difference::Other { id, column, expected, found } => {
            vec![row(id, column, expected.as_ref(), found.as_ref())]
        }
    }
}

fn cost_json(cost: &Cost) -> Value {
    json!({
        "rows": cost.rows,
        "stateBytes": cost.state_bytes,
        "fuel": cost.fuel.used,
        "fuelBound": cost.fuel.of,
        "seconds": cost.time.used.as_secs_f64(),
        "secondsBound": cost.time.of.as_secs_f64(),
        "memoryBytes": cost.memory_bytes.used,
        "memoryBytesBound": cost.memory_bytes.of,
        "fault": cost.fault.as_ref().map(ToString::to_string),
    })
}

/// The bill as a table: what a call costs, and the part of each bound that it uses.
fn bill_lines(bill: &[Cost]) -> Vec<String> {
    let mut rows = vec![
        ["rows", "fuel a row", "of bound", "ns a row", "of bound", "memory", "of bound", "states"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for cost in bill {
        let a_row = |total: f64| report::thousands((total / cost.rows as f64).round() as u64);
        let states = match cost.state_bytes {
            0 => String::new(),
            bytes => kib(bytes),
        };
        rows.push(vec![
            report::thousands(cost.rows as u64),
            a_row(cost.fuel.used as f64),
            percent(cost.fuel.part()),
            a_row(cost.time.used.as_nanos() as f64),
            percent(cost.time.part()),
            kib(cost.memory_bytes.used),
            percent(cost.memory_bytes.part()),
            states,
        ]);
    }
    report::aligned(&rows)
}

fn kib(bytes: usize) -> String {
    format!("{} KiB", report::thousands(bytes.div_ceil(1 << 10) as u64))
}

fn percent(part: f64) -> String {
    match part {
        part if part >= 1.0 => format!("{part:.1} x over"),
        part => format!("{:.1} %", part * 100.0),
    }
}

/// Bounds that calls exceed, or are near to.
fn warnings(bill: &[Cost], subject: &Subject) -> Vec<String> {
    let mut lines = Vec::new();
    for cost in bill {
        let rows = report::thousands(cost.rows as u64);
        let noun = if cost.rows == 1 { "row" } else { "rows" };
        let mut warn = |what: &str, part: f64, setting: &str| {
            if part >= 1.0 {
                lines.push(format!("at {rows} {noun} a call needs {part:.1} times its {what}:"));
                lines.push("  the host calls with fewer rows instead, which costs more;".to_owned());
                lines.push(format!("  raise {setting} in the rulebook's limits;"));
                lines.push(format!("  `--limit {setting}=VALUE` tries a value here"));
            } else if part >= NEAR {
                lines.push(format!("at {rows} {noun} a call uses {:.0} % of its {what}", part * 100.0));
            }
        };
        warn("fuel", cost.fuel.part(), fuel_setting(subject.role()));
        warn("time", cost.time.part(), "call-ms");
        warn("memory", cost.memory_bytes.part(), "memory-bytes");
        if let Some(fault) = &cost.fault {
            lines.push(format!("at {rows} {noun}: {fault}"));
        }
    }
    match lines.is_empty() {
        true => lines,
        false => std::iter::once(String::new()).chain(lines).collect(),
    }
}
