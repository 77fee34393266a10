//! The keys of the daemon's properties. The daemon ignores unknown keys, so misspelt ones are rejected here.

/// The keys of KCL 3.1.3: the setters of its `MultiLangDaemonConfiguration`, and the daemon's own three. The case of the
/// first letter does not matter.
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

/// Prefixes of nested keys: `fanoutConfig.consumerName`.
const NESTED: [&str; 5] = ["cloudWatchClient", "dynamoDbClient", "fanoutConfig", "kinesisClient", "pollingConfig"];

/// The daemon would ignore a key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the daemon has no setting `{key}` and would ignore it; did you mean `{nearest}`?")]
pub(super) struct UnknownKey {
    key: String,
    nearest: &'static str,
}

/// Checks that the daemon knows a key.
pub(super) fn check(key: &str) -> Result<(), UnknownKey> {
    let plain = decapitalised(key);
    let known = match plain.split_once('.') {
        Some((nested, _)) => NESTED.contains(&nested),
        None => KEYS.contains(&plain.as_str()),
    };
    if known {
        return Ok(());
    }
    let alike = |a: &&'static str, b: &&'static str| {
        strsim::jaro_winkler(&plain, a).total_cmp(&strsim::jaro_winkler(&plain, b))
    };
    let nearest = KEYS.into_iter().chain(NESTED).max_by(alike).expect("there are keys");
    Err(UnknownKey { key: key.to_owned(), nearest })
}

fn decapitalised(key: &str) -> String {
    let mut letters = key.chars();
    letters.next().map_or_else(String::new, |first| first.to_ascii_lowercase().to_string() + letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_rejected() {
        for key in ["failoverTimeMillis", "AwsCredentialsProvider", "kinesisEndpoint", "fanoutConfig.consumerName"] {
            assert_eq!(check(key), Ok(()), "{key}");
        }
        assert!(check("failOverTimeMillis").unwrap_err().to_string().contains("`failoverTimeMillis`"));
        for key in ["", ".", "nonsense.of", "ä"] {
            assert!(check(key).is_err(), "{key}");
        }
    }
}
