//! Batches that an event source mapping gave up, as its on-failure destination gets them.
//!
//! A queue gets the batch's position as JSON, by way of a topic within a notification of SNS. A bucket gets the batch's
//! event as well.
//!
//! - `payload`: the records of an event.
//! - `queue`: the messages of a queue in SQS.

mod payload;
#[cfg(feature = "sqs")]
mod queue;

use std::borrow::Cow;

use paceline_pipeline::model::{Batch, NotASequenceNumber, SequenceNumber};
use serde::Deserialize;
use serde_json::value::RawValue;

pub use self::payload::PayloadError;
#[cfg(feature = "sqs")]
pub use self::queue::{Message, Queue, QueueError};

/// A batch that was given up.
#[derive(Debug)]
pub struct GivenUpBatch {
    /// The stream's name.
    pub stream: String,
    /// The stream's region.
    pub region: String,
    /// The shard's id, such as `shardId-000000000000`.
    pub shard: String,
    /// The sequence number of the first record.
    pub first: SequenceNumber,
    /// The sequence number of the last record.
    pub last: SequenceNumber,
    /// The number of records: fewer than from the first to the last one in the shard, if the mapping has a parallelization
    /// factor.
    pub size: usize,
    /// Why it was given up, such as `RetryAttemptsExhausted`.
    pub condition: Option<String>,
    /// The batch's records, if they came with it.
    pub records: Option<Batch>,
}

/// A text is not the record of a batch that was given up.
#[derive(Debug, thiserror::Error)]
pub enum NotGivenUp {
    /// It is not JSON.
    #[error("it is not JSON as an on-failure destination gets it")]
    Json(#[from] serde_json::Error),
    /// It is about something else.
    #[error("it has no `KinesisBatchInfo`: it is not about a batch of a Kinesis stream. Take it out of the queue")]
    OtherSource,
    /// The batch has no records.
    #[error(
        "the batch has no records: it is the end of a tumbling window of {shard}, whose records are not in their groups, \
         and the message does not name them. Process the stream from the window's time on again, by `paceline run` with \
         `start`: ordinal dedup counts each record once"
    )]
    Window {
        /// The shard.
        shard: String,
    },
    /// The stream can't be told.
    #[error("the ARN `{0}` is not of a Kinesis stream")]
    Arn(String),
    /// A position is no position.
    #[error("a position of the batch can't be read")]
    Position(#[from] NotASequenceNumber),
    /// The positions are in the wrong order.
    #[error("the batch of {shard} ends at {last}, before its first record {first}: it is not a record of Lambda's")]
    Reversed {
        /// The shard.
        shard: String,
        /// Where it begins.
        first: SequenceNumber,
        /// Where it ends.
        last: SequenceNumber,
    },
    /// Its records can't be read.
    #[error("the batch's event can't be read")]
    Payload(#[from] PayloadError),
}

/// The members that the forms of a record share, and SNS's.
#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow, rename = "KinesisBatchInfo")]
    batch: Option<BatchInfo<'a>>,
    #[serde(borrow, rename = "requestContext")]
    request: Option<RequestContext<'a>>,
    /// The event, in a bucket.
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    /// A notification's content.
    #[serde(borrow, rename = "Message")]
    message: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchInfo<'a> {
    #[serde(borrow)]
    shard_id: Cow<'a, str>,
    #[serde(borrow)]
    start_sequence_number: Option<Cow<'a, str>>,
    #[serde(borrow)]
    end_sequence_number: Option<Cow<'a, str>>,
    #[serde(default)]
    batch_size: usize,
    #[serde(borrow)]
    stream_arn: Cow<'a, str>,
}

#[derive(Deserialize)]
struct RequestContext<'a> {
    #[serde(borrow)]
    condition: Option<Cow<'a, str>>,
}

impl GivenUpBatch {
    /// Reads a message of a queue, or an object of a bucket.
    ///
    /// # Errors
    ///
    /// It is something else, or a member can't be read.
    pub fn parse(text: &str) -> Result<Self, NotGivenUp> {
        let document: Document<'_> = serde_json::from_str(text)?;
        match (document.batch, document.message) {
            (Some(batch), _) => Self::of(batch, document.request, document.payload),
            (None, Some(message)) => {
                let Document { batch, request, payload, .. } = serde_json::from_str(&message)?;
                Self::of(batch.ok_or(NotGivenUp::OtherSource)?, request, payload)
            }
            (None, None) => Err(NotGivenUp::OtherSource),
        }
    }

