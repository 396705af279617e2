import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.kstream.Branched;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Named;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.processor.RecordContext;
import org.apache.kafka.streams.processor.TopicNameExtractor;
import org.apache.kafka.streams.processor.api.ContextualFixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;

/** Scenarios 1 to 12: operators without state, naming, repartition. */
final class Stateless {
    private Stateless() { }

    static void add(final List<Scenario> all) {
        all.add(new Scenario("filter_chain").in("in", Input.Kind.NAMED).out().must(Scenario.Seen.TOMBSTONE)
            .topology(builder -> builder.<String, String>stream("in")
                .filter((k, v) -> !Parts.starts(v, "x"))
                .filterNot((k, v) -> v != null && v.endsWith("0"))
                .mapValues(v -> v == null ? null : v.toUpperCase())
                .to("out")));
        all.add(new Scenario("flat_map_values").in("in", Input.Kind.PAIR).out().must(Scenario.Seen.TOMBSTONE)
            .topology(builder -> builder.<String, String>stream("in")
                .flatMapValues(v -> v == null ? List.of() : Arrays.asList(v.split(" ")))
                .flatMap((k, v) -> v.equals("x") ? List.of() : List.of(KeyValue.pair(k, v), KeyValue.pair(v, k)))
                .to("out")));
        all.add(new Scenario("select_key_merge").in("in1", Input.Kind.NAMED).in("in2", Input.Kind.NAMED).out()
            .must(Scenario.Seen.TOMBSTONE)
            .topology(builder -> builder.<String, String>stream("in1").selectKey((k, v) -> Parts.first(v))
                .merge(builder.<String, String>stream("in2").map((k, v) -> KeyValue.pair(v, k)))
                .to("out")));
        all.add(splitDefault());
        all.add(splitNoDefault());
        all.add(peekForeach());
        all.add(new Scenario("dynamic_sink_topic").in("in1", Input.Kind.NAMED).in("in2", Input.Kind.NAMED)
            .topic("out-null", "string", "string").topic("out-x", "string", "string")
            .topic("out-in1", "string", "string").topic("out-in2", "string", "string").must(Scenario.Seen.TOMBSTONE)
            .topology(builder -> builder.<String, String>stream(List.of("in1", "in2"))
                .to(new TopicByValue(), Produced.with(Parts.STRING, Parts.STRING))));
        all.add(new Scenario("repartition_named").in("in", Input.Kind.NAMED).out()
            .topology(builder -> builder.<String, String>stream("in")
                .selectKey((k, v) -> Parts.first(v))
                .repartition(Repartitioned.with(Parts.STRING, Parts.STRING).withName("rp").withNumberOfPartitions(1))
                .mapValues(v -> v + "!")
                .to("out")));
        all.add(new Scenario("to_table_null_delete").in("in", Input.Kind.NAMED).out()
            .must(Scenario.Seen.TOMBSTONE, Scenario.Seen.DROP)
            .topology(builder -> builder.<String, String>stream("in").toTable(Parts.kv("t", Parts.STRING)).toStream().to("out")));
        all.add(new Scenario("process_values_headers").in("in", Input.Kind.NAMED).out().input(input -> input.headers(40))
            .topology(builder -> builder.<String, String>stream("in").processValues(Stamp::new).to("out")));
        all.add(new Scenario("map_group_count_repartition").in("in", Input.Kind.NAMED).topic("out", "string", "long")
            .topology(builder -> builder.<String, String>stream("in")
                .map((k, v) -> KeyValue.pair(Parts.first(v), v))
                .groupByKey(Grouped.with(Parts.STRING, Parts.STRING))
                .count()
                .toStream().to("out", Produced.with(Parts.STRING, Parts.LONG))));
        all.add(new Scenario("merge_two_rekeyed").in("in1", Input.Kind.NAMED).in("in2", Input.Kind.NAMED).out()
            .must(Scenario.Seen.DROP)
            .topology(builder -> builder.<String, String>stream("in1").selectKey((k, v) -> Parts.first(v))
                .merge(builder.<String, String>stream("in2").map((k, v) -> KeyValue.pair(Parts.first(v), k)))
                .groupByKey(Grouped.with(Parts.STRING, Parts.STRING))
                .reduce((a, v) -> Parts.cat(a, "+", v), Materialized.with(Parts.STRING, Parts.STRING))
                .toStream().to("out")));
    }

    private static Scenario splitDefault() {
        return new Scenario("split_default").in("in", Input.Kind.NAMED)
            .topic("out-a", "string", "string").topic("out-b", "string", "string").topic("out-rest", "string", "string")
            .must(Scenario.Seen.TOMBSTONE)
            .topology(builder -> {
                final Map<String, KStream<String, String>> branches = builder.<String, String>stream("in")
                    .split(Named.as("s-"))
                    .branch((k, v) -> Parts.starts(v, "a"), Branched.as("a"))
                    .branch((k, v) -> v != null && v.endsWith("1"), Branched.withConsumer(stream -> stream.to("out-b")))
                    .defaultBranch(Branched.as("rest"));
                branches.get("s-a").to("out-a");
                branches.get("s-rest").to("out-rest");
            });
    }

    private static Scenario splitNoDefault() {
        return new Scenario("split_no_default").in("in", Input.Kind.NAMED)
            .topic("out-1", "string", "string").topic("out-2", "string", "string")
            .topology(builder -> builder.<String, String>stream("in")
                .split()
                .branch((k, v) -> Parts.starts(v, "a"), Branched.withConsumer(stream -> stream.to("out-1")))
                .branch((k, v) -> Parts.starts(v, "b"), Branched.withFunction(stream -> stream.mapValues(v -> v + "!"), "two"))
                .noDefaultBranch()
                .get("KSTREAM-BRANCH-0000000001two").to("out-2"));
    }

    private static Scenario peekForeach() {
        return new Scenario("peek_foreach").in("in", Input.Kind.NAMED).out()
            .topology(builder -> {
                final long[] seen = new long[2];
                final KStream<String, String> stream = builder.stream("in");
                stream.foreach((k, v) -> seen[0]++);
                stream.peek((k, v) -> seen[1] += 2)
                    .mapValues(v -> v + "#" + seen[0] + "/" + seen[1])
                    .to("out");
            });
    }

    /** Its text is what describe() shows of it. */
    private static final class TopicByValue implements TopicNameExtractor<String, String> {
        @Override
        public String extract(final String key, final String value, final RecordContext context) {
            return value == null ? "out-null" : value.startsWith("x") ? "out-x" : "out-" + context.topic();
        }

        @Override
        public String toString() {
            return "TopicByValue";
        }
    }

    /** Adds a header, moves the time of some records, forwards some twice and nulls not at all. */
    private static final class Stamp extends ContextualFixedKeyProcessor<String, String, String> {
        private long seen;

        @Override
        public void process(final FixedKeyRecord<String, String> record) {
            final String value = record.value();
            if (value == null) {
                return;
            }
            seen++;
            final List<String> names = new ArrayList<>();
            record.headers().forEach(header -> names.add(header.key()));
            record.headers().add("seen", Long.toString(seen).getBytes(UTF_8));
            final long time = value.startsWith("x") ? record.timestamp() + 1 : record.timestamp();
            context().forward(record.withValue(value + "/" + String.join(",", names)).withTimestamp(time));
            if (value.startsWith("d")) {
                context().forward(record.withValue("again"));
            }
        }
    }
}
