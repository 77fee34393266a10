//! Invalid events and invalid set-ups: each error states what happened, where and what to do, and no record is lost.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::time::Duration;

use paceline_aws::dynamodb::table::{Billing, create};
use paceline_aws::dynamodb::{DynamoDbConfig, client};
use paceline_pipeline::ErrorChain;
use paceline_pipeline::model::{Cause, DeadLetter};
use paceline_pipeline::store::DeadLetterStore;
use paceline_simulator::{PartitionKey, Race};
use paceline_testbed::assertions::assert_contains;
use paceline_testbed::dynamodb::endpoint;
use paceline_testbed::lambda::{Configuration, Function, Invocation};
use paceline_testbed::mapping::Mapping;
use paceline_testbed::require;
use serde_json::{Value, json};

use crate::support::{
    DedupMode, Deployment, all_committed, beat, block_on, dynamodb, error_message, event, event_of, messages, race,
    record, response, rulebook, sequence, stream,
};

/// Longer than any invocation takes.
const TIMEOUT: Duration = Duration::from_secs(60);

fn letters(deployment: &Deployment) -> Vec<DeadLetter> {
    block_on(deployment.store().list_dead_letters()).unwrap()
}

/// Three valid messages.
fn valid() -> Vec<Vec<u8>> {
    (1..=3).map(|racer| beat(racer, 1, 60).to_string().into_bytes()).collect()
}

fn event_with(payloads: &[Vec<u8>]) -> Vec<u8> {
    event_of(payloads.iter().map(Vec::as_slice))
}

/// Asserts that an event fails, with a message that contains all these parts.
#[track_caller]
fn fails(function: &Function, event: Vec<u8>, parts: &[&str]) {
    let message = error_message(function.invoke(event, TIMEOUT));
    assert_contains(&message, parts);
    // The log has it as well. The message is escaped there, but its first words have no special characters.
    let first = message.split(['"', '\\', '\n']).next().unwrap_or_default();
    assert!(function.wait_for_log(first, TIMEOUT), "`{first}` is not in the log:\n{}", function.logs());
}

/// Asserts that these payloads are committed with the outcome of the local run.
fn completes(deployment: &Deployment, function: &Function, payloads: &[Vec<u8>]) {
    assert_eq!(response(function.invoke(event_with(payloads), TIMEOUT)), all_committed());
    deployment.outcome().must_be(&deployment.local(&messages(payloads.iter().map(Vec::as_slice))), "delivered again");
}

fn create_tables(config: &DynamoDbConfig) {
    block_on(async {
        let client = client(config).await.unwrap();
        create(&client, config, Billing::OnDemand).await.unwrap();
    });
}

// ---- Events

#[test]
fn an_event_of_another_service_is_rejected_and_the_next_batch_is_committed() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let sqs = json!({ "Records": [{
        "messageId": "059f36b4-87a3-44ab-83d2-661975830a7d", "receiptHandle": "AQEB", "body": "{}",
        "attributes": {}, "messageAttributes": {}, "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:queue", "awsRegion": "us-east-1",
    }]});
    let s3 = json!({ "Records": [{
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1", "eventName": "ObjectCreated:Put",
        "s3": { "bucket": { "name": "alleycat" }, "object": { "key": "class-1.gz" } },
    }]});
    let sns = json!({ "Records": [{ "EventSource": "aws:sns", "EventVersion": "1.0", "Sns": { "Message": "{}" } }] });
    let stream_of_table = json!({ "Records": [{
        "eventID": "1", "eventName": "INSERT", "eventSource": "aws:dynamodb", "dynamodb": { "Keys": {} },
    }]});
    let no_records = "This function processes batches of a Kinesis stream: check that an event source mapping";
    let cases: [(Value, &[&str]); 10] = [
        (sqs, &["Records[0].eventSource is aws:sqs, not aws:kinesis", "check its event source mappings"]),
        (s3, &["Records[0].eventSource is aws:s3, not aws:kinesis", "check its event source mappings"]),
        (sns, &["Records[0].eventSource is aws:sns, not aws:kinesis", "check its event source mappings"]),
        (stream_of_table, &["Records[0].eventSource is aws:dynamodb", "check its event source mappings"]),
        (json!({}), &["no `Records`", "an empty object", no_records]),
        (json!({ "key1": "value1", "key2": "value2" }), &["an object with the keys `key1`, `key2`", no_records]),
        (json!([1, 2]), &["no `Records`", "it is an array", no_records]),
        (json!(17), &["no `Records`", "it is a number", no_records]),
        (json!("hello"), &["no `Records`", "it is a string", no_records]),
        (Value::Null, &["no `Records`", "it is null", no_records]),
    ];
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    for (event, parts) in cases {
        fails(&function, event.to_string().into_bytes(), parts);
    }
    completes(&deployment, &function, &valid());
    assert_eq!(function.started(), 1, "no event ended an instance");
}

