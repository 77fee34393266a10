//! A location in S3, as configurations and commands name it.

use std::fmt;
use std::str::FromStr;

use object_store::path::Path;

/// What a location looks like.
const FORM: &str = "a location in S3 is `s3://BUCKET` or `s3://BUCKET/FOLDER`";

/// A bucket, or a folder in it: `s3://BUCKET/FOLDER`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct S3Location {
    bucket: String,
    folder: Path,
}

impl S3Location {
    /// The bucket's name.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// What all keys begin with, up to a `/`. Empty for the bucket as a whole.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl fmt::Display for S3Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        if !self.folder.is_root() {
            write!(f, "/{}", self.folder)?;
        }
        Ok(())
    }
}

/// A text is no location in S3.
#[derive(Debug, thiserror::Error)]
pub enum S3LocationError {
    /// It does not begin with `s3://`.
    #[error("`{0}` does not begin with `s3://`: {FORM}")]
    Scheme(String),
    /// S3 has no bucket with such a name.
    #[error(
        "`{bucket}` in `{location}` can't be the name of a bucket, which has 3 to 63 lower-case letters, digits, dots \
         and hyphens: {FORM}"
    )]
    Bucket {
        /// The name.
        bucket: String,
        /// The whole text.
        location: String,
    },
    /// A directory bucket, which other requests are for.
    #[error("`{0}` is a directory bucket (S3 Express), which is not supported: use a general purpose bucket")]
    DirectoryBucket(String),
    /// An empty part, `.` or `..` in the folder, or a character that has no place in a key.
    #[error("the folder in `{location}` can't be used: {FORM}")]
    Folder {
        /// The whole text.
        location: String,
        /// What is wrong.
        source: object_store::path::Error,
    },
}

impl FromStr for S3Location {
    type Err = S3LocationError;

    fn from_str(location: &str) -> Result<Self, Self::Err> {
        let path = location.strip_prefix("s3://").ok_or_else(|| S3LocationError::Scheme(location.to_owned()))?;
        let (bucket, folder) = path.split_once('/').unwrap_or((path, ""));
        if !is_bucket(bucket) {
            return Err(S3LocationError::Bucket { bucket: bucket.to_owned(), location: location.to_owned() });
        }
        if bucket.ends_with("--x-s3") {
            return Err(S3LocationError::DirectoryBucket(bucket.to_owned()));
        }
        let folder =
            Path::parse(folder).map_err(|source| S3LocationError::Folder { location: location.to_owned(), source })?;
        Ok(Self { bucket: bucket.to_owned(), folder })
    }
}

fn is_bucket(name: &str) -> bool {
    let is_alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    (3..=63).contains(&bytes.len())
        && bytes.iter().all(|byte| is_alphanumeric(*byte) || matches!(byte, b'.' | b'-'))
        && bytes.first().is_some_and(|byte| is_alphanumeric(*byte))
        && bytes.last().is_some_and(|byte| is_alphanumeric(*byte))
}

#[cfg(test)]
mod tests {
    use paceline_pipeline::ErrorChain;

    use super::*;

    #[test]
    fn a_location_has_a_bucket_and_perhaps_a_folder() {
        for (text, bucket, folder, shown) in [
            ("s3://rules", "rules", "", "s3://rules"),
            ("s3://rules/", "rules", "", "s3://rules"),
            ("s3://my.rules-2/alleycat", "my.rules-2", "alleycat", "s3://my.rules-2/alleycat"),
            ("s3://rules/a/b/", "rules", "a/b", "s3://rules/a/b"),
        ] {
            let location: S3Location = text.parse().unwrap();
            assert_eq!((location.bucket(), location.folder().as_ref()), (bucket, folder), "{text}");
            assert_eq!(location.to_string(), shown);
        }
    }

    #[test]
    fn anything_else_is_rejected_with_the_form() {
        let long = format!("s3://{}", "b".repeat(64));
        for text in [
            "",
            "rules",
            "/rules",
            "s3:/rules",
            "S3://rules",
            "https://rules.s3.amazonaws.com",
            "s3://",
            "s3:///a",
            "s3://ab",
            "s3://Rules",
            "s3://rules_2",
            "s3://-rules",
            "s3://rules.",
            "s3://arn:aws:s3:::rules",
            &long,
            "s3://rules/a//b",
            "s3://rules/a/../b",
        ] {
            let error = text.parse::<S3Location>().unwrap_err();
            let message = ErrorChain(&error).to_string();
            assert!(message.contains("s3://BUCKET/FOLDER") && message.contains(&format!("`{text}`")), "{message}");
        }
        let error = "s3://rules--euw1-az1--x-s3".parse::<S3Location>().unwrap_err();
        assert!(matches!(error, S3LocationError::DirectoryBucket(_)), "{error}");
    }
}
