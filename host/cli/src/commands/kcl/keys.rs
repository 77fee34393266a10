//! The keys that the daemon's properties may have. The daemon passes over others without a word, so a key that is
//! misspelt has to be told here.

/// The keys of KCL 3.1.3: what its `MultiLangDaemonConfiguration` has a setter for, and the daemon's own three. The first
/// letter may be large or small.
const KEYS: [&str; 79] = [
    "allowThroughputOvershoot",
    "applicationName",
    "awsCredentialsProvider",
    "awsCredentialsProviderCloudWatch",
    "awsCredentialsProviderDynamoDB",
    "callProcessRecordsEvenForEmptyRecordList",
    "cleanupLeasesUponShardCompletion",
    "clientVersionConfig",
    "coordinatorStateBillingMode",
    "coordinatorStateDeletionProtectionEnabled",
    "coordinatorStatePointInTimeRecoveryEnabled",
    "coordinatorStateReadCapacity",
    "coordinatorStateTableName",
    "coordinatorStateTags",
    "coordinatorStateWriteCapacity",
    "dampeningPercentage",
    "disableWorkerMetrics",
    "dynamoDBEndpoint",
    "enablePriorityLeaseAssignment",
    "executableName",
    "failoverTimeMillis",
    "gracefulLeaseHandoffTimeoutMillis",
    "idleTimeBetweenReadsInMillis",
    "ignoreUnexpectedChildShards",
    "inMemoryWorkerMetricsCaptureFrequencyMillis",
    "initialLeaseTableReadCapacity",
    "initialLeaseTableWriteCapacity",
    "initialPositionInStream",
    "initialPositionInStreamExtended",
    "isGracefulLeaseHandoffEnabled",
    "kinesisEndpoint",
    "leaseAssignmentIntervalMillis",
    "leaseTableDeletionProtectionEnabled",
    "leaseTablePitrEnabled",
    "listShardsBackoffTimeInMillis",
    "logWarningForTaskAfterMillis",
    "maxActiveThreads",
    "maxGetRecordsThreadPool",
    "maxLeaseRenewalThreads",
    "maxLeasesForWorker",
    "maxLeasesToStealAtOneTime",
    "maxListShardsRetryAttempts",
    "maxRecords",
    "maxThroughputPerHostKBps",
    "metricsBufferTimeMillis",
    "metricsEnabledDimensions",
    "metricsLevel",
    "metricsMaxQueueSize",
    "millisBehindLatestThresholdForReducedTps",
    "noOfPersistedMetricsPerWorkerMetrics",
    "parentShardPollIntervalMillis",
    "processingLanguage",
    "reBalanceThresholdPercentage",
    "regionName",
    "retrievalMode",
    "retryGetRecordsInSeconds",
    "schedulerInitializationBackoffTimeMillis",
    "shardSyncIntervalMillis",
    "shutdownGraceMillis",
    "skipShardSyncAtWorkerInitializationIfLeasesExist",
    "staleWorkerMetricsEntryCleanupDuration",
    "streamArn",
    "streamName",
    "tableName",
    "taskBackoffTimeMillis",
    "timeoutInSeconds",
    "validateSequenceNumberBeforeCheckpointing",
    "varianceBalancingFrequency",
    "workerId",
    "workerIdentifier",
    "workerMetricsBillingMode",
    "workerMetricsDeletionProtectionEnabled",
    "workerMetricsEMAAlpha",
    "workerMetricsPointInTimeRecoveryEnabled",
    "workerMetricsReadCapacity",
    "workerMetricsReporterFreqInMillis",
    "workerMetricsTableName",
    "workerMetricsTags",
    "workerMetricsWriteCapacity",
];

/// What has keys of its own: `fanoutConfig.consumerName`.
const NESTED: [&str; 5] = ["cloudWatchClient", "dynamoDbClient", "fanoutConfig", "kinesisClient", "pollingConfig"];

/// Whether the daemon knows a key, or what may have been meant.
pub(super) fn check(key: &str) -> Result<(), String> {
    let plain = decapitalised(key);
    let known = match plain.split_once('.') {
        Some((nested, _)) => NESTED.contains(&nested),
        None => KEYS.contains(&plain.as_str()),
    };
    if known {
        return Ok(());
    }
    let alike = |a: &&&str, b: &&&str| strsim::jaro_winkler(&plain, a).total_cmp(&strsim::jaro_winkler(&plain, b));
    let nearest = KEYS.iter().chain(&NESTED).max_by(alike).expect("there are keys");
    Err(format!("the daemon has no setting `{key}`, and would pass over it; did you mean `{nearest}`?"))
}

fn decapitalised(key: &str) -> String {
    let mut letters = key.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_lowercase().to_string() + letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_told() {
        for key in ["failoverTimeMillis", "AwsCredentialsProvider", "kinesisEndpoint", "fanoutConfig.consumerName"] {
            assert_eq!(check(key), Ok(()), "{key}");
        }
        assert!(check("failOverTimeMillis").unwrap_err().contains("`failoverTimeMillis`"));
        for key in ["", ".", "nonsense.of", "ä"] {
            assert!(check(key).is_err(), "{key}");
        }
    }
}
