//! What comes in wrong, and what is set up wrong: each says what, where and what to do, and nothing is lost by it.

mod support;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;
use std::time::Duration;

use paceline_aws::dynamodb::table::{Billing, create};
use paceline_aws::dynamodb::{DynamoDbConfig, client};
use paceline_pipeline::Store;
use paceline_pipeline::model::{Cause, DeadLetter};
use paceline_simulator::{PartitionKey, Race};
use paceline_testbed::dynamodb::endpoint;
use paceline_testbed::lambda::{Configuration, Function, Invocation};
use paceline_testbed::mapping::Mapping;
use serde_json::{Value, json};
use support::{
    DedupMode, Deployment, all_safe, answer, beat, block_on, dynamodb, error, event, event_of, messages, race, record,
    sequence, stream,
};

/// More than any invocation here takes.
const TIMEOUT: Duration = Duration::from_secs(60);

fn letters(deployment: &Deployment) -> Vec<DeadLetter> {
    block_on(deployment.store().dead_letters()).unwrap()
}

/// Three sound messages.
fn sound() -> Vec<Vec<u8>> {
    (1..=3).map(|racer| beat(racer, 1, 60).to_string().into_bytes()).collect()
}

fn event_with(payloads: &[Vec<u8>]) -> Vec<u8> {
    event_of(payloads.iter().map(Vec::as_slice))
}

