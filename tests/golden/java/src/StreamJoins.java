import java.util.List;
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.ValueJoiner;

/** Scenarios 49 to 57: stream-stream joins. */
final class StreamJoins {
    private enum How { INNER, LEFT, OUTER }

    private StreamJoins() { }

    static void add(final List<Scenario> all) {
        all.add(join(sized("ss_inner", 10, 10, 5), How.INNER).must(Scenario.Seen.LATE)
            .input(input -> input.leap(2, 120_000, 200_000).veryLate(100_000, 150_000)));
        all.add(join(sized("ss_inner_asymmetric", 3, 12, 5), How.INNER));
        all.add(join(sized("ss_inner_duplicates", 10, 10, 5), How.INNER).input(input -> input.keys(2).step(1).jump(4, 15, 40)));
        all.add(join(sized("ss_left", 10, 10, 7), How.LEFT).must(Scenario.Seen.LATE)
            .input(input -> input.leap(1, 120_000, 200_000).veryLate(100_000, 150_000)));
        all.add(join(sized("ss_outer", 10, 10, 7), How.OUTER));
        all.add(join(sized("ss_outer_asymmetric", 2, 15, 4), How.OUTER));
        all.add(join(sized("ss_left_default_throttle", 10, 10, 7), How.LEFT)
            .set(Scenario.OUTER_JOIN_INTERVAL, "1000")
            .input(input -> input.clock(25, 900)));
        all.add(nullKeys());
        all.add(sized("ss_self_join_optimized", 10, 10, 5).set("topology.optimization", "all")
            .in("in", Input.Kind.NAMED).out().must(Scenario.Seen.DROP)
            .topology((scenario, builder) -> {
                final KStream<String, String> stream = builder.stream("in");
                stream.join(stream, (ValueJoiner<String, String, String>) Parts::both, windows(scenario), joined()).to("out");
            }));
    }

    private static Scenario sized(final String name, final long before, final long after, final long grace) {
        return new Scenario(name).param("before_ms", before).param("after_ms", after).param("grace_ms", grace);
    }

    private static JoinWindows windows(final Scenario scenario) {
        return JoinWindows.ofTimeDifferenceAndGrace(Parts.ms(scenario.at("after_ms")), Parts.ms(scenario.at("grace_ms")))
            .before(Parts.ms(scenario.at("before_ms")));
    }

    private static StreamJoined<String, String, String> joined() {
        return StreamJoined.with(Parts.STRING, Parts.STRING, Parts.STRING);
    }

    private static Scenario join(final Scenario scenario, final How how) {
        return scenario.in("L", Input.Kind.NAMED).in("R", Input.Kind.NAMED).out()
            .must(Scenario.Seen.DROP)
            .input(input -> input.keys(3).nulls(6, 8))
            .topology((self, builder) -> {
                final KStream<String, String> left = builder.stream("L");
                final KStream<String, String> right = builder.stream("R");
                final ValueJoiner<String, String, String> joiner = Parts::both;
                final KStream<String, String> out = switch (how) {
                    case INNER -> left.join(right, joiner, windows(self), joined());
                    case LEFT -> left.leftJoin(right, joiner, windows(self), joined());
                    case OUTER -> left.outerJoin(right, joiner, windows(self), joined());
                };
                out.to("out");
            });
    }

    private static Scenario nullKeys() {
        return sized("ss_null_keys", 10, 10, 5).in("L", Input.Kind.NAMED).in("R", Input.Kind.NAMED)
            .topic("out-left", "string", "string").topic("out-outer", "string", "string")
            .must(Scenario.Seen.DROP)
            .input(input -> input.nulls(30, 10))
            .topology((self, builder) -> {
                final KStream<String, String> left = builder.stream("L");
                final KStream<String, String> right = builder.stream("R");
                final ValueJoiner<String, String, String> joiner = Parts::both;
                left.leftJoin(right, joiner, windows(self), joined()).to("out-left");
                left.outerJoin(right, joiner, windows(self), joined()).to("out-outer");
            });
    }
}
