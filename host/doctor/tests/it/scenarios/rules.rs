//! The rules, and dead letters.

use super::changes::*;
use super::{Scenario, of};
use crate::builder::*;

pub(super) const SCENARIOS: &[Scenario] = &[
    of("failing-version", &["failing-version", "dead-letters"], || {
        but(|it| {
            it.rules().race_types.get_mut("3").unwrap().trial = Some(trial());
            it.metric((OfFunction, "RulebookFailed"), &[OWN[0], ("rulebook", "3 flat@1")], Sum, from(8, 1_200.0));
            it.metric((OfFunction, "RulebookRecords"), &[OWN[0], ("rulebook", "3 flat@1")], Sum, |_| 30_000.0);
            it.history.dead_letters = Some(letters(&[("plugin-failed", 14_400)]));
        })
    }),
    of("hosts-behind", &["hosts-behind"], || {
        but(|it| {
            let mut refusing = host_state("worker-2/7", 16);
            refusing.refusal = Some("flat@3: fuel-per-row 2,000,000 is above the ceiling of 1,000,000".to_owned());
            let mut lost = host_state("worker-4/7", 16);
            lost.seen = minute(14);
            it.rules().hosts = vec![host_state("worker-1/7", 17), host_state("worker-3/7", 12), refusing, lost];
        })
    }),
    of("missing-rulebook", &["missing-rulebook", "dead-letters", "uncommitted-batches"], || {
        but(|it| {
            let race_type = it.rules().race_types.get_mut("3").unwrap();
            race_type.pinned.as_mut().unwrap().insert("flat@0".to_owned(), 2);
            race_type.missing = vec!["flat@0".to_owned()];
            it.points((OfFunction, "UncommittedBatches"), OWN, Sum, |m| (m > 12).then_some(1.0));
            it.history.dead_letters = Some(letters(&[("pin-unresolved", 600)]));
        })
    }),
    of("plugin-budgets", &["plugin-budgets"], || {
        host_but(|it| {
            it.plugin("flat", "1", (1.0, 9.0e6, 0.3));
            let labels = [
                ("fault", "fuel"),
                ("plugin", "262c9aa7d1f0"),
                ("role", "scorer"),
                ("rulebook", "flat"),
                ("version", "1"),
            ];
            it.process("paceline_plugin_faults_total", &labels, |m| (m / 3) as f64);
        })
    }),
    of("dead-letters", &["dead-letters"], || {
        but(|it| it.history.dead_letters = Some(letters(&[("not-json", 4), ("rejected", 31)])))
    }),
    of("dead-letters-by-metric", &["dead-letters"], || {
        but(|it| {
            it.history.dead_letters = None;
            it.points((OfFunction, "DeadLetters"), OWN, Sum, |m| (m == 15).then_some(12.0));
        })
    }),
];
