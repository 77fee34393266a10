//! The search for a case that violates a law.

use std::time::{Duration, Instant};

use paceline_engine::EngineError;

use super::draw::Draw;
use super::lab::Lab;
use super::report::{Finding, Severity};
use super::rule::{Counterexample, Rule, settled};
use super::shrink::shrink;

/// How long cases of one law are drawn: an interpreter in a plugin takes milliseconds to start.
const LAW_TIME: Duration = Duration::from_secs(2);

impl Lab<'_> {
    /// Tries a law on cases, and makes the first one that violates it small. A breach by rounding is returned if there is no
    /// other.
    pub(crate) fn search(&self, rule: &Rule<'_>) -> Result<Option<Counterexample>, EngineError> {
        let (started, mut draw, mut rounding) = (Instant::now(), Draw::new(self, rule.name), None);
        for case in 0..self.options.cases {
            let rows = draw.rows(case, rule.deal);
            match settled((rule.holds)(&rows))? {
                Some(breach) if breach.is_rounding => {
                    rounding.get_or_insert((rows, breach));
                }
                Some(breach) => return shrink(self, rule, rows, breach).map(Some),
                None => {}
            }
            if started.elapsed() > LAW_TIME {
                break;
            }
        }
        rounding.map(|(rows, breach)| shrink(self, rule, rows, breach)).transpose()
    }

    /// Tries a law. A breach by rounding is a warning.
    pub(crate) fn verify(
        &self,
        rule: &Rule<'_>,
        what: &str,
        advice: &str,
        part: &str,
    ) -> Result<Option<Finding>, EngineError> {
        let Some(Counterexample { rows, breach }) = self.search(rule)? else { return Ok(None) };
        let finding = match breach.is_rounding {
            false => Finding::violation(what, advice),
            true => Finding::warning(
                format!("{what}, by rounding"),
                "Sums of 64-bit floats depend on their order. Keep sums as integers, such as thousandths, so that every \
                 host gets the same bytes.",
            ),
        };
        Ok(Some(finding.shown_by(self.example_of(&rows, breach, part))))
    }
}

/// The first finding, and the others in one sentence.
pub(crate) fn first(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let also: Vec<String> = findings.iter().skip(1).map(|finding| finding.what.clone()).collect();
    findings.truncate(1);
    if let Some(first) = findings.first_mut()
        && !also.is_empty()
    {
        first.what = format!("{}; also: {}", first.what, also.join("; "));
    }
    debug_assert!(findings.iter().all(|finding| finding.severity > Severity::Fact));
    findings
}
