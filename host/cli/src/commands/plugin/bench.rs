//! `paceline plugin bench`: how long a plugin's calls take, against another plugin of its kind.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use paceline_engine::{Engine, Role};
use paceline_kit::bench::{self, Contender, Measured};
use paceline_kit::events::Input;
use paceline_kit::results::results;
use paceline_kit::shipped;
use paceline_kit::subject::Subject;
use paceline_pipeline::ErrorChain;
use serde_json::{Value, json};

use super::failed_row::sound_rows;
use super::sample::SampleArguments;
use super::subject::SubjectArguments;
use crate::report;
use crate::setup::cache;

/// Arguments of `paceline plugin bench`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    subject: SubjectArguments,
    #[command(flatten)]
    sample: SampleArguments,
    /// Another component of the same kind, to compare with: it is called with the same events, without settings
    /// [default: this version's own plugin of the kind, which cargo builds once]
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Measures, and prints the medians.
pub(super) fn bench(arguments: &Arguments) -> anyhow::Result<()> {
    let wanted = arguments.subject.read()?;
    let (file, events) = arguments.sample.events(&wanted)?;
    let grouping = arguments.sample.grouping(&wanted)?;
    let input = |subject: &Subject| -> anyhow::Result<Input> {
        let input = events.input(subject.fields(), &grouping)?;
        match input.rows() {
            0 => bail!("{} has no event that the plugin can read", file.display()),
            _ => Ok(input),
        }
    };
    let compile = compile_time(&wanted.wasm, &wanted.limits)?;
    let limits = wanted.subject()?.plugin().limits().clone();
    let subject = wanted.raised_subject(&limits)?;
    let own = sound(&subject, input(&subject)?)?;
    let load = |path: &Path| -> anyhow::Result<(Subject, Input)> {
        let other = wanted.contender(path, subject.role(), &limits)?;
        let rows = input(&other).with_context(|| path.display().to_string())?;
        Ok((other, rows))
    };
    let other = match &arguments.against {
        Some(path) => Some(load(path)?),
        // Whoever did not ask for it gets a comparison only where there is one.
        None => match own_plugin(subject.role()).and_then(|path| load(&path)) {
            Ok(other) => Some(other),
            Err(error) => {
                tracing::warn!("there is no comparison: {}", ErrorChain(error.as_ref()));
                None
            }
        },
    };
    let against = match (&arguments.against, &other) {
        (Some(path), _) => Some(path.display().to_string()),
        (None, Some(_)) => Some(shipped::name(subject.role().into()).to_owned()),
        (None, None) => None,
    };
    let measured = bench::bench(
        Contender { subject: &subject, input: &own },
        other.as_ref().map(|(subject, input)| Contender { subject, input }),
    )?;
    if arguments.json {
        return report::print_json(&json!({
            "bytes": wanted.wasm.len(),
            "compileSeconds": compile.as_secs_f64(),
            "against": against,
            "calls": measured.iter().map(measured_json).collect::<Vec<_>>(),
        }));
    }
    let mut lines = vec![format!(
        "{} bytes, compiled in {:.0} ms where no cache has it",
        report::thousands(wanted.wasm.len() as u64),
        compile.as_secs_f64() * 1e3
    )];
    lines.extend(against.map(|against| format!("the other is {against}")));
    lines.push(String::new());
    lines.extend(report::aligned(&rows(&measured)));
    report::print_lines(&lines)
}

/// The events on which the plugin does not fail: calls that fail are bisected, which would be most of what is measured.
fn sound(subject: &Subject, input: Input) -> anyhow::Result<Input> {
    let results = results(subject, &input)?;
    let rows = sound_rows(&input, &results);
    let failed = input.rows() - rows.len();
    match (failed, rows.is_empty()) {
        (0, _) => Ok(input),
        (_, true) => bail!("the plugin fails on every event: `paceline plugin test` shows why"),
        (_, false) => {
            let events = report::counted(failed, "event");
            tracing::warn!("the plugin fails on {events}, which the measurement leaves out");
            Ok(input.take(&rows))
        }
    }
}

/// The component of this version's own plugin in a role.
fn own_plugin(role: Role) -> anyhow::Result<PathBuf> {
    let folder = cache().context("there is no cache to build a plugin in")?.join("plugins");
    Ok(shipped::component(role.into(), &folder)?)
}

/// How long compiling takes, without a cache.
fn compile_time(wasm: &[u8], limits: &paceline_engine::Limits) -> anyhow::Result<Duration> {
    let engine = Engine::new(limits.clone())?;
    let began = Instant::now();
    engine.load(wasm)?;
    Ok(began.elapsed())
}

fn measured_json(measured: &Measured) -> Value {
    json!({
        "rows": measured.rows,
        "seconds": measured.time.as_secs_f64(),
        "otherSeconds": measured.other.map(|time| time.as_secs_f64()),
        "control": measured.control,
        "turns": measured.turns,
    })
}

fn rows(measured: &[Measured]) -> Vec<Vec<String>> {
    let with_other = measured.iter().any(|measured| measured.other.is_some());
    let mut heading = vec!["rows", "us a call", "ns a row"];
    if with_other {
        heading.extend(["the other's", "ratio"]);
    }
    heading.push("control");
    let mut rows = vec![heading.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for measured in measured {
        let a_row = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e9 / measured.rows as f64);
        let mut row = vec![
            report::thousands(measured.rows as u64),
            format!("{:.1}", measured.time.as_secs_f64() * 1e6),
            a_row(measured.time),
        ];
        if let Some(other) = measured.other {
            row.extend([a_row(other), format!("{:.2}", measured.time.as_secs_f64() / other.as_secs_f64())]);
        }
        row.push(format!("{:.2}", measured.control));
        rows.push(row);
    }
    rows
}
