import java.util.List;
import org.apache.kafka.streams.kstream.SlidingWindows;

/** Scenarios 28 to 30: sliding windows. */
final class SlidingWindowed {
    private SlidingWindowed() { }

    static SlidingWindows windows(final Scenario scenario) {
        return SlidingWindows.ofTimeDifferenceAndGrace(
            Parts.ms(scenario.at("difference_ms")), Parts.ms(scenario.at("grace_ms")));
    }

    static Scenario sized(final String name, final long difference, final long grace) {
        return new Scenario(name).param("difference_ms", difference).param("grace_ms", grace);
    }

    static void add(final List<Scenario> all) {
        all.add(sized("sliding_count_grace", 10, 20)
            .in("in", Input.Kind.NAMED).topic("out", Parts.timedName(10), "long")
            .must(Scenario.Seen.DROP, Scenario.Seen.LATE)
            .input(input -> input.late(30, 60).leap(2, 60_000, 200_000))
            .topology((scenario, builder) -> builder.<String, String>stream("in")
                .groupByKey()
                .windowedBy(windows(scenario))
                .count(Parts.window("w", Parts.LONG))
                .toStream().to("out", Parts.timed(10, Parts.LONG))));
        all.add(concat(sized("sliding_early_records", 50, 100), 50)
            .must(Scenario.Seen.DROP)
            .input(input -> input.late(40, 50).step(2).jump(2, 30, 60).keys(3)));
        all.add(concat(sized("sliding_no_grace_reverse", 10, 0), 10)
            .must(Scenario.Seen.DROP, Scenario.Seen.LATE)
            .input(input -> input.late(40, 20).keys(2)));
    }

    private static Scenario concat(final Scenario scenario, final long size) {
        return scenario.in("in", Input.Kind.NAMED).topic("out", Parts.timedName(size), "string")
            .topology((self, builder) -> builder.<String, String>stream("in")
                .groupByKey()
                .windowedBy(windows(self))
                .aggregate(() -> "", (k, v, a) -> Parts.cat(a, "+", v), Parts.window("w", Parts.STRING))
                .toStream().to("out", Parts.timed(size, Parts.STRING)));
    }
}
