import java.io.PrintStream;
import java.util.Properties;
import java.util.TreeSet;
import org.apache.kafka.common.Metric;
import org.apache.kafka.common.MetricName;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.TopologyTestDriver;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;

/** Group, name and tags of each metric of an application and of a task: one a line, in order. */
final class MetricNames {
    private MetricNames() { }

    static boolean write(final PrintStream out) {
        final StreamsBuilder builder = new StreamsBuilder();
        builder.stream("in", Consumed.with(Serdes.String(), Serdes.String()))
            .groupByKey().count().toStream().to("out", Produced.with(Serdes.String(), Serdes.Long()));
        final Topology topology = builder.build();
        final Properties properties = new Properties();
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, "metrics");
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, "127.0.0.1:1");
        properties.put(StreamsConfig.METRICS_RECORDING_LEVEL_CONFIG, "DEBUG");
        final TreeSet<String> lines = new TreeSet<>();
        try (KafkaStreams streams = new KafkaStreams(topology, properties)) {
            streams.metrics().values().forEach(metric -> add(metric, lines));
        }
        try (TopologyTestDriver driver = new TopologyTestDriver(topology, properties)) {
            driver.createInputTopic("in", new StringSerializer(), new StringSerializer()).pipeInput("a", "b");
            driver.metrics().values().forEach(metric -> add(metric, lines));
        }
        lines.forEach(out::println);
        return true;
    }

    private static void add(final Metric metric, final TreeSet<String> lines) {
        final MetricName name = metric.metricName();
        if (name.group().startsWith("stream-")) {
            final String kind = metric.metricValue() instanceof String ? "text" : "number";
            lines.add(String.join(" ", name.group(), name.name(), String.join(",", new TreeSet<>(name.tags().keySet())), kind));
        }
    }
}
