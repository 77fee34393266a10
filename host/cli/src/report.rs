//! Results on standard output, for people and as JSON; notes on standard error.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
pub(crate) use paceline_kit::count::thousands;
use paceline_pipeline::model::Attribute;
use paceline_pipeline::summary::{Stage, Summary};
use serde_json::{Value, json};

/// Whether the reader of standard output has closed it.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Whether nobody reads standard output any more, for commands that go on printing.
#[cfg(feature = "aws")]
pub(crate) fn is_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

/// Writes to standard output. A reader that closes it early has read what it needs: that is no error.
fn print_with(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            CLOSED.store(true, Ordering::Relaxed);
            Ok(())
        }
        done => done.context("standard output can't be written"),
    }
}

/// Whether the log's lines are JSON objects, for programs that collect logs.
pub(crate) fn logs_json() -> bool {
    std::env::var_os("PACELINE_LOG").is_some_and(|form| form == "json")
}

/// Shows a person a line: on standard error, as a line of the log where that is for programs. A log that can't be written,
/// because its disk is full or whoever collects it has ended, is no reason to stop.
pub(crate) fn note(line: &str) {
    if logs_json() {
        tracing::info!("{line}");
        return;
    }
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes a line of a log for programs, whatever its filter is.
pub(crate) fn note_json(line: &Value) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Prints a line.
pub(crate) fn print_line(line: &str) -> anyhow::Result<()> {
    print_with(|out| writeln!(out, "{line}"))
}

/// Prints lines.
pub(crate) fn print_lines(lines: &[String]) -> anyhow::Result<()> {
    print_with(|out| lines.iter().try_for_each(|line| writeln!(out, "{line}")))
}

/// Prints a JSON document.
pub(crate) fn print_json(value: &Value) -> anyhow::Result<()> {
    print_with(|out| {
        serde_json::to_writer_pretty(&mut *out, value)?;
        writeln!(out)
    })
}

/// A text with its control characters escaped. Keys and payloads are what producers sent: they must not begin another row, or
/// speak to the terminal.
pub(crate) fn visible(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut visible, letter| {
        match letter.is_control() {
            true => visible.extend(letter.escape_default()),
            false => visible.push(letter),
        }
        visible
    })
}

/// Rows as lines of aligned columns. The last column is not padded.
pub(crate) fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| visible(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cell = |(at, cell): (usize, &String)| match at + 1 == row.len() {
            true => cell.clone(),
            false => format!("{cell:width$}  ", width = widths[at]),
        };
        row.iter().enumerate().map(cell).collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Prints rows in aligned columns.
pub(crate) fn print_table(rows: &[Vec<String>]) -> anyhow::Result<()> {
    print_lines(&aligned(rows))
}

/// An attribute as JSON.
pub(crate) fn json(attribute: Option<&Attribute>) -> Value {
    match attribute {
        None => Value::Null,
        Some(Attribute::Boolean(value)) => (*value).into(),
        Some(Attribute::Integer(value)) => (*value).into(),
        Some(Attribute::Number(value)) => (*value).into(),
        Some(Attribute::Text(value)) => value.as_str().into(),
        Some(Attribute::Blob(bytes)) => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into(),
    }
}

/// An attribute as a person reads it.
pub(crate) fn text(attribute: Option<&Attribute>) -> String {
    match json(attribute) {
        Value::Null => String::new(),
        Value::String(text) => text,
        Value::Bool(value) => (if value { "yes" } else { "no" }).to_owned(),
        other => other.to_string(),
    }
}

/// A count with its noun.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    format!("{} {noun}{}", thousands(count as u64), if count == 1 { "" } else { "s" })
}

/// Prints the summary of a run.
pub(crate) fn print(summary: &Summary, took: Duration, as_json: bool) -> anyhow::Result<()> {
    let rate = summary.records as f64 / took.as_secs_f64().max(1e-9);
    if as_json {
        let dead: serde_json::Map<_, _> =
            summary.dead_letters.iter().map(|(cause, count)| (cause.to_string(), (*count).into())).collect();
        let stages = Stage::ALL
            .iter()
            .map(|&stage| (stage.as_str().to_owned(), json!(summary.time[stage as usize].as_secs_f64())));
        return print_json(&json!({
            "records": summary.records,
            "batches": summary.batches,
            "deadLetters": summary.dead_letter_count(),
            "deadLettersByReason": dead,
            "groupsWritten": summary.groups,
            "duplicates": summary.duplicates,
            "conflicts": summary.conflicts,
            "seconds": took.as_secs_f64(),
            "recordsPerSecond": rate,
            "secondsByStage": stages.collect::<serde_json::Map<_, _>>(),
        }));
    }
    let list = |parts: Vec<String>| if parts.is_empty() { String::new() } else { parts.join(", ") };
    let dead = summary.dead_letters.iter().map(|(cause, count)| format!("{cause} {}", thousands(*count))).collect();
    let stages = Stage::ALL
        .iter()
        .map(|&stage| format!("{} {:.2}", stage.as_str(), summary.time[stage as usize].as_secs_f64()))
        .collect();
    let row = |name: &str, count: u64, more: String| vec![name.to_owned(), format!("{:>12}", thousands(count)), more];
    print_table(&[
        row(
            "records",
            summary.records,
            format!(
                "in {} batches and {:.2} s: {} records a second",
                thousands(summary.batches),
                took.as_secs_f64(),
                thousands(rate as u64)
            ),
        ),
        row("dead letters", summary.dead_letter_count(), list(dead)),
        row("groups written", summary.groups, String::new()),
        row("duplicates", summary.duplicates, "rows that their groups held already".to_owned()),
        row("conflicts", summary.conflicts, "writes of groups that another host had changed".to_owned()),
        vec!["seconds by stage".to_owned(), String::new(), list(stages)],
    ])
}
