//! Measures a group of contestants, prints what they need, and keeps it.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use crate::SIZES;
use crate::messages::Batch;
use crate::turns::{Contestant, in_turns};

/// The results of all groups, by name.
#[derive(Default)]
pub(crate) struct Results(BTreeMap<String, f64>);

impl Results {
    /// Writes them as a JSON object.
    pub(crate) fn write(&self, file: &Path) {
        let summary = serde_json::to_string_pretty(&self.0).expect("numbers can be written");
        std::fs::write(file, summary + "\n").expect("target can be written");
    }
}

/// A contestant with its names.
pub(crate) struct Entry<'a> {
    /// In results.
    pub(crate) key: &'static str,
    /// In the table.
    pub(crate) name: &'static str,
    pub(crate) contestant: Box<dyn Contestant + 'a>,
}

/// Contestants that are given the same.
pub(crate) struct Group {
    pub(crate) title: &'static str,
    /// The result of paceline, which comes first.
    pub(crate) ours: &'static str,
    /// The result of paceline relative to itself: it comes second, too.
    pub(crate) control: &'static str,
    /// What stands before the size in the names of the other results.
    pub(crate) infix: &'static str,
}

impl Group {
    /// Checks that the contestants for each batch return the same bits, and measures them.
    pub(crate) fn compare<'a>(
        &self,
        batches: &'a [Batch],
        entries: impl Fn(&'a Batch) -> Vec<Entry<'a>>,
        results: &mut Results,
    ) {
        // A line for each contestant: its name, and its cells.
        let mut lines: Vec<String> = Vec::new();
        for (batch, (_, size)) in batches.iter().zip(SIZES) {
            let mut entries = entries(batch);
            check(&mut entries);
            let mut contestants: Vec<&mut dyn Contestant> =
                entries.iter_mut().map(|entry| &mut *entry.contestant as _).collect();
            let times = in_turns(&mut contestants);
            let ours = times[0];
            for (at, (entry, time)) in entries.iter().zip(times).enumerate() {
                let (ns, over_ours) = (time / batch.rows() as f64, time / ours);
                if lines.len() == at {
                    lines.push(format!("{:<24}", entry.name));
                }
                lines[at].push_str(&cell(ns, over_ours));
                let (key, infix) = (entry.key, self.infix);
                match at {
                    0 => results.0.insert(format!("{}_{size}", self.ours), ns),
                    1 => results.0.insert(format!("{}_{size}", self.control), over_ours),
                    _ => {
                        results.0.insert(format!("{key}_ns_{infix}{size}"), ns);
                        results.0.insert(format!("{key}_over_ours_{infix}{size}"), over_ours)
                    }
                };
            }
        }
        print_line(&format!("\n{}: ns a record, and times the first line", self.title));
        let sizes =
            SIZES.map(|(rows, _)| format!("{:>14}", if rows == 1 { "1 row".into() } else { format!("{rows} rows") }));
        print_line(&format!("{:24}{}", "", sizes.concat()));
        lines.iter().for_each(|line| print_line(line));
    }
}

fn check(entries: &mut [Entry<'_>]) {
    let bits = |scores: Vec<f64>| -> Vec<u64> { scores.into_iter().map(f64::to_bits).collect() };
    let expected = bits(entries[0].contestant.score());
    for entry in &mut entries[1..] {
        // Twice: the second call of an instance that is kept must not see the first one.
        for _ in 0..2 {
            assert!(bits(entry.contestant.score()) == expected, "{} gives other scores", entry.name);
        }
    }
}

fn cell(ns: f64, over_ours: f64) -> String {
    let digits = |value: f64, limits: [f64; 2]| limits.iter().filter(|limit| value < **limit).count();
    let (ns_digits, over_digits) = (digits(ns, [100.0, 0.0]), digits(over_ours, [100.0, 10.0]));
    format!(" {ns:>7.ns_digits$}{:>6}", format!("{over_ours:.over_digits$}×"))
}

pub(crate) fn print_line(line: &str) {
    writeln!(std::io::stdout(), "{line}").expect("standard output can be written");
}
