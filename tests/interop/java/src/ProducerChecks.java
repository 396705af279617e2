import static java.util.stream.IntStream.range;

import java.util.*;
import java.util.concurrent.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;

/** What a producer sees. */
final class ProducerChecks {
    private ProducerChecks() {}

    static void add() {
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) Frame.check("codec_" + codec, () -> roundtrip(codec));
        for (String acks : List.of("0", "1", "all")) Frame.check("acks_" + acks, () -> acks(acks));
        Frame.check("headers_round_trip", ProducerChecks::headers);
        Frame.check("null_and_empty_differ", ProducerChecks::nulls);
        Frame.check("create_time_is_kept", ProducerChecks::createTime);
        Frame.check("log_append_time_is_answered_and_stored", ProducerChecks::appendTime);
        Frame.check("timestamp_out_of_bounds_is_refused", ProducerChecks::timestampBounds);
        Frame.check("idempotent_offsets_are_dense", ProducerChecks::idempotent);
        Frame.check("broker_keeps_the_codec_of_the_topic", ProducerChecks::topicCodec);
        Frame.check("keys_choose_their_partition", ProducerChecks::keys);
        Frame.check("oversized_record_is_refused", ProducerChecks::oversized);
        Frame.check("compacted_topic_wants_keys", ProducerChecks::compacted);
        Frame.check("large_record", ProducerChecks::large);
        Frame.check("auto_created_topic", ProducerChecks::autoCreated);
        Frame.check("invalid_topic_name_is_refused", ProducerChecks::invalidName);
        Frame.check("internal_topic_is_refused", ProducerChecks::internalTopic);
        Frame.check("min_insync_replicas_counts_at_most_the_replicas", ProducerChecks::minIsr);
        Frame.check("recreated_topic_takes_records_of_the_same_producer", ProducerChecks::recreated);
        Frame.check("many_partitions_in_one_request", ProducerChecks::manyPartitions);
        Frame.check("several_producers_at_once", ProducerChecks::several);
    }

    private static void roundtrip(String codec) throws Exception {
        String topic = Frame.topic();
        List<String> values = range(0, 500).mapToObj(i -> (codec + i + " ").repeat(20)).toList();
        Frame.produce(topic, values, "compression.type", codec, "linger.ms", 20);
        Frame.equal(Frame.values(Frame.read(topic, 500)), values);
    }

    private static void acks(String acks) throws Exception {
        String topic = Frame.topic();
        long offset = Frame.produce(topic, List.of("v"), "acks", acks, "enable.idempotence", acks.equals("all")).get(0).offset();
        Frame.equal(offset, acks.equals("0") ? -1L : 0L, "offset");
        Frame.equal(Frame.values(Frame.read(topic, 1)), List.of("v"));
    }

    private static void headers() throws Exception {
        String topic = Frame.topic();
        List<org.apache.kafka.common.header.Header> headers =
                List.of(new RecordHeader("a", Frame.bytes("1")), new RecordHeader("a", Frame.bytes("2")), new RecordHeader("null", (byte[]) null));
        try (var producer = Frame.producer()) {
            producer.send(new ProducerRecord<>(topic, 0, "k", "v", headers)).get();
        }
        Frame.equal(List.of(Frame.read(topic, 1).get(0).headers().toArray()), headers);
    }

    private static void nulls() throws Exception {
        String topic = Frame.topic();
        try (var producer = Frame.producer()) {
            producer.send(new ProducerRecord<>(topic, 0, null, null)).get();
            producer.send(new ProducerRecord<>(topic, 0, "", "")).get();
        }
        var got = Frame.read(topic, 2);
        Frame.equal(Arrays.asList(got.get(0).key(), got.get(0).value(), got.get(1).key(), got.get(1).value()), Arrays.asList(null, null, "", ""));
    }

    private static void createTime() throws Exception {
        String topic = Frame.topic();
        try (var producer = Frame.producer()) {
            producer.send(new ProducerRecord<>(topic, 0, 1_600_000_000_123L, null, "v")).get();
        }
        var record = Frame.read(topic, 1).get(0);
        Frame.equal(record.timestamp(), 1_600_000_000_123L);
        Frame.equal(record.timestampType(), TimestampType.CREATE_TIME);
    }

    private static void appendTime() throws Exception {
        String topic = Frame.topic(1, Map.of("message.timestamp.type", "LogAppendTime"));
        long answered;
        try (var producer = Frame.producer()) {
            answered = producer.send(new ProducerRecord<>(topic, 0, 1_600_000_000_123L, null, "v")).get().timestamp();
        }
        var record = Frame.read(topic, 1).get(0);
        Frame.equal(record.timestamp(), answered);
        Frame.equal(record.timestampType(), TimestampType.LOG_APPEND_TIME);
    }

    private static void timestampBounds() throws Exception {
        String topic = Frame.topic(1, Map.of("message.timestamp.before.max.ms", "1000", "message.timestamp.after.max.ms", "1000"));
        try (var producer = Frame.producer()) {
            Frame.fails(InvalidTimestampException.class, () -> producer.send(new ProducerRecord<>(topic, 0, 1_000L, null, "old")).get());
            long ahead = System.currentTimeMillis() + 3_600_000;
            Frame.fails(InvalidTimestampException.class, () -> producer.send(new ProducerRecord<>(topic, 0, ahead, null, "new")).get());
            Frame.equal(producer.send(new ProducerRecord<>(topic, 0, null, "now")).get().offset(), 0L);
        }
    }

    private static void idempotent() throws Exception {
        String topic = Frame.topic();
        var done = Frame.produce(topic, Frame.numbers(3000), "batch.size", 500);
        Frame.equal(done.stream().map(RecordMetadata::offset).toList(), range(0, 3000).mapToObj(i -> (long) i).toList());
        Frame.equal(Frame.values(Frame.read(topic, 3000)), Frame.numbers(3000));
    }

    private static void topicCodec() throws Exception {
        String topic = Frame.topic(1, Map.of("compression.type", "zstd"));
        Frame.produce(topic, Frame.numbers(100), "compression.type", "lz4", "linger.ms", 20);
        Frame.equal(Frame.values(Frame.read(topic, 100)), Frame.numbers(100));
    }

    private static void keys() throws Exception {
        String topic = Frame.topic(8, Map.of());
        try (var producer = Frame.producer()) {
            for (String key : List.of("a", "b", "user-42", "a", "b", "user-42")) {
                int expected = org.apache.kafka.common.utils.Utils.toPositive(org.apache.kafka.common.utils.Utils.murmur2(Frame.bytes(key))) % 8;
                Frame.equal(producer.send(new ProducerRecord<>(topic, key, "v")).get().partition(), expected, key);
            }
        }
    }

    private static void oversized() throws Exception {
        String topic = Frame.topic(1, Map.of("max.message.bytes", "1000"));
        Frame.fails(RecordTooLargeException.class, () -> Frame.produce(topic, List.of("x".repeat(2000))));
        Frame.produce(topic, List.of("x".repeat(500)));
    }

    private static void compacted() throws Exception {
        String topic = Frame.topic(1, Map.of("cleanup.policy", "compact"));
        Frame.fails(InvalidRecordException.class, () -> Frame.produce(topic, List.of("no key")));
        try (var producer = Frame.producer()) {
            producer.send(new ProducerRecord<>(topic, "k", "v")).get();
        }
    }

    private static void large() throws Exception {
        String topic = Frame.topic(1, Map.of("max.message.bytes", "5000000"));
        String value = "0123456789".repeat(300_000);
        Frame.produce(topic, List.of(value), "max.request.size", 5_000_000);
        Frame.equal(Frame.read(topic, 1, "max.partition.fetch.bytes", 1000, "fetch.max.bytes", 1000).get(0).value().equals(value), true);
    }

    private static void autoCreated() throws Exception {
        String topic = Frame.fresh("auto");
        Frame.produce(topic, List.of("first"));
        Frame.equal(Frame.values(Frame.read(topic, 1)), List.of("first"));
    }

    private static void invalidName() {
        Frame.fails(InvalidTopicException.class, () -> Frame.produce("no/slash", List.of("v"), "max.block.ms", 10_000));
    }

    private static void internalTopic() throws Exception {
        Frame.ADMIN.listConsumerGroupOffsets(Frame.fresh("group")).partitionsToOffsetAndMetadata().get();
        Frame.fails(InvalidTopicException.class, () -> Frame.produce("__consumer_offsets", List.of("v")));
    }

    /** Partition.effectiveMinIsr: a partition of one replica never asks for two in sync. */
    private static void minIsr() throws Exception {
        String topic = Frame.topic(1, Map.of("min.insync.replicas", "2"));
        Frame.equal(Frame.produce(topic, List.of("v")).get(0).offset(), 0L);
        Frame.equal(Frame.produce(topic, List.of("v"), "acks", "1", "enable.idempotence", false).get(0).offset(), 1L);
    }

    private static void recreated() throws Exception {
        String topic = Frame.topic();
        try (var producer = Frame.producer("metadata.max.age.ms", 1000)) {
            producer.send(new ProducerRecord<>(topic, "old")).get();
            Frame.get(Frame.ADMIN.deleteTopics(List.of(topic)).all());
            Frame.until("made again", () -> {
                try {
                    Frame.get(Frame.ADMIN.createTopics(List.of(new org.apache.kafka.clients.admin.NewTopic(topic, 1, (short) 1))).all());
                    return true;
                } catch (ExecutionException stillThere) {
                    return false;
                }
            });
            Frame.equal(producer.send(new ProducerRecord<>(topic, "new")).get(60, TimeUnit.SECONDS).offset(), 0L, "offset");
        }
        Frame.equal(Frame.values(Frame.read(topic, 1)), List.of("new"));
    }

    private static void manyPartitions() throws Exception {
        String topic = Frame.topic(50, Map.of());
        try (var producer = Frame.producer("linger.ms", 50)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int i = 0; i < 500; i++) sent.add(producer.send(new ProducerRecord<>(topic, i % 50, null, "v" + i)));
            for (int i = 0; i < 500; i++) Frame.equal(sent.get(i).get().offset(), (long) (i / 50), "offset of " + i);
        }
        Frame.equal(Frame.read(topic, 500).size(), 500);
    }

    private static void several() throws Exception {
        String topic = Frame.topic();
        ExecutorService pool = Executors.newFixedThreadPool(4);
        List<Future<List<RecordMetadata>>> runs = new ArrayList<>();
        for (int n = 0; n < 4; n++) runs.add(pool.submit(() -> Frame.produce(topic, Frame.numbers(1000))));
        Set<Long> offsets = new TreeSet<>();
        for (var run : runs) run.get().forEach(m -> offsets.add(m.offset()));
        pool.shutdown();
        Frame.equal(offsets.size(), 4000, "distinct offsets");
        Frame.equal(Frame.read(topic, 4000).size(), 4000, "records");
    }
}
