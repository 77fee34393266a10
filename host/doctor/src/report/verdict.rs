//! The whole in one line.

use crate::causes::Diagnosis;
use crate::finding::Severity;
use crate::history::{History, Unavailable};
use crate::words::counted;

/// The sources that could not be read, running hosts first: they are what processes the records.
pub(super) fn unread(history: &History) -> Vec<&Unavailable> {
    let mut unread: Vec<&Unavailable> = history.unavailable.iter().filter(|it| !it.by_limit).collect();
    unread.sort_by_key(|it| !it.what.starts_with("metrics of host"));
    unread
}

/// The first cause and how much more there is; or that nothing is wrong, if everything was read that shows it.
pub(super) fn verdict(
    findings: &[Diagnosis],
    (healthy, not_checked): (usize, usize),
    unread: &[&Unavailable],
) -> String {
    let undone = format!("{} could not be done", counted(not_checked, "check"));
    let total: usize = findings.iter().map(|it| 1 + it.following()).sum();
    let worst = findings.first().filter(|first| first.worst() > Severity::Note);
    match (worst, missing(unread)) {
        (Some(first), None) => trouble(first, total),
        (Some(first), Some(missing)) => format!("{}; {missing}, and {undone}", trouble(first, total)),
        (None, Some(missing)) if total > 0 => {
            format!("unknown: {missing}; {}, and {undone}", counted(total, "note"))
        }
        (None, Some(missing)) if healthy > 0 => {
            format!("unknown: {missing}; no finding in {}, and {undone}", counted(healthy, "check"))
        }
        (None, Some(missing)) => format!("unknown: {missing}; nothing could be checked"),
        (None, None) if total + healthy == 0 => "unknown: nothing could be checked".to_owned(),
        (None, None) => {
            let sound = match total {
                0 => format!("healthy: {} without a finding", counted(healthy, "check")),
                _ => format!("healthy, with {}", counted(total, "note")),
            };
            if not_checked == 0 { sound } else { format!("{sound}; {undone}") }
        }
    }
}

/// The sources that could not be read, the first one by name.
fn missing(unread: &[&Unavailable]) -> Option<String> {
    let (first, others) = unread.split_first()?;
    let others = match others.len() {
        0 => String::new(),
        others => format!(" and {}", counted(others, "other source")),
    };
    Some(format!("{}{others} could not be read", first.what))
}

fn trouble(first: &Diagnosis, total: usize) -> String {
    let worst = if first.worst() == Severity::Critical { "critical" } else { "warning" };
    let mut line = format!("{worst}: {}, {}", first.check, first.finding.subject);
    if first.following() > 0 {
        line.push_str(&format!(", with {}", counted(first.following(), "consequence")));
    }
    let others = total - 1 - first.following();
    if others > 0 {
        line.push_str(&format!("; {}", counted(others, "other finding")));
    }
    line
}
