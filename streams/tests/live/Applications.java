// The applications of examples/application.rs by Kafka Streams: Applications TOPOLOGY KEY=VALUE...
// Run by program.rs of this folder. Prints `running` when all tasks run; at the end of its standard input it leaves the
// group and closes.

import java.time.Duration;
import java.util.Arrays;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.WindowedSerdes;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.WindowStore;

public final class Applications {
  private static final Serde<String> TEXT = Serdes.String();
  private static final Serde<Long> NUMBER = Serdes.Long();
  private static final StreamsBuilder builder = new StreamsBuilder();

  public static void main(String[] args) throws Exception {
    Properties settings = new Properties();
    settings.put("default.key.serde", Serdes.StringSerde.class.getName());
    settings.put("default.value.serde", Serdes.StringSerde.class.getName());
    for (int at = 1; at < args.length; at++) {
      String[] pair = args[at].split("=", 2);
      settings.put(pair[0], pair[1]);
    }
    switch (args[0]) {
      case "sums" -> sums();
      case "tables" -> tables();
      default -> throw new IllegalArgumentException(args[0]);
    }
    try (var streams = new KafkaStreams(builder.build(), settings)) {
      streams.setStateListener((now, before) -> {
        if (now == KafkaStreams.State.RUNNING) {
          System.out.println("running");
        }
        if (now == KafkaStreams.State.ERROR) {
          System.exit(1);
        }
      });
      streams.setUncaughtExceptionHandler(error -> {
        error.printStackTrace();
        return StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
      });
      streams.start();
      System.in.readAllBytes();
      var leave = CloseOptions.groupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP);
      if (!streams.close(leave.withTimeout(Duration.ofSeconds(60)))) {
        throw new IllegalStateException("it does not close");
      }
    }
  }

  private static void sums() {
    KStream<String, String> amounts = builder.stream("amounts");
    amounts.map((key, amount) -> KeyValue.pair(amount.split(" ")[0], Long.parseLong(amount.split(" ")[1])))
        .groupByKey(Grouped.with(TEXT, NUMBER))
        .reduce(Long::sum, Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as("sums-store"))
        .toStream().to("sums", Produced.with(TEXT, NUMBER));
  }

  private static String out(String table) {
    return table + "-" + System.getenv("OUTPUT");
  }

  private static void tables() {
    KStream<String, String> lines = builder.stream("lines");
    lines.flatMapValues(line -> Arrays.asList(line.split(" ")))
        .groupBy((key, word) -> word)
        .count(Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as("word-counts"))
        .toStream().to(out("words"), Produced.with(TEXT, NUMBER));

    KStream<String, String> clicks = builder.stream("clicks");
    clicks.groupByKey(Grouped.with(TEXT, TEXT))
        .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofSeconds(30), Duration.ofSeconds(5)).advanceBy(Duration.ofSeconds(10)))
        .count(Materialized.<String, Long, WindowStore<Bytes, byte[]>>as("click-counts"))
        .suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()))
        .toStream().to(out("windows"), Produced.with(WindowedSerdes.timeWindowedSerdeFrom(String.class, 30_000), NUMBER));

    KStream<String, String> orders = builder.stream("orders");
    KStream<String, String> payments = builder.stream("payments");
    orders.leftJoin(payments, (order, payment) -> order + " " + (payment == null ? "unpaid" : payment),
            JoinWindows.ofTimeDifferenceAndGrace(Duration.ofSeconds(5), Duration.ofHours(1)), StreamJoined.with(TEXT, TEXT, TEXT))
        .to(out("pairs"));

    KTable<String, String> items = builder.table("items");
    KTable<String, String> products = builder.table("products");
    items.join(products, item -> item.split(" ")[0], (item, product) -> item + " " + product)
        .toStream().to(out("named"));

    KTable<String, String> people = builder.table("people");
    people.groupBy((name, person) -> KeyValue.pair(person.split(" ")[0], person.split(" ")[1]), Grouped.with(TEXT, TEXT))
        .aggregate(() -> 0L, (town, coins, sum) -> sum + Long.parseLong(coins), (town, coins, sum) -> sum - Long.parseLong(coins),
            Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as("towns").withKeySerde(TEXT).withValueSerde(NUMBER))
        .toStream().to(out("towns"), Produced.with(TEXT, NUMBER));
  }
}
