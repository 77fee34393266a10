//! Invalid set-ups: each error states what happened, where and what to do, and no record is lost.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;

use paceline_pipeline::ErrorChain;
use paceline_testbed::assertions::assert_contains;
use paceline_testbed::dynamodb::endpoint;
use paceline_testbed::lambda::{Configuration, Function, Invocation};
use paceline_testbed::require;
use serde_json::{Value, json};

use crate::bad_input::{TIMEOUT, completes, create_tables, event_with, fails, valid};
use crate::support::{DedupMode, Deployment, all_committed, beat, dynamodb, messages, response, rulebook};

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

/// Templates set what they leave out to the empty text.
#[test]
fn an_empty_variable_counts_as_not_set() {
    require!(Plugins, DynamoDbLocal, UtilLinux);
    let deployment = Deployment::new(DedupMode::Ordinal);
    let mut configuration = deployment.configuration(&endpoint());
    for variable in ["PACELINE_CONFIG", "PACELINE_PARALLELIZATION_FACTOR", "PACELINE_TUMBLING_WINDOW", "PACELINE_TABLE"]
    {
        configuration = configuration.env(variable, "");
    }
    completes(&deployment, &Function::new(configuration).unwrap(), &valid());
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
