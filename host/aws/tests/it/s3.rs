//! Tests the objects of a registry in moto's S3, which `make test` and `scripts/local-aws` start. Like S3, it rejects
//! requests that are not signed correctly. Each test has a folder of its own.

use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use paceline_aws::s3::{self, S3Location};
use paceline_pipeline::ErrorChain;
use paceline_testbed::assertions::assert_contains;
use paceline_testbed::environment::AWS_VARIABLES;
use paceline_testbed::require;
use paceline_testbed::s3::{BUCKET, endpoint};

/// Names the location that [`child`] reads from.
const CHILD_LOCATION: &str = "PACELINE_TEST_S3_CHILD";
/// The time within which a poll of a service that never responds must end: its retries, and a margin for a busy machine.
const BOUND: Duration = Duration::from_secs(20);

/// A folder that no other test uses.
fn folder() -> S3Location {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("s3://{BUCKET}/{}-{now}.{number}/registry", std::process::id()).parse().unwrap()
}

async fn open_at(location: &S3Location, endpoint: &str) -> Arc<dyn ObjectStore> {
    s3::open(location, Some("us-east-1"), Some(endpoint)).await.unwrap()
}

async fn open(location: &S3Location) -> Arc<dyn ObjectStore> {
    open_at(location, &endpoint()).await
}

async fn get(store: &Arc<dyn ObjectStore>, path: &str) -> Result<Vec<u8>, Error> {
    Ok(store.get(&Path::from(path)).await?.bytes().await?.to_vec())
}

async fn create(store: &Arc<dyn ObjectStore>, path: &str, content: &str) -> Result<(), Error> {
    let options = PutOptions::from(PutMode::Create);
    store.put_opts(&Path::from(path), content.to_owned().into(), options).await.map(|_| ())
}

async fn list(store: &Arc<dyn ObjectStore>, prefix: Option<&str>) -> Vec<String> {
    let listed: Vec<_> = store.list(prefix.map(Path::from).as_ref()).try_collect().await.unwrap();
    let mut paths: Vec<_> = listed.into_iter().map(|object| object.location.to_string()).collect();
    paths.sort();
    paths
}

#[tokio::test]
async fn of_two_writers_of_one_object_the_second_is_told_and_the_first_stays() {
    require!(S3Local);
    let location = folder();
    let (one, other) = (open(&location).await, open(&location).await);
    create(&one, "log/00000000000000000001.json", "first").await.unwrap();
    let error = create(&other, "log/00000000000000000001.json", "second").await.unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    for store in [&one, &other] {
        assert_eq!(get(store, "log/00000000000000000001.json").await.unwrap(), b"first");
    }
    create(&other, "log/00000000000000000002.json", "second").await.unwrap();
}

