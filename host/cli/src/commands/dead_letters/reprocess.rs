//! `paceline dead-letters reprocess`: batches that an event source mapping gave up.
//!
//! Their records become dead letters first, durably. Then their messages are deleted from the queue, and at last the dead
//! letters are redriven. Killed at any moment, it goes on when it is started again.

use std::path::PathBuf;

use anyhow::bail;
use paceline_aws::given_up::GivenUpBatch;
use paceline_config::{AnyStore, Config};
use paceline_pipeline::given_up::GivenUp;
use paceline_pipeline::model::{Batch, Cause};
use paceline_pipeline::{ErrorChain, Pipeline};
use serde_json::{Value, json};

use super::given_up::{Found, Reader, Source};
use super::redrive::{Redriven, Selected, Wanted, redrive};
use crate::report::{self, counted};

/// Arguments of `paceline dead-letters reprocess`.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The URL of the queue that is the mapping's on-failure destination, or that gets its topic's notifications.
    #[arg(long, value_name = "URL", required_unless_present = "from", conflicts_with = "from")]
    queue: Option<String>,
    /// Files with a message, or with an object of the bucket that is the on-failure destination.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    from: Vec<PathBuf>,
    /// Leave the dead letters to `redrive`.
    #[arg(long)]
    keep: bool,
    /// Show the batches and what would become of them. Nothing is stored, processed or deleted.
    #[arg(long)]
    dry_run: bool,
}

/// What became of the batches.
#[derive(Default)]
pub(super) struct Report {
    batches: Vec<BatchReport>,
    redriven: Redriven,
    is_dry: bool,
    is_kept: bool,
}

/// What became of a batch.
struct BatchReport {
    /// The message's id, or the file.
    from: String,
    batch: Option<GivenUpBatch>,
    given_up: GivenUp,
    /// The records whose dead letters may be redriven.
    sure: Vec<Selected>,
    /// Why it stays where it is.
    left: Option<String>,
}

/// Stores the records of the batches as dead letters, and redrives these.
pub(super) async fn reprocess(
    arguments: &Arguments,
    pipeline: &Pipeline<AnyStore>,
    config: &Config,
) -> anyhow::Result<Report> {
    let mut source = match &arguments.queue {
        Some(url) => Source::of_queue(url).await?,
        None => Source::Files(arguments.from.clone().into_iter()),
    };
    let mut report = Report { is_dry: arguments.dry_run, is_kept: arguments.keep, ..Report::default() };
    let stored = store_all(&mut source, pipeline, config, &mut report).await;
    // What is left is shown to others at once, also after an error.
    source.release().await;
    stored?;
    if !arguments.dry_run && !arguments.keep {
        let wanted = Wanted { reason: Some(Cause::GivenUp), unsure: false };
        report.redriven = redrive(pipeline, config, &report.sure(), wanted).await?;
    }
    Ok(report)
}

async fn store_all(
    source: &mut Source,
    pipeline: &Pipeline<AnyStore>,
    config: &Config,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut reader = Reader::new(config);
    while let Some(item) = source.next().await? {
        let from = item.name.clone();
        let (batch, found) = match read(&mut reader, &item.text).await {
            Ok(found) => found,
            Err(error) => {
                let left = Some(ErrorChain(error.as_ref()).to_string());
                let (given_up, sure) = (GivenUp::default(), Vec::new());
                report.batches.push(BatchReport { from, batch: None, given_up, sure, left });
                source.leave(item);
                continue;
            }
        };
        let mut given_up = match store(pipeline, &found.batch, &batch, report.is_dry).await {
            Ok(given_up) => given_up,
            Err(error) => {
                source.leave(item);
                return Err(error);
            }
        };
        let sure = given_up.letters.iter().filter(|letter| !letter.unsure).map(Selected::of);
        // Those that are known are of an earlier attempt.
        let sure = sure.chain(given_up.known.iter().cloned().map(Selected::of_id)).collect();
        // They are stored; of many batches, their payloads would not fit into memory.
        given_up.letters.iter_mut().for_each(|letter| letter.payload = Vec::new());
        let left = found.left.map(|left| expired(&batch, &found, left));
        match left.is_some() || report.is_dry {
            true => source.leave(item),
            false => source.remove(&item).await?,
        }
        report.batches.push(BatchReport { from, batch: Some(batch), given_up, sure, left });
    }
    Ok(())
}

async fn read(reader: &mut Reader<'_>, text: &str) -> anyhow::Result<(GivenUpBatch, Found)> {
    let mut batch = GivenUpBatch::parse(text)?;
    let found = reader.read(&mut batch).await?;
    Ok((batch, found))
}

async fn store(
    pipeline: &Pipeline<AnyStore>,
    records: &Batch,
    batch: &GivenUpBatch,
    is_dry: bool,
) -> anyhow::Result<GivenUp> {
    let condition = batch.condition.as_ref().map_or(String::new(), |condition| format!(": {condition}"));
    let why = format!("the event source mapping gave up the record's batch{condition}");
    Ok(match is_dry {
        true => pipeline.find_given_up(records, &why).await?,
        false => pipeline.store_given_up(records, &why).await?,
    })
}

