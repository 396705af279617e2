import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.TopologyTestDriver;
import org.apache.kafka.streams.errors.StreamsException;
import org.apache.kafka.streams.processor.internals.InternalTopicConfig;
import org.apache.kafka.streams.processor.internals.InternalTopologyBuilder;
import org.apache.kafka.streams.test.TestRecord;

/** Runs steps through one topology in Kafka Streams' TopologyTestDriver and keeps all that came out. */
final class Replay implements AutoCloseable {
    static final String APP = "g";

    private final Scenario scenario;
    private final Path folder;
    private final Topology topology;
    private final TopologyTestDriver driver;
    private final String describe;
    final List<Object> steps = new ArrayList<>();
    final List<List<Object>> out = new ArrayList<>();
    final List<List<Object>> internal = new ArrayList<>();
    final Counts counts = new Counts();
    private long dropped;
    private String error;
    private String cause;

    Replay(final Scenario scenario, final Map<String, String> config) throws IOException {
        this.scenario = scenario;
        folder = Files.createTempDirectory("golden");
        final Properties properties = new Properties();
        properties.putAll(config);
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, APP);
        properties.put(StreamsConfig.STATE_DIR_CONFIG, folder.toString());
        properties.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, "org.apache.kafka.common.serialization.Serdes$StringSerde");
        properties.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, "org.apache.kafka.common.serialization.Serdes$StringSerde");
        topology = scenario.build(properties);
        describe = topology.describe().toString();
        driver = new TopologyTestDriver(topology, properties, Instant.EPOCH);
    }

    Map<String, Object> header(final Map<String, String> config) {
        final Map<String, Object> header = new LinkedHashMap<>();
        header.put("golden", 1);
        header.put("scenario", scenario.name);
        header.put("kafka_streams", "4.3.1");
        header.put("app", APP);
        header.put("params", scenario.params);
        header.put("config", config);
        header.put("topics", scenario.topics);
        final Map<String, Object> internalTopics = internalTopics();
        header.put("internal_topics", internalTopics);
        // A suppression buffer writes its changelog in the order of a hash set.
        header.put("unordered", internalTopics.keySet().stream()
            .filter(topic -> topic.contains("-KTABLE-SUPPRESS-STATE-STORE-")).toList());
        header.put("describe", describe);
        return header;
    }

    private Map<String, Object> internalTopics() {
        final Map<String, Object> all = new TreeMap<>();
        final InternalTopologyBuilder builder = (InternalTopologyBuilder) Inside.field(topology, "internalTopologyBuilder");
        final long more = Duration.ofDays(1).toMillis();
        for (final InternalTopologyBuilder.TopicsInfo info : builder.subtopologyToTopicsInfo().values()) {
            final List<InternalTopicConfig> topics = new ArrayList<>(info.nonSourceChangelogTopics());
            topics.addAll(info.repartitionSourceTopics.values());
            topics.forEach(topic -> all.put(topic.name(), new TreeMap<>(topic.properties(Map.of(), more))));
        }
        return all;
    }

    /** Stops at the first step that throws: that step is the last one of the case. */
    Replay run(final List<Step> all) {
        for (final Step step : all) {
            steps.add(step.json());
            try {
                if (step.topic() == null) {
                    driver.advanceWallClockTime(Duration.ofMillis(step.clock()));
                } else {
                    Inside.call(TopologyTestDriver.class, driver, "pipeRecord", step.topic(), step.timestamp(),
                        Wire.encode(step.key()), Wire.encode(step.value()), step.headers());
                }
            } catch (final StreamsException e) {
                error = e.getClass().getSimpleName();
                cause = root(e).getClass().getSimpleName();
                counts.errors++;
            }
            drain();
            count(step);
            if (error != null) {
                break;
            }
        }
        return this;
    }

    private static Throwable root(final Throwable thrown) {
        return thrown.getCause() == null ? thrown : root(thrown.getCause());
    }

    private void drain() {
        final List<Object> outside = new ArrayList<>();
        final List<Object> inside = new ArrayList<>();
        for (final String topic : new TreeSet<>(driver.producedTopicNames())) {
            final boolean isInternal = topic.startsWith(APP + "-");
            final List<String> serdes = isInternal
                ? List.of("bytes", "bytes") : scenario.topics.getOrDefault(topic, List.of("bytes", "bytes"));
            for (final TestRecord<byte[], byte[]> record
                : driver.createOutputTopic(topic, new ByteArrayDeserializer(), new ByteArrayDeserializer()).readRecordsToList()) {
                final Map<String, Object> json = new LinkedHashMap<>();
                json.put("t", topic);
                Wire.put(json, "k", serdes.get(0), record.key());
                Wire.put(json, "v", serdes.get(1), record.value());
                json.put("ts", record.timestamp());
                Step.headers(json, record.headers());
                (isInternal ? inside : outside).add(json);
                counts.outputs += isInternal ? 0 : 1;
                counts.tombstones += !isInternal && record.value() == null ? 1 : 0;
            }
        }
        out.add(outside);
        internal.add(inside);
    }

    private void count(final Step step) {
        final long now = droppedTotal();
        if (step.hasNull()) {
            counts.drops += now - dropped;
        } else {
            counts.late += now - dropped;
        }
        dropped = now;
    }

    private long droppedTotal() {
        return Math.round(driver.metrics().entrySet().stream()
            .filter(entry -> entry.getKey().name().equals("dropped-records-total"))
            .mapToDouble(entry -> (Double) entry.getValue().metricValue())
            .sum());
    }

    /** After an exception the stores hold what was not committed, so they are not part of such a case. */
    Map<String, Object> json(final long seed) {
        final Map<String, Object> json = new LinkedHashMap<>();
        json.put("seed", seed);
        json.put("steps", steps);
        json.put("out", out);
        json.put("internal", internal);
        json.put("stores", error == null ? StoreDump.of(driver.getAllStateStores()) : Map.of());
        json.put("dropped", dropped);
        json.put("error", error);
        if (error != null) {
            json.put("cause", cause);
        }
        return json;
    }

    @Override
    public void close() throws IOException {
        try {
            driver.close();
        } catch (final RuntimeException e) {
            // A topology that failed may fail again on its way out; what it did is recorded already.
            if (error == null) {
                throw e;
            }
        }
        try (Stream<Path> files = Files.walk(folder)) {
            for (final Path path : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
    }
}
