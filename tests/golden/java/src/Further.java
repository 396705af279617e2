import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.TableJoined;
import org.apache.kafka.streams.kstream.UnlimitedWindows;
import org.apache.kafka.streams.kstream.ValueJoiner;
import org.apache.kafka.streams.kstream.ValueTransformerWithKey;
import org.apache.kafka.streams.processor.ProcessorContext;
import org.apache.kafka.streams.processor.StreamPartitioner;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.ValueAndTimestamp;

/** Scenarios 81 to 88: what came to the DSL after the first 80, in a recording of its own. */
final class Further {
    private Further() { }

    static void add(final List<Scenario> all) {
        all.add(new Scenario("unlimited_windows").param("start_ms", 30).in("in", Input.Kind.NAMED).out()
            .must(Scenario.Seen.DROP)
            .topology((scenario, builder) -> builder.<String, String>stream("in").groupByKey()
                .windowedBy(UnlimitedWindows.of().startOn(Instant.ofEpochMilli(scenario.at("start_ms"))))
                .count(Parts.window("w", Parts.LONG))
                .toStream((k, v) -> k.key() + "@" + k.window().start() + "-" + k.window().end())
                .mapValues(String::valueOf).to("out")));
        all.add(versioned("versioned_aggregates").topic("out-reduce", "string", "string").topic("out-count", "string", "long")
            .topology((scenario, builder) -> {
                final KStream<String, String> stream = builder.stream("in");
                final KTable<String, String> gathered = stream.groupByKey().aggregate(() -> "",
                    (k, v, a) -> v.startsWith("d") ? null : Parts.cat(a, "+", v), StreamTableJoins.versioned("agg", scenario));
                gathered.toStream().to("out");
                gathered.groupBy((k, v) -> KeyValue.pair(v.substring(Math.max(0, v.length() - 1)), v), Grouped.with(Parts.STRING, Parts.STRING))
                    .count(Parts.kv("counts", Parts.LONG))
                    .toStream().to("out-count", Produced.with(Parts.STRING, Parts.LONG));
                stream.groupByKey().reduce((a, v) -> Parts.cat(a, "*", v), StreamTableJoins.versioned("red", scenario))
                    .toStream().to("out-reduce");
            }));
        all.add(versioned("versioned_table_group")
            .topology((scenario, builder) -> builder.<String, String>table("in")
                .groupBy((k, v) -> KeyValue.pair(Parts.first(v), v), Grouped.with(Parts.STRING, Parts.STRING))
                .aggregate(() -> "", (k, v, a) -> Parts.cat(a, "+", v), (k, v, a) -> Parts.cat(a, "-", v),
                    StreamTableJoins.versioned("agg", scenario))
                .toStream().to("out")));
        all.add(transformed());
        all.add(suppliers());
        all.add(new Scenario("fk_partitioners").in("L", Input.Kind.NAMED).in("R", Input.Kind.LETTER, Input.Kind.NAMED).out()
            .must(Scenario.Seen.TOMBSTONE).input(input -> input.nulls(5, 15))
            .topology(builder -> {
                final KTable<String, String> left = builder.table("L");
                final KTable<String, String> right = builder.table("R");
                final StreamPartitioner<String, Void> first = (topic, k, v, count) -> Optional.of(Set.of(0));
                left.join(right, Parts::first, Parts::both, TableJoined.<String, String>as("fk").withPartitioner(first)
                    .withOtherPartitioner(first), Parts.kv("joined", Parts.STRING)).toStream().to("out");
            }));
        all.add(new Scenario("global_store").in("L", Input.Kind.NAMED).in("R", Input.Kind.NAMED).out()
            .topology(builder -> {
                builder.addGlobalStore(Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("g"), Parts.STRING, Parts.STRING),
                    "R", Consumed.with(Parts.STRING, Parts.STRING), Exclaim::new);
                builder.<String, String>stream("L").process(LookUp::new).to("out");
            }));
        all.add(new Scenario("read_only_store").in("L", Input.Kind.NAMED).in("R", Input.Kind.NAMED).out()
            .topology(builder -> builder.<String, String>stream("L").process(LookUp::new).to("out"))
            .then(topology -> {
                topology.addReadOnlyStateStore(
                    Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("g"), Parts.STRING, Parts.STRING),
                    "read", Parts.STRING.deserializer(), Parts.STRING.deserializer(), "R", "keep", Exclaim::new);
                topology.connectProcessorAndStateStores("KSTREAM-PROCESSOR-0000000001", "g");
            }));
    }

    private static Scenario versioned(final String name) {
        return new Scenario(name).param("history_ms", 100).param("segment_ms", 30).in("in", Input.Kind.NAMED).out()
            .must(Scenario.Seen.DROP)
            .input(input -> input.late(40, 60).keys(3).nulls(5, 15));
    }

    private static Scenario transformed() {
        return new Scenario("table_transform_values").in("L", Input.Kind.NAMED).in("R", Input.Kind.NAMED).out()
            .topic("out-kept", "string", "string").topic("out-joined", "string", "string").topic("out-old", "string", "string")
            .must(Scenario.Seen.TOMBSTONE, Scenario.Seen.DROP).input(input -> input.nulls(5, 20))
            .topology(builder -> {
                builder.addStateStore(Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("seen"), Parts.STRING, Parts.LONG));
                final KTable<String, String> left = builder.table("L");
                final KTable<String, String> right = builder.table("R");
                left.transformValues(Numbered::new, "seen").toStream().to("out");
                left.transformValues(Numbered::new, Parts.kv("kept", Parts.STRING), "seen").toStream().to("out-kept");
                left.transformValues(Shout::new).join(right, Parts::both).toStream().to("out-joined");
                right.transformValues(Shout::new)
                    .groupBy((k, v) -> KeyValue.pair(v, v), Grouped.with(Parts.STRING, Parts.STRING))
                    .reduce((a, v) -> Parts.cat(a, "+", v), (a, v) -> Parts.cat(a, "-", v), Parts.kv("agg", Parts.STRING))
                    .toStream().to("out-old");
            });
    }

    private static Scenario suppliers() {
        return new Scenario("ss_store_suppliers").param("before_ms", 10).param("after_ms", 10).param("grace_ms", 7)
            .in("L", Input.Kind.NAMED).in("R", Input.Kind.NAMED).out()
            .must(Scenario.Seen.DROP).input(input -> input.keys(3).nulls(6, 8))
            .topology((scenario, builder) -> {
                final JoinWindows windows = JoinWindows.ofTimeDifferenceAndGrace(
                    Parts.ms(scenario.at("after_ms")), Parts.ms(scenario.at("grace_ms"))).before(Parts.ms(scenario.at("before_ms")));
                final long size = windows.size();
                final long retention = size + scenario.at("grace_ms");
                final KStream<String, String> left = builder.stream("L");
                final KStream<String, String> right = builder.stream("R");
                left.leftJoin(right, (ValueJoiner<String, String, String>) Parts::both, windows,
                    StreamJoined.with(Parts.STRING, Parts.STRING, Parts.STRING)
                        .withThisStoreSupplier(Stores.persistentWindowStore("this-side", Parts.ms(retention), Parts.ms(size), true))
                        .withOtherStoreSupplier(Stores.persistentWindowStore("other-side", Parts.ms(retention), Parts.ms(size), true)))
                    .to("out");
            });
    }

    /** Puts how often the key was seen behind the value. */
    private static final class Numbered implements ValueTransformerWithKey<String, String, String> {
        private KeyValueStore<String, Long> seen;

        @Override
        public void init(final ProcessorContext context) {
            seen = context.getStateStore("seen");
        }

        @Override
        public String transform(final String key, final String value) {
            if (value == null) {
                return null;
            }
            final Long before = seen.get(key);
            final long count = before == null ? 1 : before + 1;
            seen.put(key, count);
            return value + "#" + count;
        }

        @Override
        public void close() { }
    }

    /** In upper case. */
    private static final class Shout implements ValueTransformerWithKey<String, String, String> {
        @Override
        public void init(final ProcessorContext context) { }

        @Override
        public String transform(final String key, final String value) {
            return value == null ? null : value.toUpperCase();
        }

        @Override
        public void close() { }
    }

    /** Keeps each value with a mark behind it; one that starts with x deletes the key. */
    private static final class Exclaim extends ContextualProcessor<String, String, Void, Void> {
        @Override
        public void process(final Record<String, String> record) {
            final KeyValueStore<String, String> store = context().getStateStore("g");
            if (record.key() == null || record.value() == null) {
                return;
            }
            if (record.value().startsWith("x")) {
                store.delete(record.key());
            } else {
                store.put(record.key(), record.value() + "!");
            }
        }
    }

    /** Puts what the store has for the key behind the value. */
    private static final class LookUp extends ContextualProcessor<String, String, String, String> {
        @Override
        public void process(final Record<String, String> record) {
            final KeyValueStore<String, Object> store = context().getStateStore("g");
            final Object found = record.key() == null ? null : store.get(record.key());
            final Object plain = found instanceof ValueAndTimestamp<?> stamped ? stamped.value() : found;
            context().forward(record.withValue(record.value() + "/" + plain));
        }
    }
}
