//! The environment variables of a test run, and the folders of the checkout.

use std::path::{Path, PathBuf};

/// The endpoint of DynamoDB Local; `scripts/local-aws` sets it.
pub const DYNAMODB_ENDPOINT: &str = "PACELINE_TEST_DYNAMODB";
/// The endpoint of kinesis-local; `scripts/local-aws` sets it.
pub const KINESIS_ENDPOINT: &str = "PACELINE_TEST_KINESIS";
/// The endpoint of moto's S3; `scripts/local-aws` sets it.
pub const S3_ENDPOINT: &str = "PACELINE_TEST_S3";
/// The endpoint of moto's CloudWatch, Kinesis, Lambda, DynamoDB and SQS; `scripts/local-aws` sets it.
pub const MOTO_ENDPOINT: &str = "PACELINE_TEST_MOTO";
/// The folder of the KCL's jars; `make test-kcl` sets it.
pub const KCL_JARS: &str = "PACELINE_TEST_KCL";
/// The folder in which downloads of npm and pip are kept; `make test-authors` sets it.
pub const AUTHORS: &str = "PACELINE_TEST_AUTHORS";
/// The program of a registry of container images; `make test` sets it.
pub const OCI_REGISTRY: &str = "PACELINE_TEST_OCI";
/// The program that counts instructions; `make test` sets it.
pub const VALGRIND: &str = "PACELINE_TEST_VALGRIND";
/// The folder of the built plugins; without it, `target/plugins` of the checkout.
pub const PLUGINS: &str = "PACELINE_PLUGINS";
/// If it is set, to anything but `0`, a missing prerequisite fails a test; `make test` sets it.
pub const STRICT: &str = "PACELINE_TEST_STRICT";

/// The variables that a program needs to reach local services by an Amazon SDK, in addition to the endpoints:
/// credentials that are valid nowhere else, a region, no search for an instance's metadata.
pub const AWS_VARIABLES: [(&str, &str); 4] = [
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "test"),
    ("AWS_REGION", "us-east-1"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
];

/// The folder of the checkout.
///
/// # Panics
///
/// If the checkout was moved since the tests were compiled.
pub fn checkout() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    folder.canonicalize().unwrap_or_else(|error| panic!("{}: {error}: compile the tests again", folder.display()))
}
