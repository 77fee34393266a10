//! `paceline simulate`.
//!
//! # Layout
//!
//! - this file: the arguments, and messages into a file.
//! - `stream`: messages into a Kinesis stream.
//! - `speed`: how fast.

mod speed;
#[cfg(feature = "aws")]
mod stream;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, anyhow};
use paceline_simulator::{Messages, Race};

use speed::Speed;

/// Arguments of `paceline simulate`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    race: Race,
    /// As fast as the messages are accepted, in real time, or ten times as fast.
    #[arg(long, value_enum, default_value = "max")]
    speed: Speed,
    /// The file to write, or `-` for standard output.
    #[arg(long, default_value = "-", value_name = "FILE")]
    #[cfg_attr(feature = "aws", arg(conflicts_with = "stream"))]
    out: PathBuf,
    #[cfg(feature = "aws")]
    #[command(flatten)]
    stream: stream::StreamArguments,
}

/// Writes the messages of a race, one per line, or puts them into a stream.
pub(crate) fn simulate(arguments: &Arguments) -> anyhow::Result<()> {
    arguments.race.check().map_err(|wrong| anyhow!("--{wrong}"))?;
    #[cfg(feature = "aws")]
    if let Some(name) = &arguments.stream.stream {
        return stream::simulate(&arguments.race, arguments.speed, name, &arguments.stream);
    }
    let to_stdout = arguments.out.as_os_str() == "-";
    let name = if to_stdout { "standard output".to_owned() } else { arguments.out.display().to_string() };
    let out: Box<dyn Write> = if to_stdout {
        Box::new(io::stdout().lock())
    } else {
        Box::new(File::create(&arguments.out).with_context(|| name.clone())?)
    };
    match write(arguments, BufWriter::with_capacity(1 << 16, out)) {
        // The reader has read what it needs.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done.context(name),
    }
}

#[expect(clippy::disallowed_methods, reason = "it paces the messages: there is no event to wait for")]
fn write(arguments: &Arguments, mut out: impl Write) -> io::Result<()> {
    let second_takes = arguments.speed.second_takes();
    let started = Instant::now();
    let mut now = 0;
    for (second, line) in Messages::new(&arguments.race) {
        if let Some(takes) = second_takes
            && second > now
        {
            // Messages that are due are written before the wait.
            out.flush()?;
            std::thread::sleep((started + takes * (second - 1)).saturating_duration_since(Instant::now()));
            now = second;
        }
        out.write_all(&line)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}
