//! `paceline plugin verify`: whether a plugin keeps the laws of its role.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use paceline_engine::Role;
use paceline_kit::verify::{self, Older, Options, Specimen};

use super::sample::SampleArguments;
use super::subject::SubjectArguments;
use crate::report;

/// Arguments of `paceline plugin verify`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    subject: SubjectArguments,
    #[command(flatten)]
    sample: SampleArguments,
    /// An older plugin, whose states this one migrates.
    #[arg(long, value_name = "FILE")]
    migrates_from: Option<PathBuf>,
    /// Cases for each law.
    #[arg(long, value_name = "N", default_value_t = Options::default().cases as u64,
          value_parser = clap::value_parser!(u64).range(1..))]
    cases: u64,
    /// What the cases are drawn from: the same seed draws the same cases.
    #[arg(long, value_name = "N", default_value_t = Options::default().seed)]
    seed: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Verifies a plugin. Fails, with the report printed, if it violates a law.
pub(super) fn verify(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut wanted = arguments.subject.read()?;
    // A law takes thousands of calls.
    wanted.limits.log_lines = 0;
    let subject = wanted.subject()?;
    if arguments.migrates_from.is_some() && subject.role() != Role::Aggregator {
        bail!(
            "{} is a {}, and only aggregators have states: leave out --migrates-from",
            wanted.file.display(),
            subject.role()
        );
    }
    let unoptimised = wanted.unoptimised_subject()?;
    let (file, events) = arguments.sample.events(&wanted)?;
    let named = || file.display().to_string();
    let grouping = arguments.sample.grouping(&wanted)?;
    let input = events.input(subject.fields(), &grouping)?;
    let older = arguments.migrates_from.as_ref().map(|file| wanted.another(file)).transpose()?;
    let older_input = older.as_ref().map(|older| events.input(older.fields(), &grouping)).transpose()?;
    let older = older.as_ref().zip(older_input.as_ref()).map(|(subject, input)| Older { subject, input });
    let specimen = Specimen { subject: &subject, unoptimised: &unoptimised, input: &input, older };
    let options = Options { cases: usize::try_from(arguments.cases)?, seed: arguments.seed };
    let verified = verify::verify(&specimen, options).with_context(|| match input.unreadable.first() {
        Some((line, reason)) if input.rows() == 0 => format!("{}: line {line}: {}", named(), reason.text),
        _ => wanted.file.display().to_string(),
    })?;
    match arguments.json {
        true => report::print_json(&verified.to_json())?,
        false => report::print_lines(&verified.to_lines())?,
    }
    Ok(if verified.violations() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
