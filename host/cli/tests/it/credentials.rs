//! Credentials of a profile: from a process that it names, and of IAM Identity Center, which only the AWS CLI can get.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use paceline_testbed::assertions::assert_contains;
use paceline_testbed::dynamodb::endpoint;
use paceline_testbed::require;

use crate::dynamo::Deployment;
use crate::support::{fail, succeed};

/// `paceline table create` with nothing but a profile of this content.
fn with_profile(deployment: &Deployment, profile: &str) -> Command {
    deployment.workspace.write("profiles", format!("[profile mine]\n{profile}\n"));
    let mut command = deployment.command(&["table", "create"], &endpoint());
    for variable in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
        command.env_remove(variable);
    }
    command
        .env("AWS_CONFIG_FILE", deployment.workspace.path("profiles"))
        .env("AWS_SHARED_CREDENTIALS_FILE", deployment.workspace.path("no-credentials"))
        .env("AWS_PROFILE", "mine");
    command
}

/// A `credential_process` that runs this script.
fn process(deployment: &Deployment, script: &str) -> String {
    deployment.workspace.write("process", format!("#!/bin/sh\n{script}\n"));
    let path = deployment.workspace.path("process");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("credential_process = {}", path.display())
}

#[test]
fn a_process_that_a_profile_names_gives_the_credentials() {
    require!(Plugins, DynamoDbLocal);
    let deployment = Deployment::without_tables();
    let script = r#"echo '{"Version": 1, "AccessKeyId": "test", "SecretAccessKey": "test"}'"#;
    let profile = process(&deployment, script);
    let made = succeed(&mut with_profile(&deployment, &profile));
    assert!(made.contains(&deployment.table.table), "{made}");
}

#[test]
fn a_profile_with_single_sign_on_is_answered_with_one_that_works() {
    require!(Plugins, DynamoDbLocal);
    let deployment = Deployment::without_tables();
    let error = fail(&mut with_profile(
        &deployment,
        "sso_session = work\nsso_account_id = 123456789012\nsso_role_name = operator\n\n[sso-session work]\n\
         sso_region = us-east-1\nsso_start_url = https://example.awsapps.com/start",
    ));
    let parts = ["IAM Identity Center", "aws sso login", "credential_process = aws configure export-credentials"];
    assert_contains(&error, &parts);
}
