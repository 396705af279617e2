import java.util.List;
import org.apache.kafka.streams.kstream.SessionWindows;

/** Scenarios 31 to 34: session windows. */
final class SessionWindowed {
    private SessionWindowed() { }

    static SessionWindows windows(final Scenario scenario) {
        return SessionWindows.ofInactivityGapAndGrace(Parts.ms(scenario.at("gap_ms")), Parts.ms(scenario.at("grace_ms")));
    }

    static Scenario sized(final String name, final long gap, final long grace) {
        return new Scenario(name).param("gap_ms", gap).param("grace_ms", grace);
    }

    static void add(final List<Scenario> all) {
        all.add(sized("session_count", 10, 5)
            .in("in", Input.Kind.NAMED).topic("out", "session-windowed(string)", "long")
            .must(Scenario.Seen.TOMBSTONE, Scenario.Seen.DROP, Scenario.Seen.LATE)
            .input(input -> input.late(25, 50).leap(2, 60_000, 200_000))
            .topology((scenario, builder) -> builder.<String, String>stream("in")
                .groupByKey()
                .windowedBy(windows(scenario))
                .count(Parts.session("s", Parts.LONG))
                .toStream().to("out", Parts.sessions(Parts.LONG))));
        all.add(concat(sized("session_merge_three", 10, 50))
            .must(Scenario.Seen.TOMBSTONE, Scenario.Seen.DROP)
            .input(input -> input.late(40, 40).jump(25, 12, 19).step(3).keys(2)));
        all.add(concat(sized("session_inside_existing", 20, 100))
            .must(Scenario.Seen.TOMBSTONE, Scenario.Seen.DROP)
            .input(input -> input.late(60, 25).step(6).keys(2)));
        all.add(concat(sized("session_late_merge_saves", 10, 0))
            .must(Scenario.Seen.TOMBSTONE, Scenario.Seen.DROP, Scenario.Seen.LATE)
            .input(input -> input.late(45, 35).step(3).jump(8, 15, 40).keys(2)));
    }

    private static Scenario concat(final Scenario scenario) {
        return scenario.in("in", Input.Kind.NAMED).topic("out", "session-windowed(string)", "string")
            .topology((self, builder) -> builder.<String, String>stream("in")
                .groupByKey()
                .windowedBy(windows(self))
                .aggregate(() -> "", (k, v, a) -> Parts.cat(a, "+", v), (k, a, b) -> Parts.cat(a, "|", b),
                    Parts.session("s", Parts.STRING))
                .toStream().to("out", Parts.sessions(Parts.STRING)));
    }
}
