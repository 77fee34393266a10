//! Services with scripted responses, and requests to them without a client library.

use paceline_testbed::http::{get, post};
use paceline_testbed::scripted::{Scripted, ScriptedResponse};
use serde_json::{Value, json};

#[test]
fn the_script_gives_each_response_or_cuts_the_connection() {
    let mut requests = 0;
    let service = Scripted::start(None, move |operation, body| {
        requests += 1;
        match operation {
            "ListShards" => ScriptedResponse::Json(200, json!({ "request": requests, "body": body })),
            _ => ScriptedResponse::Cut,
        }
    });
    let address = service.endpoint().strip_prefix("http://").unwrap();
    let list_shards = [("X-Amz-Target", "Kinesis_20131202.ListShards")];
    for number in 1..=2 {
        let (status, body) = post(address, "/", &list_shards, br#"{"StreamName":"races"}"#).unwrap();
        let expected = json!({ "request": number, "body": { "StreamName": "races" } });
        assert_eq!((status, serde_json::from_slice::<Value>(&body).unwrap()), (200, expected));
    }
    get(address, "/").unwrap_err();
}
