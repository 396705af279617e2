import java.time.Duration;
import java.util.*;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.errors.*;

/** What a consumer sees, alone and in a classic group. */
final class ConsumerChecks {
    private ConsumerChecks() {}

    static void add() {
        Frame.check("group_commits_and_resumes", ConsumerChecks::commits);
        Frame.check("auto_commit_on_close", ConsumerChecks::autoCommit);
        Frame.check("commit_async_and_metadata", ConsumerChecks::commitAsync);
        for (String kind : List.of("RangeAssignor", "RoundRobinAssignor", "StickyAssignor", "CooperativeStickyAssignor"))
            Frame.check("two_members_" + kind, () -> twoMembers("org.apache.kafka.clients.consumer." + kind));
        Frame.check("static_member_returns_without_rebalance", ConsumerChecks::staticMember);
        Frame.check("second_static_member_fences_the_first", ConsumerChecks::staticFenced);
        Frame.check("commit_of_a_stranger_is_refused", ConsumerChecks::stranger);
        Frame.check("new_partitions_are_picked_up", ConsumerChecks::newPartitions);
        Frame.check("pattern_subscription", ConsumerChecks::pattern);
        Frame.check("consumer_group_protocol_is_refused_as_unsupported_or_served", ConsumerChecks::newProtocol);
        Frame.check("seek_and_position", ConsumerChecks::seek);
        Frame.check("pause_and_resume", ConsumerChecks::pause);
        Frame.check("begin_and_end_offsets", ConsumerChecks::bounds);
        Frame.check("offsets_for_times", ConsumerChecks::times);
        Frame.check("out_of_range_resets_or_throws", ConsumerChecks::outOfRange);
        Frame.check("no_offset_without_reset_policy_throws", ConsumerChecks::noOffset);
        Frame.check("fetch_limits_are_kept", ConsumerChecks::limits);
        Frame.check("min_bytes_waits", ConsumerChecks::minBytes);
        Frame.check("current_lag_is_known", ConsumerChecks::lag);
        Frame.check("wakes_up_when_a_record_arrives", ConsumerChecks::wake);
        Frame.check("partitions_and_topics_are_listed", ConsumerChecks::listed);
    }

    private static KafkaConsumer<String, String> member(String group, Object... config) {
        List<Object> all = new ArrayList<>(List.of("group.id", group, "heartbeat.interval.ms", 300, "session.timeout.ms", 6000, "metadata.max.age.ms", 1000));
        all.addAll(List.of(config));
        return Frame.consumer(all.toArray());
    }

    private static void commits() throws Exception {
        String topic = Frame.topic(), group = Frame.fresh("group");
        var part = new TopicPartition(topic, 0);
        Frame.produce(topic, Frame.numbers(10));
        try (var first = member(group)) {
            first.subscribe(List.of(topic));
            Frame.poll(first, 10);
            first.commitSync(Map.of(part, new OffsetAndMetadata(4, Optional.of(0), "four")));
        }
        try (var second = member(group)) {
            second.subscribe(List.of(topic));
            Frame.equal(Frame.values(Frame.poll(second, 6)), Frame.numbers(10).subList(4, 10));
            Frame.equal(second.committed(Set.of(part)).get(part), new OffsetAndMetadata(4, Optional.of(0), "four"));
        }
    }

    private static void autoCommit() throws Exception {
        String topic = Frame.topic(), group = Frame.fresh("group");
        var part = new TopicPartition(topic, 0);
        Frame.produce(topic, Frame.numbers(3));
        try (var first = member(group, "enable.auto.commit", true, "auto.commit.interval.ms", 1_000_000)) {
            first.subscribe(List.of(topic));
            Frame.poll(first, 3);
        }
        try (var second = member(group)) {
            Frame.equal(second.committed(Set.of(part)).get(part).offset(), 3L);
        }
    }

    private static void commitAsync() throws Exception {
        String topic = Frame.topic(), group = Frame.fresh("group");
        var part = new TopicPartition(topic, 0);
        Frame.produce(topic, Frame.numbers(3));
        try (var one = member(group)) {
            one.subscribe(List.of(topic));
            Frame.poll(one, 3);
            List<Exception> done = new ArrayList<>();
            one.commitAsync(Map.of(part, new OffsetAndMetadata(1, "m")), (offsets, error) -> done.add(error));
            Frame.until("answered", () -> {
                one.poll(Duration.ofMillis(20));
                return !done.isEmpty();
            });
            Frame.equal(done.get(0), null);
            String tooLong = "x".repeat(5000);
            Frame.fails(OffsetMetadataTooLarge.class, () -> one.commitSync(Map.of(part, new OffsetAndMetadata(2, tooLong))));
        }
    }

