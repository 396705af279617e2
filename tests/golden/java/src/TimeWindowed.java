import java.util.List;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.TimeWindows;

/** Scenarios 23 to 27: tumbling and hopping windows. */
final class TimeWindowed {
    private TimeWindowed() { }

    static TimeWindows windows(final Scenario scenario) {
        final TimeWindows windows =
            TimeWindows.ofSizeAndGrace(Common.ms(scenario.at("size_ms")), Common.ms(scenario.at("grace_ms")));
        return scenario.params.containsKey("advance_ms") ? windows.advanceBy(Common.ms(scenario.at("advance_ms"))) : windows;
    }

    static Scenario sized(final String name, final long size, final long grace) {
        return new Scenario(name).param("size_ms", size).param("grace_ms", grace);
    }

    static void add(final List<Scenario> all) {
        all.add(tumblingCount(sized("tumbling_count", 10, 5)));
        all.add(tumblingCount(sized("tumbling_grace0", 10, 0)));
        all.add(sized("hopping_sum", 20, 10).param("advance_ms", 5)
            .in("in", Input.Kind.NUMBER).topic("out", Common.timedName(20), "long")
            .must(Scenario.Seen.TOMBSTONE, Scenario.Seen.DROP, Scenario.Seen.LATE)
            .input(input -> input.late(25, 60).leap(2, 60_000, 200_000).nulls(5, 15))
            .topology((scenario, builder) -> builder
                .stream("in", Consumed.with(Common.STRING, Common.LONG))
                .groupByKey(Grouped.with(Common.STRING, Common.LONG))
                .windowedBy(windows(scenario))
                .reduce((a, v) -> v == null ? null : Long.valueOf(a + v), Common.window("w", Common.LONG))
                .toStream().to("out", Common.timed(20, Common.LONG))));
        all.add(sized("hopping_advance_not_divisor", 10, 4).param("advance_ms", 3)
            .in("in", Input.Kind.NAMED).topic("out", Common.timedName(10), "string")
            .must(Scenario.Seen.DROP, Scenario.Seen.LATE)
            .input(input -> input.late(25, 40).nulls(5, 0))
            .topology((scenario, builder) -> builder.<String, String>stream("in")
                .groupByKey()
                .windowedBy(windows(scenario))
                .aggregate(() -> "", (k, v, a) -> Common.cat(a, "+", v), Common.window("w", Common.STRING))
                .toStream().to("out", Common.timed(10, Common.STRING))));
        all.add(sized("window_null_value", 10, 5)
            .in("in", Input.Kind.NAMED).topic("out", Common.timedName(10), "string")
            .must(Scenario.Seen.TOMBSTONE, Scenario.Seen.DROP)
            .input(input -> input.nulls(5, 25).keys(2))
            .topology((scenario, builder) -> builder.<String, String>stream("in")
                .groupByKey()
                .windowedBy(windows(scenario))
                .aggregate(() -> "i", (k, v, a) -> v == null ? null : Common.cat(a, "+", v), Common.window("w", Common.STRING))
                .toStream().to("out", Common.timed(10, Common.STRING))));
    }

    private static Scenario tumblingCount(final Scenario scenario) {
        return scenario.in("in", Input.Kind.NAMED).topic("out", Common.timedName(10), "long")
            .must(Scenario.Seen.DROP, Scenario.Seen.LATE)
            .input(input -> input.late(25, 30).leap(2, 60_000, 200_000))
            .topology((self, builder) -> builder.<String, String>stream("in")
                .groupByKey()
                .windowedBy(windows(self))
                .count(Common.window("w", Common.LONG))
                .toStream().to("out", Common.timed(10, Common.LONG)));
    }
}
