//! Notices. They are in the table of items, in partitions that no group can have.

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnConsumedCapacity};
use paceline_pipeline::model::Key;
use paceline_pipeline::store::{Expected, Notice, NoticeStore, StoreError};

use super::DynamoDbStore;
use super::error::TableErrorKind;
use super::item::{self, Map, PARTITION};

/// The prefix of the partition keys of notices; the topic follows.
const NOTICES: &str = "@rules/";

const BODY: &str = "@body";
const VERSION: &str = "@version";
/// The time after which a notice counts as absent, and DynamoDB may delete it, in seconds since 1970.
pub(super) const EXPIRES: &str = "@expires";

impl NoticeStore for DynamoDbStore {
    async fn list_notices(&self, topic: &str) -> Result<Vec<Notice>, StoreError> {
        let (partition, now) = (partition(topic), self.now());
        let mut notices = Vec::new();
        let mut start_key = None;
        loop {
            let (maps, next) = self.query_page(&partition, start_key).await?;
            for map in &maps {
                let notice = decode(map).ok_or_else(|| self.not_a_notice(map))?;
                // DynamoDB deletes an expired item within some days.
                if !notice.is_expired(now) {
                    notices.push(notice);
                }
            }
            start_key = next;
            if start_key.is_none() {
                return Ok(notices);
            }
        }
    }

    async fn put_notice(&self, topic: &str, notice: &Notice, expected: Expected) -> Result<bool, StoreError> {
        notice.check_name()?;
        self.usage.add_request();
        let request = self
            .client
            .put_item()
            .table_name(&self.table.table)
            .set_item(Some(encode(topic, notice)))
            .return_consumed_capacity(ReturnConsumedCapacity::Total);
        let now = AttributeValue::N(self.now().to_string());
        let request = match expected {
            Expected::Anything => request,
            Expected::Nothing => request
                .condition_expression("attribute_not_exists(#p) OR #e <= :now")
                .expression_attribute_names("#p", PARTITION)
                .expression_attribute_names("#e", EXPIRES)
                .expression_attribute_values(":now", now),
            Expected::Version(version) => request
                .condition_expression("#v = :v AND (attribute_not_exists(#e) OR #e > :now)")
                .expression_attribute_names("#v", VERSION)
                .expression_attribute_names("#e", EXPIRES)
                .expression_attribute_values(":v", AttributeValue::N(version.to_string()))
                .expression_attribute_values(":now", now),
        };
        match Box::pin(request.send()).await {
            Ok(response) => {
                self.usage.add_writes(response.consumed_capacity());
                Ok(true)
            }
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(_)) => Ok(false),
                _ => Err(self.usage.classify(&self.table, "writing a notice", error).into()),
            },
        }
    }
}

impl DynamoDbStore {
    fn not_a_notice(&self, map: &Map) -> StoreError {
        let key = item::key_of(map).map_or_else(|| "without a key".to_owned(), |key| key.to_string());
        let what = format_args!("the notice {key} can't be decoded. Delete the item");
        self.table.error(TableErrorKind::Fatal, what).into()
    }
}

fn partition(topic: &str) -> String {
    format!("{NOTICES}{topic}")
}

fn encode(topic: &str, notice: &Notice) -> Map {
    let mut map = item::key_map(&Key::new(partition(topic), notice.name.clone()));
    map.insert(BODY.to_owned(), AttributeValue::S(notice.body.clone()));
    map.insert(VERSION.to_owned(), AttributeValue::N(notice.version.to_string()));
    if let Some(expires) = notice.expires {
        map.insert(EXPIRES.to_owned(), AttributeValue::N(expires.to_string()));
    }
    map
}

fn decode(map: &Map) -> Option<Notice> {
    let name = item::key_of(map)?.sort.into();
    let body = map.get(BODY)?.as_s().ok()?.clone();
    let version = map.get(VERSION)?.as_n().ok()?.parse().ok()?;
    let expires = match map.get(EXPIRES) {
        Some(expires) => Some(expires.as_n().ok()?.parse().ok()?),
        None => None,
    };
    Some(Notice { name, body, version, expires })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_round_trips() {
        for expires in [None, Some(1_780_000_000)] {
            let notice = Notice { name: "flat@2".into(), body: "{}".into(), version: u64::MAX, expires };
            let map = encode("veto", &notice);
            assert_eq!(item::key_of(&map), Some(Key::new("@rules/veto", "flat@2")));
            assert_eq!(decode(&map), Some(notice));
        }
        assert_eq!(decode(&Map::new()), None);
    }
}
