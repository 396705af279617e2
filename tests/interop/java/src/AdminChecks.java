import java.time.Duration;
import java.util.*;
import java.util.stream.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.*;
import org.apache.kafka.common.acl.AclBindingFilter;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.*;

/** What an administrator sees. */
final class AdminChecks {
    private static final Admin ADMIN = Frame.ADMIN;

    private AdminChecks() {}

    static void add() {
        Frame.check("topic_is_created_described_deleted", AdminChecks::lifecycle);
        Frame.check("created_topic_answers_id_and_configs", AdminChecks::createdAnswer);
        Frame.check("create_refusals", AdminChecks::createRefusals);
        Frame.check("validate_only_creates_nothing", AdminChecks::validateOnly);
        Frame.check("manual_replica_assignment", AdminChecks::assignment);
        Frame.check("create_partitions", AdminChecks::createPartitions);
        Frame.check("delete_topic_by_id", AdminChecks::deleteById);
        Frame.check("delete_records", AdminChecks::deleteRecords);
        Frame.check("list_offsets_of_each_kind", AdminChecks::listOffsets);
        Frame.check("topic_configs_describe_all_keys", AdminChecks::describeTopicConfigs);
        Frame.check("topic_configs_alter_incrementally", AdminChecks::alterTopicConfigs);
        Frame.check("illegal_configs_are_refused", AdminChecks::illegalConfigs);
        Frame.check("broker_configs_are_described", AdminChecks::describeBrokerConfigs);
        Frame.check("broker_configs_alter_dynamically", AdminChecks::alterBrokerConfigs);
        Frame.check("read_only_broker_config_is_refused", AdminChecks::readOnlyConfig);
        Frame.check("config_resources_are_listed", AdminChecks::configResources);
        Frame.check("groups_list_describe_delete", AdminChecks::groups);
        Frame.check("group_offsets_alter_and_delete", AdminChecks::groupOffsets);
        Frame.check("member_is_removed", AdminChecks::removeMember);
        Frame.check("cluster_is_described", AdminChecks::cluster);
        Frame.check("features_are_described", AdminChecks::features);
        Frame.check("quorum_is_described", AdminChecks::quorum);
        Frame.check("log_dirs_are_described", AdminChecks::logDirs);
        Frame.check("elections_and_reassignments", AdminChecks::elections);
        Frame.check("acls_are_disabled", AdminChecks::acls);
        Frame.check("many_topics_page_through", AdminChecks::manyTopics);
    }

    private static NewTopic named(String name) {
        return new NewTopic(name, 1, (short) 1);
    }

    private static void create(NewTopic topic) throws Exception {
        Frame.get(ADMIN.createTopics(List.of(topic)).all());
    }

    private static void lifecycle() throws Exception {
        String name = Frame.topic(3, Map.of());
        var found = Frame.get(ADMIN.describeTopics(List.of(name)).allTopicNames()).get(name);
        Frame.equal(found.partitions().stream().map(TopicPartitionInfo::partition).toList(), List.of(0, 1, 2));
        Frame.equal(found.isInternal(), false);
        Frame.equal(found.partitions().get(0).isr().size(), 1);
        Frame.get(ADMIN.deleteTopics(List.of(name)).all());
        Frame.until("gone", () -> !Frame.get(ADMIN.listTopics().names()).contains(name));
        Frame.fails(UnknownTopicOrPartitionException.class, () -> Frame.get(ADMIN.describeTopics(List.of(name)).allTopicNames()));
        Frame.fails(UnknownTopicOrPartitionException.class, () -> Frame.get(ADMIN.deleteTopics(List.of(name)).all()));
    }

    private static void createdAnswer() throws Exception {
        String name = Frame.fresh("java");
        var result = ADMIN.createTopics(List.of(new NewTopic(name, Optional.empty(), Optional.empty()).configs(Map.of("retention.ms", "77777"))));
        Frame.equal(Frame.get(result.numPartitions(name)), 1);
        Frame.equal(Frame.get(result.replicationFactor(name)), 1);
        Frame.equal(Frame.get(result.config(name)).get("retention.ms").value(), "77777");
        Uuid id = Frame.get(result.topicId(name));
        Frame.equal(Frame.get(ADMIN.describeTopics(List.of(name)).allTopicNames()).get(name).topicId(), id);
    }

