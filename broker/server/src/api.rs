//! The handlers, one file per API key with the key's number in its name, and what they share.

/// What a handler knows of the request besides its body.
pub mod context;
/// What a handler answers with.
pub mod reply;
/// The only match on the API key.
pub mod dispatch;
/// Incremental fetch sessions.
pub mod fetch_session;
/// Domain errors to error codes, every variant by name.
pub mod error_map;

/// Brokers and partitions as a client of one listener sees them.
pub mod view;

/// Checks that AlterConfigs and IncrementalAlterConfigs share.
pub mod config_changes;

/// What is looked at before a Produce is.
pub mod produce_check;
/// Produce.
pub mod k00_produce;
/// Fetch.
pub mod k01_fetch;
/// ListOffsets.
pub mod k02_list_offsets;
/// Metadata.
pub mod k03_metadata;
/// OffsetCommit.
pub mod k08_offset_commit;
/// OffsetFetch.
pub mod k09_offset_fetch;
/// FindCoordinator.
pub mod k10_find_coordinator;
/// JoinGroup.
pub mod k11_join_group;
/// Heartbeat.
pub mod k12_heartbeat;
/// LeaveGroup.
pub mod k13_leave_group;
/// SyncGroup.
pub mod k14_sync_group;
/// DescribeGroups.
pub mod k15_describe_groups;
/// ListGroups.
pub mod k16_list_groups;
/// SaslHandshake.
pub mod k17_sasl_handshake;
/// ApiVersions.
pub mod k18_api_versions;
/// CreateTopics.
pub mod k19_create_topics;
/// DeleteTopics.
pub mod k20_delete_topics;
/// DeleteRecords.
pub mod k21_delete_records;
/// InitProducerId.
pub mod k22_init_producer_id;
/// OffsetForLeaderEpoch.
pub mod k23_offset_for_leader_epoch;
/// AddPartitionsToTxn.
pub mod k24_add_partitions_to_txn;
/// AddOffsetsToTxn.
pub mod k25_add_offsets_to_txn;
/// EndTxn.
pub mod k26_end_txn;
/// WriteTxnMarkers.
pub mod k27_write_txn_markers;
/// TxnOffsetCommit.
pub mod k28_txn_offset_commit;
/// DescribeAcls.
pub mod k29_describe_acls;
/// CreateAcls.
pub mod k30_create_acls;
/// DeleteAcls.
pub mod k31_delete_acls;
/// DescribeConfigs.
pub mod k32_describe_configs;
/// AlterConfigs.
pub mod k33_alter_configs;
/// DescribeLogDirs.
pub mod k35_describe_log_dirs;
/// SaslAuthenticate.
pub mod k36_sasl_authenticate;
/// CreatePartitions.
pub mod k37_create_partitions;
/// DeleteGroups.
pub mod k42_delete_groups;
/// ElectLeaders.
pub mod k43_elect_leaders;
/// IncrementalAlterConfigs.
pub mod k44_incremental_alter_configs;
/// AlterPartitionReassignments.
pub mod k45_alter_partition_reassignments;
/// ListPartitionReassignments.
pub mod k46_list_partition_reassignments;
/// OffsetDelete.
pub mod k47_offset_delete;
/// DescribeQuorum.
pub mod k55_describe_quorum;
/// UpdateFeatures.
pub mod k57_update_features;
/// DescribeCluster.
pub mod k60_describe_cluster;
/// DescribeProducers.
pub mod k61_describe_producers;
/// DescribeTransactions.
pub mod k65_describe_transactions;
/// ListTransactions.
pub mod k66_list_transactions;
/// ListConfigResources.
pub mod k74_list_config_resources;
/// DescribeTopicPartitions.
pub mod k75_describe_topic_partitions;
