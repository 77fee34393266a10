//! 10,000 Alleycat messages in aggregates of the Kinesis Producer Library, from aggregates to user records; and what the
//! look costs where nothing is aggregated.

use std::hint::black_box;

use paceline_aws::kpl::{Aggregator, unpack};
use paceline_pipeline::model::{Batch, Record};

use crate::timing::in_turns;
use crate::{Results, simulated};

/// Messages.
const RECORDS: usize = 10_000;

pub(crate) fn run(results: &mut Results) {
    let lines = simulated(1_000, 300);
    let lines = &lines[lines.len() - RECORDS..];
    let mut aggregated = aggregates(lines);
    println!("\n{RECORDS} messages in {} aggregates of the KPL, to user records", aggregated.records.len());
    let mut plain = batch(lines);
    compare(aggregated.clone(), &plain);
    let packed = aggregated.records.clone();
    let mut again = aggregated.clone();
    let [unpacked, control, untouched] = in_turns([
        &mut || unpack_anew(&mut aggregated, &packed),
        &mut || unpack_anew(&mut again, &packed),
        &mut || {
            black_box(unpack(black_box(&mut plain), None));
        },
    ]);
    results.add("kpl_unpack_ns_per_record", unpacked / RECORDS as f64, "ns", "");
    results.add("kpl_unpack_control", control / unpacked, "A/A", "");
    results.add("kpl_not_aggregated_ns_per_record", untouched / RECORDS as f64, "ns", "");
}

/// Unpacking leaves the bytes as they are, so that the records are all that has to be put back.
fn unpack_anew(batch: &mut Batch, packed: &[Record]) {
    batch.records.clear();
    batch.records.extend_from_slice(packed);
    black_box(unpack(black_box(batch), None));
}

/// Sees that all messages come out.
fn compare(mut aggregated: Batch, plain: &Batch) {
    unpack(&mut aggregated, None);
    assert_eq!(aggregated.records.len(), plain.records.len());
    assert!((0..plain.records.len()).all(|record| aggregated.payload(record) == plain.payload(record)));
}

/// The messages in aggregates of about 50 KB, under random partition keys as Alleycat's bikes choose them.
fn aggregates(lines: &[Vec<u8>]) -> Batch {
    let mut aggregator = Aggregator::default();
    let mut packed = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        // Weyl's sequence in place of chance: the same keys in every run.
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
