import java.util.List;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.kstream.EmitStrategy;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.Stores;
import org.apache.kafka.streams.state.WindowStore;
import org.apache.kafka.streams.state.WindowStoreIterator;
import org.apache.kafka.streams.kstream.Windowed;

/** Scenarios 35 to 40: emission when a window closes, and the retention of a window store. */
final class EmitFinal {
    private EmitFinal() { }

    static void add(final List<Scenario> all) {
        all.add(timed(TimeWindowed.sized("emit_final_tumbling", 10, 5), 10)
            .input(input -> input.late(25, 30).leap(1, 60_000, 200_000)));
        all.add(timed(TimeWindowed.sized("emit_final_hopping", 20, 3).param("advance_ms", 5), 20)
            .input(input -> input.late(25, 60)));
        all.add(SlidingWindowed.sized("emit_final_sliding", 10, 5)
            .in("in", Input.Kind.NAMED).topic("out", Parts.timedName(10), "string")
            .must(Scenario.Seen.DROP, Scenario.Seen.LATE).input(input -> input.late(25, 30))
            .topology((scenario, builder) -> builder.<String, String>stream("in")
                .groupByKey()
                .windowedBy(SlidingWindowed.windows(scenario))
                .emitStrategy(EmitStrategy.onWindowClose())
                .aggregate(() -> "", (k, v, a) -> Parts.cat(a, "+", v), Parts.window("w", Parts.STRING))
                .toStream().to("out", Parts.timed(10, Parts.STRING))));
        all.add(SessionWindowed.sized("emit_final_session", 10, 5)
            .in("in", Input.Kind.NAMED).topic("out", "session-windowed(string)", "string")
            .must(Scenario.Seen.DROP, Scenario.Seen.LATE).input(input -> input.late(25, 50))
            .topology((scenario, builder) -> builder.<String, String>stream("in")
                .groupByKey()
                .windowedBy(SessionWindowed.windows(scenario))
                .emitStrategy(EmitStrategy.onWindowClose())
                .aggregate(() -> "", (k, v, a) -> Parts.cat(a, "+", v), (k, a, b) -> Parts.cat(a, "|", b),
                    Parts.session("s", Parts.STRING))
                .toStream().to("out", Parts.sessions(Parts.STRING))));
        all.add(timed(TimeWindowed.sized("emit_final_default_throttle", 10, 5), 10)
            .set(Scenario.EMIT_INTERVAL, "1000")
            .input(input -> input.late(25, 30).clock(30, 1200)));
        all.add(new Scenario("retention_expiry_fetch").param("retention_ms", 60_000).param("size_ms", 10)
            .in("in", Input.Kind.NAMED).out().must(Scenario.Seen.LATE)
            .input(input -> input.keys(2).late(25, 150_000).jump(35, 2_000, 40_000).leap(4, 100_000, 200_000))
            .topology((scenario, builder) -> {
                builder.addStateStore(Stores.windowStoreBuilder(
                    Stores.persistentWindowStore("w", Parts.ms(scenario.at("retention_ms")), Parts.ms(scenario.at("size_ms")), false),
                    Parts.STRING, Parts.STRING));
                builder.<String, String>stream("in").process(Fetch::new, "w").to("out");
            }));
    }

    private static Scenario timed(final Scenario scenario, final long size) {
        return scenario.in("in", Input.Kind.NAMED).topic("out", Parts.timedName(size), "string")
            .must(Scenario.Seen.DROP, Scenario.Seen.LATE)
            .topology((self, builder) -> builder.<String, String>stream("in")
                .groupByKey()
                .windowedBy(TimeWindowed.windows(self))
                .emitStrategy(EmitStrategy.onWindowClose())
                .aggregate(() -> "", (k, v, a) -> Parts.cat(a, "+", v), Parts.window("w", Parts.STRING))
                .toStream().to("out", Parts.timed(size, Parts.STRING)));
    }

    /** Puts each record into the window store, then forwards what a fetch around it finds. */
    private static final class Fetch extends ContextualProcessor<String, String, String, String> {
        private static final long AROUND = 100_000;

        @Override
        public void process(final Record<String, String> record) {
            final String key = record.key();
            if (key == null || record.value() == null) {
                return;
            }
            final WindowStore<String, String> store = context().getStateStore("w");
            final long time = record.timestamp();
            store.put(key, record.value(), time);
            final StringBuilder found = new StringBuilder();
            if (record.value().startsWith("d")) {
                try (KeyValueIterator<Windowed<String>, String> rows =
                         store.fetchAll(Math.max(0, time - AROUND), time + AROUND)) {
                    rows.forEachRemaining(row -> found.append(row.key.key()).append('@')
                        .append(row.key.window().start()).append('=').append(row.value).append(' '));
                }
            } else {
                final boolean back = record.value().startsWith("x");
                try (WindowStoreIterator<String> rows = back
                    ? store.backwardFetch(key, Math.max(0, time - AROUND), time + AROUND)
                    : store.fetch(key, Math.max(0, time - AROUND), time + AROUND)) {
                    while (rows.hasNext()) {
                        final KeyValue<Long, String> row = rows.next();
                        found.append(row.key).append('=').append(row.value).append(' ');
                    }
                }
            }
            context().forward(record.withValue(found.toString()));
        }
    }
}
