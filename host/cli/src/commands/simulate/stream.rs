//! Puts a race's messages into a Kinesis stream. In the end every message is in the stream, or the command fails and
//! reports how many are not known to be.

use std::time::{Duration, Instant};

use anyhow::bail;
use paceline_aws::kinesis::{KinesisConfig, Meter, Order, Producer, ProducerConfig, Sent, Stream, StreamError, Unsent};
use paceline_simulator::{Keys, Messages, PartitionKey, Race};
use serde_json::json;

use super::speed::Speed;
use crate::progress::Progress;
use crate::report::{print_json, print_table, thousands};
use crate::setup::runtime;
use crate::stop::stop_signal;

/// The interval between updates of the progress display.
const SHOW_EVERY: Duration = Duration::from_millis(200);

/// Arguments of `paceline simulate` for a stream.
#[derive(clap::Args)]
pub(super) struct StreamArguments {
    /// Put the messages into this Kinesis stream. The partition key is the racer's id, or with `--key random` a random
    /// number.
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(super) stream: Option<String>,
    /// The stream's region [default: from the environment or the profile]
    #[arg(long, requires = "stream", conflicts_with = "out")]
    region: Option<String>,
    /// The URL of the service, for private endpoints and tests [default: the region's]
    #[arg(long, value_name = "URL", requires = "stream", conflicts_with = "out")]
    endpoint: Option<String>,
    /// Pack messages into aggregates of the Kinesis Producer Library, many messages in one record of the stream.
    #[arg(long, requires = "stream", conflicts_with = "out")]
    aggregate: bool,
    /// Give up after so many seconds in which the stream accepted no record.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "stream", conflicts_with = "out")]
    give_up_after: u32,
    /// Print the summary as JSON.
    #[arg(long, requires = "stream", conflicts_with = "out")]
    json: bool,
}

/// What `put_all` handed to the producer.
struct PutOutcome {
    messages: u64,
    /// Whether a signal arrived before the last message.
    stopped: bool,
}

/// Puts the messages of a race into the stream.
pub(super) fn simulate(race: &Race, speed: Speed, name: &str, arguments: &StreamArguments) -> anyhow::Result<()> {
    let StreamArguments { region, endpoint, aggregate, give_up_after, .. } = arguments;
    let stream = KinesisConfig {
        stream: name.to_owned(),
        region: region.clone(),
        endpoint: endpoint.clone(),
        ..KinesisConfig::default()
    };
    let producer = ProducerConfig {
        order: match race.key {
            PartitionKey::Racer => Order::ByKey,
            PartitionKey::Random => Order::None,
        },
        aggregate: *aggregate,
        give_up_after: Duration::from_secs(u64::from(*give_up_after)),
        ..ProducerConfig::default()
    };
    runtime()?.block_on(async {
        let stream = Stream::connect(&stream).await?;
        let producer = Producer::start(&stream, producer).await?;
        let progress = Progress::new(Some(u64::from(race.racers) * u64::from(race.seconds)));
        let stop = stop_signal(|| {})?;
        let started = Instant::now();
        let put = put_all(race, speed, &producer, stop, &progress).await;
        let finished = finish(producer, &progress).await;
        progress.finish();
        let sent = finished.as_ref().unwrap_or_else(|unsent| &unsent.sent);
        print(sent, started.elapsed(), arguments.json)?;
        // The error of `finish` includes the producer's fatal error and the number of messages left.
        finished?;
        let PutOutcome { messages, stopped } = put?;
        match stopped {
            false => Ok(()),
            true => bail!(
                "stopped by a signal before the end of the race: the first {} messages are in the stream",
                thousands(messages)
            ),
        }
    })
}

/// Puts the messages in order, each when it is due. Messages are late if the stream does not accept them in time.
async fn put_all(
    race: &Race,
    speed: Speed,
    producer: &Producer,
    stop: impl Future<Output = ()>,
    progress: &Progress,
) -> Result<PutOutcome, StreamError> {
    tokio::pin!(stop);
    let (started, meter) = (tokio::time::Instant::now(), producer.meter());
    let (mut keys, mut now, mut messages, mut shown) = (Keys::new(race), 0, 0, Instant::now());
    for (second, line) in Messages::new(race) {
        let due = speed.second_takes().filter(|_| second > now).map(|takes| started + takes * (second - 1));
        now = now.max(second);
        let put = async {
            if let Some(due) = due {
                tokio::time::sleep_until(due).await;
            }
            producer.put(keys.next(&line), line).await
        };
        tokio::select! {
            // The signal is polled first, because putting may always be ready.
            biased;
            () = &mut stop => {
                progress.note("flushing; press Ctrl-C again to discard");
                return Ok(PutOutcome { messages, stopped: true });
            }
            put = put => put?,
        }
        messages += 1;
        if shown.elapsed() >= SHOW_EVERY {
            shown = Instant::now();
            show(&meter, progress);
        }
    }
    Ok(PutOutcome { messages, stopped: false })
}

/// Sends the buffered messages, which may be most of a race, and shows the progress.
async fn finish(producer: Producer, progress: &Progress) -> Result<Sent, Unsent> {
    let meter = producer.meter();
    let mut every = tokio::time::interval(SHOW_EVERY);
    let finish = producer.finish();
    tokio::pin!(finish);
    loop {
        tokio::select! {
            finished = &mut finish => return finished,
            _ = every.tick() => show(&meter, progress),
        }
    }
}

fn show(meter: &Meter, progress: &Progress) {
    let sent = meter.sent();
    progress.show(Some(sent.records), || {
        format!(
            "{} messages in the stream, {} throttled, {} retried",
            thousands(sent.records),
            thousands(sent.throttled),
            thousands(sent.retried)
        )
    });
}

fn print(sent: &Sent, took: Duration, as_json: bool) -> anyhow::Result<()> {
    let seconds = took.as_secs_f64();
    let rate = sent.records as f64 / seconds.max(1e-9);
    if as_json {
        return print_json(&json!({
            "messages": sent.records,
            "streamRecords": sent.stream_records,
            "requests": sent.requests,
            "bytes": sent.bytes,
            "throttled": sent.throttled,
            "retried": sent.retried,
            "retriedAmbiguous": sent.ambiguous,
            "resentByResharding": sent.resharded,
            "seconds": seconds,
            "messagesPerSecond": rate,
        }));
    }
    let row = |name: &str, count: u64, more: String| vec![name.to_owned(), format!("{:>12}", thousands(count)), more];
    print_table(&[
        row("messages", sent.records, format!("in {seconds:.2} s: {} messages a second", thousands(rate as u64))),
        row("stream records", sent.stream_records, format!("of {} bytes in all", thousands(sent.bytes))),
        row("requests", sent.requests, String::new()),
        row("throttled", sent.throttled, "records beyond the limits of their shard at first".to_owned()),
        row(
            "retried",
            sent.retried,
            format!("records sent again, {} of them after an ambiguous answer", thousands(sent.ambiguous)),
        ),
        row("resharded", sent.resharded, "messages sent again because their shard was split or merged".to_owned()),
    ])
}