    private static void twoMembers(String assignor) throws Exception {
        String topic = Frame.topic(4, Map.of()), group = Frame.fresh("group");
        try (var first = member(group, "partition.assignment.strategy", assignor)) {
            first.subscribe(List.of(topic));
            Frame.until("all partitions", () -> {
                first.poll(Duration.ofMillis(50));
                return first.assignment().size() == 4;
            });
            try (var second = member(group, "partition.assignment.strategy", assignor)) {
                second.subscribe(List.of(topic));
                Frame.until("two partitions each", () -> {
                    first.poll(Duration.ofMillis(50));
                    second.poll(Duration.ofMillis(50));
                    return first.assignment().size() == 2 && second.assignment().size() == 2;
                });
                Set<TopicPartition> all = new HashSet<>(first.assignment());
                all.addAll(second.assignment());
                Frame.equal(all.size(), 4, "partitions owned");
            }
            Frame.until("all partitions again", () -> {
                first.poll(Duration.ofMillis(50));
                return first.assignment().size() == 4;
            });
        }
    }

    private static void staticMember() throws Exception {
        String topic = Frame.topic(2, Map.of()), group = Frame.fresh("group");
        int[] rebalances = {0};
        try (var stay = member(group, "group.instance.id", "stay", "session.timeout.ms", 30_000)) {
            stay.subscribe(List.of(topic), new ConsumerRebalanceListener() {
                public void onPartitionsRevoked(Collection<TopicPartition> parts) {
                    rebalances[0]++;
                }

                public void onPartitionsAssigned(Collection<TopicPartition> parts) {
                    rebalances[0]++;
                }
            });
            var go = member(group, "group.instance.id", "go", "session.timeout.ms", 30_000);
            go.subscribe(List.of(topic));
            var leaver = go;
            Frame.until("one partition each", () -> {
                stay.poll(Duration.ofMillis(50));
                leaver.poll(Duration.ofMillis(50));
                return stay.assignment().size() == 1 && leaver.assignment().size() == 1;
            });
            int before = rebalances[0];
            var owned = go.assignment();
            go.close();
            try (var back = member(group, "group.instance.id", "go", "session.timeout.ms", 30_000)) {
                back.subscribe(List.of(topic));
                Frame.until("its partition again", () -> {
                    stay.poll(Duration.ofMillis(50));
                    back.poll(Duration.ofMillis(50));
                    return back.assignment().equals(owned);
                });
            }
            Frame.equal(rebalances[0], before, "rebalances of the one that stayed");
        }
    }

    private static void staticFenced() throws Exception {
        String topic = Frame.topic(), group = Frame.fresh("group");
        try (var first = member(group, "group.instance.id", "one"); var second = member(group, "group.instance.id", "one")) {
            first.subscribe(List.of(topic));
            Frame.until("assigned", () -> {
                first.poll(Duration.ofMillis(50));
                return first.assignment().size() == 1;
            });
            second.subscribe(List.of(topic));
            Frame.fails(FencedInstanceIdException.class, () -> Frame.until("fenced", () -> {
                second.poll(Duration.ofMillis(50));
                first.poll(Duration.ofMillis(50));
                return false;
            }));
        }
    }

    private static void stranger() throws Exception {
        String topic = Frame.topic(), group = Frame.fresh("group");
        var part = new TopicPartition(topic, 0);
        try (var inside = member(group); var outside = Frame.consumer("group.id", group)) {
            inside.subscribe(List.of(topic));
            Frame.until("assigned", () -> {
                inside.poll(Duration.ofMillis(50));
                return inside.assignment().size() == 1;
            });
            outside.assign(List.of(part));
            Frame.fails(CommitFailedException.class, () -> outside.commitSync(Map.of(part, new OffsetAndMetadata(1))));
        }
    }