#[test]
fn data_that_is_not_base64_is_a_dead_letter_and_its_neighbours_are_committed() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    let payloads = valid();
    let mut records: Vec<Value> = payloads.iter().enumerate().map(|(at, payload)| record(at, payload)).collect();
    records[1]["kinesis"]["data"] = json!("{\"naïve\": *}");
    assert_eq!(response(function.invoke(event(&records), TIMEOUT)), all_committed());
    let letters = letters(&deployment);
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!(letter.reason.cause, Cause::Undecodable);
    assert_eq!(String::from_utf8_lossy(&letter.payload), "{\"naïve\": *}");
    assert_eq!(letter.position.sequence.to_string(), sequence(1));
    assert!(letter.reason.text.contains("the data is not base64: unexpected '{' at byte 0"), "{}", letter.reason.text);
    let neighbours = messages([&payloads[0], &payloads[2]].map(Vec::as_slice));
    assert_eq!(deployment.outcome().items, deployment.local(&neighbours).items);
}

#[test]
fn a_sequence_number_that_is_not_a_number_fails_the_event_and_names_the_record() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    let payloads = valid();
    for (wrong, shown) in [
        (json!("forty-nine"), "`forty-nine` is not a sequence number"),
        (json!("-1"), "`-1` is not a sequence number"),
        (json!(""), "`` is not a sequence number"),
        (json!("9".repeat(60)), "a decimal of at most 192 bits"),
    ] {
        let mut records: Vec<Value> = payloads.iter().enumerate().map(|(at, payload)| record(at, payload)).collect();
        records[2]["kinesis"]["sequenceNumber"] = wrong;
        // It would be taken instead.
        records[2]["eventID"] = json!("shardId-000000000000:of-a-kit");
        fails(&function, event(&records), &["Records[2].kinesis.sequenceNumber", shown]);
    }
    assert!(deployment.outcome().items.is_empty(), "none of its records is processed");
    completes(&deployment, &function, &payloads);
}

#[test]
fn an_empty_batch_succeeds_with_an_empty_list() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    assert_eq!(response(function.invoke(event(&[]), TIMEOUT)), all_committed());
    completes(&deployment, &function, &valid());
}

#[test]
fn a_batch_of_6_megabytes_is_committed_in_one_invocation() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    // More messages than fit in an event.
    let messages = race(&Race {
        racers: 900,
        seconds: 10,
        class: 3,
        race: 131,
        seed: 3,
        key: PartitionKey::Random,
        errors: 0.0,
        duplicates: 0.0,
    });
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    let sizes = Mutex::new(Vec::new());
    let measured = |event: Vec<u8>, timeout: Duration| -> Invocation {
        sizes.lock().unwrap().push(event.len());
        function.invoke(event, timeout)
    };
    let mapping = Mapping { batch_size: 10_000, report_batch_item_failures: true, ..Mapping::default() };
    let report = mapping.run(&stream(&messages, 1), &measured);
    let sizes = sizes.into_inner().unwrap();
    assert!(sizes[0] > (6 << 20) - 2_000 && sizes.len() == 2, "{sizes:?}");
    assert_eq!((report.retries, report.function_errors, report.timeouts), (0, 0, 0), "{}", function.logs());
    deployment.outcome().must_be(&deployment.local(&messages), "6 MB");
}

#[test]
fn a_payload_of_300_kibibytes_is_a_dead_letter_with_all_its_bytes() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let mut long = beat(9, 1, 60);
    long["name"] = json!("x".repeat(300 << 10));
    let long = long.to_string().into_bytes();
    let mut payloads = valid();
    payloads.insert(1, long.clone());
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    completes(&deployment, &function, &payloads);
    let letters = letters(&deployment);
    let [letter] = &letters[..] else { panic!("{} dead letters", letters.len()) };
    assert_eq!((letter.reason.cause, letter.cut_from), (Cause::TooLarge, None));
    assert!(letter.payload == long, "{} bytes of {}", letter.payload.len(), long.len());
    assert!(letter.reason.text.contains(&long.len().to_string()), "{}", letter.reason.text);
}

