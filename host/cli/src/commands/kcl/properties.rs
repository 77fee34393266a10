//! The daemon's own configuration file, made from paceline's: so that what both have to know is written in one place.

use std::path::Path;

use paceline_aws::kinesis::{ConsumerKind, KinesisConfig, Start};
use paceline_config::Config;

use super::keys;
use crate::Failure;

/// The most records of one call, which is Kinesis's own limit.
const MAX_RECORDS: usize = 10_000;

/// The least time between two reads of a shard: Kinesis allows five a second.
const IDLE_MS: u64 = 200;

/// How long a worker may be silent before others take its leases over. The KCL's default; written out because it is what
/// to change where a take-over takes too long.
const FAILOVER_MS: u64 = 10_000;

/// What the file should say beyond the configuration.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    /// The application's name.
    pub(super) application: Option<&'a str>,
    /// How often checkpoints are told, in milliseconds, where that is not the usual.
    pub(super) checkpoint_every_ms: Option<u64>,
    /// `key=value`, each.
    pub(super) set: &'a [String],
}

/// The name of a stream, of which the configuration may have the ARN.
pub(super) fn stream_name(stream: &str) -> &str {
    stream.split_once(":stream/").map_or(stream, |(_, name)| name)
}

/// Writes the daemon's properties, and says so.
pub(super) fn write(
    file: &Path,
    from: &Path,
    config: &Config,
    kinesis: &KinesisConfig,
    wanted: &Wanted<'_>,
) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(|error| format!("where this program is: {error}"))?;
    let from = std::path::absolute(from).map_err(|error| format!("{}: {error}", from.display()))?;
    let mut command = command(&program, &from)?;
    if let Some(every) = wanted.checkpoint_every_ms {
        command.push_str(&format!(" --checkpoint-every-ms {every}"));
    }
    let entries = entries(command, config, kinesis, wanted)?;
    let mut text = format!(
        "# Amazon's MultiLangDaemon for {}.\n# Made by `paceline kcl --write-properties`: change that file, or use --set, \
         and make this one again.\n",
        from.display()
    );
    for (key, value) in &entries {
        text.push_str(&format!("{key} = {}\n", escape(value)));
    }
    // Whole or not at all: a daemon may be starting.
    let new = file.with_extension(format!("new-{}", std::process::id()));
    let written = std::fs::write(&new, &text).and_then(|()| std::fs::rename(&new, file));
    written.map_err(|error| format!("{}: {error}", file.display()))?;
    let application = entries.iter().find(|(key, _)| key == "applicationName").map_or("", |(_, value)| value);
    eprintln!(
        "{} is written: stream {}, application (and lease table) {application}, {} settings.\nStart the daemon, on as \
         many machines as you like, and start it again when it ends:\n  java -cp \"$(scripts/kcl)/*\" \
         software.amazon.kinesis.multilang.MultiLangDaemon --properties-file {}",
        file.display(),
        stream_name(&kinesis.stream),
        entries.len(),
        file.display(),
    );
    Ok(())
}

/// How the daemon starts this program.
fn command(program: &Path, config: &Path) -> Result<String, Failure> {
    for path in [program, config] {
        // It cuts the command at spaces, and knows no quotes.
        if path.to_str().is_none_or(|path| path.contains(' ')) {
            return Err(format!(
                "{} can't be named in the daemon's executableName, which is cut at spaces: move it to a path without any",
                path.display()
            ));
        }
    }
    Ok(format!("{} kcl --config {}", program.display(), config.display()))
}

