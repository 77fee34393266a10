//! Records that commands read from where they are. Nothing of it is changed: no checkpoint, no redrive sequence.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::bail;
#[cfg(feature = "aws")]
use paceline_aws::kinesis::{Recording, Start};
use paceline_config::{AnyStore, Config};
use paceline_pipeline::model::{Batch, BatchLimits, Cause, DeadLetter};
use paceline_pipeline::receive::{NdjsonSource, Redrive, Source as _};
use paceline_pipeline::store::DeadLetterStore;

/// Where the records come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file of newline-delimited JSON.
    File(PathBuf),
    /// Newline-delimited JSON on standard input.
    Stdin,
    /// The store's dead letters.
    DeadLetters,
    /// The configured Kinesis stream.
    Stream,
}

impl FromStr for Source {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "-" => Self::Stdin,
            "dead-letters" => Self::DeadLetters,
            "stream" => Self::Stream,
            file => Self::File(file.into()),
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Stdin => f.write_str("-"),
            Self::DeadLetters => f.write_str("dead-letters"),
            Self::Stream => f.write_str("stream"),
        }
    }
}

/// The moment from which on records of a stream are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Since {
    /// In milliseconds since 1970.
    ms: i64,
}

/// The text is neither a time nor a duration.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is neither a time, such as 2026-11-23T18:51:00Z, nor a duration before now, such as 10m")]
pub(crate) struct NotAMoment(String);

impl FromStr for Since {
    type Err = NotAMoment;

    fn from_str(text: &str) -> Result<Self, NotAMoment> {
        let wrong = || NotAMoment(text.to_owned());
        let moment = match humantime::parse_rfc3339(text) {
            Ok(moment) => moment,
            Err(_) => {
                let before = humantime::parse_duration(text).map_err(|_| wrong())?;
                SystemTime::now().checked_sub(before).ok_or_else(wrong)?
            }
        };
        let since = moment.duration_since(UNIX_EPOCH).map_err(|_| wrong())?;
        Ok(Self { ms: i64::try_from(since.as_millis()).map_err(|_| wrong())? })
    }
}

/// Records that are being read.
pub(crate) enum Records {
    Lines(NdjsonSource),
    Letters(Redrive),
    #[cfg(feature = "aws")]
    Stream(Box<Recording>),
}

impl Source {
    /// Whether the arguments fit the source.
    pub(crate) fn check(&self, since: Option<&Since>, reason: Option<Cause>) -> anyhow::Result<()> {
        if since.is_some() && *self != Self::Stream {
            bail!("--since is for --from stream: other records have no time of arrival");
        }
        if reason.is_some() && *self != Self::DeadLetters {
            bail!("--reason is for --from dead-letters");
        }
        Ok(())
    }

    pub(crate) fn needs_store(&self) -> bool {
        *self == Self::DeadLetters
    }

    /// Opens the source. Positions are those that `paceline run` gives the records, so that dead letters are found again.
    pub(crate) async fn open(
        &self,
        config: &Config,
        store: &AnyStore,
        since: Option<&Since>,
        reason: Option<Cause>,
    ) -> anyhow::Result<Records> {
        let name = config.source.as_ref().and_then(|source| source.name.as_deref());
        let mut lines = match self {
            Self::File(path) => NdjsonSource::file(path, name)?,
            Self::Stdin => NdjsonSource::reader(std::io::stdin(), name.unwrap_or("stdin"))?,
            Self::DeadLetters => {
                let letters = store.list_dead_letters().await?;
                let wanted = |letter: &DeadLetter| reason.is_none_or(|reason| letter.reason.cause == reason);
                return Ok(Records::Letters(letters_of(letters.into_iter().filter(wanted))));
            }
            Self::Stream => return stream(config, since).await,
        };
        lines.resume(None)?;
        Ok(Records::Lines(lines))
    }
}

/// Dead letters as they would be redriven. Their groups are empty in a replay, also those that hold a record already.
fn letters_of(letters: impl Iterator<Item = DeadLetter>) -> Redrive {
    let letters = letters.zip(1..).map(|(letter, sequence)| DeadLetter {
        redrive_sequence: Some(sequence),
        folded: Vec::new(),
        ..letter
    });
    Redrive::new(letters.collect())
}

#[cfg(feature = "aws")]
async fn stream(config: &Config, since: Option<&Since>) -> anyhow::Result<Records> {
    let source = config.source.as_ref();
    let Some(kinesis) = source.and_then(|source| source.kinesis.as_ref()) else {
        bail!("--from stream: the configuration has no [source.kinesis]");
    };
    let start = since.map_or(Start::TrimHorizon, |since| Start::At(since.ms));
    let name = source.and_then(|source| source.name.as_deref());
    Ok(Records::Stream(Box::new(Recording::open(kinesis, name, config.batch.clone(), start).await?)))
}

#[cfg(not(feature = "aws"))]
async fn stream(_: &Config, since: Option<&Since>) -> anyhow::Result<Records> {
    let since = since.map_or(String::new(), |since| format!(" since {} ms after 1970", since.ms));
    bail!("--from stream{since}: this program was built without Kinesis: build it with the feature `aws`")
}

impl Records {
    /// The next batch; `None` at the end.
    pub(crate) async fn next(&mut self, limits: &BatchLimits) -> anyhow::Result<Option<Batch>> {
        Ok(match self {
            Self::Lines(lines) => lines.next(limits)?,
            Self::Letters(letters) => letters.next(limits)?,
            #[cfg(feature = "aws")]
            Self::Stream(recording) => recording.next().await?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_a_duration_before_now() {
        let ms = |text: &str| text.parse::<Since>().map(|since| since.ms);
        assert_eq!(ms("2021-05-05T18:51:00Z").unwrap(), 1_620_240_660_000);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        assert!((ms("10m").unwrap() - (now - 600_000)).abs() < 60_000);
        for wrong in ["yesterday", "2021-05-05", "-10m", ""] {
            assert!(ms(wrong).unwrap_err().to_string().contains("10m"), "{wrong}");
        }
    }
}
