//! Amazon's own MultiLangDaemon with `paceline kcl` as its record processor, on kinesis-local and DynamoDB Local. It
//! takes minutes, most of which the daemon spends starting: `make test-kcl` runs it, `make test` does not.

mod daemon;
mod swaps;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use paceline_testbed::kinesis::{TestStream, endpoint};
use paceline_testbed::{dynamodb, require};
use tokio::runtime::Runtime;

use self::daemon::{Daemon, end_of, jars, messages_in, owners, wait_until};
use crate::dynamo::{Deployment, Outcome, local_outcome};
use crate::support::simulate;

#[test]
fn two_workers_a_resharding_and_a_kill_have_the_same_outcome_as_a_local_run() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, KclJars, Java, UtilLinux);
    let runtime = Runtime::new().unwrap();
    let deployment = Deployment::new();
    let stream = runtime.block_on(TestStream::new("races", 4));
    let (dynamodb, kinesis) = (dynamodb::endpoint(), endpoint());
    deployment.configure_with(
        &format!("endpoint = {dynamodb:?}"),
        &format!("stream = {:?}\nregion = \"us-east-1\"\nendpoint = {kinesis:?}\nidle-ms = 200", stream.name()),
        "[batch]\nmax-records = 100\n",
    );
    let application = format!("paceline-{}", stream.name());
    let client = dynamodb::client(&dynamodb);

    let messages = simulate("--racers 100 --seconds 60 --class 3 --race 131 --seed 7 --errors 2 --duplicates 2");
    let expected = local_outcome(&messages);
    let mut keys = fastrand::Rng::with_seed(7);
    let mut put = |messages: &[Vec<u8>]| {
        let keyed = messages.iter().map(|message| (keys.u32(..).to_string(), message.clone()));
        runtime.block_on(stream.put(keyed.collect::<Vec<_>>()));
    };
    let thirds: Vec<&[Vec<u8>]> = messages.chunks(messages.len().div_ceil(3)).collect();

    let mut first = Daemon::start(&deployment, "first");
    let mut second = Daemon::start(&deployment, "second");
    put(thirds[0]);
    let owners = || owners(&runtime, &client, &application);
    wait_until("a share for each worker", &mut [&mut first, &mut second], || {
        let owners = owners();
        let workers: BTreeSet<&str> = owners.values().map(String::as_str).collect();
        if workers.len() == 2 { Ok(()) } else { Err(format!("{owners:?}")) }
    });
    // One worker is the leader, which assigns the leases. The test kills the other one, because the election of a new
    // leader takes minutes.
    let first_leads = first.read_log().contains("Worker : first is the current leader");
    let (mut survivor, mut victim) = if first_leads { (first, second) } else { (second, first) };
    let (victims_log_file, survivors_log_file) = (victim.log.clone(), survivor.log.clone());
    wait_until("records for each worker", &mut [&mut survivor, &mut victim], || {
        let messages = [messages_in(&victims_log_file), messages_in(&survivors_log_file)];
        if messages.iter().all(|count| *count > 0) { Ok(()) } else { Err(format!("{messages:?}")) }
    });

    // The stream is resharded in the middle of the race, and one of the workers is killed during the second third.
    let before = messages_in(&victims_log_file);
    let shards: Vec<String> = runtime.block_on(stream.open_shards()).into_iter().map(|shard| shard.shard_id).collect();
    runtime.block_on(stream.split(&shards[0]));
    put(thirds[1]);
    runtime.block_on(stream.merge(&shards[2], &shards[3]));
    wait_until("the race's middle", &mut [&mut survivor, &mut victim], || {
        let (now, found) = (messages_in(&victims_log_file), deployment.outcome().tallied());
        let reached = now > before + 2 && found > expected.tallied() * 4 / 10;
        if reached { Ok(()) } else { Err(format!("{before} to {now} messages, {found:?} of {:?}", expected.tallied())) }
    });
    let (owned, name) = (owners(), victim.name);
    victim.kill();
    put(thirds[2]);
    wait_until("the race's end", &mut [&mut survivor], || {
        let found: Outcome = deployment.outcome();
        if found.reaches(&expected) {
            Ok(())
        } else {
            Err(format!("{:?} of {:?}", found.tallied(), expected.tallied()))
        }
    });
    let survivors_log = survivor.stop();
    deployment.outcome().must_be(&expected, "the daemon");

    // The victim owned shards. The survivor finished shards and released its leases at the end.
    assert!(owned.values().any(|owner| owner == name), "{owned:?}");
    for words in ["the shard is read to its end", "the daemon is about to release the lease"] {
        assert!(survivors_log.contains(words), "{words}: {}", end_of(&survivors_log));
    }
    assert!(!survivors_log.contains("panicked"), "{}", end_of(&survivors_log));
}

#[test]
fn a_failing_process_ends_the_daemon_and_the_log_has_the_reason() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, KclJars, Java, UtilLinux);
    let runtime = Runtime::new().unwrap();
    // The daemon creates its own tables; paceline's do not exist.
    let deployment = Deployment::without_tables();
    let stream = runtime.block_on(TestStream::new("races", 1));
    let (dynamodb, kinesis) = (dynamodb::endpoint(), endpoint());
    deployment.configure_with(
        &format!("endpoint = {dynamodb:?}"),
        &format!("stream = {:?}\nregion = \"us-east-1\"\nendpoint = {kinesis:?}\nstop-ms = 2000", stream.name()),
        "",
    );
    let mut daemon = Daemon::start(&deployment, "only");
    let messages = simulate("--racers 2 --seconds 2 --class 3 --race 131 --seed 8");
    runtime.block_on(stream.put(messages.into_iter().map(|message| ("key", message))));
    let ended = wait_until("the daemon's end", &mut [], || {
        let ended = daemon.java.try_wait().unwrap();
        ended.ok_or_else(|| end_of(&daemon.read_log()))
    });
    let log = daemon.read_log();
    assert_eq!(ended.code(), Some(1), "{}", end_of(&log));
    let table = &deployment.table.table;
    let is_reason = |line: &&str| line.contains("paceline: ") && line.contains(table) && line.contains("no such table");
    assert!(log.lines().any(|line| is_reason(&line)), "{}", end_of(&log));
}

