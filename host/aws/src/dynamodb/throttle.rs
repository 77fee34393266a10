//! Which limit throttled a request, of which table or index.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::ThrottlingReason;

macro_rules! causes {
    ($($(#[$doc:meta])* $name:ident $text:literal)*) => {
        /// The limit that throttled a request.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum ThrottleCause { $($(#[$doc])* $name,)* }

        impl ThrottleCause {
            /// All causes.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name in metrics.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

causes! {
    /// What one partition key takes.
    KeyRange "key-range"
    /// The units of the table or the index.
    Provisioned "provisioned"
    /// The maximum throughput that was set for a table billed by request.
    Maximum "maximum"
    /// The quota of the account or the table in the region.
    Account "account"
    /// A batch of reads or writes came back undone.
    Unprocessed "unprocessed"
    /// Another write to the item is in progress.
    Item "item"
    /// DynamoDB gave no reason.
    Unknown "unknown"
}

/// What a request was throttled by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Throttled {
    /// The table.
    pub table: String,
    /// The index, if its limit was reached; empty otherwise.
    pub index: String,
    /// The limit.
    pub cause: ThrottleCause,
}

impl Throttled {
    /// The table, or the table and its index: `races/GSI_Index`.
    pub fn resource(&self) -> String {
        if self.index.is_empty() { self.table.clone() } else { format!("{}/{}", self.table, self.index) }
    }

    pub(super) fn new(table: &str, cause: ThrottleCause) -> Self {
        Self { table: table.to_owned(), index: String::new(), cause }
    }
}

/// Throttled requests and writes, by what they were throttled by. One that several limits throttled counts for each.
pub type Throttles = BTreeMap<Throttled, u64>;

/// Those after `earlier`, which are earlier ones of the same store.
pub fn throttles_since(now: &Throttles, earlier: &Throttles) -> Throttles {
    let more = now.iter().map(|(by, count)| (by.clone(), count - earlier.get(by).copied().unwrap_or(0)));
    more.filter(|(_, count)| *count > 0).collect()
}

/// What an error's reasons say; its code and message if there are none.
pub(super) fn throttled(table: &str, code: &str, message: &str, reasons: &[ThrottlingReason]) -> BTreeSet<Throttled> {
    if reasons.is_empty() {
        return BTreeSet::from([Throttled::new(table, cause_of_code(code, message))]);
    }
    let by = |reason: &ThrottlingReason| {
        let cause = cause_of_reason(reason.reason().unwrap_or_default());
        // `arn:aws:dynamodb:eu-west-1:123456789012:table/races/index/GSI_Index`
        let index = reason.resource().and_then(|resource| resource.split_once("/index/"));
        Throttled {
            index: index.map_or_else(String::new, |(_, index)| index.to_owned()),
            ..Throttled::new(table, cause)
        }
    };
    reasons.iter().map(by).collect()
}

/// The cause of a reason such as `IndexWriteKeyRangeThroughputExceeded`.
fn cause_of_reason(reason: &str) -> ThrottleCause {
    [
        ("KeyRangeThroughput", ThrottleCause::KeyRange),
        ("ProvisionedThroughput", ThrottleCause::Provisioned),
        ("MaxOnDemandThroughput", ThrottleCause::Maximum),
        ("AccountLimit", ThrottleCause::Account),
    ]
    .into_iter()
    .find_map(|(part, cause)| reason.contains(part).then_some(cause))
    .unwrap_or(ThrottleCause::Unknown)
}

/// The cause as far as an error without reasons says it: one of a statement of a batch. Its code has no `Exception` at the
/// end.
fn cause_of_code(code: &str, message: &str) -> ThrottleCause {
    if code.starts_with("TransactionConflict") || code.starts_with("ReplicatedWriteConflict") {
        return ThrottleCause::Item;
    }
    let from_reason = cause_of_reason(message);
    match from_reason {
        ThrottleCause::Unknown if code.starts_with("RequestLimitExceeded") => ThrottleCause::Account,
        ThrottleCause::Unknown if message.contains("configured provisioned throughput") => ThrottleCause::Provisioned,
        cause => cause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(reason: &str, resource: &str) -> ThrottlingReason {
        ThrottlingReason::builder().reason(reason).resource(resource).build()
    }

    #[test]
    fn each_reason_is_a_limit_of_a_table_or_an_index() {
        let table = "arn:aws:dynamodb:eu-west-1:1:table/races";
        let reasons = [
            reason("TableWriteKeyRangeThroughputExceeded", table),
            reason("TableWriteKeyRangeThroughputExceeded", table),
            reason("IndexWriteProvisionedThroughputExceeded", &format!("{table}/index/GSI_Index")),
            reason("TableReadAccountLimitExceeded", table),
            reason("TableWriteMaxOnDemandThroughputExceeded", table),
            reason("SomethingNew", table),
        ];
        let all = throttled("races", "Throttling", "slow down", &reasons);
        let shown: Vec<(String, &str)> = all.iter().map(|by| (by.resource(), by.cause.as_str())).collect();
        let expected = [
            ("races", "key-range"),
            ("races", "maximum"),
            ("races", "account"),
            ("races", "unknown"),
            ("races/GSI_Index", "provisioned"),
        ];
        assert_eq!(shown, expected.map(|(resource, cause)| (resource.to_owned(), cause)));
    }

    #[test]
    fn without_reasons_code_and_message_say_what_they_can() {
        for (code, message, cause) in [
            ("TransactionConflict", "", ThrottleCause::Item),
            ("RequestLimitExceeded", "", ThrottleCause::Account),
            (
                "ProvisionedThroughputExceeded",
                "The level of configured provisioned throughput for the table was exceeded.",
                ThrottleCause::Provisioned,
            ),
            // The code alone says nothing: tables billed by request answer with it, too.
            ("ProvisionedThroughputExceeded", "slow down", ThrottleCause::Unknown),
            ("ThrottlingError", "", ThrottleCause::Unknown),
        ] {
            let all = throttled("races", code, message, &[]);
            assert_eq!(all, BTreeSet::from([Throttled::new("races", cause)]), "{code}: {message}");
        }
    }

    #[test]
    fn what_was_throttled_since_is_the_difference() {
        let by = Throttled::new("races", ThrottleCause::KeyRange);
        let other = Throttled::new("races", ThrottleCause::Unknown);
        let (earlier, now) = (Throttles::from([(by.clone(), 2)]), Throttles::from([(by, 2), (other.clone(), 1)]));
        assert_eq!(throttles_since(&now, &earlier), Throttles::from([(other, 1)]));
    }
}
