//! What other programs can read of packed groups: maps in an item beside the shared one.
//!
//! They would be two thirds of the shared item, and be paid for with each of its writes. By themselves they are written after
//! as many writes as the rulebook says, and whenever groups have moved out, which readers would find twice. They are for
//! looking at, and nothing else depends on them: that they could not be written is no failure.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use paceline_pipeline::ErrorChain;
use paceline_pipeline::model::{Key, Packing};

use super::content::{self, Content, PackKey};
use super::request::Sender;
use crate::dynamodb::item::{self, MAX_ITEM_BYTES, Map};

/// Follows the sort key of the shared item.
const SUFFIX: &str = "-shown";

/// The revision of the shared item that is shown.
const REVISION: &str = "@shown-revision";

impl PackKey {
    fn shown_key(&self) -> Key {
        let Key { partition, sort, .. } = self.item_key();
        Key::new(partition, format!("{sort}{SUFFIX}"))
    }
}

/// What is shown of a shared item: what any of the packings says whose groups are written. Groups of other aggregates, and of
/// other versions of a rulebook, may share an item.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shown {
    attributes: BTreeSet<String>,
    /// After how many writes, of each packing that shows something.
    every: BTreeSet<u16>,
}

impl Shown {
    pub(super) fn add(&mut self, packing: &Packing) {
        if packing.show.is_empty() {
            return;
        }
        self.every.insert(packing.show_every);
        for name in &packing.show {
            // Nearly always it is there: it is the same packing.
            if !self.attributes.contains(name) {
                self.attributes.insert(name.clone());
            }
        }
    }

    /// Whether groups are shown after this write of their item.
    fn is_due(&self, revision: u64) -> bool {
        let is_due = |every: &u16| {
            let every = u64::from((*every).max(1));
            revision % every == 1 % every
        };
        self.every.iter().any(is_due)
    }
}

/// The item that shows these groups; `None` if there is nothing to show, or if it would be too large.
pub(super) fn encode(key: &PackKey, shown: &Shown, content: &Content) -> Option<Map> {
    if shown.attributes.is_empty() {
        return None;
    }
    let mut map = item::key_map(&key.shown_key());
    map.insert(REVISION.to_owned(), AttributeValue::N(content.revision.to_string()));
    for name in &shown.attributes {
        let values = content.groups.iter().filter_map(|(sort, item)| Some((sort, item.attribute(name)?)));
        let members = values.map(|(sort, value)| (sort.to_string(), item::attribute_value(value)));
        map.insert(name.clone(), AttributeValue::M(members.collect()));
    }
    (content::size(&map) <= MAX_ITEM_BYTES).then_some(map)
}

impl Sender {
    /// Shows what the shared item holds, if it is time.
    pub(super) async fn show(&self, key: &PackKey, shown: &Shown, content: &Content, have_moved: bool) {
        if !have_moved && !shown.is_due(content.revision) {
            return;
        }
        let Some(map) = encode(key, shown, content) else { return };
        self.usage.add_request();
        let request = self
            .client
            .put_item()
            .table_name(&self.table.table)
            .set_item(Some(map))
            // Another host may have shown a later revision.
            .condition_expression("attribute_not_exists(#r) OR #r < :r")
            .expression_attribute_names("#r", REVISION)
            .set_expression_attribute_values(Some(HashMap::from([(
                ":r".to_owned(),
                AttributeValue::N(content.revision.to_string()),
            )])))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        match Box::pin(request.send()).await {
            Ok(response) => self.usage.add_writes(response.consumed_capacity()),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(_)) => {}
                _ => {
                    let error = self.usage.classify(&self.table, "a write of what packed groups show", error);
                    tracing::debug!("{} is not shown as it is: {}", key.item_key(), ErrorChain(&error));
                }
            },
        }
    }
}
