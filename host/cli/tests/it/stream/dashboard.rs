//! The dashboard of a running consumer.

use paceline_simulator::PartitionKey;
use paceline_testbed::outcome::DedupMode;
use paceline_testbed::{dynamodb, environment, kinesis, require};
use serde_json::Value;

use crate::stream::deployment::{Deployment, Running};
use crate::stream::race::messages;

const LEADERBOARD: &str = r#"
[leaderboard.race]
partition = "race-{race}"
order-by = "output"
tie = "racerId"
show = ["racerId", "output"]
"#;

/// Starts the consumer. CloudWatch and the others are moto's.
fn start(deployment: &Deployment) -> Running {
    let moto = std::env::var(environment::MOTO_ENDPOINT).unwrap();
    deployment.start_with(&kinesis::endpoint(), &dynamodb::endpoint(), &[("AWS_ENDPOINT_URL", &moto)])
}

fn status(running: &mut Running, path: &str) -> Value {
    let (status, text) = running.get(path);
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn it_shows_what_the_consumer_does() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, Moto);
    let deployment = Deployment::new(DedupMode::Ordinal, 2);
    deployment.configure("", LEADERBOARD);
    let mut running = start(&deployment);
    running.wait_until_ready();
    deployment.put(&messages(PartitionKey::Racer, 5));
    deployment.wait_until_done();

    let document = status(&mut running, "/status.json");
    assert_eq!(document["deployment"], deployment.stream.name(), "{document:#}");
    let shards = document["stream"]["shards"].as_array().unwrap();
    assert_eq!(shards.len(), 2, "{document:#}");
    assert!(shards.iter().all(|shard| shard["state"] == "reading"), "{document:#}");
    assert_eq!(document["rules"]["race-types"]["3"]["current"], "class-3@1", "{document:#}");
    let letters = &deployment.outcome().dead_letters;
    let by_reason = document["dead-letters"]["by-reason"].as_object().unwrap();
    let total: u64 = by_reason.values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(total, letters.len() as u64, "{document:#}");
    let races = document["races"].as_array().unwrap();
    assert!(races.iter().any(|race| race["class"] == "3" && race["race"].is_string()), "{document:#}");
    let ids = races.iter().filter(|race| race["class"] == "3").filter_map(|race| race["race"].as_str());
    let boards: Vec<Value> = ids
        .map(|race| status(&mut running, &format!("/status.json?class=3&race={race}"))["leaderboard"].take())
        .collect();
    let rows = |board: &Value| board["standings"]["rows"].as_array().map_or(0, Vec::len);
    assert!(boards.iter().any(|board| rows(board) > 1), "{boards:#?}");
    assert!(document["verdict"]["line"].is_string(), "{document:#}");
    let findings = document["verdict"]["findings"].as_array().unwrap().iter();
    let commands = findings.flat_map(|finding| finding["commands"].as_array().unwrap());
    let list = commands.filter_map(Value::as_str).find(|command| command.starts_with("paceline dead-letters list"));
    let file = deployment.path("paceline.toml");
    assert_eq!(list, Some(format!("paceline dead-letters list --config {}", file.display()).as_str()), "{document:#}");

    let (code, page) = running.get("/");
    assert_eq!(code, 200);
    assert!(page.contains(deployment.stream.name()) && page.contains("class-3@1"), "{page}");
    let id = document["dead-letters"]["newest"][0]["id"].as_str().unwrap();
    let (code, page) = running.get(&format!("/dead-letters/{id}"));
    assert_eq!(code, 200, "{page}");
    assert_eq!(running.get("/dead-letters/nothing").0, 404);
    assert_eq!(running.get("/metrics").0, 200);
    running.stop();
}

/// Who reaches another address than loopback may read payloads only if the operator says so.
#[test]
fn it_is_served_where_the_operator_wants_it() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, Moto);
    let deployment = Deployment::new(DedupMode::Ordinal, 1);
    let config = std::fs::read_to_string(deployment.path("paceline.toml")).unwrap();
    deployment.write("paceline.toml", &config.replace("\n[serve]\n", "\n[serve]\ndashboard = false\n"));
    let mut running = start(&deployment);
    running.wait_until_ready();
    assert_eq!(running.get("/").0, 404);
    assert_eq!(running.get("/status.json").0, 404);
    assert_eq!(running.get("/healthz").0, 200);
    running.stop();
}