    private static void createRefusals() throws Exception {
        String taken = Frame.topic();
        Frame.fails(TopicExistsException.class, () -> create(named(taken)));
        Frame.fails(InvalidTopicException.class, () -> create(named("no/slash")));
        Frame.fails(InvalidTopicException.class, () -> create(named("x".repeat(250))));
        Frame.fails(InvalidTopicException.class, () -> create(named("..")));
        Frame.fails(InvalidReplicationFactorException.class, () -> create(new NewTopic(Frame.fresh("t"), 1, (short) 2)));
        Frame.fails(InvalidPartitionsException.class, () -> create(new NewTopic(Frame.fresh("t"), 0, (short) 1)));
        Frame.fails(InvalidConfigurationException.class, () -> create(named(Frame.fresh("t")).configs(Map.of("cleanup.policy", "none of these"))));
        Frame.fails(InvalidConfigurationException.class, () -> create(named(Frame.fresh("t")).configs(Map.of("no.such.key", "1"))));
        String dotted = Frame.fresh("a.b");
        create(named(dotted));
        Frame.fails(InvalidTopicException.class, () -> create(named(dotted.replace('.', '_'))));
    }

    private static void validateOnly() throws Exception {
        String name = Frame.fresh("java");
        Frame.get(ADMIN.createTopics(List.of(named(name)), new CreateTopicsOptions().validateOnly(true)).all());
        Frame.equal(Frame.get(ADMIN.listTopics().names()).contains(name), false);
    }

    private static void assignment() throws Exception {
        int node = Frame.get(ADMIN.describeCluster().nodes()).iterator().next().id();
        String name = Frame.fresh("java");
        create(new NewTopic(name, Map.of(0, List.of(node), 1, List.of(node))));
        Frame.equal(Frame.get(ADMIN.describeTopics(List.of(name)).allTopicNames()).get(name).partitions().size(), 2);
        Frame.fails(InvalidReplicaAssignmentException.class, () -> create(new NewTopic(Frame.fresh("t"), Map.of(0, List.of(node, node)))));
        Frame.fails(InvalidReplicaAssignmentException.class, () -> create(new NewTopic(Frame.fresh("t"), Map.of(0, List.of(node), 2, List.of(node)))));
    }

    private static void createPartitions() throws Exception {
        String name = Frame.topic();
        Frame.get(ADMIN.createPartitions(Map.of(name, NewPartitions.increaseTo(4))).all());
        Frame.until("4 partitions", () -> Frame.get(ADMIN.describeTopics(List.of(name)).allTopicNames()).get(name).partitions().size() == 4);
        Frame.fails(InvalidPartitionsException.class, () -> Frame.get(ADMIN.createPartitions(Map.of(name, NewPartitions.increaseTo(2))).all()));
        Frame.fails(InvalidPartitionsException.class, () -> Frame.get(ADMIN.createPartitions(Map.of(name, NewPartitions.increaseTo(4))).all()));
        Frame.fails(UnknownTopicOrPartitionException.class, () -> Frame.get(ADMIN.createPartitions(Map.of(Frame.fresh("t"), NewPartitions.increaseTo(4))).all()));
    }

    private static void deleteById() throws Exception {
        String name = Frame.topic();
        Uuid id = Frame.get(ADMIN.describeTopics(List.of(name)).allTopicNames()).get(name).topicId();
        Frame.equal(Frame.get(ADMIN.describeTopics(TopicCollection.ofTopicIds(List.of(id))).allTopicIds()).get(id).name(), name);
        Frame.get(ADMIN.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all());
        Frame.fails(UnknownTopicIdException.class, () -> Frame.get(ADMIN.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all()));
    }

    private static void deleteRecords() throws Exception {
        String name = Frame.topic();
        var part = new TopicPartition(name, 0);
        Frame.produce(name, Frame.numbers(10));
        Frame.equal(Frame.get(ADMIN.deleteRecords(Map.of(part, RecordsToDelete.beforeOffset(6))).lowWatermarks().get(part)).lowWatermark(), 6L);
        Frame.equal(Frame.values(Frame.read(name, 4)), Frame.numbers(10).subList(6, 10));
        Frame.fails(OffsetOutOfRangeException.class, () -> Frame.get(ADMIN.deleteRecords(Map.of(part, RecordsToDelete.beforeOffset(11))).all()));
        Frame.equal(Frame.get(ADMIN.deleteRecords(Map.of(part, RecordsToDelete.beforeOffset(-1))).lowWatermarks().get(part)).lowWatermark(), 10L);
    }

