//! The load and the deployment, as arguments.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use paceline_plan::{Aggregate, Consumer, Finals, Function, Keys, Packing, Process, Records, TableMode};

use super::aggregates;

/// What producers send.
#[derive(Args)]
pub(crate) struct Load {
    /// Racers at a time, in all races.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    racers: u32,
    /// Messages a second of each racer.
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    rate: f64,
    /// Bytes of a message.
    #[arg(long, value_name = "BYTES", default_value_t = 160)]
    message_bytes: u64,
    /// The partition key of messages.
    #[arg(long, value_name = "KEYS", default_value = "racer")]
    keys: KeysArgument,
    /// Races at a time.
    #[arg(long, value_name = "N", default_value_t = 1)]
    races: u32,
    /// Seconds of a race.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    race_seconds: u32,
    /// Final messages come evenly over the time, not all in the last second of a race.
    #[arg(long)]
    spread_finals: bool,
    /// Producers pack messages into records of so many bytes, as the KPL does with 51200.
    #[arg(long, value_name = "BYTES", conflicts_with = "pack_messages")]
    pack_bytes: Option<u64>,
    /// Producers pack so many messages into a record.
    #[arg(long, value_name = "N")]
    pack_messages: Option<u32>,
    /// Hours a day in which races run.
    #[arg(long, value_name = "HOURS", default_value_t = 24.0)]
    hours_a_day: f64,
}

/// What the load comes into.
#[derive(Args)]
pub(crate) struct Deployment {
    /// Open shards of the stream.
    #[arg(long, value_name = "N", default_value_t = 1)]
    shards: u32,
    /// The retention of the stream, in hours.
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    retention: u32,
    /// Other consumers that poll the stream.
    #[arg(long, value_name = "N", default_value_t = 0)]
    other_pollers: u32,
    /// What reads the stream.
    #[arg(long, value_name = "CONSUMER", default_value = "function")]
    consumer: ConsumerArgument,
    /// The parallelization factor of a function's mapping. Default: 1.
    #[arg(long, value_name = "N")]
    factor: Option<u32>,
    /// The maximum records of a batch. Default: 5,000 of a function, 10,000 of a process.
    #[arg(long, value_name = "N")]
    batch_size: Option<u32>,
    /// The batching window, in seconds. Default: 5 of a function, 1 of a process.
    #[arg(long, value_name = "SECONDS")]
    window: Option<u32>,
    /// The tumbling window of a function's mapping, in seconds; 0 for none, which is the default.
    #[arg(long, value_name = "SECONDS")]
    tumbling: Option<u32>,
    /// The time-out of the function, in seconds. Default: 60.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u32>,
    /// The memory of the function, in megabytes. Default: 1,024.
    #[arg(long, value_name = "MB")]
    memory: Option<u32>,
    /// Invocations of the function that may run at a time. Default: 1,000.
    #[arg(long, value_name = "N")]
    concurrency: Option<u32>,
    /// The function runs on arm64.
    #[arg(long)]
    arm: bool,
    /// Processors of `paceline run` or the KCL's workers, of all machines together. Default: 1.
    #[arg(long, value_name = "N")]
    processors: Option<f64>,
    /// `paceline run` or the KCL reads by fan-out.
    #[arg(long)]
    fan_out: bool,
    /// The write units of the table, or `on-demand`.
    #[arg(long, value_name = "UNITS", default_value = "on-demand", value_parser = table)]
    table: Table,
    /// The write units of its index, if the table is provisioned. Default: those of the table.
    #[arg(long, value_name = "UNITS")]
    index_units: Option<u32>,
    /// A rulebook, for its aggregates. Default: the Alleycat races'.
    #[arg(long, value_name = "FILE")]
    rulebook: Option<PathBuf>,
    /// Bytes of a group's state, with dedup and outputs, of the rulebook's aggregates. Default: 120.
    #[arg(long, value_name = "BYTES")]
    state_bytes: Option<u64>,
    /// How many items share the groups of a race; 0 for an item each. Default: what the rulebook says.
    #[arg(long, value_name = "N")]
    group_items: Option<u32>,
}