/// What of a batch has expired.
fn expired(batch: &GivenUpBatch, found: &Found, left: usize) -> String {
    let GivenUpBatch { stream, shard, first, last, size, .. } = batch;
    let lost = match found.batch.records.first() {
        Some(record) => format!("before {}", record.position.sequence),
        None => format!("to {last}"),
    };
    format!(
        "the stream does not have the records of {stream}/{shard} from {first} {lost}: they have expired and are lost, or \
         never were in this stream. Of the batch's {size}, {left} were read"
    )
}

impl Report {
    /// The records whose dead letters may be redriven.
    fn sure(&self) -> Vec<Selected> {
        self.batches.iter().flat_map(|batch| &batch.sure).cloned().collect()
    }

    fn sum(&self, count: impl Fn(&GivenUp) -> usize) -> usize {
        self.batches.iter().map(|batch| count(&batch.given_up)).sum()
    }

    /// Prints it. An error if a batch is left where it is.
    pub(super) fn print(&self, as_json: bool) -> anyhow::Result<()> {
        match as_json {
            true => report::print_json(&self.as_json())?,
            false => self.print_text()?,
        }
        let left = self.batches.iter().filter(|batch| batch.left.is_some()).count();
        if left > 0 {
            bail!("{left} of {} not reprocessed as a whole, and left where they were", self.counted_batches());
        }
        Ok(())
    }

    fn counted_batches(&self) -> String {
        match self.batches.len() {
            1 => "1 batch".to_owned(),
            count => format!("{} batches", report::thousands(count as u64)),
        }
    }

    fn print_text(&self) -> anyhow::Result<()> {
        if self.is_dry {
            let mut rows =
                vec![["from", "shard", "first", "last", "records", "new", "unsure"].map(str::to_owned).to_vec()];
            rows.extend(self.batches.iter().filter_map(BatchReport::row));
            report::print_table(&rows)?;
        }
        let (stored, known) = (self.sum(|of| of.letters.len()), self.sum(|of| of.known.len()));
        let would = if self.is_dry { "would become" } else { "became" };
        let records = counted(stored + known, "record");
        report::print_line(&format!(
            "{} with {records}: {stored} {would} dead letters, {known} had one already",
            self.counted_batches()
        ))?;
        for BatchReport { from, left, .. } in &self.batches {
            if let Some(left) = left {
                report::print_line(&format!("{from}: {left}"))?;
            }
        }
        if self.is_dry {
            return Ok(());
        }
        let unsure = self.sum(GivenUp::unsure) + self.redriven.skipped;
        if !self.is_kept {
            report::print_line(&format!(
                "{} processed, {} are still dead letters",
                self.redriven.through, self.redriven.left
            ))?;
        } else if stored > unsure {
            report::print_line("process the dead letters with `paceline dead-letters redrive --reason given-up`")?;
        }
        match unsure {
            0 => Ok(()),
            _ => report::print_line(&format!(
                "{unsure} left alone, because they are unsure: the batch may have been committed in part. Compare them \
                 with the items, then use `paceline dead-letters redrive --reason given-up --unsure`"
            )),
        }
    }

    fn as_json(&self) -> Value {
        json!({
            "batches": self.batches.iter().map(BatchReport::as_json).collect::<Value>(),
            "stored": if self.is_dry { 0 } else { self.sum(|of| of.letters.len()) },
            "known": self.sum(|of| of.known.len()),
            "through": self.redriven.through,
            "left": self.redriven.left,
            "unsure": self.sum(GivenUp::unsure) + self.redriven.skipped,
        })
    }
}

impl BatchReport {
    fn row(&self) -> Option<Vec<String>> {
        let batch = self.batch.as_ref()?;
        Some(vec![
            self.from.clone(),
            format!("{}/{}", batch.stream, batch.shard),
            batch.first.to_string(),
            batch.last.to_string(),
            (self.given_up.letters.len() + self.given_up.known.len()).to_string(),
            self.given_up.letters.len().to_string(),
            self.given_up.unsure().to_string(),
        ])
    }

    fn as_json(&self) -> Value {
        let batch = self.batch.as_ref();
        json!({
            "from": self.from,
            "stream": batch.map(|batch| &batch.stream),
            "shard": batch.map(|batch| &batch.shard),
            "first": batch.map(|batch| batch.first.to_string()),
            "last": batch.map(|batch| batch.last.to_string()),
            "size": batch.map(|batch| batch.size),
            "condition": batch.and_then(|batch| batch.condition.as_ref()),
            "new": self.given_up.letters.len(),
            "known": self.given_up.known.len(),
            "unsure": self.given_up.unsure(),
            "error": self.left,
        })
    }
}