/// Parses properties files with the daemon's own code: checks that each key has a setter, and prints some of the parsed
/// values. Without a file, prints all keys that have a setter.
const CHECK: &str = r#"
import java.io.FileReader;
import java.util.Arrays;
import java.util.Properties;
import software.amazon.kinesis.multilang.config.*;

public class Check {
    public static void main(String[] files) throws Exception {
        var setters = Arrays.stream(MultiLangDaemonConfiguration.class.getMethods())
            .filter(method -> method.getName().startsWith("set") && method.getParameterCount() == 1)
            .map(method -> method.getName().substring(3, 4).toLowerCase() + method.getName().substring(4)).toList();
        if (files.length == 0) setters.forEach(System.out::println);
        for (String file : files) {
            Properties properties = new Properties();
            properties.load(new FileReader(file));
            for (String name : properties.stringPropertyNames()) {
                String key = name.substring(0, 1).toLowerCase() + name.substring(1);
                var own = key.equals("executableName") || key.equals("processingLanguage");
                if (!own && !key.contains(".") && !setters.contains(key)) System.out.println("unknown: " + name);
            }
            var found = new KinesisClientLibConfigurator().getConfiguration(properties);
            System.out.println(properties.getProperty("executableName"));
            System.out.println(found.getStreamName() + " " + found.getApplicationName());
            System.out.println(found.getInitialPositionInStreamExtended());
            System.out.println(found.getRetrievalMode() + " " + found.getFanoutConfig().getConsumerName());
            System.out.println(found.getMaxRecords() + " " + found.getIdleTimeBetweenReadsInMillis());
            System.out.println(found.getShutdownGraceMillis() + " " + found.getFailoverTimeMillis());
            System.out.println(found.getKinesisClient().get("region") + " " + found.getDynamoDbClient().get("region"));
        }
    }
}
"#;

/// The output of `CHECK` for these files.
fn check(deployment: &Deployment, files: &[&Path]) -> Vec<String> {
    deployment.workspace.write("Check.java", CHECK);
    let mut java = Command::new("java");
    java.arg("-cp").arg(format!("{}/*", jars().display())).arg(deployment.workspace.path("Check.java"));
    let output = crate::support::succeed(java.args(files));
    // The daemon also logs to standard output.
    output.lines().filter(|line| !line.contains(" INFO ")).map(ToOwned::to_owned).collect()
}

#[test]
fn the_daemon_parses_the_generated_properties() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, KclJars, Java, UtilLinux);
    let deployment = Deployment::without_tables();
    let write = |name: &str, kinesis: &str, arguments: &[&str]| {
        deployment.configure(kinesis, "");
        let file = deployment.workspace.path(name);
        deployment.workspace.ok(&[&["kcl", "--write-properties", file.to_str().unwrap()], arguments].concat());
        file
    };
    let poll = write("poll", "stream = \"alleycat\"\nregion = \"us-east-1\"\nidle-ms = 200", &[]);
    let fan_out = write(
        "fan-out",
        "stream = \"arn:aws:kinesis:eu-west-1:123456789012:stream/alleycat\"\nregion = \"eu-west-1\"\n\
         start = \"2021-05-05T18:51:00Z\"\nconsumer = \"fan-out\"\nstop-ms = 5000",
        &["--application", "Zürich", "--set", "failoverTimeMillis=5000"],
    );
    let executable = |deployment: &Deployment| {
        format!(
            "{} kcl --config {}",
            env!("CARGO_BIN_EXE_paceline"),
            deployment.workspace.path("paceline.toml").display()
        )
    };
    let expected = [
        &executable(&deployment),
        "alleycat paceline-alleycat",
        "InitialPositionInStreamExtended(position=TRIM_HORIZON, timestamp=null)",
        "POLLING null",
        "10000 200",
        "20000 10000",
        "us-east-1 us-east-1",
        &executable(&deployment),
        "alleycat Zürich",
        "InitialPositionInStreamExtended(position=AT_TIMESTAMP, timestamp=Wed May 05 18:51:00 UTC 2021)",
        "FANOUT paceline",
        "0 0",
        "5000 5000",
        "eu-west-1 us-east-1",
    ];
    assert_eq!(check(&deployment, &[&poll, &fan_out]), expected);
}

#[test]
fn every_daemon_setting_can_be_set() {
    require!(Plugins, DynamoDbLocal, KinesisLocal, KclJars, Java, UtilLinux);
    let deployment = Deployment::without_tables();
    let keys = check(&deployment, &[]);
    assert!(keys.len() > 70, "{keys:?}");
    for key in keys.iter().filter(|key| *key != "shardPrioritization") {
        let file = deployment.workspace.path("properties");
        let set = format!("{key}=1");
        deployment.workspace.ok(&["kcl", "--write-properties", file.to_str().unwrap(), "--set", &set]);
        // The first letter of a key may be a capital.
        let text = std::fs::read_to_string(file).unwrap().to_lowercase();
        assert!(text.contains(&format!("\n{} = 1\n", key.to_lowercase())), "{key}");
    }
}
