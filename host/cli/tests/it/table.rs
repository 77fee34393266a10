//! The program with a table in DynamoDB: it creates, checks, fills and reads the table.

use crate::support::{DedupMode, Workspace, fail, joined, oracle, rulebook, simulate, simulate_file, succeed};
use paceline_testbed::dynamodb::{endpoint, unique};
use paceline_testbed::require;
use serde_json::json;

/// A workspace whose store is a table that does not exist yet.
fn workspace() -> (Workspace, String) {
    let workspace = Workspace::new(DedupMode::Ordinal);
    let config = std::fs::read_to_string(workspace.path("paceline.toml")).unwrap();
    let table = unique("races");
    let store =
        format!("[store.dynamodb]\ntable = \"{table}\"\nendpoint = \"{}\"\nregion = \"us-east-1\"\n", endpoint());
    assert!(config.contains("[store]\npath = \"store.redb\"\n"));
    workspace.write("paceline.toml", config.replace("[store]\npath = \"store.redb\"\n", &store));
    (workspace, table)
}

#[test]
fn a_race_is_stored_in_a_table_and_read_from_it() {
    require!(Plugins, DynamoDbLocal);
    let (workspace, table) = workspace();
    let valid = simulate("--racers 30 --seconds 20 --class 3 --race 131 --seed 3");
    let mixed = simulate_file("--racers 30 --seconds 20 --class 3 --race 131 --seed 3 --errors 5 --key random");
    workspace.write("messages.ndjson", joined(&mixed));

    // Without the tables the error names the command that creates them.
    let error = workspace.fails(&["run"]);
    assert!(error.contains(&table) && error.contains("paceline table create"), "{error}");
    let made = succeed(&mut workspace.command(&["table", "create"]));
    assert_eq!(made.trim_end(), format!("the tables {table} and {table}-dead-letters exist"));
    // A second time changes nothing.
    workspace.ok(&["table", "create"]);
    assert!(
        workspace
            .ok(&["table", "check"])
            .contains(&format!("the tables {table} and {table}-dead-letters are compatible"))
    );

    let summary = workspace.run();
    assert_eq!(summary["records"], mixed.len());
    assert_eq!(workspace.json(&["leaderboard", "--class", "3", "--race", "131"]), whole(oracle::race(&valid, 131)));
    assert_eq!(workspace.json(&["leaderboard", "--class", "3"]), whole(oracle::class(&valid)));
    // A second run has no records left.
    assert_eq!(workspace.run()["records"], 0);

    let letters = workspace.json(&["dead-letters", "list"]);
    assert_eq!(letters.as_array().unwrap().len() as u64, summary["deadLetters"].as_u64().unwrap());
    let without_rulebook = letters.as_array().unwrap().iter().find(|letter| letter["reason"] == "no-rulebook").unwrap();
    assert_eq!(workspace.json(&["dead-letters", "show", without_rulebook["id"].as_str().unwrap()]), *without_rulebook);

    // After the missing rulebook is added, its records are processed.
    workspace.write("rulebooks/class-99.toml", rulebook(99, 1, DedupMode::Ordinal));
    let done = workspace.json(&["dead-letters", "redrive", "--reason", "no-rulebook"]);
    assert!(done["through"].as_u64().unwrap() > 0 && done["left"] == 0, "{done}");
    let left = workspace.json(&["dead-letters", "list"]);
    assert!(left.as_array().unwrap().iter().all(|letter| letter["reason"] != "no-rulebook"), "{left}");
}

/// DynamoDB has one type of number: 80.0 is 80 there.
fn whole(mut rows: serde_json::Value) -> serde_json::Value {
    for value in rows.as_array_mut().unwrap().iter_mut().flat_map(|row| row.as_object_mut().unwrap().values_mut()) {
        if let Some(number) = value.as_f64().filter(|number| number.fract() == 0.0) {
            *value = json!(number as i64);
        }
    }
    rows
}

#[test]
fn a_table_with_other_keys_is_incompatible_and_the_check_reports_why() {
    require!(Plugins, DynamoDbLocal);
    let (workspace, table) = workspace();
    let client = paceline_testbed::dynamodb::client(&endpoint());
    crate::support::block_on(other_keys(&client, &table));
    let mut check = workspace.command(&["table", "check"]);
    let output = check.output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success());
    assert!(stdout.contains("PK") && stdout.contains(&format!("{table}-dead-letters")), "{stdout}");
    let error = String::from_utf8(output.stderr).unwrap();
    let create = workspace.fails(&["table", "create"]);
    assert!(create.contains(&format!("the table {table} is incompatible: ")), "{create}");
    let refused = workspace.command(&["table", "create", "--read-units", "0", "--write-units", "0"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "tables without units");
    assert!(error.contains(&format!("the tables {table} and {table}-dead-letters are incompatible: ")), "{error}");
}

async fn other_keys(client: &aws_sdk_dynamodb::Client, table: &str) {
    use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
    client
        .create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .key_schema(KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build().unwrap())
        .attribute_definitions(
            AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S).build().unwrap(),
        )
        .send()
        .await
        .unwrap();
}

#[test]
fn table_create_requires_a_configured_table() {
    require!(Plugins, DynamoDbLocal);
    let workspace = Workspace::new(DedupMode::Ordinal);
    let error = fail(&mut workspace.command(&["table", "create"]));
    assert!(error.contains("there is no [store.dynamodb]"), "{error}");
}
