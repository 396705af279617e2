import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.errors.*;

/** What a transactional producer and a read_committed consumer see. */
final class TransactionChecks {
    private TransactionChecks() {}

    static void add() {
        Frame.check("transaction_commits", TransactionChecks::commits);
        Frame.check("transaction_aborts", TransactionChecks::aborts);
        Frame.check("open_transaction_holds_the_stable_offset", TransactionChecks::open);
        Frame.check("interleaved_transactions", TransactionChecks::interleaved);
        Frame.check("transaction_over_many_partitions", TransactionChecks::manyPartitions);
        Frame.check("offsets_in_a_transaction", TransactionChecks::offsets);
        Frame.check("require_stable_waits_for_the_transaction", TransactionChecks::stable);
        Frame.check("zombie_is_fenced", TransactionChecks::fenced);
        Frame.check("timeout_aborts_and_fences", TransactionChecks::timeout);
        Frame.check("timeout_over_the_maximum_is_refused", TransactionChecks::timeoutTooLong);
        Frame.check("consume_transform_produce_loop", TransactionChecks::loop);
        Frame.check("transactions_are_listed_and_described", TransactionChecks::described);
        Frame.check("producers_are_described", TransactionChecks::producers);
        Frame.check("fence_producers_by_admin", TransactionChecks::fenceByAdmin);
        Frame.check("many_transactions_in_a_row", TransactionChecks::many);
    }

    private static KafkaProducer<String, String> begun(String id, Object... config) {
        List<Object> all = new ArrayList<>(List.of("transactional.id", id));
        all.addAll(List.of(config));
        var producer = Frame.producer(all.toArray());
        producer.initTransactions();
        producer.beginTransaction();
        return producer;
    }

    private static List<String> committed(String topic, int count) throws Exception {
        return Frame.values(Frame.read(topic, count, "isolation.level", "read_committed"));
    }

    private static void commits() throws Exception {
        String topic = Frame.topic();
        try (var producer = begun(Frame.fresh("txn"))) {
            for (String value : Frame.numbers(100)) producer.send(new ProducerRecord<>(topic, value));
            producer.commitTransaction();
        }
        Frame.equal(committed(topic, 100), Frame.numbers(100));
    }