    private static void listOffsets() throws Exception {
        String name = Frame.topic();
        var part = new TopicPartition(name, 0);
        try (var producer = Frame.producer()) {
            for (long at : List.of(1000L, 9000L, 5000L)) producer.send(new ProducerRecord<>(name, 0, 1_600_000_000_000L + at, null, "v")).get();
        }
        Map<OffsetSpec, Long> expected = new LinkedHashMap<>();
        expected.put(OffsetSpec.earliest(), 0L);
        expected.put(OffsetSpec.latest(), 3L);
        expected.put(OffsetSpec.maxTimestamp(), 1L);
        expected.put(OffsetSpec.forTimestamp(1_600_000_004_000L), 1L);
        expected.put(OffsetSpec.forTimestamp(1_700_000_000_000L), -1L);
        expected.put(OffsetSpec.earliestLocal(), 0L);
        expected.put(OffsetSpec.latestTiered(), -1L);
        for (var one : expected.entrySet())
            Frame.equal(Frame.get(ADMIN.listOffsets(Map.of(part, one.getKey())).partitionResult(part)).offset(), one.getValue(), one.getKey().getClass().getSimpleName());
    }

    private static Map<String, ConfigEntry> configs(ConfigResource resource) throws Exception {
        var options = new DescribeConfigsOptions().includeSynonyms(true).includeDocumentation(true);
        return Frame.get(ADMIN.describeConfigs(List.of(resource), options).all()).get(resource).entries().stream()
                .collect(Collectors.toMap(ConfigEntry::name, entry -> entry));
    }

    private static ConfigResource onTopic(String name) {
        return new ConfigResource(ConfigResource.Type.TOPIC, name);
    }

    private static ConfigResource onBroker() throws Exception {
        return new ConfigResource(ConfigResource.Type.BROKER, Frame.get(ADMIN.describeCluster().nodes()).iterator().next().idString());
    }

