//! A Kinesis with one shard that fails by a test's script: partially, completely, before or after it accepted the records.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use paceline_aws::base64;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What becomes of a `PutRecords`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Take,
    /// Each nth entry, counted from 0, is throttled.
    ThrottleEach(usize),
    /// Nothing is taken, and this is the answer: a status and a code.
    Refuse(u16, &'static str),
    /// The connection is cut before anything is taken.
    CutBefore,
    /// All is taken, and the connection is cut.
    CutAfter,
}

/// What it has seen.
#[derive(Default)]
pub(crate) struct Seen {
    /// What was taken: partition keys and data, in order.
    pub(crate) taken: Vec<(String, Vec<u8>)>,
    /// How many of those were taken without an answer.
    pub(crate) taken_unheard: usize,
    /// Entries that were throttled.
    pub(crate) throttled: u64,
    /// Calls of `PutRecords`, and of `DescribeStreamSummary`.
    pub(crate) puts: usize,
    pub(crate) described: usize,
}

/// The fake. It ends with the test.
pub(crate) struct FakeKinesis {
    pub(crate) endpoint: String,
    seen: Arc<Mutex<Seen>>,
}

/// What happens to the nth call of `PutRecords`.
type Script = fn(usize) -> Act;

/// What the stream's status is at the nth description.
type Status = fn(usize) -> &'static str;

impl FakeKinesis {
    pub(crate) fn start(status: Status, script: Script) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let state = Arc::clone(&seen);
        std::thread::spawn(move || {
            crate::support::block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                sender.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let (connection, _) = listener.accept().await.unwrap();
                    let state = Arc::clone(&state);
                    tokio::spawn(async move {
                        let service = service_fn(|request| answer(request, &state, status, script));
                        // A connection that is cut is an error here.
                        let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
                    });
                }
            })
        });
        Self { endpoint: format!("http://{}", receiver.recv().unwrap()), seen }
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }
}

/// The connection is cut.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut")
    }
}

impl std::error::Error for Cut {}

async fn answer(
    request: Request<Incoming>,
    seen: &Mutex<Seen>,
    status: Status,
    script: Script,
) -> Result<Response<Full<Bytes>>, Cut> {
    let target = request.headers()["x-amz-target"].to_str().unwrap().to_owned();
    let body = request.into_body().collect().await.map_err(|_| Cut)?.to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let mut seen = seen.lock().unwrap();
    match target.rsplit('.').next().unwrap() {
        "DescribeStreamSummary" => {
            seen.described += 1;
            Ok(respond(
                200,
                json!({ "StreamDescriptionSummary": {
                    "StreamName": body["StreamName"],
                    "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/fake",
                    "StreamStatus": status(seen.described - 1),
                    "RetentionPeriodHours": 24,
                    "StreamCreationTimestamp": 1_620_992_101,
                    "EnhancedMonitoring": [],
                    "OpenShardCount": 1,
                }}),
            ))
        }
        "ListShards" => Ok(respond(
            200,
            json!({ "Shards": [{
                "ShardId": "shardId-000000000000",
                "HashKeyRange": { "StartingHashKey": "0", "EndingHashKey": u128::MAX.to_string() },
                "SequenceNumberRange": { "StartingSequenceNumber": "1" },
            }]}),
        )),
        "PutRecords" => {
            seen.puts += 1;
            let act = script(seen.puts - 1);
            put_records(&mut seen, &body, act)
        }
        other => panic!("nothing is known of {other}"),
    }
}

fn put_records(seen: &mut Seen, body: &Value, act: Act) -> Result<Response<Full<Bytes>>, Cut> {
    match act {
        Act::CutBefore => return Err(Cut),
        Act::Refuse(status, code) => {
            return Ok(respond(status, json!({ "__type": code, "message": "as the test says" })));
        }
        _ => {}
    }
    let mut results = Vec::new();
    for (at, entry) in body["Records"].as_array().unwrap().iter().enumerate() {
        if let Act::ThrottleEach(nth) = act
            && at % nth == 0
        {
            seen.throttled += 1;
            let code = "ProvisionedThroughputExceededException";
            results.push(json!({ "ErrorCode": code, "ErrorMessage": "Rate exceeded for shard" }));
            continue;
        }
        let key = entry["PartitionKey"].as_str().unwrap().to_owned();
        seen.taken.push((key, base64::decode(entry["Data"].as_str().unwrap().as_bytes()).unwrap()));
        let number = seen.taken.len().to_string();
        results.push(json!({ "SequenceNumber": number, "ShardId": "shardId-000000000000" }));
    }
    if matches!(act, Act::CutAfter) {
        seen.taken_unheard += results.len();
        return Err(Cut);
    }
    let failed = results.iter().filter(|result| !result["ErrorCode"].is_null()).count();
    Ok(respond(200, json!({ "FailedRecordCount": failed, "Records": results })))
}

fn respond(status: u16, body: Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.to_string().into()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert("content-type", "application/x-amz-json-1.1".parse().unwrap());
    response
}