    private static void newPartitions() throws Exception {
        String topic = Frame.topic(), group = Frame.fresh("group");
        try (var one = member(group)) {
            one.subscribe(List.of(topic));
            Frame.until("one partition", () -> {
                one.poll(Duration.ofMillis(50));
                return one.assignment().size() == 1;
            });
            Frame.get(Frame.ADMIN.createPartitions(Map.of(topic, org.apache.kafka.clients.admin.NewPartitions.increaseTo(3))).all());
            Frame.until("three partitions", () -> {
                one.poll(Duration.ofMillis(50));
                return one.assignment().size() == 3;
            });
        }
    }

    private static void pattern() throws Exception {
        String prefix = Frame.fresh("pattern"), group = Frame.fresh("group");
        for (String end : List.of("a", "b"))
            Frame.get(Frame.ADMIN.createTopics(List.of(new org.apache.kafka.clients.admin.NewTopic(prefix + end, 1, (short) 1))).all());
        Frame.produce(prefix + "a", List.of("a"));
        Frame.produce(prefix + "b", List.of("b"));
        try (var one = member(group)) {
            one.subscribe(Pattern.compile(prefix + ".*"));
            Frame.equal(new TreeSet<>(Frame.values(Frame.poll(one, 2))), new TreeSet<>(List.of("a", "b")));
        }
    }

    /** KIP-848 needs group.version=1; where it is not finalised the client must be told so, not left hanging. */
    private static void newProtocol() throws Exception {
        String topic = Frame.topic();
        var features = Frame.get(Frame.ADMIN.describeFeatures().featureMetadata()).finalizedFeatures();
        var config = new HashMap<String, Object>(Map.of("bootstrap.servers", Frame.BOOTSTRAP, "group.protocol", "consumer", "group.id", Frame.fresh("group"), "auto.offset.reset", "earliest"));
        Frame.produce(topic, List.of("v"));
        var string = new org.apache.kafka.common.serialization.StringDeserializer();
        try (var consumer = new KafkaConsumer<>(config, string, string)) {
            consumer.subscribe(List.of(topic));
            boolean served = features.containsKey("group.version") && features.get("group.version").maxVersionLevel() >= 1;
            if (served) Frame.equal(Frame.values(Frame.poll(consumer, 1)), List.of("v"));
            else Frame.fails(UnsupportedVersionException.class, () -> Frame.poll(consumer, 1));
        }
    }

    private static void seek() throws Exception {
        String topic = Frame.topic();
        var part = new TopicPartition(topic, 0);
        Frame.produce(topic, Frame.numbers(20));
        try (var one = Frame.consumer()) {
            one.assign(List.of(part));
            one.seek(part, 15);
            Frame.equal(Frame.values(Frame.poll(one, 5)), Frame.numbers(20).subList(15, 20));
            Frame.equal(one.position(part), 20L);
            one.seekToBeginning(List.of(part));
            Frame.equal(one.position(part), 0L);
            one.seekToEnd(List.of(part));
            Frame.equal(one.position(part), 20L);
        }
    }

    private static void pause() throws Exception {
        String topic = Frame.topic(2, Map.of());
        var paused = new TopicPartition(topic, 0);
        try (var producer = Frame.producer(); var one = Frame.consumer()) {
            producer.send(new ProducerRecord<>(topic, 0, null, "zero")).get();
            producer.send(new ProducerRecord<>(topic, 1, null, "one")).get();
            one.assign(List.of(paused, new TopicPartition(topic, 1)));
            one.pause(List.of(paused));
            Frame.equal(Frame.values(Frame.poll(one, 1)), List.of("one"));
            one.resume(List.of(paused));
            Frame.equal(Frame.values(Frame.poll(one, 1)), List.of("zero"));
        }
    }

    private static void bounds() throws Exception {
        String topic = Frame.topic();
        var part = new TopicPartition(topic, 0);
        Frame.produce(topic, Frame.numbers(7));
        try (var one = Frame.consumer()) {
            Frame.equal(one.beginningOffsets(List.of(part)), Map.of(part, 0L));
            Frame.equal(one.endOffsets(List.of(part)), Map.of(part, 7L));
        }
    }

