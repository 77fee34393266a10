//! Commands that can be pasted into a shell.

use crate::history::{History, Stream};

/// A command with its arguments quoted where a shell needs that.
pub(crate) struct Command {
    text: String,
    region: Option<String>,
}

impl Command {
    /// `aws SERVICE OPERATION`, in the history's region.
    pub(crate) fn aws(history: &History, operation: &str) -> Self {
        Self { text: format!("aws {operation}"), region: history.region.clone() }
    }

    /// `paceline SUBCOMMAND` with the history's configuration.
    pub(crate) fn paceline(history: &History, subcommand: &str) -> Self {
        let config = history.config.as_deref().unwrap_or("paceline.toml");
        Self { text: format!("paceline {subcommand}"), region: None }.option("--config", config)
    }

    /// An argument as it is: names of subcommands and flags.
    pub(crate) fn word(mut self, word: &str) -> Self {
        self.text.push(' ');
        self.text.push_str(word);
        self
    }

    /// An argument from outside.
    pub(crate) fn argument(self, value: &str) -> Self {
        let quoted = quoted(value);
        self.word(&quoted)
    }

    /// An option with its value.
    pub(crate) fn option(self, name: &str, value: impl AsRef<str>) -> Self {
        self.word(name).argument(value.as_ref())
    }

    pub(crate) fn build(self) -> String {
        match self.region {
            Some(region) => format!("{} --region {}", self.text, quoted(&region)),
            None => self.text,
        }
    }
}

/// A word of a shell.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,@%+".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// `paceline simulate` as the example of a producer that aggregates.
pub(crate) fn aggregating_producer(history: &History, stream: &Stream) -> String {
    let race = "--racers 1000 --seconds 300 --class 3 --race 5403307 --seed 1 --speed 1x --aggregate";
    let command = Command { text: "paceline simulate".to_owned(), region: history.region.clone() };
    command.option("--stream", &stream.name).word(race).build()
}

/// The stream's ARN, or what it looks like.
pub(crate) fn stream_arn(history: &History) -> String {
    let Some(stream) = &history.stream else { return "STREAM-ARN".to_owned() };
    stream.arn.clone().unwrap_or_else(|| format!("arn:aws:kinesis:REGION:ACCOUNT:stream/{}", stream.name))
}

/// `aws kinesis update-shard-count`, within what one call can do.
pub(crate) fn update_shard_count(history: &History, stream: &Stream, shards: usize) -> String {
    Command::aws(history, "kinesis update-shard-count")
        .option("--stream-name", &stream.name)
        .option("--target-shard-count", shards.to_string())
        .word("--scaling-type UNIFORM_SCALING")
        .build()
}