#[derive(Clone, Copy, ValueEnum)]
enum KeysArgument {
    /// The racer's id.
    Racer,
    /// A random one for each message.
    Random,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum ConsumerArgument {
    /// A Lambda function.
    Function,
    /// `paceline run`.
    Run,
    /// `paceline kcl`.
    Kcl,
}

#[derive(Clone, Copy)]
enum Table {
    OnDemand,
    Units(u32),
}

fn table(text: &str) -> Result<Table, String> {
    match text.parse() {
        _ if text == "on-demand" => Ok(Table::OnDemand),
        Ok(units) if units > 0 => Ok(Table::Units(units)),
        _ => Err("it is neither `on-demand` nor a whole number of write units above 0".to_owned()),
    }
}

/// Bytes of a state if the rulebook is a file: those of the Alleycat races.
const STATE_BYTES: u64 = 120;

/// Reads a time, such as `10m`, as whole seconds.
pub(super) fn whole_seconds(text: &str) -> Result<u32, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match u32::try_from(time.as_secs()) {
        _ if time.subsec_nanos() > 0 => Err("it is not a whole number of seconds".to_owned()),
        Ok(seconds) => Ok(seconds),
        Err(_) => Err(format!("it is longer than {} s", u32::MAX)),
    }
}

/// Reads a time, such as `10m`, as seconds.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    humantime::parse_duration(text).map(|time| time.as_secs_f64()).map_err(|error| error.to_string())
}

impl Load {
    pub(super) fn load(&self) -> paceline_plan::Load {
        let packing = match (self.pack_bytes, self.pack_messages) {
            (Some(bytes), _) => Packing::Bytes(bytes),
            (None, Some(messages)) => Packing::Messages(messages),
            (None, None) => Packing::None,
        };
        paceline_plan::Load {
            racers: self.racers,
            rate: self.rate,
            message_bytes: self.message_bytes,
            keys: match self.keys {
                KeysArgument::Racer => Keys::Racer,
                KeysArgument::Random => Keys::Random,
            },
            races: self.races,
            race_seconds: self.race_seconds,
            finals: if self.spread_finals { Finals::Spread } else { Finals::Together },
            packing,
            hours_a_day: self.hours_a_day,
            ..paceline_plan::Load::default()
        }
    }
}

