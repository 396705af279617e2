//! DescribeLogDirs (key 35), v1-v5. Sizes of partitions, folder by folder.
//! Versions: v2 flexible; v3 error code; v4 sizes of the disk (KIP-827); v5 cordoned (KIP-1066).
//! Authorizes: Describe on Cluster.   Waits: no.

use std::collections::BTreeMap;

use millstream_broker_log::LogDir;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic,
};
use millstream_protocol::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse, StrBytes, TopicName};

use crate::api::context::Context;
use crate::api::dispatch::Versions;
use crate::api::reply::Outcome;

/// Versions served.
pub const SERVES: Versions = Versions::new(1, 5);

/// Handles the request.
pub fn handle(context: &Context, request: DescribeLogDirsRequest) -> Outcome<DescribeLogDirsResponse> {
    let results = context.node.partitions.dirs().iter().map(|dir| describe(context, dir, &request));
    DescribeLogDirsResponse::default().with_results(results.collect()).into()
}

fn describe(context: &Context, dir: &LogDir, request: &DescribeLogDirsRequest) -> DescribeLogDirsResult {
    let answer = DescribeLogDirsResult::default()
        .with_log_dir(StrBytes::from_string(absolute(dir)))
        .with_total_bytes(-1)
        .with_usable_bytes(-1);
    let space = match dir.space() {
        Ok(space) if !dir.is_offline() => space,
        _ => return answer.with_error_code(ErrorCode::KafkaStorageError as i16),
    };
    let asked = |topic: &str, index: i32| match &request.topics {
        None => true,
        Some(topics) => topics.iter().any(|one| *one.topic == *topic && one.partitions.contains(&index)),
    };
    let mut topics: BTreeMap<String, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for partition in context.node.partitions.all() {
        let log = partition.log();
        if log.folder().parent() != Some(dir.path()) || !asked(partition.topic(), partition.index()) {
            continue;
        }
        let size = i64::try_from(log.size_bytes()).unwrap_or(i64::MAX);
        let described =
            DescribeLogDirsPartition::default().with_partition_index(partition.index()).with_partition_size(size);
        topics.entry(partition.topic().to_string()).or_default().push(described);
    }
    let topics = topics.into_iter().map(|(name, partitions)| {
        DescribeLogDirsTopic::default().with_name(TopicName(StrBytes::from_string(name))).with_partitions(partitions)
    });
    answer
        .with_topics(topics.collect())
        .with_total_bytes(i64::try_from(space.total).unwrap_or(i64::MAX))
        .with_usable_bytes(i64::try_from(space.usable).unwrap_or(i64::MAX))
}

fn absolute(dir: &LogDir) -> String {
    std::path::absolute(dir.path()).unwrap_or_else(|_| dir.path_buf()).display().to_string()
}
