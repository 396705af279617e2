// The applications of tests/bench/src/application.rs by Kafka Streams:
// Streams SCENARIO HOST:PORT ID OUTPUT [KEY=VALUE]... prints `running SECONDS`, and closes at the end of its input.
// Run by tests/bench/src/cost.rs.

import java.time.Duration;
import java.util.Arrays;
import java.util.Locale;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.WindowedSerdes;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler;
import org.apache.kafka.streams.state.KeyValueStore;

public final class Streams {
  private static final Duration GRACE = Duration.ofSeconds(5);
  private static final StreamsBuilder builder = new StreamsBuilder();

  public static void main(String[] args) throws Exception {
    Properties settings = new Properties();
    settings.put("application.id", args[2]);
    settings.put("bootstrap.servers", args[1]);
    settings.put("default.key.serde", Serdes.StringSerde.class.getName());
    settings.put("default.value.serde", Serdes.StringSerde.class.getName());
    for (int at = 4; at < args.length; at++) {
      String[] pair = args[at].split("=", 2);
      settings.put(pair[0], pair[1]);
    }
    describe(args[0], args[3]);
    var running = new CountDownLatch(1);
    try (var streams = new KafkaStreams(builder.build(), settings)) {
      streams.setStateListener((now, before) -> { if (now == KafkaStreams.State.RUNNING) running.countDown(); });
      // Nobody would wait in vain: the measurement ends with what was printed.
      streams.setUncaughtExceptionHandler((Throwable problem) -> {
        problem.printStackTrace();
        Runtime.getRuntime().halt(1);
        return StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
      });
      long from = System.nanoTime();
      streams.start();
      running.await();
      System.out.printf("running %.3f%n", (System.nanoTime() - from) / 1e9);
      System.in.readAllBytes();
    }
  }

  private static void describe(String scenario, String output) {
    switch (scenario) {
      case "streams-wordcount" -> {
        KStream<String, String> lines = builder.stream("lines");
        lines.flatMapValues(line -> Arrays.asList(line.toLowerCase(Locale.ROOT).split(" ")))
            .groupBy((key, word) -> word, Grouped.with(Serdes.String(), Serdes.String()))
            .count(Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as("counts"))
            .toStream().to(output, Produced.with(Serdes.String(), Serdes.Long()));
      }
      case "streams-tumbling" -> count(TimeWindows.ofSizeAndGrace(Duration.ofSeconds(10), GRACE), 10, output);
      case "streams-hopping" -> count(TimeWindows.ofSizeAndGrace(Duration.ofSeconds(60), GRACE).advanceBy(Duration.ofSeconds(5)), 60, output);
      case "streams-ss-join" -> {
        KStream<String, String> left = builder.stream("left"), right = builder.stream("right");
        var windows = JoinWindows.ofTimeDifferenceAndGrace(Duration.ofSeconds(10), GRACE);
        left.join(right, (one, other) -> one + " " + other, windows, StreamJoined.with(Serdes.String(), Serdes.String(), Serdes.String())).to(output);
      }
      case "streams-st-join" -> {
        KStream<String, String> orders = builder.stream("orders");
        KTable<String, String> users = builder.table("users", Materialized.as("users"));
        orders.join(users, (order, user) -> order + " " + user, Joined.with(Serdes.String(), Serdes.String(), Serdes.String())).to(output);
      }
      case "streams-restore", "streams-start" -> {
        KTable<String, String> rows = builder.table("rows", Consumed.with(Serdes.String(), Serdes.String()), Materialized.as("rows"));
        rows.toStream().to(output);
      }
      default -> throw new IllegalArgumentException(scenario);
    }
  }

  private static void count(TimeWindows windows, int seconds, String output) {
    KStream<String, String> events = builder.stream("events");
    events.groupByKey().windowedBy(windows)
        .count(Materialized.as("counts"))
        .toStream()
        .to(output, Produced.with(WindowedSerdes.timeWindowedSerdeFrom(String.class, seconds * 1000L), Serdes.Long()));
  }
}
