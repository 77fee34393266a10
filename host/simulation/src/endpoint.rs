//! Kinesis as the AWS SDK reaches it: the requests of a consumer that polls, in the JSON of the service, answered by the
//! stream in memory.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use paceline_aws::kinesis::{PolledFrom, PolledStream, Refusal};
use serde_json::{Value, json};

use crate::http::{Service, response};
use crate::kinesis::SimulatedStream;
use crate::request::Request;
use crate::shapes::{child, listed, record, seconds};
use crate::subscription::Subscription;
use crate::world::World;

/// The most shards of an answer.
const SHARDS: usize = 2;

/// The stream as one life of a host reaches it.
pub(crate) struct Endpoint {
    world: Arc<World>,
    stream: Arc<SimulatedStream>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endpoint")
    }
}

impl Endpoint {
    pub(crate) fn new(world: Arc<World>, stream: Arc<SimulatedStream>) -> Self {
        Self { world, stream }
    }

    async fn execute(&self, Request { operation, body }: &Request) -> Result<Value, Refusal> {
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        let invalid = Refusal { code: "ValidationException", status: 400 };
        let missing = Refusal { code: "ResourceNotFoundException", status: 400 };
        match operation.as_str() {
            "DescribeStreamSummary" => {
                let (created_ms, hours) = self.stream.describe().await?;
                let name = text("StreamName");
                Ok(json!({ "StreamDescriptionSummary": {
                    "StreamName": name,
                    "StreamARN": format!("arn:aws:kinesis:eu-west-1:123456789012:stream/{name}"),
                    "StreamStatus": "ACTIVE",
                    "RetentionPeriodHours": hours,
                    "StreamCreationTimestamp": seconds(created_ms),
                    "EnhancedMonitoring": [],
                    "OpenShardCount": 1,
                }}))
            }
            "ListShards" => {
                // A token is how many shards came before.
                let from = text("NextToken").parse().unwrap_or(0);
                let shards = self.stream.list_shards().await?;
                let page: Vec<Value> = shards.iter().skip(from).take(SHARDS).map(listed).collect();
                let next = from + page.len();
                Ok(match next < shards.len() {
                    true => json!({ "Shards": page, "NextToken": next.to_string() }),
                    false => json!({ "Shards": page }),
                })
            }
            "GetShardIterator" => {
                let timestamp = body.get("Timestamp");
                let from = position(text("ShardIteratorType"), text("StartingSequenceNumber"), timestamp);
                let iterator = self.stream.get_iterator(text("ShardId"), from.ok_or(invalid)?).await?;
                Ok(json!({ "ShardIterator": iterator }))
            }
            "DescribeStreamConsumer" => {
                self.stream.describe().await?;
                let nth = self.world.registered().ok_or(missing)?;
                let mut description = consumer(body, nth, self.stream.now_ms());
                description["StreamARN"] = text("StreamARN").into();
                Ok(json!({ "ConsumerDescription": description }))
            }
            "RegisterStreamConsumer" => {
                self.stream.describe().await?;
                let is_new = self.world.register();
                self.world.trace(format_args!("the consumer is registered; it is new: {is_new}"));
                let nth = self.world.registered().filter(|_| is_new);
                let nth = nth.ok_or(Refusal { code: "ResourceInUseException", status: 400 })?;
                Ok(json!({ "Consumer": consumer(body, nth, self.stream.now_ms()) }))
            }
            "GetRecords" => {
                let limit = body.get("Limit").and_then(Value::as_u64).ok_or(invalid)?;
                let found = self.stream.get_records(text("ShardIterator"), limit as usize).await?;
                let records: Vec<Value> = found.records.iter().map(record).collect();
                let mut answer = json!({ "Records": records, "MillisBehindLatest": found.behind_ms });
                if let Some(next) = found.next {
                    answer["NextShardIterator"] = next.into();
                }
                if !found.children.is_empty() {
                    answer["ChildShards"] = found.children.iter().map(child).collect();
                }
                Ok(answer)
            }
            _ => Err(invalid),
        }
    }

