//! DynamoDB.

/// Bytes that a write unit covers.
pub const WRITE_UNIT_BYTES: u64 = 1024;
/// Bytes that a strongly consistent read unit covers. An eventually consistent read costs half a unit.
pub const READ_UNIT_BYTES: u64 = 4096;
/// Write units a second that items of one partition key can take, whatever the table has.
pub const PARTITION_WRITE_UNITS: f64 = 1_000.0;
/// Read units a second that items of one partition key can take.
pub const PARTITION_READ_UNITS: f64 = 3_000.0;
/// Seconds of unused capacity that a table keeps for bursts.
pub const BURST_SECONDS: f64 = 300.0;
/// Write units a second that a new on-demand table takes.
pub const ON_DEMAND_WRITE_UNITS: f64 = 4_000.0;
/// Write units a second that a table may be given, unless raised.
pub const TABLE_WRITE_UNITS: f64 = 40_000.0;
/// Minutes that autoscaling needs before it reacts.
pub const AUTOSCALING_MINUTES: u32 = 2;
/// Bytes of the largest item.
pub const ITEM_BYTES: u64 = 400 * 1024;

/// The write units of an item of so many bytes.
#[must_use]
pub fn write_units(item_bytes: u64) -> u64 {
    item_bytes.div_ceil(WRITE_UNIT_BYTES).max(1)
}
