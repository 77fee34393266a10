//! A package as `make lambda` makes it, and the function that Lambda would start from it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use paceline_aws::s3::open;
use paceline_pipeline::rules::Registry;
use paceline_testbed::dynamodb::unique;
use paceline_testbed::environment::{AWS_VARIABLES, S3_ENDPOINT};
use paceline_testbed::lambda::{Configuration, Function, Invocation};
use paceline_testbed::{rules, s3};
use tempfile::TempDir;

use crate::{print_line, program, root};

const TIMEOUT: Duration = Duration::from_secs(60);

/// A package with the rulebooks of the example and the memory store, which needs no network.
pub(crate) fn package() -> TempDir {
    package_of(&root().join("examples/alleycat/rulebooks"))
}

/// The same with the rulebooks of another folder.
pub(crate) fn package_of(rulebooks: &Path) -> TempDir {
    package_with(rulebooks, "[store]\nmemory = true\n")
}

/// The same with another store.
pub(crate) fn package_with(rulebooks: &Path, store: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("the temporary folder can be written");
    let registry =
        Registry::create_folder(&folder.path().join("registry")).expect("the temporary folder can be written");
    rules::apply(rulebooks, &registry).expect("the rules are accepted");
    let config =
        std::fs::read_to_string(root().join("examples/alleycat/lambda.toml")).expect("the example has this file");
    let (before, after) = config.split_once("[store.dynamodb]").expect("the example names a table");
    let (_, after) = after.split_once("# [limits]").expect("the example shows the limits");
    let config = format!("{before}{store}\n# [limits]{after}");
    std::fs::write(folder.path().join("paceline.toml"), config).expect("the temporary folder can be written");
    folder
}

/// The function, with its package's registry or another one.
pub(crate) fn function(package: &Path, cache: &Path, registry: Option<&str>) -> Function {
    let mut configuration = Configuration::new(program("bootstrap"));
    configuration.task_root = package.to_owned();
    let mut configuration =
        configuration.env("PACELINE_CACHE", cache.to_str().expect("the path is UTF-8")).env("RUST_LOG", "warn");
    if let Some(registry) = registry {
        configuration =
            configuration.env("PACELINE_RULES", registry).env("AWS_ENDPOINT_URL_S3", s3::endpoint_or_none());
        configuration = AWS_VARIABLES.into_iter().fold(configuration, |all, (name, value)| all.env(name, value));
    }
    Function::new(configuration).expect("the function is built")
}

pub(crate) fn invoke(function: &Function, event: &[u8]) {
    match function.invoke(event.to_vec(), TIMEOUT) {
        Invocation::Ok(response) => {
            assert_eq!(response["batchItemFailures"], serde_json::json!([]), "{}", function.logs());
        }
        other => panic!("{other:?}\n{}", function.logs()),
    }
}

/// A registry in a bucket of moto's S3 with what `seed` has: its location, or none without that server.
pub(crate) fn bucket(seed: &Registry) -> Option<String> {
    if std::env::var_os(S3_ENDPOINT).is_none() {
        print_line(&format!(
            "  a registry in a bucket: skipped, because {S3_ENDPOINT} is not set; `make bench` starts one"
        ));
        return None;
    }
    let location = format!("s3://{}/{}", s3::BUCKET, unique("bench"));
    runtime().block_on(async {
        let registry = Registry::new(objects(&location).await, &location);
        seed.copy_to(&registry).await.expect("the registry can be copied");
    });
    Some(location)
}

/// Adds an entry that is none to the log of a registry in a bucket, after its first one: who polls it logs that.
pub(crate) fn add_garbage(location: &str) {
    runtime().block_on(async {
        let entry = ObjectPath::from(format!("log/{:020}.json", 2));
        objects(location).await.put(&entry, "{".into()).await.expect("the bucket can be written");
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the runtime starts")
}

async fn objects(location: &str) -> Arc<dyn ObjectStore> {
    let location = location.parse().expect("it is a location");
    open(&location, None, Some(&s3::endpoint())).await.expect("S3 can be used")
}