#[tokio::test]
async fn of_many_concurrent_writers_one_wins() {
    require!(S3Local);
    let store = open(&folder()).await;
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move { (writer, create(&store, "log/1", &format!("writer {writer}")).await) })
        })
        .collect();
    let mut winners = Vec::new();
    for writer in writers {
        match writer.await.unwrap() {
            (writer, Ok(())) => winners.push(writer),
            (_, Err(error)) => assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(get(&store, "log/1").await.unwrap(), format!("writer {}", winners[0]).as_bytes());
}

#[tokio::test]
async fn what_is_put_is_got_and_a_hint_can_be_overwritten() {
    require!(S3Local);
    let store = open(&folder()).await;
    // More than one frame of HTTP, and of each kind of byte.
    let plugin: Vec<u8> = (0..3_000_000_u32).map(|index| (index ^ (index >> 8)) as u8).collect();
    store.put(&Path::from("plugins/a b+c=ü.wasm"), plugin.clone().into()).await.unwrap();
    let got = store.get(&Path::from("plugins/a b+c=ü.wasm")).await.unwrap();
    assert_eq!(got.meta.size, plugin.len() as u64);
    assert!(got.bytes().await.unwrap() == plugin);
    for head in ["1", "2"] {
        store.put(&Path::from("head"), head.into()).await.unwrap();
        assert_eq!(get(&store, "head").await.unwrap(), head.as_bytes());
    }
    store.put(&Path::from("empty"), "".into()).await.unwrap();
    assert_eq!(get(&store, "empty").await.unwrap(), b"");
    assert_eq!(store.head(&Path::from("head")).await.unwrap().size, 1);
}

#[tokio::test]
async fn a_missing_object_is_not_found_and_a_missing_bucket_is_another_error() {
    require!(S3Local);
    let store = open(&folder()).await;
    let error = get(&store, "log/00000000000000000001.json").await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");

    let store = open(&"s3://no-such-bucket/registry".parse().unwrap()).await;
    let error = get(&store, "log/00000000000000000001.json").await.unwrap_err();
    assert!(!matches!(error, Error::NotFound { .. }), "{error:?}");
    let error = ErrorChain(&error);
    assert_contains(&error, &["the bucket `no-such-bucket` in us-east-1 at http://127.0.0.1:", "NoSuchBucket", "name"]);
}

#[tokio::test]
async fn a_location_is_a_folder_of_its_own() {
    require!(S3Local);
    let location = folder();
    let beside = format!("{location}-2").parse().unwrap();
    let (store, beside) = (open(&location).await, open(&beside).await);
    for path in ["head", "log/1", "log/2", "logs/3"] {
        store.put(&Path::from(path), "here".into()).await.unwrap();
    }
    beside.put(&Path::from("log/4"), "there".into()).await.unwrap();

    assert_eq!(list(&store, None).await, ["head", "log/1", "log/2", "logs/3"]);
    assert_eq!(list(&store, Some("log")).await, ["log/1", "log/2"]);
    assert_eq!(list(&store, Some("rulebooks")).await, [""; 0]);
    assert_eq!(list(&beside, None).await, ["log/4"]);

    let whole = open(&format!("s3://{BUCKET}").parse().unwrap()).await;
    let path = format!("{}/log/2", location.folder());
    assert_eq!(get(&whole, &path).await.unwrap(), b"here");
    assert_eq!(list(&whole, Some(&format!("{}/log", location.folder()))).await.len(), 2);
    store.delete(&Path::from("log/2")).await.unwrap();
    assert!(matches!(get(&whole, &path).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_service_that_is_not_there_is_named_at_once() {
    // For its credentials.
    require!(S3Local);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let start = Instant::now();
    let store = open_at(&folder(), &format!("http://{free}")).await;
    let error = get(&store, "head").await.unwrap_err();
    assert_contains(&ErrorChain(&error), &["could not reach S3", &format!("http://{free}"), "Connection refused"]);
    assert!(start.elapsed() < BOUND);
}

#[tokio::test]
async fn a_service_that_never_responds_is_given_up() {
    // For its credentials.
    require!(S3Local);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let start = Instant::now();
    let store = open_at(&folder(), &format!("http://{}", silent.local_addr().unwrap())).await;
    let error = get(&store, "head").await.unwrap_err();
    assert_contains(&ErrorChain(&error), &["a read timed out", "Check the network"]);
    assert!(start.elapsed() < BOUND);
}

/// Reads from a location with what the environment alone says: run by [`read_in`].
#[tokio::test]
async fn child() {
    let Ok(location) = std::env::var(CHILD_LOCATION) else { return };
    let store = s3::open(&location.parse().unwrap(), None, None).await;
    let outcome = match store {
        Ok(store) => match get(&store, "head").await {
            Ok(content) => format!("got {}", String::from_utf8(content).unwrap()),
            Err(error) => ErrorChain(&error).to_string(),
        },
        Err(error) => ErrorChain(&error).to_string(),
    };
    std::io::Write::write_all(&mut std::io::stderr(), format!("outcome: {outcome}\n").as_bytes()).unwrap();
}

/// What comes of a read of `head` in another process, with these variables, and none of the other ones that the AWS
/// tools look for.
fn read_in(location: &S3Location, variables: &[(&str, &str)]) -> String {
    let mut program = Command::new(std::env::current_exe().unwrap());
    program.args(["--exact", "s3::child", "--nocapture"]).env(CHILD_LOCATION, location.to_string());
    for name in AWS_VARIABLES.map(|(name, _)| name).into_iter().chain(["AWS_PROFILE", "AWS_SESSION_TOKEN"]) {
        program.env_remove(name);
    }
    // No files, and no search for an instance's metadata.
    program.env("HOME", "/nowhere").env("AWS_EC2_METADATA_DISABLED", "true").envs(variables.iter().copied());
    let output = program.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let outcome = text.lines().find_map(|line| line.strip_prefix("outcome: "));
    outcome.unwrap_or_else(|| panic!("no outcome: {text}")).to_owned()
}

#[tokio::test]
async fn the_environment_gives_region_endpoint_and_credentials() {
    require!(S3Local);
    let location = folder();
    open(&location).await.put(&Path::from("head"), "17".into()).await.unwrap();
    let endpoint = endpoint();
    for variables in [
        &[("AWS_ENDPOINT_URL_S3", endpoint.as_str()), ("AWS_ENDPOINT_URL", "http://127.0.0.1:1")][..],
        &[("AWS_ENDPOINT_URL", endpoint.as_str())],
    ] {
        assert_eq!(read_in(&location, &[&AWS_VARIABLES, variables].concat()), "got 17", "{variables:?}");
    }
}

#[test]
fn what_is_missing_or_wrong_in_the_environment_is_named() {
    require!(S3Local);
    let (location, endpoint) = (folder(), endpoint());
    let endpoint = ("AWS_ENDPOINT_URL_S3", endpoint.as_str());
    let region = ("AWS_REGION", "us-east-1");
    let read = |others: &[(&str, &str)]| read_in(&location, &[&[endpoint], others].concat());

    assert_contains(&read(&[]), &["no AWS region is set", "`registry`", "AWS_REGION"]);
    assert_contains(&read(&[region]), &["the bucket `paceline` in us-east-1", "credentials", "AWS_ACCESS_KEY_ID"]);
    let wrong = [("AWS_ACCESS_KEY_ID", "nobody"), ("AWS_SECRET_ACCESS_KEY", "test"), region];
    assert_contains(&read(&wrong), &["credentials are not accepted", "InvalidAccessKeyId", "Renew or replace"]);
    let wrong = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "wrong"), region];
    assert_contains(&read(&wrong), &["credentials are not accepted", "SignatureDoesNotMatch", "clock"]);
}