    /// A subscription to a shard. A consumer has one at a time: the one before ends, unless it is new.
    async fn subscribe(&self, Request { body, .. }: &Request) -> Result<HttpResponse, Refusal> {
        let shard = body.get("ShardId").and_then(Value::as_str).unwrap_or_default();
        let start = body.get("StartingPosition").unwrap_or(&Value::Null);
        let text = |name: &str| start.get(name).and_then(Value::as_str).unwrap_or_default();
        let from = position(text("Type"), text("SequenceNumber"), start.get("Timestamp"));
        let from = from.ok_or(Refusal { code: "InvalidArgumentException", status: 400 })?;
        let iterator = self.stream.get_iterator(shard, from).await?;
        let arn = body.get("ConsumerARN").and_then(Value::as_str).unwrap_or_default();
        let consumer = self.world.registered().filter(|nth| arn.ends_with(&format!(":{nth}")));
        let consumer = consumer.ok_or(Refusal { code: "ResourceNotFoundException", status: 400 })?;
        let in_use = Refusal { code: "ResourceInUseException", status: 400 };
        let subscribed = self.world.subscribe(shard);
        self.world.trace(format_args!("subscription to {shard}: {subscribed:?}"));
        let id = subscribed.ok_or(in_use)?;
        let subscription = Subscription { world: Arc::clone(&self.world), shard: shard.to_owned(), consumer, id };
        Ok(HttpResponse::new(
            StatusCode::try_from(200).expect("it is one"),
            subscription.events(Arc::clone(&self.stream), iterator),
        ))
    }

    /// What the host sees of a request that failed.
    async fn refuse(&self, Refusal { code, status }: Refusal) -> Result<HttpResponse, ConnectorError> {
        match (status, self.world.below(4)) {
            (500.., 0) => Err(ConnectorError::io("connection reset by peer".into())),
            // Nothing comes, until the client gives up.
            (500.., 1) => std::future::pending().await,
            (500.., 2) => Ok(response(200, br#"{"Records":[{"Seq"#.to_vec())),
            _ => Ok(response(status, json!({ "__type": code, "message": "not now" }).to_string().into_bytes())),
        }
    }
}

impl Service for Endpoint {
    async fn answer(self: Arc<Self>, request: Request) -> Result<HttpResponse, ConnectorError> {
        let answered = match request.operation.as_str() {
            "SubscribeToShard" => self.subscribe(&request).await,
            _ => self.execute(&request).await.map(|body| response(200, body.to_string().into_bytes())),
        };
        let mut answer = match answered {
            Ok(answer) => answer,
            Err(refusal) => self.refuse(refusal).await?,
        };
        let now = UNIX_EPOCH + Duration::from_millis(self.stream.now_ms() as u64);
        if let Ok(date) = DateTime::from(now).fmt(Format::HttpDate) {
            answer.headers_mut().insert("date", date);
        }
        Ok(answer)
    }
}

/// The consumer that was registered after so many others.
fn consumer(request: &Value, nth: usize, now_ms: i64) -> Value {
    let text = |name: &str| request.get(name).and_then(Value::as_str).unwrap_or_default();
    json!({
        "ConsumerName": text("ConsumerName"),
        "ConsumerARN": format!("{}/consumer/{}:{nth}", text("StreamARN"), text("ConsumerName")),
        "ConsumerStatus": "ACTIVE",
        "ConsumerCreationTimestamp": seconds(now_ms),
    })
}

/// Where in a shard to begin.
fn position<'b>(kind: &str, sequence: &'b str, timestamp: Option<&Value>) -> Option<PolledFrom<'b>> {
    match (kind, timestamp.and_then(Value::as_f64)) {
        ("TRIM_HORIZON", _) => Some(PolledFrom::TrimHorizon),
        ("AT_SEQUENCE_NUMBER", _) => Some(PolledFrom::AtSequence(sequence)),
        ("AFTER_SEQUENCE_NUMBER", _) => Some(PolledFrom::After(sequence)),
        ("AT_TIMESTAMP", Some(seconds)) => Some(PolledFrom::At((seconds * 1_000.0).round() as i64)),
        _ => None,
    }
}