/// The keys and their values.
fn entries(
    command: String,
    config: &Config,
    kinesis: &KinesisConfig,
    wanted: &Wanted<'_>,
) -> Result<Vec<(String, String)>, Failure> {
    let mut entries: Vec<(String, String)> = Vec::new();
    let mut put = |key: &str, value: String| entries.push((key.to_owned(), value));
    let name = stream_name(&kinesis.stream);
    put("executableName", command);
    match name == kinesis.stream {
        true => put("streamName", name.to_owned()),
        false => put("streamArn", kinesis.stream.clone()),
    }
    put("applicationName", wanted.application.map_or_else(|| format!("paceline-{name}"), ToOwned::to_owned));
    put("AwsCredentialsProvider", "DefaultCredentialsProvider".to_owned());
    put("processingLanguage", "rust".to_owned());
    match kinesis.start {
        Start::TrimHorizon | Start::Latest => put("initialPositionInStream", kinesis.start.to_string()),
        // Seconds. Of those of the same second that arrived earlier, some come, too.
        Start::At(time) => put("initialPositionInStreamExtended", time.div_euclid(1_000).to_string()),
    }
    let store = config.store.dynamodb.as_ref();
    let store_region = store.and_then(|store| store.region.as_ref());
    match (&kinesis.region, store_region) {
        (Some(region), None) => put("regionName", region.clone()),
        (Some(region), Some(other)) if region == other => put("regionName", region.clone()),
        (stream, table) => {
            for (client, region) in [("kinesisClient", stream), ("cloudWatchClient", stream)] {
                region.iter().for_each(|region| put(&format!("{client}.region"), (*region).clone()));
            }
            table.iter().for_each(|region| put("dynamoDbClient.region", (*region).clone()));
        }
    }
    kinesis.endpoint.iter().for_each(|endpoint| put("kinesisEndpoint", endpoint.clone()));
    store.and_then(|store| store.endpoint.as_ref()).iter().for_each(|to| put("dynamoDBEndpoint", (*to).clone()));
    match kinesis.consumer {
        ConsumerKind::Poll => {
            put("retrievalMode", "POLLING".to_owned());
            put("maxRecords", config.batch.max_records.min(MAX_RECORDS).to_string());
            put("idleTimeBetweenReadsInMillis", kinesis.idle_ms.max(IDLE_MS).to_string());
        }
        ConsumerKind::FanOut => {
            put("retrievalMode", "FANOUT".to_owned());
            put("fanoutConfig.consumerName", kinesis.consumer_name.clone());
        }
    }
    put("shutdownGraceMillis", kinesis.stop_ms.to_string());
    put("failoverTimeMillis", FAILOVER_MS.to_string());
    for setting in wanted.set {
        let (key, value) = setting.split_once('=').ok_or_else(|| format!("--set {setting}: expected KEY=VALUE"))?;
        let (key, value) = (key.trim(), value.trim());
        keys::check(key).map_err(|why| format!("--set {setting}: {why}"))?;
        match entries.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(key)) {
            Some((_, known)) => *known = value.to_owned(),
            None => entries.push((key.to_owned(), value.to_owned())),
        }
    }
    Ok(entries)
}

/// A value as `java.util.Properties` reads it: in Latin-1, with escapes.
fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for (at, letter) in value.char_indices() {
        match letter {
            '\\' => escaped.push_str("\\\\"),
            // Blanks before a value are not its own.
            ' ' if at == 0 => escaped.push_str("\\ "),
            ' '..='~' => escaped.push(letter),
            other => {
                let mut units = [0; 2];
                other.encode_utf16(&mut units).iter().for_each(|unit| escaped.push_str(&format!("\\u{unit:04x}")));
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `java.util.Properties` makes of a value.
    fn load(escaped: &str) -> String {
        let mut units = Vec::new();
        let mut letters = escaped.trim_start_matches(' ').chars();
        while let Some(letter) = letters.next() {
            let mut put = |letter: char| units.extend_from_slice(letter.encode_utf16(&mut [0; 2]));
            match letter {
                '\\' => match letters.next().unwrap() {
                    'u' => {
                        let digits: String = letters.by_ref().take(4).collect();
                        units.push(u16::from_str_radix(&digits, 16).unwrap());
                    }
                    other => put(other),
                },
                other => put(other),
            }
        }
        String::from_utf16(&units).unwrap()
    }

    #[test]
    fn a_value_comes_back_as_it_was() {
        for value in ["", "plain", " /a path", "C:\\x\\u0041", "Zürich", "🚲", "two\nlines\t", "a=b:c#d!e", "  "] {
            let escaped = escape(value);
            assert!(escaped.is_ascii() && !escaped.contains('\n'), "{escaped}");
            assert_eq!(load(&escaped), value, "{escaped}");
        }
    }

    #[test]
    fn a_path_with_a_blank_is_refused() {
        let said = command(Path::new("/opt/my programs/paceline"), Path::new("/etc/p.toml")).unwrap_err();
        assert!(said.contains("spaces"), "{said}");
        let command = command(Path::new("/opt/paceline"), Path::new("/etc/p.toml"));
        assert_eq!(command, Ok("/opt/paceline kcl --config /etc/p.toml".to_owned()));
    }

    #[test]
    fn a_stream_may_be_named_by_its_arn() {
        assert_eq!(stream_name("alleycat"), "alleycat");
        assert_eq!(stream_name("arn:aws:kinesis:eu-west-1:123456789012:stream/alleycat"), "alleycat");
    }
}