/// Demands that an event fails, with a message that tells all this.
fn fails(function: &Function, event: Vec<u8>, tells: &[&str]) {
    let message = error(function.invoke(event, TIMEOUT));
    for part in tells {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
    // Operators look into the log as well. The message is escaped there, but its first words are plain enough.
    let first = message.split(['"', '\\', '\n']).next().unwrap_or_default();
    assert!(function.wait_for_log(first, TIMEOUT), "`{first}` is not in the log:\n{}", function.logs());
}

/// Demands that these come through and leave what the local run leaves.
fn completes(deployment: &Deployment, function: &Function, payloads: &[Vec<u8>]) {
    assert_eq!(answer(function.invoke(event_with(payloads), TIMEOUT)), all_safe());
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
fn an_event_of_something_else_is_refused_and_the_next_batch_is_done() {
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
    let no_records = "This function takes batches of a Kinesis stream: check what invokes it";
    let cases: [(Value, &[&str]); 10] = [
        (sqs, &["Records[0].eventSource is aws:sqs, not aws:kinesis", "check its event source mappings"]),
        (s3, &["Records[0].eventSource is aws:s3, not aws:kinesis", "check its event source mappings"]),
        (sns, &["Records[0].eventSource is aws:sns, not aws:kinesis", "check its event source mappings"]),
        (stream_of_table, &["Records[0].eventSource is aws:dynamodb", "check its event source mappings"]),
        (json!({}), &["no `Records`", "an empty object", no_records]),
        (json!({ "key1": "value1", "key2": "value2" }), &["an object with the keys `key1`, `key2`", no_records]),
        (json!([1, 2]), &["no `Records`", "it is a list", no_records]),
        (json!(17), &["no `Records`", "it is a number", no_records]),
        (json!("hello"), &["no `Records`", "it is a text", no_records]),
        (Value::Null, &["no `Records`", "it is null", no_records]),
    ];
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    for (event, tells) in cases {
        fails(&function, event.to_string().into_bytes(), tells);
    }
    completes(&deployment, &function, &sound());
    assert_eq!(function.started(), 1, "no event cost an instance");
}

#[test]
fn data_that_is_not_base64_is_a_dead_letter_and_its_neighbours_are_done() {
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    let payloads = sound();
    let mut records: Vec<Value> = payloads.iter().enumerate().map(|(at, payload)| record(at, payload)).collect();
    records[1]["kinesis"]["data"] = json!("{\"naïve\": *}");
    assert_eq!(answer(function.invoke(event(&records), TIMEOUT)), all_safe());
    let letters = letters(&deployment);
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!(letter.reason.cause, Cause::Undecodable);
    assert_eq!(String::from_utf8_lossy(&letter.payload), "{\"naïve\": *}");
    assert_eq!(letter.place.sequence.to_string(), sequence(1));
    assert!(letter.reason.text.contains("its data is not base64: it has '{' at byte 0"), "{}", letter.reason.text);
    let neighbours = messages([&payloads[0], &payloads[2]].map(Vec::as_slice));
    assert_eq!(deployment.outcome().items, deployment.local(&neighbours).items);
}

#[test]
fn a_sequence_number_that_is_no_number_fails_the_event_and_names_the_record() {
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    let payloads = sound();
    for (wrong, shown) in [
        (json!("forty-nine"), "`forty-nine` is not a sequence number"),
        (json!("-1"), "`-1` is not a sequence number"),
        (json!(""), "`` is not a sequence number"),
        (json!("9".repeat(60)), "a decimal of at most 192 bits"),
    ] {
        let mut records: Vec<Value> = payloads.iter().enumerate().map(|(at, payload)| record(at, payload)).collect();
        records[2]["kinesis"]["sequenceNumber"] = wrong;
        fails(&function, event(&records), &["Records[2].kinesis.sequenceNumber", shown]);
    }
    assert!(deployment.outcome().items.is_empty(), "none of its records was touched");
    completes(&deployment, &function, &payloads);
}

#[test]
fn an_empty_batch_succeeds_with_an_empty_list() {
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    assert_eq!(answer(function.invoke(event(&[]), TIMEOUT)), all_safe());
    completes(&deployment, &function, &sound());
}

#[test]
fn a_batch_of_6_megabytes_is_done_in_one_go() {
    // As many messages as Lambda puts into an event, and some more.
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
    let mut long = beat(9, 1, 60);
    long["name"] = json!("x".repeat(300 << 10));
    let long = long.to_string().into_bytes();
    let mut payloads = sound();
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
fn a_windows_state_of_somebody_else_fails_the_event_and_says_what_to_do() {
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    let payloads = sound();
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
            &["the state of the tumbling window", "delete and make the event source mapping anew"],
        );
    }
    assert!(deployment.outcome().items.is_empty());
    // The mapping made anew begins with no state.
    let gathered = answer(function.invoke(window(json!({}), false), TIMEOUT));
    assert_eq!(answer(function.invoke(window(gathered["state"].clone(), true), TIMEOUT))["state"], json!({}));
    deployment.outcome().must_be(&deployment.local(&messages(payloads.iter().map(Vec::as_slice))), "after the repair");
}

// ---- Tables

#[test]
fn a_table_that_is_missing_is_named_and_its_creation_repairs_it() {
    let deployment = Deployment::without_tables(DedupMode::Ordinal);
    let function = deployment.function(&endpoint());
    let named = format!("the DynamoDB table `{}`", deployment.table.table);
    let tells = [named.as_str(), "there is no such table", "paceline table create --config"];
    fails(&function, event_with(&sound()), &tells);
    create_tables(&deployment.table);
    completes(&deployment, &function, &sound());
}

#[test]
fn a_table_with_other_keys_is_named_and_the_right_one_repairs_it() {
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
    fails(&function, event_with(&sound()), &[&named, "paceline table check --config"]);
    dynamodb("DeleteTable", &json!({ "TableName": table }));
    create_tables(&deployment.table);
    completes(&deployment, &function, &sound());
}

#[test]
fn a_table_of_dead_letters_that_is_missing_is_told_when_it_is_needed() {
    let deployment = Deployment::new(DedupMode::Ordinal);
    let table = deployment.table.dead_letter_table();
    dynamodb("DeleteTable", &json!({ "TableName": table }));
    let function = deployment.function(&endpoint());
    // Without a dead letter nobody asks for it.
    assert_eq!(answer(function.invoke(event_with(&sound()), TIMEOUT)), all_safe());
    let mut payloads: Vec<Vec<u8>> = (1..=3).map(|racer| beat(racer, 2, 60).to_string().into_bytes()).collect();
    payloads.insert(1, b"no JSON".to_vec());
    let named = format!("the DynamoDB table `{table}`");
    fails(&function, event_with(&payloads), &[&named, "there is no such table", "paceline table create --config"]);
    create_tables(&deployment.table);
    assert_eq!(answer(function.invoke(event_with(&payloads), TIMEOUT)), all_safe());
    let all: Vec<Vec<u8>> = sound().into_iter().chain(payloads).collect();
    deployment.outcome().must_be(&deployment.local(&messages(all.iter().map(Vec::as_slice))), "after the repair");
}

// ---- Credentials

/// The function, started without credentials.
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
    // No profile, and no metadata service, which would be asked for a second or more.
    let home = deployment.path("").to_str().unwrap().to_owned();
    configuration.env("AWS_EC2_METADATA_DISABLED", "true").env("HOME", home)
}

