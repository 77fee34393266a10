//! `paceline run`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use paceline_config::{Config, RulebooksConfig, SourceConfig};
use paceline_pipeline::receive::{Lines, Source};
use paceline_pipeline::registry::{Event, Watch};
use paceline_pipeline::run::run as run_source;
use paceline_simulator::Simulation;
use tokio::signal::unix::{SignalKind, signal};

use super::{ConfigArgument, runtime};
use crate::Failure;
use crate::progress::Progress;
use crate::report;

/// What `run` is told.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Read this file of newline-delimited JSON (`-` for standard input), whatever the configuration's [source] says.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

/// Takes the source's records into the store.
pub(crate) fn run(arguments: Arguments) -> Result<(), Failure> {
    let mut config = arguments.config.load()?;
    if let Some(input) = arguments.input {
        let stdin = input.as_os_str() == "-";
        let name = config.source.take().and_then(|source| source.name);
        config.source = Some(SourceConfig { file: (!stdin).then_some(input), stdin, name, ..SourceConfig::default() });
    }
    // Looked at first: what is missing there takes no time to tell.
    config.source()?;
    let runtime = runtime()?;
    let (pipeline, watch) = runtime.block_on(paceline_config::open(&config, None))?;
    let source = source(&config)?;

    let progress = Arc::new(Progress::new(source.extent()));
    for (race_type, version) in pipeline.rulebooks().catalog().versions() {
        progress.note(&is_active(&race_type, version));
    }
    let watching = Watching::start(watch, &config.rulebooks, Arc::clone(&progress))?;
    let started = Instant::now();
    let limits = config.batch.clone();
    let summary = runtime.block_on(async {
        let stop = stop_signal(Arc::clone(&progress))?;
        let done = |batch: &_, summary: &_| progress.advance(batch, summary);
        run_source(source, &pipeline, limits, stop, done).await.map_err(|error| error.to_string())
    });
    watching.end();
    progress.finish();
    let summary = summary?;
    // A reader of standard input may still wait for a line that never comes.
    runtime.shutdown_background();
    report::print(&summary, started.elapsed(), arguments.json)
}

fn is_active(race_type: &str, version: u64) -> String {
    format!("rulebook {race_type} version {version} is active")
}

fn source(config: &Config) -> Result<Box<dyn Source>, Failure> {
    let source = config.source()?;
    let name = source.name.as_deref();
    if let Some(race) = &source.simulate {
        return Ok(Box::new(Simulation::new(race, name)));
    }
    let lines = match &source.file {
        Some(path) => Lines::file(path, name),
        None => Lines::reader(std::io::stdin(), name.unwrap_or("stdin")),
    };
    Ok(Box::new(lines.map_err(|error| error.to_string())?))
}

/// Ready at the first Ctrl-C or SIGTERM. The second ends the process at once: nothing is lost by that either.
fn stop_signal(progress: Arc<Progress>) -> Result<impl Future<Output = ()>, Failure> {
    let listen = |kind| signal(kind).map_err(|error| format!("no signal can be listened for: {error}"));
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let (sender, receiver) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        next().await;
        progress.note("stopping after the batch in hand");
        let _ = sender.send(());
        next().await;
        std::process::exit(130);
    });
    Ok(async {
        if receiver.await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}

/// The thread that looks after the folder of rulebooks.
struct Watching {
    ended: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Watching {
    fn start(mut watch: Watch, config: &RulebooksConfig, progress: Arc<Progress>) -> Result<Self, Failure> {
        let (folder, every) = (config.folder.clone(), Duration::from_millis(config.look_every_ms));
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        let thread = std::thread::Builder::new().name("paceline-watch".to_owned()).spawn(move || {
            let mut said: Vec<Event> = Vec::new();
            loop {
                std::thread::park_timeout(every);
                if flag.load(Ordering::Relaxed) {
                    return;
                }
                let events =
                    watch.look().unwrap_or_else(|reason| vec![Event::Refused { file: folder.clone(), reason }]);
                // What can't be read stays so for many looks, and is said once.
                for event in events.iter().filter(|event| !said.contains(event)) {
                    progress.note(&match event {
                        Event::Activated { race_type, version } => is_active(race_type, *version),
                        Event::Retired { race_type } => format!("rulebook {race_type} is gone"),
                        Event::Refused { file, reason } => {
                            format!("refused: {}: {}; what was active goes on", file.display(), reason.trim_end())
                        }
                    });
                }
                said = events;
            }
        });
        Ok(Self { ended, thread: thread.map_err(|error| error.to_string())? })
    }

    fn end(self) {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        let _ = self.thread.join();
    }
}
