//! Trials: a rulebook is tried beside the current one, and then promoted or rolled back.

use paceline_engine::Digest;

use super::change::{ChangeError, Edit};
use crate::rules::entry::Change;
use crate::rules::routing::Routing;
use crate::rules::successor::Succession;
use crate::rules::trial::{Trial, TrialLimits, TrialMode};

impl Edit<'_> {
    pub(super) async fn try_beside(
        &mut self,
        race_type: &str,
        rulebook: Digest,
        mode: TrialMode,
        limits: TrialLimits,
    ) -> Result<(), ChangeError> {
        let routing = self.routing(race_type)?.clone();
        let Some(beside) = routing.current else {
            return Err(ChangeError::Invalid(format!(
                "race type {race_type} is retired: there is no current rulebook to compare with"
            )));
        };
        let document = self.document(rulebook).await?;
        if beside == rulebook {
            return Err(ChangeError::Invalid(format!(
                "{}@{} is the current rulebook of race type {race_type} already",
                document.name, document.version
            )));
        }
        // A canary's share and limits can be changed: its races are pinned, and stay as they are.
        let is_changed = |trial: &Trial| trial.rulebook != rulebook || !trial.is_canary() || mode == TrialMode::Shadow;
        match &routing.candidate {
            Some(trial) if (trial.rulebook, trial.mode, trial.limits) == (rulebook, mode, limits) => return Ok(()),
            Some(trial) if is_changed(trial) => self.check_no_trial(race_type)?,
            _ => {}
        }
        if let TrialMode::Canary { share } = mode {
            if share.hundredths() == 0 {
                return Err(ChangeError::Invalid("a canary with a share of 0% would show nothing".to_owned()));
            }
            if document.pin.is_none() {
                return Err(ChangeError::Invalid(format!(
                    "{}@{} pins no races (`pin`), so a share of them can't be told apart: try it as a shadow",
                    document.name, document.version
                )));
            }
            self.check_successor((race_type, None), Some(beside), rulebook, Succession::BothWays).await?;
        }
        self.check_disjoint(race_type, rulebook).await?;
        let since = self.revision;
        let candidate = Some(Trial { rulebook, mode, since, limits });
        self.rules.routing.insert(race_type.to_owned(), Routing { candidate, ..routing });
        let race_type = race_type.to_owned();
        self.changes.push(match mode {
            TrialMode::Canary { share } => Change::Canary { race_type, rulebook, beside, share, limits },
            TrialMode::Shadow => Change::Shadow { race_type, rulebook, beside },
        });
        Ok(())
    }

    pub(super) async fn promote(&mut self, race_type: &str) -> Result<(), ChangeError> {
        let routing = self.routing(race_type)?;
        let (Some(trial), Some(replaces)) = (routing.candidate, routing.current) else {
            return Err(ChangeError::Invalid(format!("race type {race_type} has no rulebook on trial")));
        };
        let rulebook = trial.rulebook;
        self.check_successor((race_type, None), Some(replaces), rulebook, Succession::NewRaces).await?;
        self.route(race_type, Some(rulebook), Some(replaces)).await?;
        self.changes.push(Change::Promote { race_type: race_type.to_owned(), rulebook, replaces });
        Ok(())
    }

    /// Ends a trial. The races of a canary go on with the current rulebook.
    pub(super) async fn end_trial(&mut self, race_type: &str, trial: Trial, to: Digest) -> Result<(), ChangeError> {
        if trial.is_canary() {
            self.rerule(race_type, None, trial.rulebook, to);
            self.remember(race_type, &[trial.rulebook]).await?;
        }
        let routing = self.rules.routing.get_mut(race_type).expect("it has a trial");
        routing.candidate = None;
        self.changes.push(Change::Rollback { race_type: race_type.to_owned(), from: trial.rulebook, to });
        Ok(())
    }

    pub(super) fn check_no_trial(&self, race_type: &str) -> Result<(), ChangeError> {
        let Some(trial) = self.rules.routing.get(race_type).and_then(|routing| routing.candidate) else {
            return Ok(());
        };
        let name = self.rules.id(trial.rulebook).map_or_else(|| trial.rulebook.to_string(), |id| id.to_string());
        Err(ChangeError::Invalid(format!(
            "race type {race_type} has {name} on trial since revision {}: `promote` it or `rollback` first",
            trial.since
        )))
    }
}