#[test]
fn a_window_state_of_another_writer_fails_the_event_with_a_remedy() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    let payloads = valid();
    let window = |state: Value, is_final: bool| {
        let mut event: Value = serde_json::from_slice(&event_with(if is_final { &[] } else { &payloads })).unwrap();
        event["window"] = json!({ "start": "2021-05-05T18:51:00Z", "end": "2021-05-05T18:51:15Z" });
        event["state"] = state;
        event["shardId"] = json!("shardId-000000000000");
        event["eventSourceARN"] = json!("arn:aws:kinesis:us-east-1:123456789012:stream/alleycat");
        event["isFinalInvokeForWindow"] = json!(is_final);
        event["isWindowTerminatedEarly"] = json!(false);
        event.to_string().into_bytes()
    };
    for state in [json!({ "paceline": 282 }), json!({ "paceline": "*" }), json!({ "paceline": "AAAA" }), json!(7)] {
        fails(
            &function,
            window(state, false),
            &[
                "this window state was not written by this function",
                "delete the event source mapping and create it again",
            ],
        );
    }
    assert!(deployment.outcome().items.is_empty());
    // The new mapping begins without a state.
    let accumulated = response(function.invoke(window(json!({}), false), TIMEOUT));
    assert_eq!(response(function.invoke(window(accumulated["state"].clone(), true), TIMEOUT))["state"], json!({}));
    deployment.outcome().must_be(&deployment.local(&messages(payloads.iter().map(Vec::as_slice))), "after the repair");
}

// ---- Tables

#[test]
fn a_missing_table_is_named_and_its_creation_repairs_the_function() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::without_tables(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    let named = format!("the DynamoDB table `{}`", deployment.table.table);
    let parts = [named.as_str(), "there is no such table", "paceline table create --config"];
    fails(&function, event_with(&valid()), &parts);
    create_tables(&deployment.table);
    completes(&deployment, &function, &valid());
}

#[test]
fn a_table_with_other_keys_is_named_and_the_right_one_repairs_the_function() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::without_tables(DedupMode::Ordinal);
    let table = &deployment.table.table;
    let keys = json!({
        "TableName": table, "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{ "AttributeName": "raceId", "AttributeType": "S" }],
        "KeySchema": [{ "AttributeName": "raceId", "KeyType": "HASH" }],
    });
    dynamodb("CreateTable", &keys);
    let function = deployment.function(&endpoint());
    let named = format!("the DynamoDB table `{table}`");
    fails(&function, event_with(&valid()), &[&named, "paceline table check --config"]);
    dynamodb("DeleteTable", &json!({ "TableName": table }));
    create_tables(&deployment.table);
    completes(&deployment, &function, &valid());
}

#[test]
fn a_missing_table_of_dead_letters_is_named_when_it_is_needed() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let table = deployment.table.dead_letter_table();
    dynamodb("DeleteTable", &json!({ "TableName": table }));
    let function = deployment.function(&endpoint());
    // Without a dead letter it is not used.
    assert_eq!(response(function.invoke(event_with(&valid()), TIMEOUT)), all_committed());
    let mut payloads: Vec<Vec<u8>> = (1..=3).map(|racer| beat(racer, 2, 60).to_string().into_bytes()).collect();
    payloads.insert(1, b"no JSON".to_vec());
    let named = format!("the DynamoDB table `{table}`");
    fails(&function, event_with(&payloads), &[&named, "there is no such table", "paceline table create --config"]);
    create_tables(&deployment.table);
    assert_eq!(response(function.invoke(event_with(&payloads), TIMEOUT)), all_committed());
    let all: Vec<Vec<u8>> = valid().into_iter().chain(payloads).collect();
    deployment.outcome().must_be(&deployment.local(&messages(all.iter().map(Vec::as_slice))), "after the repair");
}

// ---- Credentials

