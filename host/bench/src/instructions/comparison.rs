//! The counts in the repository beside those of this build.

use std::collections::{BTreeMap, BTreeSet};

/// The share by which a count may differ. Repeated counts differ by far less; `docs/benchmarks.md` says by how much.
const TOLERANCE: f64 = 0.03;

type Counts = BTreeMap<String, f64>;

/// A part's counts.
struct Line {
    part: String,
    /// `None` if the repository has none.
    before: Option<f64>,
    /// `None` if the part is gone.
    now: Option<f64>,
}

pub(super) struct Comparison {
    lines: Vec<Line>,
    /// Whether the repository has counts of this kind of machine at all.
    has_baseline: bool,
}

impl Comparison {
    /// `is_complete` says that `now` has all parts, so that others in the repository are gone.
    pub(super) fn new(before: Option<&Counts>, now: &Counts, is_complete: bool) -> Self {
        let parts: BTreeSet<&String> = before.into_iter().flatten().map(|(part, _)| part).chain(now.keys()).collect();
        let lines = parts.into_iter().map(|part| Line {
            part: part.clone(),
            before: before.and_then(|counts| counts.get(part).copied()),
            now: now.get(part).copied(),
        });
        let lines = lines.filter(|line| is_complete || line.now.is_some()).collect();
        Self { lines, has_baseline: before.is_some() }
    }

    /// The counts of each part. Says so if the repository has none to compare with.
    pub(super) fn table(&self) -> String {
        let mut table = format!("  {:<28} {:>10} {:>10}", "", "before", "now");
        for line in &self.lines {
            let number = |count: Option<f64>| count.map_or("-".to_owned(), |count| format!("{count:.1}"));
            let (before, now, change) = (number(line.before), number(line.now), line.change());
            let change = change.map_or(String::new(), |change| format!("{:+.1} %", change * 100.0));
            let row = format!("\n  {:<28} {before:>10} {now:>10} {change:>9}  {}", line.part, line.verdict());
            table.push_str(row.trim_end());
        }
        if !self.has_baseline {
            table.push_str("\nNothing is compared: nobody has written counts of this kind of machine.");
        }
        table
    }

    /// What is wrong, and how to accept it. `None` if all counts agree, or if there is nothing to compare with.
    pub(super) fn complaint(&self) -> Option<String> {
        let wrong: Vec<&str> =
            self.lines.iter().filter(|line| !line.verdict().is_empty()).map(|line| &*line.part).collect();
        if wrong.is_empty() || !self.has_baseline {
            return None;
        }
        Some(format!(
            "Other instructions a record than in {}: {}. Look for the reason. If the change is worth it, or if it is faster, \
             `make bench-instructions` writes the new counts: commit them with it.",
            super::baseline::FILE,
            wrong.join(", ")
        ))
    }
}

impl Line {
    fn change(&self) -> Option<f64> {
        Some(self.now? / self.before? - 1.0)
    }

    /// Empty if the counts agree.
    fn verdict(&self) -> &'static str {
        match (self.before, self.now, self.change()) {
            (None, _, _) => "new",
            (_, None, _) => "gone",
            (_, _, Some(change)) if change > TOLERANCE => "slower",
            // What is faster has to be written as well: otherwise a later change could be slower by as much, unseen.
            (_, _, Some(change)) if change < -TOLERANCE => "faster",
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: &[(&str, f64)]) -> Counts {
        counts.iter().map(|(part, count)| ((*part).to_owned(), *count)).collect()
    }

    #[test]
    fn a_change_within_the_tolerance_is_none() {
        let (before, now) = (counts(&[("fold", 1000.0), ("projection", 100.0)]), counts(&[("fold", 1029.0)]));
        assert_eq!(Comparison::new(Some(&before), &now, false).complaint(), None);
    }

    #[test]
    fn a_slower_and_a_faster_part_are_named_with_how_to_accept_them() {
        let before = counts(&[("fold", 1000.0), ("kpl_unpack", 500.0), ("projection", 100.0)]);
        let now = counts(&[("fold", 1031.0), ("kpl_unpack", 480.0), ("projection", 100.0)]);
        let comparison = Comparison::new(Some(&before), &now, true);
        let complaint = comparison.complaint().unwrap();
        assert!(complaint.contains("fold, kpl_unpack. "), "{complaint}");
        assert!(complaint.contains("`make bench-instructions`"), "{complaint}");
        let table = comparison.table();
        assert!(table.contains("1000.0     1031.0    +3.1 %  slower"), "{table}");
        assert!(table.contains("500.0      480.0    -4.0 %  faster"), "{table}");
    }

    #[test]
    fn a_new_part_and_one_that_is_gone_are_named() {
        let (before, now) = (counts(&[("fold", 1.0)]), counts(&[("merge", 1.0)]));
        let complaint = Comparison::new(Some(&before), &now, true).complaint().unwrap();
        assert!(complaint.contains("fold, merge"), "{complaint}");
    }

    #[test]
    fn a_kind_of_machine_without_counts_has_nothing_to_compare() {
        assert_eq!(Comparison::new(None, &counts(&[("fold", 1.0)]), true).complaint(), None);
    }
}