    fn of(
        batch: BatchInfo<'_>,
        request: Option<RequestContext<'_>>,
        payload: Option<&RawValue>,
    ) -> Result<Self, NotGivenUp> {
        let arn = &batch.stream_arn;
        // arn:aws:kinesis:eu-west-1:123456789012:stream/alleycat
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let (stream, region) = match parts[..] {
            ["arn", _, "kinesis", region, _, resource] => (resource.strip_prefix("stream/"), region),
            _ => (None, ""),
        };
        let stream = stream.ok_or_else(|| NotGivenUp::Arn(arn.to_string()))?.to_owned();
        let shard = batch.shard_id.into_owned();
        let (Some(first), Some(last)) = (batch.start_sequence_number, batch.end_sequence_number) else {
            return Err(NotGivenUp::Window { shard });
        };
        let (first, last) = (first.parse()?, last.parse()?);
        if first > last {
            return Err(NotGivenUp::Reversed { shard, first, last });
        }
        let records = payload.map(|payload| payload::read(payload, &format!("{stream}/{shard}"))).transpose()?;
        Ok(Self {
            region: region.to_owned(),
            first,
            last,
            size: batch.batch_size,
            condition: request.and_then(|request| request.condition).map(Cow::into_owned),
            records,
            stream,
            shard,
        })
    }
}

#[cfg(test)]
mod tests {
    use paceline_pipeline::ErrorChain;
    use serde_json::{Value, json};

    use super::*;

    /// As Lambda's guide shows it.
    fn document() -> Value {
        json!({
            "requestContext": {
                "requestId": "c9b8fa9f-5a7f-xmpl-af9c-0c604cde93a5",
                "functionArn": "arn:aws:lambda:us-east-2:123456789012:function:myfunction",
                "condition": "RetryAttemptsExhausted",
                "approximateInvokeCount": 1,
            },
            "responseContext": { "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" },
            "version": "1.0",
            "timestamp": "2019-11-14T00:38:06.021Z",
            "KinesisBatchInfo": {
                "shardId": "shardId-000000000001",
                "startSequenceNumber": "49601189658422359378836298521827638475320189012309704722",
                "endSequenceNumber": "49601189658422359378836298522902373528957594348623495186",
                "approximateArrivalOfFirstRecord": "2019-11-14T00:38:04.835Z",
                "approximateArrivalOfLastRecord": "2019-11-14T00:38:05.580Z",
                "batchSize": 500,
                "streamArn": "arn:aws:kinesis:us-east-2:123456789012:stream/mystream",
            },
        })
    }

    fn refused(text: &str) -> String {
        ErrorChain(&GivenUpBatch::parse(text).unwrap_err()).to_string()
    }

    #[test]
    fn a_message_of_a_queue_and_of_a_topic_are_the_same() {
        let message = document().to_string();
        let notification = json!({ "Type": "Notification", "MessageId": "…", "Message": message });
        for text in [message, notification.to_string()] {
            let batch = GivenUpBatch::parse(&text).unwrap();
            assert_eq!((&*batch.stream, &*batch.region), ("mystream", "us-east-2"));
            assert_eq!((&*batch.shard, batch.size), ("shardId-000000000001", 500));
            assert_eq!(batch.first.to_string(), "49601189658422359378836298521827638475320189012309704722");
            assert!(batch.first < batch.last && batch.records.is_none());
            assert_eq!(batch.condition.as_deref(), Some("RetryAttemptsExhausted"));
        }
    }

    #[test]
    fn an_object_of_a_bucket_has_the_records() {
        let record = |sequence: u64, data: &str| {
            json!({
                "kinesis": {
                    "partitionKey": "key", "sequenceNumber": sequence.to_string(), "data": data,
                    "approximateArrivalTimestamp": 1_545_084_650.987,
                },
                "eventSource": "aws:kinesis",
            })
        };
        let event = json!({ "Records": [record(8, "e30="), record(9, "*")] });
        let mut object = document();
        for payload in [json!(event.to_string()), event] {
            object["payload"] = payload;
            let batch = GivenUpBatch::parse(&object.to_string()).unwrap().records.unwrap();
            assert_eq!(&*batch.shard, "mystream/shardId-000000000001");
            assert_eq!(batch.records.len(), 2);
            assert_eq!((batch.payload(0), batch.payload(1)), (&b"{}"[..], &b"*"[..]));
            assert_eq!(batch.records[1].position.sequence, 9.into());
            assert_eq!(batch.records[0].arrival_ms, Some(1_545_084_650_987));
            assert_eq!(batch.undecodable.iter().map(|(record, _)| *record).collect::<Vec<_>>(), [1]);
        }
        object["payload"] = json!("{}");
        assert!(refused(&object.to_string()).contains("the batch's event can't be read: "));
    }

    #[test]
    fn what_is_something_else_is_refused_with_the_reason() {
        assert!(refused("a text").contains("not JSON"));
        let mut reversed = document();
        reversed["KinesisBatchInfo"]["endSequenceNumber"] = json!("7");
        assert!(refused(&reversed.to_string()).contains("ends at 7, before its first record 4960118965842"));
        assert!(refused("{}").contains("KinesisBatchInfo"));
        assert!(refused(r#"{"Type":"Notification","Message":"{}"}"#).contains("KinesisBatchInfo"));
        let mut window = document();
        window["KinesisBatchInfo"]["startSequenceNumber"] = Value::Null;
        assert!(refused(&window.to_string()).contains("tumbling window of shardId-000000000001"));
        let mut other = document();
        other["KinesisBatchInfo"]["streamArn"] = json!("arn:aws:dynamodb:us-east-2:123456789012:table/t/stream/1");
        assert!(refused(&other.to_string()).contains("is not of a Kinesis stream"));
    }
}
