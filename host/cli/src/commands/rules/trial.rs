//! Commands that try a rulebook beside the current one, and what trials have shown.

use std::process::ExitCode;

use anyhow::{Context, bail};
use paceline_config::AnyStore;
use paceline_pipeline::rules::operator::Request;
use paceline_pipeline::rules::{Arm, Rules, Share, Tail, Trial, TrialLimits, TrialMode, Verdict, verdict};
use paceline_pipeline::{TrialReport, read_trial};
use serde_json::{Value, json};

use super::change::make;
use super::name::{RulebookName, shown};
use super::ready::{WaitArguments, check_digest};
use super::{ChangeArguments, Session};
use crate::report;
use crate::setup::open_store_to_read;

/// When a canary has failed.
#[derive(clap::Args)]
pub(super) struct LimitArguments {
    /// The records that it takes to pass.
    #[arg(long, value_name = "N", default_value_t = TrialLimits::default().min_rows)]
    min_rows: u64,
    /// The share of records on which plugins may fail or give bad scores, beyond that of the current rulebook.
    #[arg(long, value_name = "SHARE", default_value_t = TrialLimits::default().max_failed)]
    max_failed: Share,
    /// The share of records that may be rejected, beyond that of the current rulebook.
    #[arg(long, value_name = "SHARE", default_value_t = TrialLimits::default().max_rejected)]
    max_rejected: Share,
}

impl LimitArguments {
    pub(super) fn limits(&self) -> TrialLimits {
        let Self { min_rows, max_failed, max_rejected } = *self;
        TrialLimits { min_rows, max_failed, max_rejected }
    }
}

/// Tries a rulebook beside the current one.
pub(super) fn begin(
    session: &Session,
    rulebook: &RulebookName,
    race_type: String,
    (mode, limits): (TrialMode, TrialLimits),
    change: &ChangeArguments,
) -> anyhow::Result<ExitCode> {
    let rulebook = rulebook.resolve(&super::change::rules(session)?)?;
    make(session, change, &[Request::Try { race_type, rulebook, mode, limits }])
}

/// Lets the rulebook that is tried become the current one, unless it has failed.
pub(super) fn promote(
    session: &Session,
    race_type: String,
    wait: &WaitArguments,
    change: &ChangeArguments,
) -> anyhow::Result<ExitCode> {
    let (tail, _) = session.runtime.block_on(Tail::open(&session.registry))?;
    let candidate = tail.rules.routing.get(&race_type).and_then(|routing| routing.candidate);
    if let (Some(trial), false) = (candidate, wait.force) {
        let report = open_store_to_read(&session.config, &session.runtime)
            .and_then(|store| session.runtime.block_on(read(&store, &tail, &race_type, &trial)));
        let report = report.context("what the trial has shown can't be read; --force promotes without it")?;
        if let Some(why) = failure(&report, &trial) {
            bail!("{} has failed: {why}. --force promotes it nevertheless", shown(&tail.rules, trial.rulebook));
        }
    }
    if let (Some(trial), false) = (candidate, change.dry_run) {
        check_digest(session, &tail, trial.rulebook, wait)?;
    }
    make(session, change, &[Request::Promote { race_type }])
}

/// Why a trial has failed, if it has.
fn failure(report: &TrialReport, trial: &Trial) -> Option<String> {
    match (&report.veto, verdict(&report.tally, &trial.limits)) {
        (Some(why), _) => Some(why.clone()),
        (None, Verdict::Failed(why)) => Some(why.to_string()),
        (None, _) => None,
    }
}

/// What the hosts have seen of a trial.
pub(super) async fn read(store: &AnyStore, tail: &Tail, race_type: &str, trial: &Trial) -> anyhow::Result<TrialReport> {
    let registry = tail.registry.as_deref().unwrap_or_default();
    Ok(read_trial(store, registry, race_type, trial).await?)
}

/// A trial as JSON.
pub(super) fn as_json(rules: &Rules, trial: &Trial, report: Option<&TrialReport>) -> Value {
    json!({
        "rulebook": shown(rules, trial.rulebook),
        "mode": json!(trial.mode),
        "since": trial.since,
        "hosts": report.map(|report| report.hosts),
        "verdict": report.map(|report| verdict(&report.tally, &trial.limits).to_string()),
        "veto": report.and_then(|report| report.veto.clone()),
        "tally": report.map(|report| json!(report.tally)),
    })
}

/// Prints what a trial has shown.
pub(super) fn print(rules: &Rules, race_type: &str, trial: &Trial, report: Option<&TrialReport>) -> anyhow::Result<()> {
    let how = match trial.mode {
        TrialMode::Canary { share } => format!("canary with {share} of the new races"),
        TrialMode::Shadow => "shadow".to_owned(),
    };
    let name = shown(rules, trial.rulebook);
    report::print_line(&format!("\nrace type {race_type}: {name}, {how} since revision {}", trial.since))?;
    let Some(report) = report else { return Ok(()) };
    report::print_line(&format!(
        "records that {} hosts have evaluated; fuel and time are those of a record:",
        report.hosts
    ))?;
    let mut rows = vec![
        ["", "records", "failed", "bad scores", "rejected", "failed calls", "fuel", "ns"].map(str::to_owned).to_vec(),
    ];
    rows.push(row("candidate", &report.tally.candidate));
    rows.push(row("current", &report.tally.current));
    report::print_table(&rows)?;
    let shadow = &report.tally.shadow;
    if trial.mode == TrialMode::Shadow {
        report::print_line(&format!(
            "{} equal, {} with another score (by at most {}), {} rejected by the shadow only, {} by the current rulebook \
             only, {} not compared",
            shadow.equal,
            shadow.other_score,
            shadow.largest_difference,
            shadow.only_shadow_rejects,
            shadow.only_current_rejects,
            shadow.skipped
        ))?;
    }
    match &report.veto {
        Some(why) => report::print_line(&format!("taken back: {why}")),
        None => report::print_line(&verdict(&report.tally, &trial.limits).to_string()),
    }
}

fn row(name: &str, arm: &Arm) -> Vec<String> {
    let each = |sum: u64| sum.checked_div(arm.rows.evaluated).map_or("-".to_owned(), |each| each.to_string());
    let rows = arm.rows;
    let counts =
        [rows.evaluated, rows.failed, rows.bad_scores, rows.rejected, arm.faults].map(|count| count.to_string());
    [name.to_owned()].into_iter().chain(counts).chain([each(arm.fuel), each(arm.nanos)]).collect()
}
