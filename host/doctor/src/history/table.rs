use serde::{Deserialize, Serialize};

/// A DynamoDB table.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its status, such as `ACTIVE`.
    pub status: String,
    /// Its capacity.
    pub capacity: Capacity,
    /// Its global secondary indexes.
    pub indexes: Vec<Index>,
    /// Whether it has local secondary indexes, which keep all items of a partition key in one partition.
    #[serde(default)]
    pub local_indexes: bool,
    /// Bytes of an average item, as DynamoDB counts them every six hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_bytes: Option<u64>,
}

/// A global secondary index.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// Its capacity.
    pub capacity: Capacity,
}

/// Units a second.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Capacity {
    /// Paid by the request.
    OnDemand {
        /// The maximum that is set for writes, if any.
        #[serde(default, rename = "max-write", skip_serializing_if = "Option::is_none")]
        max_write: Option<u32>,
    },
    /// Paid by the hour.
    Provisioned {
        /// Read units a second.
        read: u32,
        /// Write units a second.
        write: u32,
    },
}
