import static org.apache.kafka.streams.kstream.Suppressed.BufferConfig.maxBytes;
import static org.apache.kafka.streams.kstream.Suppressed.BufferConfig.maxRecords;
import static org.apache.kafka.streams.kstream.Suppressed.BufferConfig.unbounded;

import java.util.List;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Suppressed;
import org.apache.kafka.streams.kstream.Suppressed.EagerBufferConfig;
import org.apache.kafka.streams.kstream.Suppressed.StrictBufferConfig;

/** Scenarios 41 to 48: suppress. */
final class Suppression {
    private Suppression() { }

    static void add(final List<Scenario> all) {
        all.add(last(TimeWindowed.sized("suppress_final_tumbling", 10, 5), unbounded())
            .must(Scenario.Seen.DROP, Scenario.Seen.LATE)
            .input(input -> input.late(25, 30)));
        all.add(SessionWindowed.sized("suppress_final_session", 10, 5)
            .in("in", Input.Kind.NAMED).topic("out", "session-windowed(string)", "long")
            .must(Scenario.Seen.DROP, Scenario.Seen.LATE)
            .input(input -> input.late(25, 50))
            .topology((scenario, builder) -> builder.<String, String>stream("in")
                .groupByKey()
                .windowedBy(SessionWindowed.windows(scenario))
                .count(Parts.session("s", Parts.LONG))
                .suppress(Suppressed.untilWindowCloses(unbounded()))
                .toStream().to("out", Parts.sessions(Parts.LONG))));
        all.add(last(TimeWindowed.sized("suppress_final_large_jump", 10, 100), unbounded())
            .must(Scenario.Seen.DROP, Scenario.Seen.LATE)
            .input(input -> input.late(30, 150).jump(5, 200, 400).leap(2, 60_000, 200_000)));
        all.add(table(new Scenario("suppress_time_limit").param("limit_ms", 20), unbounded())
            .must(Scenario.Seen.TOMBSTONE)
            .input(input -> input.nulls(5, 20)));
        all.add(table(new Scenario("suppress_max_records_emit").param("limit_ms", 1000).param("max_records", 3), maxRecords(3))
            .must(Scenario.Seen.TOMBSTONE)
            .input(input -> input.keys(5).nulls(5, 20)));
        all.add(table(new Scenario("suppress_max_bytes_emit").param("limit_ms", 1000).param("max_bytes", 120), maxBytes(120))
            .must(Scenario.Seen.TOMBSTONE)
            .input(input -> input.keys(5).nulls(5, 20)));
        all.add(last(TimeWindowed.sized("suppress_overflow_shutdown", 10, 30).param("max_records", 10),
            maxRecords(10).shutDownWhenFull())
            .must(Scenario.Seen.ERROR)
            .input(input -> input.late(25, 30).jump(10, 30, 60)));
        all.add(new Scenario("suppress_before_join").param("limit_ms", 10)
            .in("L", Input.Kind.NAMED).in("R", Input.Kind.NAMED).out()
            .must(Scenario.Seen.TOMBSTONE, Scenario.Seen.DROP)
            .topology((scenario, builder) -> {
                final KTable<String, String> right = builder.table("R");
                builder.<String, String>table("L")
                    .suppress(Suppressed.untilTimeLimit(Parts.ms(scenario.at("limit_ms")), unbounded()))
                    .join(right, Parts::both)
                    .toStream().to("out");
            }));
    }

    private static Scenario last(final Scenario scenario, final StrictBufferConfig buffer) {
        return scenario.in("in", Input.Kind.NAMED).topic("out", Parts.timedName(10), "long")
            .topology((self, builder) -> builder.<String, String>stream("in")
                .groupByKey()
                .windowedBy(TimeWindowed.windows(self))
                .count(Parts.window("w", Parts.LONG))
                .suppress(Suppressed.untilWindowCloses(buffer))
                .toStream().to("out", Parts.timed(10, Parts.LONG)));
    }

    private static Scenario table(final Scenario scenario, final Suppressed.BufferConfig<?> buffer) {
        return scenario.in("in", Input.Kind.NAMED).out()
            .must(Scenario.Seen.DROP)
            .topology((self, builder) -> builder.<String, String>table("in")
                .suppress(Suppressed.untilTimeLimit(Parts.ms(self.at("limit_ms")), buffer))
                .toStream().to("out"));
    }
}
