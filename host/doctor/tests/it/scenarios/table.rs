//! Tables.

use paceline_doctor::history::Capacity;

use super::changes::*;
use super::{Scenario, of};
use crate::builder::*;

pub(super) const SCENARIOS: &[Scenario] = &[
    of("table-throttled", &["write-throttles", "function-slow"], || but(table_throttled)),
    of("index-throttles-its-table", &["index-capacity", "write-throttles"], || {
        but(|it| {
            it.table().indexes[0].capacity = Capacity::Provisioned { read: 5, write: 50 };
            it.metric((Dynamodb, "ConsumedWriteCapacityUnits"), INDEX, Sum, |m| if m < 7 { 6_000.0 } else { 3_000.0 });
            it.metric((Dynamodb, "WriteThrottleEvents"), INDEX, Sum, from(7, 800.0));
            it.metric((Dynamodb, "WriteProvisionedThroughputThrottleEvents"), INDEX, Sum, from(7, 800.0));
        })
    }),
    of("hot-partition", &["hot-partition", "write-throttles"], || {
        but(|it| {
            it.table().capacity = Capacity::Provisioned { read: 1_000, write: 4_000 };
            it.table().indexes[0].capacity = Capacity::Provisioned { read: 1_000, write: 4_000 };
            it.table().local_indexes = true;
            it.metric((Dynamodb, "ConsumedWriteCapacityUnits"), TABLE, Sum, |_| 60_000.0);
            it.metric((Dynamodb, "WriteThrottleEvents"), TABLE, Sum, from(3, 900.0));
            it.metric((Dynamodb, "WriteKeyRangeThroughputThrottleEvents"), TABLE, Sum, from(3, 900.0));
        })
    }),
    // Packed groups need a tenth of the units, for ten times the records.
    of("packed-hot-partition", &["hot-partition", "write-throttles"], || {
        but(|it| {
            it.table().capacity = Capacity::Provisioned { read: 1_000, write: 4_000 };
            it.table().indexes[0].capacity = Capacity::Provisioned { read: 1_000, write: 4_000 };
            it.rules().race_types.get_mut("3").unwrap().packs = Some(true);
            it.metric((OfFunction, "Records"), OWN, Sum, |_| 600_000.0);
            it.metric((Dynamodb, "ConsumedWriteCapacityUnits"), TABLE, Sum, |_| 60_000.0);
            it.metric((Dynamodb, "WriteThrottleEvents"), TABLE, Sum, from(3, 900.0));
            it.metric((Dynamodb, "WriteKeyRangeThroughputThrottleEvents"), TABLE, Sum, from(3, 900.0));
        })
    }),
    of("partition-nearly-hot", &["hot-partition"], || {
        but(|it| {
            it.table().capacity = Capacity::OnDemand { max_write: None };
            it.metric((Dynamodb, "ConsumedWriteCapacityUnits"), TABLE, Sum, |_| 54_000.0);
        })
    }),
    of("maximum-on-demand", &["write-throttles"], || {
        but(|it| {
            it.table().capacity = Capacity::OnDemand { max_write: Some(400) };
            it.metric((Dynamodb, "ConsumedWriteCapacityUnits"), TABLE, Sum, |_| 24_000.0);
            it.metric((Dynamodb, "WriteMaxOnDemandThroughputThrottleEvents"), TABLE, Sum, from(1, 120.0));
        })
    }),
    of("burst-credit", &["write-capacity"], || {
        but(|it| {
            *it.table() = table("alleycat-races", 400);
            it.metric((Dynamodb, "ConsumedWriteCapacityUnits"), TABLE, Sum, |_| 27_000.0);
        })
    }),
    of("table-bursts", &["write-throttles"], || {
        but(|it| {
            it.metric(
                (Dynamodb, "ThrottledRequests"),
                &[TABLE[0], ("Operation", "BatchExecuteStatement")],
                Sum,
                from(2, 90.0),
            );
        })
    }),
    of("table-reads-throttled", &["read-throttles"], || {
        but(|it| {
            it.metric((Dynamodb, "ReadThrottleEvents"), TABLE, Sum, from(6, 40.0));
            it.metric((Dynamodb, "ConsumedReadCapacityUnits"), TABLE, Sum, |_| 60_000.0);
        })
    }),
    of("status", &["status"], || {
        but(|it| {
            it.stream().status = "UPDATING".to_owned();
            it.table().status = "ARCHIVED".to_owned();
        })
    }),
];