    private static void aborts() throws Exception {
        String topic = Frame.topic();
        try (var producer = begun(Frame.fresh("txn"))) {
            producer.send(new ProducerRecord<>(topic, "gone"));
            producer.flush();
            producer.abortTransaction();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(topic, "kept"));
            producer.commitTransaction();
        }
        Frame.equal(committed(topic, 1), List.of("kept"));
        Frame.equal(Frame.values(Frame.read(topic, 2)), List.of("gone", "kept"));
    }

    private static void open() throws Exception {
        String topic = Frame.topic();
        var part = new TopicPartition(topic, 0);
        Frame.produce(topic, List.of("before"));
        try (var producer = begun(Frame.fresh("txn"));
                var stable = Frame.consumer("isolation.level", "read_committed");
                var latest = Frame.consumer()) {
            producer.send(new ProducerRecord<>(topic, "open")).get();
            Frame.produce(topic, List.of("after"));
            Frame.equal(stable.endOffsets(List.of(part)).get(part), 1L, "last stable offset");
            Frame.equal(latest.endOffsets(List.of(part)).get(part), 3L, "high watermark");
            stable.assign(List.of(part));
            stable.seekToBeginning(List.of(part));
            Frame.equal(Frame.values(Frame.poll(stable, 1)), List.of("before"));
            producer.commitTransaction();
            Frame.equal(Frame.values(Frame.poll(stable, 2)), List.of("open", "after"));
        }
    }

    private static void interleaved() throws Exception {
        String topic = Frame.topic();
        try (var one = begun(Frame.fresh("txn")); var two = begun(Frame.fresh("txn"))) {
            for (int i = 0; i < 5; i++) {
                one.send(new ProducerRecord<>(topic, "one" + i)).get();
                two.send(new ProducerRecord<>(topic, "two" + i)).get();
            }
            one.abortTransaction();
            two.commitTransaction();
        }
        Frame.equal(committed(topic, 5), List.of("two0", "two1", "two2", "two3", "two4"));
    }

    private static void manyPartitions() throws Exception {
        String topic = Frame.topic(20, Map.of());
        try (var producer = begun(Frame.fresh("txn"))) {
            for (int p = 0; p < 20; p++) producer.send(new ProducerRecord<>(topic, p, null, "gone"));
            producer.flush();
            producer.abortTransaction();
            producer.beginTransaction();
            for (int p = 0; p < 20; p++) producer.send(new ProducerRecord<>(topic, p, null, "kept"));
            producer.commitTransaction();
        }
        Frame.equal(Set.copyOf(committed(topic, 20)), Set.of("kept"));
    }

    private static void offsets() throws Exception {
        String topic = Frame.topic(), group = Frame.fresh("group");
        var part = new TopicPartition(topic, 0);
        Frame.produce(topic, Frame.numbers(3));
        try (var consumer = Frame.consumer("group.id", group); var producer = begun(Frame.fresh("txn"))) {
            consumer.subscribe(List.of(topic));
            Frame.poll(consumer, 3);
            producer.sendOffsetsToTransaction(Map.of(part, new OffsetAndMetadata(2, "in a transaction")), consumer.groupMetadata());
            producer.commitTransaction();
            Frame.equal(consumer.committed(Set.of(part)).get(part), new OffsetAndMetadata(2, "in a transaction"));
            producer.beginTransaction();
            producer.sendOffsetsToTransaction(Map.of(part, new OffsetAndMetadata(3)), consumer.groupMetadata());
            producer.abortTransaction();
            Frame.equal(consumer.committed(Set.of(part)).get(part).offset(), 2L, "after the abort");
        }
    }

    /** A consumer asks for stable offsets only (KIP-447) and waits while one is pending. */
    @SuppressWarnings("removal")
    private static void stable() throws Exception {
        String topic = Frame.topic(), group = Frame.fresh("group");
        var part = new TopicPartition(topic, 0);
        Frame.get(Frame.ADMIN.alterConsumerGroupOffsets(group, Map.of(part, new OffsetAndMetadata(1))).all());
        try (var producer = begun(Frame.fresh("txn"))) {
            producer.sendOffsetsToTransaction(Map.of(part, new OffsetAndMetadata(7)), new ConsumerGroupMetadata(group));
            var plain = Frame.get(Frame.ADMIN.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata());
            Frame.equal(plain.get(part).offset(), 1L, "committed while the other is pending");
            try (var strict = Frame.consumer("group.id", group)) {
                Frame.fails(TimeoutException.class, () -> strict.committed(Set.of(part), Duration.ofMillis(700)));
                producer.commitTransaction();
                Frame.equal(strict.committed(Set.of(part)).get(part).offset(), 7L, "committed in the end");
            }
        }
    }

    private static void fenced() throws Exception {
        String topic = Frame.topic(), id = Frame.fresh("txn");
        try (var old = begun(id)) {
            old.send(new ProducerRecord<>(topic, "old")).get();
            try (var now = begun(id)) {
                now.send(new ProducerRecord<>(topic, "new"));
                now.commitTransaction();
            }
            Frame.fails(KafkaException.class, old::commitTransaction);
        }
        Frame.equal(committed(topic, 1), List.of("new"));
    }

    private static void timeout() throws Exception {
        String topic = Frame.topic();
        var part = new TopicPartition(topic, 0);
        try (var producer = begun(Frame.fresh("txn"), "transaction.timeout.ms", 1000);
                var reader = Frame.consumer("isolation.level", "read_committed")) {
            producer.send(new ProducerRecord<>(topic, "late")).get();
            Frame.until("aborted by the coordinator", () -> reader.endOffsets(List.of(part)).get(part) == 2L);
            Frame.fails(KafkaException.class, () -> {
                producer.send(new ProducerRecord<>(topic, "later")).get();
                producer.commitTransaction();
            });
        }
        Frame.produce(topic, List.of("kept"));
        Frame.equal(committed(topic, 1), List.of("kept"));
    }

    private static void timeoutTooLong() {
        var error = Frame.fails(KafkaException.class, () -> begun(Frame.fresh("txn"), "transaction.timeout.ms", 10_000_000).close());
        Frame.equal(error.getMessage().contains("larger than the maximum value allowed"), true, error.getMessage());
    }

    private static void loop() throws Exception {
        String source = Frame.topic(2, Map.of()), sink = Frame.topic(), group = Frame.fresh("group");
        try (var feed = Frame.producer()) {
            for (int i = 0; i < 200; i++) feed.send(new ProducerRecord<>(source, i % 2, null, Integer.toString(i)));
        }
        try (var consumer = Frame.consumer("group.id", group, "isolation.level", "read_committed", "max.poll.records", 20);
                var producer = Frame.producer("transactional.id", Frame.fresh("txn"))) {
            producer.initTransactions();
            consumer.subscribe(List.of(source));
            int moved = 0, round = 0;
            while (moved < 200) {
                var records = consumer.poll(Duration.ofSeconds(10));
                if (records.isEmpty()) continue;
                producer.beginTransaction();
                Map<TopicPartition, OffsetAndMetadata> next = new HashMap<>();
                for (var record : records) {
                    producer.send(new ProducerRecord<>(sink, record.value()));
                    next.put(new TopicPartition(source, record.partition()), new OffsetAndMetadata(record.offset() + 1));
                }
                producer.sendOffsetsToTransaction(next, consumer.groupMetadata());
                if (round++ % 3 == 1) {
                    producer.abortTransaction();
                    var back = consumer.committed(consumer.assignment());
                    for (var part : consumer.assignment()) {
                        var at = back.get(part);
                        consumer.seek(part, at == null ? 0 : at.offset());
                    }
                } else {
                    producer.commitTransaction();
                    moved += records.count();
                }
            }
        }
        Frame.equal(new TreeSet<>(committed(sink, 200)), new TreeSet<>(Frame.numbers(200)), "each once");
    }

    private static void described() throws Exception {
        String topic = Frame.topic(), id = Frame.fresh("txn");
        try (var producer = begun(id)) {
            producer.send(new ProducerRecord<>(topic, "v")).get();
            var found = Frame.get(Frame.ADMIN.describeTransactions(List.of(id)).description(id));
            Frame.equal(found.state(), TransactionState.ONGOING);
            Frame.equal(found.topicPartitions(), Set.of(new TopicPartition(topic, 0)));
            var options = new ListTransactionsOptions().filterStates(Set.of(TransactionState.ONGOING));
            var listed = Frame.get(Frame.ADMIN.listTransactions(options).all());
            Frame.equal(listed.stream().anyMatch(t -> t.transactionalId().equals(id)), true, "listed");
            producer.commitTransaction();
            Frame.until("complete", () -> Frame.get(Frame.ADMIN.describeTransactions(List.of(id)).description(id)).state() == TransactionState.COMPLETE_COMMIT);
        }
        Frame.fails(TransactionalIdNotFoundException.class, () -> Frame.get(Frame.ADMIN.describeTransactions(List.of("unknown")).description("unknown")));
    }

    private static void producers() throws Exception {
        String topic = Frame.topic();
        var part = new TopicPartition(topic, 0);
        try (var producer = begun(Frame.fresh("txn"))) {
            producer.send(new ProducerRecord<>(topic, "v")).get();
            var state = Frame.get(Frame.ADMIN.describeProducers(List.of(part)).partitionResult(part)).activeProducers().get(0);
            Frame.equal(List.of(state.lastSequence(), state.currentTransactionStartOffset().getAsLong()), List.of(0, 0L));
            producer.commitTransaction();
        }
    }

    private static void fenceByAdmin() throws Exception {
        String topic = Frame.topic(), id = Frame.fresh("txn");
        try (var producer = begun(id)) {
            producer.send(new ProducerRecord<>(topic, "v")).get();
            Frame.get(Frame.ADMIN.fenceProducers(List.of(id)).all());
            Frame.fails(KafkaException.class, producer::commitTransaction);
        }
    }

    private static void many() throws Exception {
        String topic = Frame.topic();
        try (var producer = Frame.producer("transactional.id", Frame.fresh("txn"))) {
            producer.initTransactions();
            for (int i = 0; i < 100; i++) {
                producer.beginTransaction();
                producer.send(new ProducerRecord<>(topic, Integer.toString(i)));
                if (i % 2 == 0) producer.commitTransaction();
                else {
                    producer.flush();
                    producer.abortTransaction();
                }
            }
        }
        Frame.equal(committed(topic, 50), Frame.numbers(100).stream().filter(v -> Integer.parseInt(v) % 2 == 0).toList());
    }
}
