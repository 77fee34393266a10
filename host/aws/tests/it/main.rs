//! The integration tests, one module for each subject in one binary.

mod dynamodb;
mod kpl;
mod s3;
