import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.SessionWindows;

/** Scenarios 13 to 22: aggregates without windows, cogroup, tables grouped anew. */
final class Aggregates {
    private Aggregates() { }

    static void add(final List<Scenario> all) {
        all.add(new Scenario("count_kv").in("in", Input.Kind.NAMED).topic("out", "string", "long").must(Scenario.Seen.DROP)
            .topology(builder -> builder.<String, String>stream("in")
                .groupByKey()
                .count(Parts.kv("counts", Parts.LONG))
                .toStream().to("out", Produced.with(Parts.STRING, Parts.LONG))));
        all.add(new Scenario("reduce_null_result").in("in", Input.Kind.NAMED).out()
            .must(Scenario.Seen.TOMBSTONE, Scenario.Seen.DROP)
            .topology(builder -> builder.<String, String>stream("in")
                .groupByKey()
                .reduce((a, v) -> v.startsWith("d") ? null : Parts.cat(a, "+", v), Parts.kv("reduced", Parts.STRING))
                .toStream().to("out")));
        all.add(new Scenario("aggregate_null_value_drop").in("in", Input.Kind.NAMED).out()
            .must(Scenario.Seen.TOMBSTONE, Scenario.Seen.DROP)
            .topology(builder -> builder.<String, String>stream("in")
                .groupByKey()
                .aggregate(() -> "", (k, v, a) -> v.startsWith("d") ? null : Parts.cat(a, "+", v), Parts.kv("agg", Parts.STRING))
                .toStream().to("out")));
        all.add(new Scenario("wordcount").in("in", Input.Kind.WORDS).topic("out", "string", "long")
            .topology(builder -> builder.<String, String>stream("in")
                .flatMapValues(v -> v == null ? List.of() : Arrays.asList(v.toLowerCase(Locale.ROOT).split("\\W+")))
                .groupBy((k, word) -> word, Grouped.with(Parts.STRING, Parts.STRING))
                .count(Parts.kv("counts-store", Parts.LONG))
                .toStream().to("out", Produced.with(Parts.STRING, Parts.LONG))));
        all.add(new Scenario("cogroup_two").in("in1", Input.Kind.NAMED).in("in2", Input.Kind.NAMED).out()
            .must(Scenario.Seen.TOMBSTONE, Scenario.Seen.DROP)
            .topology(builder -> builder.<String, String>stream("in1").groupByKey()
                .<String>cogroup((k, v, a) -> Parts.cat(a, "+", v))
                .cogroup(builder.<String, String>stream("in2").groupByKey(),
                    (k, v, a) -> v.startsWith("d") ? null : Parts.cat(a, "*", v))
                .aggregate(() -> "", Parts.kv("cg", Parts.STRING))
                .toStream().to("out")));
        all.add(new Scenario("cogroup_session").param("gap_ms", 10).param("grace_ms", 5)
            .in("in1", Input.Kind.NAMED).in("in2", Input.Kind.NAMED).topic("out", "session-windowed(string)", "string")
            .must(Scenario.Seen.TOMBSTONE, Scenario.Seen.DROP, Scenario.Seen.LATE)
            .input(input -> input.late(30, 40))
            .topology((scenario, builder) -> builder.<String, String>stream("in1").groupByKey()
                .<String>cogroup((k, v, a) -> Parts.cat(a, "+", v))
                .cogroup(builder.<String, String>stream("in2").groupByKey(), (k, v, a) -> Parts.cat(a, "*", v))
                .windowedBy(SessionWindows.ofInactivityGapAndGrace(
                    Parts.ms(scenario.at("gap_ms")), Parts.ms(scenario.at("grace_ms"))))
                .aggregate(() -> "", (k, a, b) -> Parts.cat(a, "|", b), Parts.session("cs", Parts.STRING))
                .toStream().to("out", Parts.sessions(Parts.STRING))));
        tables(all);
    }

    private static void tables(final List<Scenario> all) {
        all.add(new Scenario("table_group_by_same_key").in("in", Input.Kind.NAMED).out().must(Scenario.Seen.DROP)
            .input(input -> input.nulls(5, 15))
            .topology(builder -> builder.<String, String>table("in")
                .groupBy(KeyValue::pair, Grouped.with(Parts.STRING, Parts.STRING))
                .reduce((a, v) -> Parts.cat(a, "+", v), (a, v) -> Parts.cat(a, "-", v), Parts.kv("agg", Parts.STRING))
                .toStream().to("out")));
        all.add(new Scenario("table_group_by_move_key").in("in", Input.Kind.NAMED).out().must(Scenario.Seen.DROP)
            .input(input -> input.nulls(5, 15))
            .topology(builder -> builder.<String, String>table("in")
                .groupBy((k, v) -> KeyValue.pair(Parts.first(v), v), Grouped.with(Parts.STRING, Parts.STRING))
                .aggregate(() -> "", (k, v, a) -> Parts.cat(a, "+", v), (k, v, a) -> Parts.cat(a, "-", v),
                    Parts.kv("agg", Parts.STRING))
                .toStream().to("out")));
        all.add(new Scenario("table_group_count").in("in", Input.Kind.NAMED).topic("out", "string", "long")
            .must(Scenario.Seen.DROP).input(input -> input.nulls(5, 15))
            .topology(builder -> builder.<String, String>table("in")
                .groupBy((k, v) -> KeyValue.pair(Parts.first(v), v), Grouped.with(Parts.STRING, Parts.STRING))
                .count(Parts.kv("counts", Parts.LONG))
                .toStream().to("out", Produced.with(Parts.STRING, Parts.LONG))));
        all.add(new Scenario("table_aggregate_null_adder").in("in", Input.Kind.NAMED).out()
            .must(Scenario.Seen.TOMBSTONE, Scenario.Seen.DROP).input(input -> input.nulls(5, 15))
            .topology(builder -> builder.<String, String>table("in")
                .groupBy((k, v) -> KeyValue.pair(Parts.first(v), v), Grouped.with(Parts.STRING, Parts.STRING))
                .aggregate(() -> "init",
                    (k, v, a) -> v.endsWith("0") || v.endsWith("1") ? null : Parts.cat(a, "+", v),
                    (k, v, a) -> v.endsWith("2") || v.endsWith("3") ? null : Parts.cat(a, "-", v),
                    Parts.kv("agg", Parts.STRING))
                .toStream().to("out")));
    }
}