    private static void alter(ConfigResource resource, AlterConfigOp.OpType kind, String key, String value) throws Exception {
        Frame.get(ADMIN.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(new ConfigEntry(key, value), kind)))).all());
    }

    private static void describeTopicConfigs() throws Exception {
        var found = configs(onTopic(Frame.topic(1, Map.of("retention.ms", "1234567", "segment.bytes", "20000000"))));
        for (String key : List.of("cleanup.policy", "compression.type", "flush.messages", "max.message.bytes", "min.insync.replicas",
                "retention.bytes", "segment.bytes", "segment.ms", "message.timestamp.type", "unclean.leader.election.enable", "local.retention.ms"))
            if (!found.containsKey(key)) throw new AssertionError("no " + key);
        var retention = found.get("retention.ms");
        Frame.equal(List.of(retention.value(), retention.source(), retention.type(), retention.isReadOnly()),
                List.of("1234567", ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, ConfigEntry.ConfigType.LONG, false));
        Frame.equal(retention.synonyms().get(0).source(), ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG);
        Frame.equal(found.get("segment.bytes").synonyms().stream().map(ConfigEntry.ConfigSynonym::source).toList(),
                List.of(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, ConfigEntry.ConfigSource.DEFAULT_CONFIG), "synonyms of segment.bytes");
        for (var entry : found.values())
            if (entry.documentation() == null || entry.documentation().isEmpty()) throw new AssertionError("no documentation of " + entry.name());
    }

    private static void alterTopicConfigs() throws Exception {
        var resource = onTopic(Frame.topic());
        alter(resource, AlterConfigOp.OpType.SET, "max.message.bytes", "2048");
        Frame.equal(configs(resource).get("max.message.bytes").value(), "2048");
        alter(resource, AlterConfigOp.OpType.APPEND, "cleanup.policy", "compact");
        Frame.equal(configs(resource).get("cleanup.policy").value(), "delete,compact");
        alter(resource, AlterConfigOp.OpType.SUBTRACT, "cleanup.policy", "delete");
        Frame.equal(configs(resource).get("cleanup.policy").value(), "compact");
        alter(resource, AlterConfigOp.OpType.DELETE, "max.message.bytes", null);
        Frame.equal(configs(resource).get("max.message.bytes").source(), ConfigEntry.ConfigSource.DEFAULT_CONFIG);
    }

    private static void illegalConfigs() throws Exception {
        var resource = onTopic(Frame.topic());
        Frame.fails(InvalidConfigurationException.class, () -> alter(resource, AlterConfigOp.OpType.SET, "retention.ms", "soon"));
        Frame.fails(InvalidConfigurationException.class, () -> alter(resource, AlterConfigOp.OpType.SET, "segment.bytes", "-1"));
        Frame.fails(InvalidConfigurationException.class, () -> alter(resource, AlterConfigOp.OpType.SET, "no.such.key", "1"));
        Frame.fails(InvalidConfigurationException.class, () -> alter(resource, AlterConfigOp.OpType.APPEND, "retention.ms", "1"));
        Frame.fails(UnknownTopicOrPartitionException.class, () -> alter(onTopic(Frame.fresh("none")), AlterConfigOp.OpType.SET, "retention.ms", "1"));
    }

    private static void describeBrokerConfigs() throws Exception {
        var found = configs(onBroker());
        Frame.equal(found.get("log.segment.bytes").value(), "1073741824");
        Frame.equal(found.get("group.initial.rebalance.delay.ms").source(), ConfigEntry.ConfigSource.STATIC_BROKER_CONFIG);
        Frame.equal(found.get("ssl.keystore.password").isSensitive(), true);
        Frame.equal(found.get("ssl.keystore.password").value(), null);
        Frame.equal(found.get("node.id").isReadOnly(), true);
        if (found.size() < 200) throw new AssertionError("only " + found.size() + " keys");
    }

    private static void alterBrokerConfigs() throws Exception {
        var broker = onBroker();
        var all = new ConfigResource(ConfigResource.Type.BROKER, "");
        String topic = Frame.topic();
        alter(all, AlterConfigOp.OpType.SET, "log.retention.ms", "86400000");
        Frame.until("cluster default", () -> configs(broker).get("log.retention.ms").source() == ConfigEntry.ConfigSource.DYNAMIC_DEFAULT_BROKER_CONFIG);
        alter(broker, AlterConfigOp.OpType.SET, "log.retention.ms", "7200000");
        Frame.until("this broker", () -> configs(broker).get("log.retention.ms").source() == ConfigEntry.ConfigSource.DYNAMIC_BROKER_CONFIG);
        Frame.equal(configs(onTopic(topic)).get("retention.ms").value(), "7200000", "the topic follows");
        alter(broker, AlterConfigOp.OpType.DELETE, "log.retention.ms", null);
        alter(all, AlterConfigOp.OpType.DELETE, "log.retention.ms", null);
        Frame.until("default again", () -> configs(broker).get("log.retention.ms").value() == null);
    }

    private static void readOnlyConfig() throws Exception {
        Frame.fails(InvalidRequestException.class, () -> alter(onBroker(), AlterConfigOp.OpType.SET, "node.id", "7"));
    }

    private static void configResources() throws Exception {
        String topic = Frame.topic(1, Map.of("retention.ms", "1"));
        var listed = Frame.get(ADMIN.listConfigResources(Set.of(ConfigResource.Type.TOPIC), new ListConfigResourcesOptions()).all());
        Frame.equal(listed.contains(onTopic(topic)), true);
    }

    private static void groups() throws Exception {
        String topic = Frame.topic(), group = Frame.fresh("group");
        Frame.produce(topic, Frame.numbers(3));
        try (var consumer = Frame.consumer("group.id", group, "client.id", "reader")) {
            consumer.subscribe(List.of(topic));
            Frame.poll(consumer, 3);
            consumer.commitSync();
            var found = Frame.get(ADMIN.describeConsumerGroups(List.of(group)).all()).get(group);
            Frame.equal(List.of(found.groupState(), found.partitionAssignor(), found.members().size()), List.of(GroupState.STABLE, "range", 1));
            var member = found.members().iterator().next();
            Frame.equal(List.of(member.clientId(), member.assignment().topicPartitions()), List.of("reader", Set.of(new TopicPartition(topic, 0))));
            Frame.fails(GroupNotEmptyException.class, () -> Frame.get(ADMIN.deleteConsumerGroups(List.of(group)).all()));
        }
        Frame.until("empty", () -> Frame.get(ADMIN.describeConsumerGroups(List.of(group)).all()).get(group).groupState() == GroupState.EMPTY);
        var listed = Frame.get(ADMIN.listGroups(new ListGroupsOptions().inGroupStates(Set.of(GroupState.EMPTY))).all());
        Frame.equal(listed.stream().anyMatch(g -> g.groupId().equals(group)), true, "listed");
        Frame.get(ADMIN.deleteConsumerGroups(List.of(group)).all());
        Frame.fails(GroupIdNotFoundException.class, () -> Frame.get(ADMIN.deleteConsumerGroups(List.of(group)).all()));
        Frame.fails(GroupIdNotFoundException.class, () -> Frame.get(ADMIN.describeConsumerGroups(List.of(group)).all()));
    }

    private static void groupOffsets() throws Exception {
        String topic = Frame.topic(), group = Frame.fresh("group");
        var part = new TopicPartition(topic, 0);
        Frame.get(ADMIN.alterConsumerGroupOffsets(group, Map.of(part, new OffsetAndMetadata(5, "set"))).all());
        Frame.equal(Frame.get(ADMIN.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()), Map.of(part, new OffsetAndMetadata(5, "set")));
        Frame.get(ADMIN.deleteConsumerGroupOffsets(group, Set.of(part)).all());
        Frame.equal(Frame.get(ADMIN.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()), Map.of());
    }

    private static void removeMember() throws Exception {
        String topic = Frame.topic(), group = Frame.fresh("group");
        try (var consumer = Frame.consumer("group.id", group, "group.instance.id", "one", "session.timeout.ms", 40_000)) {
            consumer.subscribe(List.of(topic));
            Frame.until("assigned", () -> {
                consumer.poll(Duration.ofMillis(50));
                return consumer.assignment().size() == 1;
            });
            var options = new RemoveMembersFromConsumerGroupOptions(List.of(new MemberToRemove("one")));
            Frame.get(ADMIN.removeMembersFromConsumerGroup(group, options).all());
            Frame.equal(Frame.get(ADMIN.describeConsumerGroups(List.of(group)).all()).get(group).members().size(), 0);
        }
    }

    private static void cluster() throws Exception {
        var found = ADMIN.describeCluster();
        Frame.equal(Frame.get(found.nodes()).size(), 1);
        Frame.equal(Frame.get(found.controller()).id(), Frame.get(found.nodes()).iterator().next().id());
        Frame.equal(Frame.get(found.clusterId()).length(), 22, "length of the cluster id");
    }

    private static void features() throws Exception {
        var found = Frame.get(ADMIN.describeFeatures().featureMetadata());
        Frame.equal(found.finalizedFeatures().get("transaction.version").maxVersionLevel(), (short) 2);
        Frame.equal(found.finalizedFeatures().containsKey("metadata.version"), true);
        Frame.equal(found.finalizedFeaturesEpoch().isPresent(), true);
        Frame.fails(KafkaException.class, () -> Frame.get(ADMIN.updateFeatures(
                Map.of("metadata.version", new FeatureUpdate((short) 999, FeatureUpdate.UpgradeType.UPGRADE)), new UpdateFeaturesOptions()).all()));
    }

    private static void quorum() throws Exception {
        var found = Frame.get(ADMIN.describeMetadataQuorum().quorumInfo());
        Frame.equal(found.voters().size(), 1);
        Frame.equal(found.leaderId(), found.voters().get(0).replicaId());
        if (found.highWatermark() <= 0) throw new AssertionError("high watermark " + found.highWatermark());
    }

    private static void logDirs() throws Exception {
        String topic = Frame.topic();
        Frame.produce(topic, Frame.numbers(3));
        int node = Frame.get(ADMIN.describeCluster().nodes()).iterator().next().id();
        var dirs = Frame.get(ADMIN.describeLogDirs(List.of(node)).allDescriptions()).get(node);
        var sizes = dirs.values().stream().map(d -> d.replicaInfos().get(new TopicPartition(topic, 0))).filter(Objects::nonNull).toList();
        Frame.equal(sizes.size(), 1);
        if (sizes.get(0).size() <= 0) throw new AssertionError("size " + sizes.get(0).size());
        if (dirs.values().iterator().next().totalBytes().orElse(0) <= 0) throw new AssertionError("no total size of the disk");
    }

    private static void elections() throws Exception {
        var part = new TopicPartition(Frame.topic(), 0);
        var answers = Frame.get(ADMIN.electLeaders(ElectionType.PREFERRED, Set.of(part)).partitions());
        Frame.equal(answers.get(part).get().getClass(), ElectionNotNeededException.class);
        Frame.equal(Frame.get(ADMIN.listPartitionReassignments().reassignments()), Map.of());
        Frame.fails(NoReassignmentInProgressException.class, () -> Frame.get(ADMIN.alterPartitionReassignments(Map.of(part, Optional.empty())).all()));
    }

    private static void acls() {
        Frame.fails(SecurityDisabledException.class, () -> Frame.get(ADMIN.describeAcls(AclBindingFilter.ANY).values()));
    }

    private static void manyTopics() throws Exception {
        String prefix = Frame.fresh("many");
        List<NewTopic> made = IntStream.range(0, 300).mapToObj(i -> new NewTopic(prefix + "-" + i, 10, (short) 1)).toList();
        Frame.get(ADMIN.createTopics(made).all());
        List<String> names = made.stream().map(NewTopic::name).toList();
        var options = new DescribeTopicsOptions().partitionSizeLimitPerResponse(700);
        var found = Frame.get(ADMIN.describeTopics(TopicCollection.ofTopicNames(names), options).allTopicNames());
        Frame.equal(found.values().stream().mapToInt(t -> t.partitions().size()).sum(), 3000);
        Frame.get(ADMIN.deleteTopics(names).all());
    }
}
