//! A fake Kinesis with one shard. A test's script decides which requests fail: partially or completely, before or after
//! the records are accepted.

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

/// The reply to a `PutRecords`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reply {
    Accept,
    /// Every nth entry, counted from 0, is throttled; the others are accepted.
    ThrottleEvery(usize),
    /// No entry is accepted. The reply has this HTTP status and error code.
    Fail(u16, &'static str),
    /// The connection is closed before any entry is accepted.
    ResetBefore,
    /// All entries are accepted, and the connection is closed without a reply.
    ResetAfter,
}

/// The requests so far.
#[derive(Default)]
pub(crate) struct RequestLog {
    /// The accepted entries: partition keys and data, in order.
    pub(crate) accepted: Vec<(String, Vec<u8>)>,
    /// How many of the accepted entries had no reply.
    pub(crate) accepted_unanswered: usize,
    /// How many entries were throttled one by one, not with their request.
    pub(crate) throttled: u64,
    /// The number of `PutRecords` requests.
    pub(crate) puts: usize,
    /// The number of `DescribeStreamSummary` requests.
    pub(crate) describes: usize,
}

/// The fake service. It ends with the test process.
pub(crate) struct FakeKinesis {
    pub(crate) endpoint: String,
    log: Arc<Mutex<RequestLog>>,
}

/// The reply to the nth `PutRecords`, counted from 0.
type Script = fn(usize) -> Reply;

/// The stream's status in the nth `DescribeStreamSummary`, counted from 0.
type Status = fn(usize) -> &'static str;

impl FakeKinesis {
    pub(crate) fn start(status: Status, script: Script) -> Self {
        let log = Arc::new(Mutex::new(RequestLog::default()));
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let state = Arc::clone(&log);
        std::thread::spawn(move || {
            crate::support::block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                sender.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let (connection, _) = listener.accept().await.unwrap();
                    let state = Arc::clone(&state);
                    tokio::spawn(async move {
                        let service = service_fn(|request| answer(request, &state, status, script));
                        // A `ConnectionReset` is an error here.
                        let _ = http1::Builder::new().serve_connection(TokioIo::new(connection), service).await;
                    });
                }
            })
        });
        Self { endpoint: format!("http://{}", receiver.recv().unwrap()), log }
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, RequestLog> {
        self.log.lock().unwrap()
    }
}

/// The server closes the connection instead of replying.
#[derive(Debug)]
struct ConnectionReset;

impl std::fmt::Display for ConnectionReset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("connection reset")
    }
}

impl std::error::Error for ConnectionReset {}

async fn answer(
    request: Request<Incoming>,
    log: &Mutex<RequestLog>,
    status: Status,
    script: Script,
) -> Result<Response<Full<Bytes>>, ConnectionReset> {
    let target = request.headers()["x-amz-target"].to_str().unwrap().to_owned();
    let body = request.into_body().collect().await.map_err(|_| ConnectionReset)?.to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    let mut log = log.lock().unwrap();
    match target.rsplit('.').next().unwrap() {
        "DescribeStreamSummary" => {
            log.describes += 1;
            Ok(respond(
                200,
                json!({ "StreamDescriptionSummary": {
                    "StreamName": body["StreamName"],
                    "StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/fake",
                    "StreamStatus": status(log.describes - 1),
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
            log.puts += 1;
            let reply = script(log.puts - 1);
            put_records(&mut log, &body, reply)
        }
        other => panic!("the fake does not support {other}"),
    }
}

fn put_records(log: &mut RequestLog, body: &Value, reply: Reply) -> Result<Response<Full<Bytes>>, ConnectionReset> {
    match reply {
        Reply::ResetBefore => return Err(ConnectionReset),
        Reply::Fail(status, code) => {
            return Ok(respond(status, json!({ "__type": code, "message": "scripted by the test" })));
        }
        _ => {}
    }
    let mut results = Vec::new();
    for (at, entry) in body["Records"].as_array().unwrap().iter().enumerate() {
        if let Reply::ThrottleEvery(nth) = reply
            && at % nth == 0
        {
            log.throttled += 1;
            let code = "ProvisionedThroughputExceededException";
            results.push(json!({ "ErrorCode": code, "ErrorMessage": "Rate exceeded for shard" }));
            continue;
        }
        let key = entry["PartitionKey"].as_str().unwrap().to_owned();
        log.accepted.push((key, base64::decode(entry["Data"].as_str().unwrap().as_bytes()).unwrap()));
        let number = log.accepted.len().to_string();
        results.push(json!({ "SequenceNumber": number, "ShardId": "shardId-000000000000" }));
    }
    if matches!(reply, Reply::ResetAfter) {
        log.accepted_unanswered += results.len();
        return Err(ConnectionReset);
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