    private static void times() throws Exception {
        String topic = Frame.topic();
        var part = new TopicPartition(topic, 0);
        try (var producer = Frame.producer("linger.ms", 50, "compression.type", "lz4"); var one = Frame.consumer()) {
            for (int i = 0; i < 10; i++) producer.send(new ProducerRecord<>(topic, 0, 1_600_000_000_000L + i * 1000, null, "v"));
            producer.flush();
            var found = one.offsetsForTimes(Map.of(part, 1_600_000_003_500L)).get(part);
            Frame.equal(List.of(found.offset(), found.timestamp(), found.leaderEpoch().get()), List.of(4L, 1_600_000_004_000L, 0));
            Frame.equal(one.offsetsForTimes(Map.of(part, 1_700_000_000_000L)).get(part), null);
        }
    }

    private static void outOfRange() throws Exception {
        String topic = Frame.topic();
        var part = new TopicPartition(topic, 0);
        Frame.produce(topic, Frame.numbers(2));
        try (var resets = Frame.consumer(); var strict = Frame.consumer("auto.offset.reset", "none")) {
            resets.assign(List.of(part));
            resets.seek(part, 1000);
            Frame.equal(Frame.poll(resets, 2).get(0).offset(), 0L);
            strict.assign(List.of(part));
            strict.seek(part, 1000);
            Frame.fails(org.apache.kafka.clients.consumer.OffsetOutOfRangeException.class, () -> Frame.poll(strict, 1));
        }
    }

    private static void noOffset() throws Exception {
        String topic = Frame.topic();
        try (var one = member(Frame.fresh("group"), "auto.offset.reset", "none")) {
            one.subscribe(List.of(topic));
            Frame.fails(NoOffsetForPartitionException.class, () -> Frame.poll(one, 1));
        }
    }

    private static void limits() throws Exception {
        String topic = Frame.topic();
        Frame.produce(topic, Collections.nCopies(50, "x".repeat(1000)), "batch.size", 1);
        try (var one = Frame.consumer("max.partition.fetch.bytes", 3000, "max.poll.records", 7)) {
            var part = new TopicPartition(topic, 0);
            one.assign(List.of(part));
            one.seekToBeginning(List.of(part));
            int read = 0;
            while (read < 50) {
                int now = one.poll(Duration.ofSeconds(10)).count();
                if (now == 0 || now > 3) throw new AssertionError(now + " records of 1000 bytes at a limit of 3000");
                read += now;
            }
        }
    }

    private static void minBytes() throws Exception {
        String topic = Frame.topic();
        Frame.produce(topic, List.of("small"));
        try (var one = Frame.consumer("fetch.min.bytes", 1_000_000, "fetch.max.wait.ms", 1500)) {
            var part = new TopicPartition(topic, 0);
            one.assign(List.of(part));
            one.seekToBeginning(List.of(part));
            one.position(part);
            long start = System.nanoTime();
            Frame.poll(one, 1);
            long waited = (System.nanoTime() - start) / 1_000_000;
            if (waited < 1000) throw new AssertionError("answered after " + waited + " ms");
        }
    }

    private static void lag() throws Exception {
        String topic = Frame.topic();
        var part = new TopicPartition(topic, 0);
        Frame.produce(topic, Frame.numbers(10));
        try (var one = Frame.consumer("max.poll.records", 4)) {
            one.assign(List.of(part));
            one.seekToBeginning(List.of(part));
            Frame.poll(one, 4);
            Frame.equal(one.currentLag(part), OptionalLong.of(6));
        }
    }

    private static void wake() throws Exception {
        String topic = Frame.topic();
        var part = new TopicPartition(topic, 0);
        try (var one = Frame.consumer("fetch.max.wait.ms", 20_000); var producer = Frame.producer()) {
            one.assign(List.of(part));
            one.seekToBeginning(List.of(part));
            one.poll(Duration.ofMillis(300));
            producer.send(new ProducerRecord<>(topic, "v")).get();
            long start = System.nanoTime();
            Frame.poll(one, 1);
            long waited = (System.nanoTime() - start) / 1_000_000;
            if (waited > 5000) throw new AssertionError("the waiting fetch was answered after " + waited + " ms");
        }
    }

    private static void listed() throws Exception {
        String topic = Frame.topic(3, Map.of());
        try (var one = Frame.consumer()) {
            Frame.equal(one.partitionsFor(topic).size(), 3);
            Frame.equal(one.partitionsFor(topic).get(0).inSyncReplicas().length, 1);
            Frame.equal(one.listTopics().containsKey(topic), true);
        }
    }
}
