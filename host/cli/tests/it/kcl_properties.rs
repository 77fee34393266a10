//! The daemon's properties file, generated from paceline's configuration. `kcl_daemon` tests how the daemon parses it.

use crate::dynamo::Deployment;
use paceline_testbed::require;

/// The properties that are generated from a configuration, in order; `HERE` is its folder, `PROGRAM` the program.
fn properties(kinesis: &str, arguments: &[&str]) -> Vec<String> {
    let deployment = Deployment::without_tables();
    deployment.configure(kinesis, "");
    let file = deployment.workspace.path("daemon.properties");
    let all = [&["kcl", "--write-properties", file.to_str().unwrap()], arguments].concat();
    let output = deployment.workspace.command(&all).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert!(output.stdout.is_empty());
    assert!(stderr.contains("MultiLangDaemon --properties-file"), "{stderr}");
    let text = std::fs::read_to_string(&file).unwrap();
    let here = deployment.workspace.path("");
    let here = here.to_str().unwrap().trim_end_matches('/');
    let plain = text.replace(here, "HERE").replace(env!("CARGO_BIN_EXE_paceline"), "PROGRAM");
    plain.lines().filter(|line| !line.starts_with('#')).map(ToOwned::to_owned).collect()
}

#[test]
fn the_daemons_properties_are_generated_from_the_configuration() {
    require!(Plugins, DynamoDbLocal);
    assert_eq!(
        properties("stream = \"alleycat\"\nregion = \"us-east-1\"\nendpoint = \"http://127.0.0.1:4567\"", &[]),
        [
            "executableName = PROGRAM kcl --config HERE/paceline.toml",
            "streamName = alleycat",
            "applicationName = paceline-alleycat",
            "AwsCredentialsProvider = DefaultCredentialsProvider",
            "processingLanguage = rust",
            "initialPositionInStream = TRIM_HORIZON",
            "regionName = us-east-1",
            "kinesisEndpoint = http://127.0.0.1:4567",
            "retrievalMode = POLLING",
            "maxRecords = 10000",
            "idleTimeBetweenReadsInMillis = 500",
            "callProcessRecordsEvenForEmptyRecordList = true",
            "shutdownGraceMillis = 20000",
            "failoverTimeMillis = 10000",
        ]
    );
    let kinesis = "stream = \"alleycat\"\nregion = \"eu-west-1\"\nstart = \"2021-05-05T18:51:00.250Z\"\n\
                   consumer = \"fan-out\"\nconsumer-name = \"races\"\nstop-ms = 5000";
    let arguments = [
        "--application",
        "races",
        "--set",
        "failoverTimeMillis=5000",
        "--set",
        "metricsLevel=NONE",
        "--checkpoint-every-ms",
        "0",
    ];
    assert_eq!(
        properties(kinesis, &arguments),
        [
            "executableName = PROGRAM kcl --config HERE/paceline.toml --checkpoint-every-ms 0",
            "streamName = alleycat",
            "applicationName = races",
            "AwsCredentialsProvider = DefaultCredentialsProvider",
            "processingLanguage = rust",
            "initialPositionInStreamExtended = 1620240660",
            "kinesisClient.region = eu-west-1",
            "cloudWatchClient.region = eu-west-1",
            "dynamoDbClient.region = us-east-1",
            "retrievalMode = FANOUT",
            "fanoutConfig.consumerName = races",
            "callProcessRecordsEvenForEmptyRecordList = true",
            "shutdownGraceMillis = 5000",
            "failoverTimeMillis = 5000",
            "metricsLevel = NONE",
        ]
    );
}

#[test]
fn a_setting_that_the_daemon_would_ignore_is_rejected() {
    require!(Plugins, DynamoDbLocal);
    let deployment = Deployment::without_tables();
    let fails = |set: &str| {
        let file = deployment.workspace.path("daemon.properties");
        let stderr = deployment.workspace.fails(&["kcl", "--write-properties", file.to_str().unwrap(), "--set", set]);
        assert!(!file.exists());
        stderr
    };
    assert!(fails("failoverTimeMilis=5000").contains("did you mean `failoverTimeMillis`?"));
    assert!(fails("failoverTimeMillis").contains("KEY=VALUE"));
}