#[test]
fn credentials_that_are_missing_are_told_with_where_they_are_looked_for() {
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = Function::new(without_credentials(&deployment)).unwrap();
    let tells = ["needs credentials, and there are none", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"];
    fails(&function, event_with(&sound()), &tells);
    completes(&deployment, &deployment.function(&endpoint()), &sound());
}

/// Answers every request as DynamoDB answers one whose credentials it does not know. Its address.
fn refusing() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    // It ends with the test's process.
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
fn credentials_that_are_refused_are_told_with_what_dynamodb_says() {
    let deployment = Deployment::new(DedupMode::Ordinal);
    let function = deployment.function(&refusing());
    let named = format!("the DynamoDB table `{}`", deployment.table.table);
    let tells = [
        &named,
        "the credentials are not accepted (UnrecognizedClientException)",
        "The security token included in the request is invalid",
        "Renew them or give others",
    ];
    fails(&function, event_with(&sound()), &tells);
    completes(&deployment, &deployment.function(&endpoint()), &sound());
}

// ---- The package

/// Demands that a function can't start, says why at each event, and that its like starts after the repair.
fn does_not_start(deployment: &Deployment, tells: &[&str], repair: impl FnOnce(&Deployment)) {
    let function = deployment.function(&endpoint());
    // Not once, but at each event: whoever looks at the second one must learn it too.
    for _ in 0..2 {
        fails(&function, event_with(&sound()), tells);
    }
    assert!(deployment.outcome().items.is_empty());
    repair(deployment);
    // Lambda starts it anew with the new package.
    assert!(function.kill_all());
    completes(deployment, &function, &sound());
}

#[test]
fn a_configuration_that_is_missing_is_told_with_its_path() {
    let deployment = Deployment::new(DedupMode::Ordinal);
    let path = deployment.path("paceline.toml").canonicalize().unwrap();
    std::fs::remove_file(&path).unwrap();
    does_not_start(
        &deployment,
        &[path.to_str().unwrap(), "there is no configuration", "PACELINE_CONFIG"],
        |deployment| deployment.configure(""),
    );
}

#[test]
fn a_configuration_that_is_broken_is_told_with_its_line() {
    let deployment = Deployment::new(DedupMode::Ordinal);
    let whole = std::fs::read_to_string(deployment.path("paceline.toml")).unwrap();
    for (broken, tells) in [
        (whole.replace("[plugins]", "[plugins"), &["paceline.toml: ", "line 8", "[plugins"][..]),
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
            &["no DynamoDB table is named", "set `table`"],
        ),
    ] {
        assert_ne!(broken, whole);
        deployment.write("paceline.toml", &broken);
        let tables = &deployment;
        let function = tables.function(&endpoint());
        fails(&function, event_with(&sound()), tells);
    }
    deployment.write("paceline.toml", &whole);
    completes(&deployment, &deployment.function(&endpoint()), &sound());
}