/// The configuration of a function without credentials.
fn without_credentials(deployment: &Deployment) -> Configuration {
    let script = format!(
        "#!/bin/sh\nunset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_PROFILE\nexec {:?}\n",
        env!("CARGO_BIN_EXE_bootstrap")
    );
    deployment.write("without-credentials", &script);
    let path = deployment.path("without-credentials");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut configuration = deployment.configuration(&endpoint());
    configuration.bootstrap = path;
    // Without a profile, and without the metadata service, whose time-out takes a second or more.
    let home = deployment.path("").to_str().unwrap().to_owned();
    configuration.env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", home)
}

#[test]
fn missing_credentials_are_reported_with_where_to_set_them() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = Function::new(without_credentials(&deployment)).unwrap();
    let parts = ["needs credentials, and there are none", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"];
    fails(&function, event_with(&valid()), &parts);
    completes(&deployment, &deployment.function(&endpoint()), &valid());
}

/// Starts a server that responds to every request as DynamoDB does to unknown credentials. Returns its address.
fn refusing() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    // The thread ends with the test's process.
    std::thread::spawn(move || listener.incoming().for_each(|stream| refuse(stream.unwrap()).unwrap_or(())));
    format!("http://{address}")
}

fn refuse(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer)?;
        request.extend_from_slice(&buffer[..read]);
        let Some(head) = request.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
        let length = text.split("content-length:").nth(1).and_then(|rest| rest.lines().next()?.trim().parse().ok());
        if read == 0 || request.len() >= head + 4 + length.unwrap_or(0) {
            break;
        }
    }
    let body = r#"{"__type":"com.amazon.coral.service#UnrecognizedClientException","message":"The security token included in the request is invalid."}"#;
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 400 Bad Request\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

#[test]
fn rejected_credentials_are_reported_with_dynamodbs_message() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&refusing());
    let named = format!("the DynamoDB table `{}`", deployment.table.table);
    let parts = [
        &named,
        "the credentials are not accepted (UnrecognizedClientException: ",
        "The security token included in the request is invalid",
        "Renew or replace them",
    ];
    fails(&function, event_with(&valid()), &parts);
    completes(&deployment, &deployment.function(&endpoint()), &valid());
}

// ---- The package

/// Asserts that a function can't start, reports the reason for each event, and starts after the repair.
fn does_not_start(deployment: &Deployment, parts: &[&str], repair: impl FnOnce(&Deployment)) {
    let function = deployment.function(&endpoint());
    // Each event has the reason, not only the first.
    for _ in 0..2 {
        fails(&function, event_with(&valid()), parts);
    }
    assert!(deployment.outcome().items.is_empty());
    repair(deployment);
    // Lambda starts a new instance with the new package.
    assert!(function.kill_all());
    completes(deployment, &function, &valid());
}

#[test]
fn a_missing_configuration_is_reported_with_its_path() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let path = deployment.path("paceline.toml").canonicalize().unwrap();
    std::fs::remove_file(&path).unwrap();
    does_not_start(
        &deployment,
        &[path.to_str().unwrap(), "the package has no configuration", "PACELINE_CONFIG"],
        |deployment| deployment.configure(""),
    );
}

#[test]
fn an_invalid_configuration_is_reported_with_its_line() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let whole = std::fs::read_to_string(deployment.path("paceline.toml")).unwrap();
    for (broken, parts) in [
        (whole.replace("[rules]", "[rules"), &["paceline.toml: ", "line 4", "[rules"][..]),
        (
            whole.replace("[retry]", "[retrying]"),
            &["paceline.toml: ", "unknown field `retrying`", "Did you mean `retry`?"],
        ),
        (
            whole.replace("[store.dynamodb]", "[stores.dynamodb]"),
            &["paceline.toml: ", "`stores`", "Did you mean `store`?"],
        ),
        (whole.split("[store.dynamodb]").next().unwrap().to_owned(), &["paceline.toml: ", "missing field `store`"]),
        (
            whole.replace("[store.dynamodb]\ntable", "[store]\n# table"),
            &["paceline.toml: ", "[store] names n", "`path`", "`dynamodb`"],
        ),
        (
            whole.replace("[store.dynamodb]\ntable", "[store.dynamodb]\n# table"),
            &["no DynamoDB table is configured", "set `table`"],
        ),
    ] {
        assert_ne!(broken, whole);
        deployment.write("paceline.toml", &broken);
        let tables = &deployment;
        let function = tables.function(&endpoint());
        fails(&function, event_with(&valid()), parts);
    }
    deployment.write("paceline.toml", &whole);
    completes(&deployment, &deployment.function(&endpoint()), &valid());
}

