//! Credentials of a profile: from a process that it names, and of IAM Identity Center.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::mpsc::{Receiver, sync_channel};

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

/// The file of the session `work` in the cache of `aws sso login`: its name is the SHA-1 of the session's.
const TOKEN_FILE: &str = "e274eeff768c6396088ec6eb091f4bf4d47ab1e0.json";

/// `paceline table create` by a user with nothing but a profile for single sign-on, who has a token until `expires`.
fn with_single_sign_on(deployment: &Deployment, portal: &str, expires: &str) -> Command {
    let cache = deployment.workspace.path("home/.aws/sso/cache");
    std::fs::create_dir_all(&cache).unwrap();
    let token = serde_json::json!({
        "startUrl": "https://example.awsapps.com/start",
        "region": "us-east-1",
        "accessToken": "a-token",
        "expiresAt": expires,
    });
    std::fs::write(cache.join(TOKEN_FILE), token.to_string()).unwrap();
    deployment.workspace.write(
        "home/.aws/config",
        "[profile mine]\nsso_session = work\nsso_account_id = 123456789012\nsso_role_name = operator\n\n\
         [sso-session work]\nsso_region = us-east-1\nsso_start_url = https://example.awsapps.com/start\n",
    );
    let mut command = deployment.command(&["table", "create"], &endpoint());
    for variable in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CONFIG_FILE"] {
        command.env_remove(variable);
    }
    command
        .env_remove("AWS_SHARED_CREDENTIALS_FILE")
        .env("HOME", deployment.workspace.path("home"))
        .env("AWS_ENDPOINT_URL_SSO", portal)
        .env("AWS_PROFILE", "mine");
    command
}

/// A portal of IAM Identity Center that answers every request with this. Returns its address, and the requests' heads.
fn portal(status: &'static str, body: String) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    // As many as a test makes.
    let (sender, requests) = sync_channel(16);
    // It ends with the test's process.
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let lines = BufReader::new(connection.try_clone().unwrap()).lines().map_while(Result::ok);
            let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            let _ = sender.send(head.join("\n"));
            let _ = write!(
                connection,
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n\
                 {body}",
                body.len()
            );
        }
    });
    (address, requests)
}

#[test]
fn a_profile_with_single_sign_on_gets_its_roles_credentials() {
    require!(Plugins, DynamoDbLocal);
    let deployment = Deployment::without_tables();
    let credentials = serde_json::json!({ "roleCredentials": {
        "accessKeyId": "test", "secretAccessKey": "test", "sessionToken": "test", "expiration": 4_102_444_800_000_i64,
    }});
    let (portal, requests) = portal("200 OK", credentials.to_string());
    let made = succeed(&mut with_single_sign_on(&deployment, &portal, "2099-01-01T00:00:00Z"));
    assert!(made.contains(&deployment.table.table), "{made}");
    let request = requests.recv().unwrap().to_lowercase();
    assert_contains(&request, &["role_name=operator", "account_id=123456789012", "x-amz-sso_bearer_token: a-token"]);
}

#[test]
fn a_sign_on_that_is_over_is_an_error_that_names_the_command_to_sign_on_again() {
    require!(Plugins, DynamoDbLocal);
    let deployment = Deployment::without_tables();
    let refusal = r#"{"__type": "UnauthorizedException", "message": "Session token not found or invalid"}"#;
    let (portal, requests) = portal("401 Unauthorized", refusal.to_owned());
    let expired = fail(&mut with_single_sign_on(&deployment, &portal, "2020-01-01T00:00:00Z"));
    assert_contains(&expired, &["IAM Identity Center", "aws sso login --profile mine", "expired"]);
    assert!(requests.try_recv().is_err(), "a token that has expired is not sent");

    let refused = fail(&mut with_single_sign_on(&deployment, &portal, "2099-01-01T00:00:00Z"));
    assert_contains(&refused, &["IAM Identity Center", "aws sso login --profile mine", "Session token not found"]);

    let mut command = with_single_sign_on(&deployment, &portal, "2099-01-01T00:00:00Z");
    std::fs::remove_file(deployment.workspace.path("home/.aws/sso/cache").join(TOKEN_FILE)).unwrap();
    assert_contains(&fail(&mut command), &["IAM Identity Center", "aws sso login --profile mine"]);
}
