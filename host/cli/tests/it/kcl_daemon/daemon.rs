//! Amazon's MultiLangDaemon, started by the entrypoint of the container image `kcl`.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use paceline_testbed::dynamodb;
use tokio::runtime::Runtime;

use crate::dynamo::{Deployment, environment};

/// How long a daemon may take to start, and to process the records: many times what it needs.
const TIME_LIMIT: Duration = Duration::from_secs(240);

/// The interval between two polls. There is no event to wait for: the processes belong to the daemons.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The folder of the KCL's jars.
pub(crate) fn jars() -> PathBuf {
    let folder = std::env::var_os("PACELINE_TEST_KCL");
    PathBuf::from(folder.expect("PACELINE_TEST_KCL is not set to the folder of the KCL's jars: run `make test-kcl`"))
}

/// A daemon, started by the entrypoint of the container image `kcl`.
pub(crate) struct Daemon {
    pub(crate) name: &'static str,
    pub(crate) java: Child,
    pub(crate) log: PathBuf,
}

impl Daemon {
    pub(crate) fn start(deployment: &Deployment, name: &'static str) -> Self {
        Self::start_with(deployment, name, &[])
    }

    /// Starts it with more settings.
    pub(crate) fn start_with(deployment: &Deployment, name: &'static str, settings: &[&str]) -> Self {
        let entrypoint = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/alleycat/kcl-entrypoint");
        deployment.workspace.apply();
        let log = deployment.workspace.path(&format!("{name}.log"));
        let file = File::create(&log).unwrap();
        // The daemon is killed when this thread ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(entrypoint.canonicalize().unwrap());
        let worker = format!("workerId={name}");
        let fixed = [
            worker.as_str(),
            "failoverTimeMillis=5000",
            "shardSyncIntervalMillis=2000",
            "parentShardPollIntervalMillis=1000",
            "metricsLevel=NONE",
            "disableWorkerMetrics=true",
        ];
        for setting in fixed.iter().chain(settings) {
            command.args(["--set", setting]);
        }
        environment(&mut command, &dynamodb::endpoint());
        command
            .env("PACELINE", env!("CARGO_BIN_EXE_paceline"))
            .env("PACELINE_CONFIG", deployment.workspace.path("paceline.toml"))
            .env("PACELINE_KCL", jars())
            .env("PACELINE_PROPERTIES", deployment.workspace.path(&format!("{name}.properties")))
            .env("JAVA_OPTIONS", "-Xmx256m -XX:TieredStopAtLevel=1 -Daws.cborEnabled=false")
            .env("AWS_CBOR_DISABLE", "1")
            .env_remove("RUST_BACKTRACE")
            // A separate process group: the daemon and its shards' processes.
            .process_group(0)
            .stdin(std::process::Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        Self { name, java: command.spawn().unwrap(), log }
    }

    /// Sends a signal to the daemon alone, or to its group.
    fn signal(&self, signal: &str, group: bool) {
        let id = self.java.id();
        let to = if group { format!("-{id}") } else { id.to_string() };
        assert!(Command::new("kill").args([signal, "--", &to]).status().unwrap().success());
    }

    /// Kills the daemon and its children at once, as a power failure does.
    pub(crate) fn kill(mut self) {
        self.signal("-KILL", true);
        self.java.wait().unwrap();
    }

    /// Stops the daemon gracefully, so that it releases its leases, and returns its log.
    pub(crate) fn stop(mut self) -> String {
        self.signal("-TERM", false);
        self.java.wait().unwrap();
        self.read_log()
    }

    pub(crate) fn read_log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap()).into_owned()
    }

    /// Asserts that the daemon is running.
    fn assert_running(&mut self) {
        let ended = self.java.try_wait().unwrap();
        assert!(ended.is_none(), "{} ended with {ended:?}: {}", self.name, end_of(&self.read_log()));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.java.try_wait().is_ok_and(|ended| ended.is_none()) {
            let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.java.id())]).status();
            let _ = self.java.wait();
        }
    }
}

/// The last lines of a daemon's log, after the last lines that are paceline's.
pub(crate) fn end_of(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let ours: Vec<&str> = lines.iter().copied().filter(|line| line.contains("paceline")).collect();
    let shown = [&ours, &lines].map(|lines| &lines[lines.len().saturating_sub(40)..]).concat();
    shown.iter().map(|line| line.chars().take(300).collect::<String>()).collect::<Vec<_>>().join("\n")
}

/// The number of answered `processRecords` in a daemon's log.
pub(crate) fn messages_in(log: &Path) -> usize {
    let log = String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned();
    log.matches("from subprocess while waiting for processRecords").count()
}

/// The owner of each shard in the daemons' lease table, without the shards at `SHARD_END`.
pub(crate) fn owners(runtime: &Runtime, client: &Client, application: &str) -> BTreeMap<String, String> {
    let Ok(scan) = runtime.block_on(client.scan().table_name(application).send()) else { return BTreeMap::new() };
    let text = |value: Option<&AttributeValue>| value.and_then(|value| value.as_s().ok()).cloned();
    let lease = |item: &std::collections::HashMap<String, AttributeValue>| {
        text(item.get("checkpoint")).filter(|checkpoint| checkpoint != "SHARD_END")?;
        Some((text(item.get("leaseKey"))?, text(item.get("leaseOwner"))?))
    };
    scan.items().iter().filter_map(lease).collect()
}

/// Polls a condition until it holds. The daemons must keep running.
pub(crate) fn wait_until<T>(what: &str, daemons: &mut [&mut Daemon], mut poll: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + TIME_LIMIT;
    loop {
        let found = match poll() {
            Ok(found) => return found,
            Err(found) => found,
        };
        for daemon in daemons.iter_mut() {
            daemon.assert_running();
        }
        if Instant::now() > deadline {
            let logs: Vec<_> = daemons.iter().map(|daemon| end_of(&daemon.read_log())).collect();
            panic!("timed out waiting for {what}: {found}; the daemons' logs:\n{}", logs.join("\n---\n"));
        }
        paceline_testbed::poll::pause(POLL_INTERVAL);
    }
}
