//! 10,000 Alleycat messages in aggregates of the Kinesis Producer Library, to user records; and the cost of the check of
//! records that are not aggregated.

use std::hint::black_box;

use paceline_aws::kpl::{Aggregator, unpack};
use paceline_pipeline::model::{Batch, Record};

use crate::timing::in_turns;
use crate::{Results, print_line, simulated};

const RECORDS: usize = 10_000;

pub(crate) fn run(results: &mut Results) {
    let lines = simulated(1_000, 300);
    let lines = &lines[lines.len() - RECORDS..];
    let mut aggregated = aggregates(lines);
    print_line(&format!("\n{RECORDS} messages in {} aggregates of the KPL, to user records", aggregated.records.len()));
    let mut plain = batch(lines);
    compare(aggregated.clone(), &plain);
    let packed = aggregated.records.clone();
    let mut again = aggregated.clone();
    let [unpacked, control, untouched] = in_turns([
        &mut || restore_and_unpack(&mut aggregated, &packed),
        &mut || restore_and_unpack(&mut again, &packed),
        &mut || {
            black_box(unpack(black_box(&mut plain), None));
        },
    ]);
    results.add("kpl_unpack_ns_per_record", unpacked / RECORDS as f64, "ns", "at most 150");
    results.add("kpl_unpack_control", control / unpacked, "A/A", "");
    results.add("kpl_not_aggregated_ns_per_record", untouched / RECORDS as f64, "ns", "");
}

/// Restores the records before each unpacking, which does not change the bytes.
fn restore_and_unpack(batch: &mut Batch, packed: &[Record]) {
    batch.records.clear();
    batch.records.extend_from_slice(packed);
    black_box(unpack(black_box(batch), None));
}

/// Checks that unpacking returns all messages.
fn compare(mut aggregated: Batch, plain: &Batch) {
    unpack(&mut aggregated, None);
    assert_eq!(aggregated.records.len(), plain.records.len());
    assert!((0..plain.records.len()).all(|record| aggregated.payload(record) == plain.payload(record)));
}

/// The messages in aggregates of about 50 KB, under random partition keys as Alleycat's bikes choose them.
pub(crate) fn aggregates(lines: &[Vec<u8>]) -> Batch {
    let mut aggregator = Aggregator::default();
    let mut packed = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        // Weyl's sequence instead of random numbers, for the same keys in every run.
        let key = (at as u32 + 1).wrapping_mul(0x9e37_79b9) % 100_000_000;
        packed.extend(aggregator.add(&key.to_string(), None, line));
    }
    packed.extend(aggregator.finish());
    batch(&packed.into_iter().map(|packed| packed.data).collect::<Vec<_>>())
}

fn batch(payloads: &[Vec<u8>]) -> Batch {
    let mut batch = Batch::new("alleycat/shardId-000000000006".into());
    for (at, payload) in (0_u64..).zip(payloads) {
        batch.push(payload, at.into());
    }
    batch
}