impl Deployment {
    /// Finds options that would be ignored, because of the consumer or the table.
    pub(super) fn check(&self) -> Result<(), String> {
        let of_functions = [
            ("--factor", self.factor.is_some()),
            ("--tumbling", self.tumbling.is_some()),
            ("--timeout", self.timeout.is_some()),
            ("--memory", self.memory.is_some()),
            ("--concurrency", self.concurrency.is_some()),
            ("--arm", self.arm),
        ];
        let of_processes = [("--processors", self.processors.is_some()), ("--fan-out", self.fan_out)];
        let given =
            |options: &[(&'static str, bool)]| options.iter().find(|(_, given)| *given).map(|(option, _)| *option);
        if self.consumer != ConsumerArgument::Function
            && let Some(option) = given(&of_functions)
        {
            return Err(format!("`{option}` is a function's: leave it out, or use `--consumer function`"));
        }
        if self.consumer == ConsumerArgument::Function
            && let Some(option) = given(&of_processes)
        {
            let why = match option {
                "--fan-out" => "a mapping that reads by fan-out is not modelled",
                _ => "the processors of a function follow from `--memory`",
            };
            return Err(format!("`{option}` is for `--consumer run` and `kcl`: {why}"));
        }
        if let (None, Some(bytes)) = (&self.rulebook, self.state_bytes) {
            return Err(format!(
                "`--state-bytes` is {bytes}, and it is for the aggregates of a `--rulebook`: leave it out, or name one"
            ));
        }
        match (self.table, self.index_units) {
            (Table::OnDemand, Some(units)) => Err(format!(
                "`--index-units` is {units}, and an index on demand has no write units of its own: leave it out, or give the \
                 table units by `--table`"
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn deployment(&self) -> anyhow::Result<paceline_plan::Deployment> {
        let mut aggregates = match &self.rulebook {
            Some(path) => aggregates::read(path, self.state_bytes.unwrap_or(STATE_BYTES))?,
            None => Aggregate::alleycat(),
        };
        if let Some(items) = self.group_items {
            let standings = aggregates.iter_mut().filter(|aggregate| aggregate.records == Records::All);
            standings.for_each(|aggregate| aggregate.packed_into = items);
        }
        let default = paceline_plan::Deployment::default();
        let table = match self.table {
            Table::OnDemand => default.table,
            Table::Units(units) => {
                let index_units = f64::from(self.index_units.unwrap_or(units));
                TableMode::Provisioned { units: f64::from(units), index_units }
            }
        };
        Ok(paceline_plan::Deployment {
            shards: self.shards,
            retention_hours: self.retention,
            other_pollers: self.other_pollers,
            consumer: self.consumer(),
            table,
            aggregates,
            ..default
        })
    }

    fn consumer(&self) -> Consumer {
        let process = Process::default();
        let process = Process {
            processors: self.processors.unwrap_or(process.processors),
            fan_out: self.fan_out,
            batch_records: self.batch_size.unwrap_or(process.batch_records),
            wait_ms: self.window.map_or(process.wait_ms, |seconds| seconds.saturating_mul(1_000)),
            ..process
        };
        match self.consumer {
            ConsumerArgument::Run => Consumer::Run(process),
            ConsumerArgument::Kcl => Consumer::Kcl(process),
            ConsumerArgument::Function => {
                let function = Function::default();
                Consumer::Function(Function {
                    batch_size: self.batch_size.unwrap_or(function.batch_size),
                    window_seconds: self.window.unwrap_or(function.window_seconds),
                    tumbling_seconds: self.tumbling.unwrap_or(function.tumbling_seconds),
                    factor: self.factor.unwrap_or(function.factor),
                    memory_mb: self.memory.unwrap_or(function.memory_mb),
                    timeout_seconds: self.timeout.unwrap_or(function.timeout_seconds),
                    concurrency: self.concurrency.unwrap_or(function.concurrency),
                    arm: self.arm,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use paceline_metrics::documents::cost;
    use paceline_plan::{Deployment, Work};

    /// A parameter's default in the template.
    fn default_of(template: &str, parameter: &str) -> u32 {
        let (_, after) = template.split_once(&format!("\n  {parameter}:\n")).unwrap();
        let line = after.lines().find_map(|line| line.trim().strip_prefix("Default: ")).unwrap();
        line.parse().unwrap()
    }

    #[test]
    fn the_defaults_are_those_of_the_template() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/alleycat/template.yaml");
        let template = std::fs::read_to_string(path).unwrap();
        let deployment = Deployment::default();
        let function = deployment.function().unwrap();
        for (parameter, planned) in [
            ("ShardCount", deployment.shards),
            ("RetentionHours", deployment.retention_hours),
            ("BatchSize", function.batch_size),
            ("MaximumBatchingWindowInSeconds", function.window_seconds),
            ("TumblingWindowInSeconds", function.tumbling_seconds),
            ("ParallelizationFactor", function.factor),
            ("MemorySize", function.memory_mb),
            ("FunctionTimeout", function.timeout_seconds),
        ] {
            assert_eq!(default_of(&template, parameter), planned, "{parameter}");
        }
    }

    #[test]
    fn the_bill_of_cloudwatch_is_that_of_the_metrics() {
        let (metrics, bytes) = cost::size(&cost::event(&cost::ALLEYCAT));
        assert_eq!(Work::default().metrics as usize, metrics);
        let log = Work::default().log_bytes;
        assert!((log - bytes as f64).abs() < 100.0, "{log} planned, {bytes} logged");
        assert_eq!(Deployment::default().alarms as usize, cost::watched());
    }
}
