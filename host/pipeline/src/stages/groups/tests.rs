//! Equal keys are one group, and a record is found in all of its groups.

use proptest::prelude::*;

use super::*;
use crate::rules::{DedupRule, KeyTemplate, Template};

fn rule() -> AggregateUse {
    let template = |text| Template::parse(text).unwrap();
    AggregateUse {
        plugin: String::new(),
        dedup: DedupRule::Sequence,
        settings: Default::default(),
        limits: Default::default(),
        key: KeyTemplate { partition: template("p"), sort: template("s") },
        outputs: Default::default(),
        attributes: Default::default(),
        only: Default::default(),
        pack: None,
    }
}

fn row(record: u32, group: u32) -> GroupRow {
    GroupRow { record, row: record, group, ordinal: 0 }
}

#[test]
fn a_record_is_found_in_all_of_its_groups() {
    let mut groups = Groups::default();
    let rule = rule();
    let interned = ["race", "class"].map(|partition| groups.intern(&groups.partition(partition, 0), "racer-1", &rule));
    assert_eq!(interned, [0, 1]);
    groups.calls = vec![
        Call { record_batch: 0, aggregate: 0, rows: vec![row(2, 0), row(5, 0)] },
        Call { record_batch: 0, aggregate: 1, rows: vec![row(5, 1)] },
    ];
    let partitions = |record, holds: fn(&GroupRow) -> bool| -> Vec<SmolStr> {
        groups.of_record(record, holds).into_iter().map(|key| key.partition).collect()
    };
    assert_eq!(partitions(5, |_| true), ["race", "class"]);
    assert_eq!(partitions(5, |row| row.group == 1), ["class"]);
    assert_eq!(partitions(3, |_| true), [""; 0]);
    assert_eq!(groups.first_record(), Some(2));
}

/// Texts, few of them different, on both sides of the length that takes no allocation.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[ab]{0,2}", "x{22}[ab]{1,2}"]
}

proptest! {
    /// A group for each pair of texts, the same at each time, whatever the texts are.
    #[test]
    fn equal_keys_are_one_group(keys in prop::collection::vec((text(), text()), 0..60)) {
        let rule = rule();
        let mut groups = Groups::default();
        let intern = |(partition, sort): &(String, String)| {
            let partition = groups.partition(partition, 0);
            groups.intern(&partition, sort, &rule)
        };
        let found: Vec<u32> = keys.iter().map(intern).collect();
        for (at, (partition, sort)) in keys.iter().enumerate() {
            let key = &groups.keys[found[at] as usize];
            prop_assert_eq!((key.partition.as_str(), key.sort.as_str()), (partition.as_str(), sort.as_str()));
            for (other, key) in keys.iter().enumerate() {
                prop_assert_eq!(found[at] == found[other], keys[at] == *key);
            }
        }
    }
}