#[test]
fn a_plugin_that_nobody_names_is_told_with_the_rulebook() {
    let deployment = Deployment::new(DedupMode::Ordinal);
    deployment.rulebook(&support::rulebook(DedupMode::Ordinal).replace("\"output\"", "\"outptu\""));
    does_not_start(&deployment, &["rulebooks/class-3.toml", "`outptu`"], |deployment| {
        deployment.rulebook(&support::rulebook(DedupMode::Ordinal));
    });
}

#[test]
fn a_plugin_whose_file_is_missing_is_told_with_its_path() {
    let deployment = Deployment::new(DedupMode::Ordinal);
    let whole = std::fs::read_to_string(deployment.path("paceline.toml")).unwrap();
    deployment.write("paceline.toml", &whole.replace("best-output.wasm", "gone.wasm"));
    does_not_start(&deployment, &["best-output", "gone.wasm", "No such file"], |deployment| deployment.configure(""));
}

#[test]
fn a_rulebook_that_is_broken_is_told_with_its_file_and_line() {
    let book = support::rulebook(DedupMode::Ordinal);
    for (broken, tells) in [
        (book.replace("version = 1", "version = one"), &["class-3.toml", "line 3"][..]),
        (book.replace("[score]", "[scores]"), &["class-3.toml", "unknown field `scores`", "Did you mean `score`?"]),
        (book.split("[[aggregate]]").next().unwrap().to_owned(), &["class-3.toml", "aggregate"]),
    ] {
        assert_ne!(broken, book);
        let deployment = Deployment::new(DedupMode::Ordinal);
        deployment.rulebook(&broken);
        does_not_start(&deployment, tells, |deployment| deployment.rulebook(&book));
    }
}

#[test]
fn a_package_without_a_rulebook_does_not_start() {
    let deployment = Deployment::new(DedupMode::Ordinal);
    std::fs::remove_file(deployment.path("rulebooks/class-3.toml")).unwrap();
    does_not_start(&deployment, &["there is no rulebook (*.toml) in", "rulebooks"], |deployment| {
        deployment.rulebook(&support::rulebook(DedupMode::Ordinal));
    });
}

#[test]
fn a_factor_that_does_not_go_with_the_fences_is_warned_of_at_the_start() {
    let told = "the parallelization factor is 10, and race type 3, version 1 fences its groups";
    let started = |dedup: DedupMode, factor: &str| {
        let deployment = Deployment::new(dedup);
        let configuration = deployment.configuration(&endpoint()).env("PACELINE_PARALLELIZATION_FACTOR", factor);
        let function = Function::new(configuration).unwrap();
        completes(&deployment, &function, &sound());
        function
    };
    let function = started(DedupMode::Sequence, "10");
    assert!(function.wait_for_log(told, TIMEOUT), "{}", function.logs());
    let line = function.logs().lines().find(|line| line.contains(told)).map(str::to_owned).unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["level"], "WARN");
    let message = line["message"].as_str().unwrap();
    assert!(message.contains("fence by an ordinal, or set the factor to 1"), "{message}");
    // It was waited for what comes after the start, so a warning would have come before.
    for (dedup, factor) in [(DedupMode::Sequence, "1"), (DedupMode::Ordinal, "10")] {
        let function = started(dedup, factor);
        assert!(function.wait_for_log("\"_aws\"", TIMEOUT));
        assert!(!function.logs().contains("the parallelization factor is"), "{}", function.logs());
    }
}

#[test]
fn a_factor_that_is_no_number_is_told_with_its_variable() {
    let deployment = Deployment::new(DedupMode::Ordinal);
    let configuration = deployment.configuration(&endpoint()).env("PACELINE_PARALLELIZATION_FACTOR", "ten");
    let function = Function::new(configuration).unwrap();
    fails(&function, event_with(&sound()), &["PACELINE_PARALLELIZATION_FACTOR is `ten`, which is no number"]);
    completes(&deployment, &deployment.function(&endpoint()), &sound());
}
