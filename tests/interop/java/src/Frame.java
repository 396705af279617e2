import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.serialization.*;

/** What the checks stand on: names nobody used before, clients with test settings, assertions, and the runner. */
final class Frame {
    interface Body {
        void run() throws Exception;
    }

    static final String BOOTSTRAP = System.getenv().getOrDefault("BOOTSTRAP", "127.0.0.1:9092");
    static final Map<String, Body> CHECKS = new LinkedHashMap<>();
    static final Admin ADMIN = Admin.create(Map.of("bootstrap.servers", BOOTSTRAP));

    private Frame() {}

    static void check(String name, Body body) {
        if (CHECKS.put(name, body) != null) throw new IllegalStateException("two checks are called " + name);
    }

    static String fresh(String name) {
        return name + "-" + UUID.randomUUID().toString().substring(0, 13);
    }

    static void equal(Object actual, Object expected) {
        equal(actual, expected, "value");
    }

    static void equal(Object actual, Object expected, String what) {
        if (!Objects.deepEquals(actual, expected))
            throw new AssertionError(what + ": got " + actual + ", expected " + expected);
    }

    /** Runs the body and hands back the error that it must end with, the cause of an ExecutionException. */
    static <E extends Throwable> E fails(Class<E> kind, Body body) {
        try {
            body.run();
        } catch (Throwable thrown) {
            Throwable error = thrown;
            while (!kind.isInstance(error) && error.getCause() != null) error = error.getCause();
            if (kind.isInstance(error)) return kind.cast(error);
            throw new AssertionError("failed with " + thrown + ", expected " + kind.getSimpleName());
        }
        throw new AssertionError("went through, expected " + kind.getSimpleName());
    }

    static void until(String what, Callable<Boolean> condition) throws Exception {
        long end = System.nanoTime() + Duration.ofSeconds(30).toNanos();
        while (!condition.call()) {
            if (System.nanoTime() > end) throw new AssertionError(what + ": not reached in 30 s");
            Thread.sleep(20);
        }
    }

    static <T> T get(KafkaFuture<T> future) throws Exception {
        return future.get(30, TimeUnit.SECONDS);
    }

    static String topic() throws Exception {
        return topic(1, Map.of());
    }

    static String topic(int partitions, Map<String, String> configs) throws Exception {
        String name = fresh("java");
        get(ADMIN.createTopics(List.of(new NewTopic(name, partitions, (short) 1).configs(configs))).all());
        return name;
    }

    static byte[] bytes(String text) {
        return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
    }

    static KafkaProducer<String, String> producer(Object... config) {
        return new KafkaProducer<>(settings(Map.of("linger.ms", 0), config), new StringSerializer(), new StringSerializer());
    }

    static KafkaConsumer<String, String> consumer(Object... config) {
        Map<String, Object> base = Map.of("auto.offset.reset", "earliest", "enable.auto.commit", false, "fetch.max.wait.ms", 100);
        return new KafkaConsumer<>(settings(base, config), new StringDeserializer(), new StringDeserializer());
    }

    private static Map<String, Object> settings(Map<String, Object> base, Object... more) {
        Map<String, Object> all = new HashMap<>(base);
        all.put("bootstrap.servers", BOOTSTRAP);
        for (int i = 0; i < more.length; i += 2) all.put((String) more[i], more[i + 1]);
        return all;
    }

    static List<RecordMetadata> produce(String topic, List<String> values, Object... config) throws Exception {
        try (var producer = producer(config)) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (String value : values) sent.add(producer.send(new ProducerRecord<>(topic, 0, null, value)));
            producer.flush();
            List<RecordMetadata> done = new ArrayList<>();
            for (var one : sent) done.add(one.get(30, TimeUnit.SECONDS));
            return done;
        }
    }

    static List<ConsumerRecord<String, String>> poll(Consumer<String, String> from, int count) throws Exception {
        List<ConsumerRecord<String, String>> records = new ArrayList<>();
        until(count + " records", () -> {
            from.poll(Duration.ofMillis(100)).forEach(records::add);
            return records.size() >= count;
        });
        return records;
    }

    static List<ConsumerRecord<String, String>> read(String topic, int count, Object... config) throws Exception {
        try (var consumer = consumer(config)) {
            var parts = consumer.partitionsFor(topic).stream().map(p -> new TopicPartition(topic, p.partition())).toList();
            consumer.assign(parts);
            consumer.seekToBeginning(parts);
            return poll(consumer, count);
        }
    }

    static List<String> values(List<ConsumerRecord<String, String>> records) {
        return records.stream().map(ConsumerRecord::value).toList();
    }

    static List<String> numbers(int count) {
        List<String> all = new ArrayList<>();
        for (int i = 0; i < count; i++) all.add(Integer.toString(i));
        return all;
    }

    static int runAll(Set<String> wanted) {
        int failed = 0;
        for (var check : CHECKS.entrySet()) {
            if (!wanted.isEmpty() && !wanted.contains(check.getKey())) continue;
            try {
                check.getValue().run();
                System.out.println("PASS " + check.getKey());
            } catch (Throwable error) {
                failed++;
                if (System.getenv("TRACE") != null) error.printStackTrace();
                Throwable cause = error instanceof ExecutionException && error.getCause() != null ? error.getCause() : error;
                String reason = cause.toString().replace('\n', ' ');
                System.out.println("FAIL " + check.getKey() + " :: " + reason.substring(0, Math.min(300, reason.length())));
            }
        }
        return failed;
    }
}
