//! `paceline simulate`.
//!
//! # Layout
//!
//! - this file: what it is told, and messages into a file.
//! - `stream`: messages into a Kinesis stream.

mod stream;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use paceline_simulator::{Messages, Race};

use crate::Failure;

/// What `simulate` is told.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    race: Race,
    /// How fast: as fast as the messages are taken, in real time, or ten times as fast.
    #[arg(long, value_enum, default_value = "max")]
    speed: Speed,
    /// Where to: a file, or `-` for standard output.
    #[arg(long, default_value = "-", value_name = "FILE", conflicts_with = "stream")]
    out: PathBuf,
    #[command(flatten)]
    stream: stream::StreamArguments,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Speed {
    Max,
    #[value(name = "1x")]
    Real,
    #[value(name = "10x")]
    TenTimes,
}

impl Speed {
    /// How long a second of the race takes. Nothing, where it takes what it takes.
    fn second_takes(self) -> Option<Duration> {
        match self {
            Self::Max => None,
            Self::Real => Some(Duration::from_secs(1)),
            Self::TenTimes => Some(Duration::from_millis(100)),
        }
    }
}

/// Writes the messages of a race, one a line, or puts them into a stream.
pub(crate) fn simulate(arguments: &Arguments) -> Result<(), Failure> {
    arguments.race.check().map_err(|wrong| format!("--{wrong}"))?;
    if let Some(name) = &arguments.stream.stream {
        return stream::simulate(&arguments.race, arguments.speed, name, &arguments.stream);
    }
    let to_stdout = arguments.out.as_os_str() == "-";
    let name = if to_stdout { "standard output".to_owned() } else { arguments.out.display().to_string() };
    let out: Box<dyn Write> = if to_stdout {
        Box::new(io::stdout().lock())
    } else {
        Box::new(File::create(&arguments.out).map_err(|error| format!("{name}: {error}"))?)
    };
    match write(arguments, BufWriter::with_capacity(1 << 16, out)) {
        // Whoever read it has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done.map_err(|error| format!("{name}: {error}")),
    }
}

fn write(arguments: &Arguments, mut out: impl Write) -> io::Result<()> {
    let second_takes = arguments.speed.second_takes();
    let started = Instant::now();
    let mut now = 0;
    for (second, line) in Messages::new(&arguments.race) {
        if let Some(takes) = second_takes
            && second > now
        {
            // What was due before is sent before the wait.
            out.flush()?;
            std::thread::sleep((started + takes * (second - 1)).saturating_duration_since(Instant::now()));
            now = second;
        }
        out.write_all(&line)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}
