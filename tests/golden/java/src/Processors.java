import java.util.List;
import org.apache.kafka.streams.processor.Cancellable;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** Scenarios 71 to 73: punctuators and a store of one's own. */
final class Processors {
    private Processors() { }

    static void add(final List<Scenario> all) {
        all.add(new Scenario("punctuate_stream_time_gaps").param("interval_ms", 10)
            .in("in", Input.Kind.NAMED).out()
            .topology((scenario, builder) -> builder.<String, String>stream("in")
                .process(() -> new StreamTime(scenario.at("interval_ms"))).to("out")));
        all.add(new Scenario("punctuate_wall_clock_cancel").param("interval_ms", 100)
            .in("in", Input.Kind.NAMED).out().input(input -> input.clock(40, 350))
            .topology((scenario, builder) -> builder.<String, String>stream("in")
                .process(() -> new WallClock(scenario.at("interval_ms"))).to("out")));
        all.add(new Scenario("store_put_if_absent_range").in("in", Input.Kind.NAMED).out()
            .must(Scenario.Seen.TOMBSTONE).input(input -> input.keys(5))
            .topology(builder -> {
                builder.addStateStore(Stores.keyValueStoreBuilder(
                    Stores.persistentKeyValueStore("s"), Parts.STRING, Parts.STRING));
                builder.<String, String>stream("in").process(StoreCalls::new, "s").to("out");
            }));
    }

    /** Counts records, and says the count each time the stream time is due. */
    private static final class StreamTime extends ContextualProcessor<String, String, String, String> {
        private final long interval;
        private long count;

        StreamTime(final long interval) {
            this.interval = interval;
        }

        @Override
        public void init(final ProcessorContext<String, String> context) {
            super.init(context);
            context.schedule(Parts.ms(interval), PunctuationType.STREAM_TIME,
                time -> context.forward(new Record<>("punctuated", time + "/" + count, time)));
        }

        @Override
        public void process(final Record<String, String> record) {
            count++;
            context().forward(record);
        }
    }

    /** Ticks three times and then cancels itself; a value that starts with x schedules it again. */
    private static final class WallClock extends ContextualProcessor<String, String, String, String> {
        private final long interval;
        private long fired;
        private Cancellable ticking;

        WallClock(final long interval) {
            this.interval = interval;
        }

        @Override
        public void init(final ProcessorContext<String, String> context) {
            super.init(context);
            schedule();
        }

        private void schedule() {
            ticking = context().schedule(Parts.ms(interval), PunctuationType.WALL_CLOCK_TIME, time -> {
                fired++;
                context().forward(new Record<>("tick", fired + "@" + time, time));
                if (fired % 3 == 0) {
                    ticking.cancel();
                    ticking = null;
                }
            });
        }

        @Override
        public void process(final Record<String, String> record) {
            if (ticking == null && Parts.starts(record.value(), "x")) {
                schedule();
                context().forward(record.withValue("scheduled"));
            }
        }
    }

    /** Does what the first letter of the value says and forwards what the store answered. */
    private static final class StoreCalls extends ContextualProcessor<String, String, String, String> {
        @Override
        public void process(final Record<String, String> record) {
            final String key = record.key();
            final String value = record.value();
            if (key == null || value == null) {
                return;
            }
            final KeyValueStore<String, String> store = context().getStateStore("s");
            context().forward(record.withValue(switch (value.charAt(0)) {
                case 'a' -> {
                    store.put(key, value);
                    yield store.get(key);
                }
                case 'b' -> store.putIfAbsent(key, value);
                case 'c' -> store.delete(key);
                case 'd' -> rows(store.range(key, "c"));
                default -> rows(store.reverseAll());
            }));
        }

        private static String rows(final KeyValueIterator<String, String> rows) {
            final StringBuilder found = new StringBuilder();
            try (rows) {
                rows.forEachRemaining(row -> found.append(row.key).append('=').append(row.value).append(' '));
            }
            return found.toString();
        }
    }
}
