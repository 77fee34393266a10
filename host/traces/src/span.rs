//! A batch and its stages as spans, and their JSON.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// The number of a span's kind.
const INTERNAL: u32 = 1;
const CONSUMER: u32 = 5;
/// The number of the status of a span that failed.
const ERROR: u32 = 2;

/// What is known of a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum Attribute {
    /// A text.
    Text(String),
    /// A number.
    Number(u64),
}

/// The time of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageTime {
    /// The stage's name.
    pub name: &'static str,
    /// When it began.
    pub began: Instant,
    /// When it ended.
    pub ended: Instant,
}

/// A batch, from its records to its commit.
#[derive(Clone, Debug)]
pub struct BatchTrace {
    /// When it began.
    pub began: Instant,
    /// When it was committed or given up.
    pub ended: Instant,
    /// What is known of it, by the names of attributes.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Why it is not committed as a whole.
    pub error: Option<String>,
    /// Its stages.
    pub stages: Vec<StageTime>,
}

impl BatchTrace {
    /// The spans: that of the batch, and those of its stages below it. `now` is the same moment by both clocks.
    pub(crate) fn spans(&self, now: (Instant, SystemTime), random: &mut fastrand::Rng) -> Vec<Value> {
        let trace = format!("{:032x}", random.u128(1..));
        let batch = format!("{:016x}", random.u64(1..));
        let mut attributes: Vec<Value> = self.attributes.iter().map(attribute).collect();
        attributes.push(attribute(&("messaging.system", Attribute::Text("aws_kinesis".to_owned()))));
        let mut root = json!({
            "traceId": trace, "spanId": batch, "name": "batch", "kind": CONSUMER,
            "startTimeUnixNano": nanos(self.began, now), "endTimeUnixNano": nanos(self.ended, now),
            "attributes": attributes
        });
        if let Some(error) = &self.error {
            root["status"] = json!({ "code": ERROR, "message": error });
        }
        let stage = |StageTime { name, began, ended }: &StageTime| {
            json!({
                "traceId": trace, "spanId": format!("{:016x}", random.u64(1..)), "parentSpanId": batch, "name": name,
                "kind": INTERNAL, "startTimeUnixNano": nanos(*began, now), "endTimeUnixNano": nanos(*ended, now)
            })
        };
        let mut spans = vec![root];
        spans.extend(self.stages.iter().map(stage));
        spans
    }
}

fn attribute((key, value): &(&'static str, Attribute)) -> Value {
    let value = match value {
        Attribute::Text(text) => json!({ "stringValue": text }),
        // 64 bits are texts in Protocol Buffers' JSON.
        Attribute::Number(number) => json!({ "intValue": number.to_string() }),
    };
    json!({ "key": key, "value": value })
}

/// Nanoseconds since 1970, as a text.
fn nanos(at: Instant, (now, time): (Instant, SystemTime)) -> String {
    let time = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let ago: Duration = now.saturating_duration_since(at);
    time.saturating_sub(ago).as_nanos().to_string()
}

/// A request to the collector.
pub(crate) fn request(service: &str, spans: Vec<Value>) -> Value {
    let text = |key: &'static str, text: &str| attribute(&(key, Attribute::Text(text.to_owned())));
    let version = env!("CARGO_PKG_VERSION");
    let resource = [text("service.name", service), text("service.version", version)];
    json!({
        "resourceSpans": [{
            "resource": { "attributes": resource },
            "scopeSpans": [{ "scope": { "name": "paceline", "version": version }, "spans": spans }]
        }]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_the_parent_of_its_stages() {
        let (now, time) = (Instant::now(), UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let before = |ms: u64| now.checked_sub(Duration::from_millis(ms)).unwrap();
        let trace = BatchTrace {
            began: before(500),
            ended: before(0),
            attributes: vec![
                ("paceline.records", Attribute::Number(7)),
                ("paceline.shard", Attribute::Text("s".into())),
            ],
            error: Some("why".to_owned()),
            stages: vec![StageTime { name: "load", began: before(400), ended: before(100) }],
        };
        let spans = trace.spans((now, time), &mut fastrand::Rng::with_seed(1));
        let [batch, load] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!((&batch["name"], &batch["kind"], batch.get("parentSpanId")), (&json!("batch"), &json!(5), None));
        assert_eq!(batch["startTimeUnixNano"], "1699999999500000000");
        assert_eq!(batch["endTimeUnixNano"], "1700000000000000000");
        assert_eq!(batch["attributes"][0], json!({ "key": "paceline.records", "value": { "intValue": "7" } }));
        assert_eq!(batch["status"], json!({ "code": 2, "message": "why" }));
        assert_eq!(
            (&load["name"], &load["parentSpanId"], &load["traceId"]),
            (&json!("load"), &batch["spanId"], &batch["traceId"])
        );
        assert_eq!(load["startTimeUnixNano"], "1699999999600000000");
        let id = |id: &Value| id.as_str().unwrap().len();
        assert_eq!((id(&batch["traceId"]), id(&batch["spanId"])), (32, 16));
    }
}