#[test]
fn a_rulebook_that_is_refused_changes_nothing() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let book = rulebook(DedupMode::Ordinal);
    let deployment = Deployment::new(DedupMode::Ordinal);
    for (broken, parts) in [
        (book.replace("version = 1", "version = one"), &["class-3.toml", "line 3"][..]),
        (book.replace("[score]", "[scores]"), &["class-3.toml", "unknown field `scores`", "Did you mean `score`?"]),
        (book.split("[[aggregate]]").next().unwrap().to_owned(), &["class-3.toml", "aggregate"]),
        (book.replace("\"output\"", "\"outptu\""), &["class-3.toml", "`outptu`", "did you mean `output`?"]),
        (book.replace("/second", "/seconds"), &["class-3@1 was published with other content", "greater `version`"]),
    ] {
        assert_ne!(broken, book);
        let error = ErrorChain(&deployment.try_rulebook(&broken).unwrap_err()).to_string();
        assert!(parts.iter().all(|part| error.contains(part)), "{parts:?}: {error}");
    }
    deployment.write("rulebooks/class-3.toml", &book);
    completes(&deployment, &deployment.function(&endpoint()), &valid());
}

#[test]
fn records_wait_for_a_plugin_that_the_registry_lacks() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let plugins = deployment.path("registry/plugins");
    std::fs::rename(&plugins, deployment.path("elsewhere")).unwrap();
    let function = deployment.function(&endpoint());
    let event = event_with(&valid());
    for _ in 0..2 {
        let Invocation::Ok(response) = function.invoke(event.clone(), TIMEOUT) else { panic!("{}", function.logs()) };
        assert_eq!(response["batchItemFailures"].as_array().unwrap().len(), 1, "{response}");
    }
    assert!(deployment.outcome().items.is_empty() && deployment.outcome().dead_letters.is_empty());
    assert!(function.logs().contains("put the object back from a copy of the registry"), "{}", function.logs());
    std::fs::rename(deployment.path("elsewhere"), &plugins).unwrap();
    completes(&deployment, &function, &valid());
}

#[test]
fn a_package_without_rules_does_not_start() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    std::fs::remove_dir_all(deployment.path("registry")).unwrap();
    does_not_start(&deployment, &["registry has no rules", "paceline rules apply"], |deployment| {
        deployment.rulebook(&rulebook(DedupMode::Ordinal));
    });
}

#[test]
fn an_incompatible_parallelization_factor_is_logged_at_the_start() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let warning = "the parallelization factor is 10, and the rulebook class-3@1 has `dedup";
    let started = |dedup: DedupMode, factor: &str| {
        let deployment = Deployment::new(dedup);
        let configuration = deployment.configuration(&endpoint()).env("PACELINE_PARALLELIZATION_FACTOR", factor);
        let function = Function::new(configuration).unwrap();
        completes(&deployment, &function, &valid());
        function
    };
    let function = started(DedupMode::Sequence, "10");
    assert!(function.wait_for_log(warning, TIMEOUT), "{}", function.logs());
    let line = function.logs().lines().find(|line| line.contains(warning)).map(str::to_owned).unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["level"], "WARN");
    assert_contains(&line["message"], &["dropped as duplicates", "or set the factor to 1"]);
    // The metrics come after the start, so a warning would come before them.
    for (dedup, factor) in [(DedupMode::Sequence, "1"), (DedupMode::Ordinal, "10")] {
        let function = started(dedup, factor);
        assert!(function.wait_for_log("\"_aws\"", TIMEOUT));
        assert!(!function.logs().contains("the parallelization factor is"), "{}", function.logs());
    }
}

#[test]
fn a_factor_that_is_not_a_number_is_reported_with_its_variable() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let configuration = deployment.configuration(&endpoint()).env("PACELINE_PARALLELIZATION_FACTOR", "ten");
    let function = Function::new(configuration).unwrap();
    fails(&function, event_with(&valid()), &["PACELINE_PARALLELIZATION_FACTOR is `ten`, which is not a number"]);
    completes(&deployment, &deployment.function(&endpoint()), &valid());
}
