import java.util.List;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.TimeWindows;

/** Scenarios 23 to 27: tumbling and hopping windows. */
final class TimeWindowed {
    private TimeWindowed() { }

    static TimeWindows windows(final Scenario scenario) {
        final TimeWindows windows =
            TimeWindows.ofSizeAndGrace(Parts.ms(scenario.at("size_ms")), Parts.ms(scenario.at("grace_ms")));
        return scenario.params.containsKey("advance_ms") ? windows.advanceBy(Parts.ms(scenario.at("advance_ms"))) : windows;
    }

    static Scenario sized(final String name, final long size, final long grace) {
        return new Scenario(name).param("size_ms", size).param("grace_ms", grace);
    }

    static void add(final List<Scenario> all) {
        all.add(tumblingCount(sized("tumbling_count", 10, 5)));
        all.add(tumblingCount(sized("tumbling_grace0", 10, 0)));
        all.add(sized("hopping_sum", 20, 10).param("advance_ms", 5)
            .in("in", Input.Kind.NUMBER).topic("out", Parts.timedName(20), "long")
            .must(Scenario.Seen.TOMBSTONE, Scenario.Seen.DROP, Scenario.Seen.LATE)
            .input(input -> input.late(25, 60).leap(2, 60_000, 200_000).nulls(5, 15))
            .topology((scenario, builder) -> builder
                .stream("in", Consumed.with(Parts.STRING, Parts.LONG))
                .groupByKey(Grouped.with(Parts.STRING, Parts.LONG))
                .windowedBy(windows(scenario))
                .reduce((a, v) -> v == null ? null : Long.valueOf(a + v), Parts.window("w", Parts.LONG))
                .toStream().to("out", Parts.timed(20, Parts.LONG))));
        all.add(sized("hopping_advance_not_divisor", 10, 4).param("advance_ms", 3)
            .in("in", Input.Kind.NAMED).topic("out", Parts.timedName(10), "string")
            .must(Scenario.Seen.DROP, Scenario.Seen.LATE)
            .input(input -> input.late(25, 40).nulls(5, 0))
            .topology((scenario, builder) -> builder.<String, String>stream("in")
                .groupByKey()
                .windowedBy(windows(scenario))
                .aggregate(() -> "", (k, v, a) -> Parts.cat(a, "+", v), Parts.window("w", Parts.STRING))
                .toStream().to("out", Parts.timed(10, Parts.STRING))));
        all.add(sized("window_null_value", 10, 5)
            .in("in", Input.Kind.NAMED).topic("out", Parts.timedName(10), "string")
            .must(Scenario.Seen.TOMBSTONE, Scenario.Seen.DROP)
            .input(input -> input.nulls(5, 25).keys(2))
            .topology((scenario, builder) -> builder.<String, String>stream("in")
                .groupByKey()
                .windowedBy(windows(scenario))
                .aggregate(() -> "i", (k, v, a) -> v == null ? null : Parts.cat(a, "+", v), Parts.window("w", Parts.STRING))
                .toStream().to("out", Parts.timed(10, Parts.STRING))));
    }

    private static Scenario tumblingCount(final Scenario scenario) {
        return scenario.in("in", Input.Kind.NAMED).topic("out", Parts.timedName(10), "long")
            .must(Scenario.Seen.DROP, Scenario.Seen.LATE)
            .input(input -> input.late(25, 30).leap(2, 60_000, 200_000))
            .topology((self, builder) -> builder.<String, String>stream("in")
                .groupByKey()
                .windowedBy(windows(self))
                .count(Parts.window("w", Parts.LONG))
                .toStream().to("out", Parts.timed(10, Parts.LONG)));
    }
}
