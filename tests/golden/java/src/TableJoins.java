import java.util.List;
import org.apache.kafka.streams.kstream.KTable;

/** Scenarios 62 to 67: table-table joins on the key. */
final class TableJoins {
    private TableJoins() { }

    static void add(final List<Scenario> all) {
        all.add(sides("tt_inner").topology(builder -> {
            final KTable<String, String> left = builder.table("L");
            final KTable<String, String> right = builder.table("R");
            left.join(right, Parts::both).toStream().to("out");
        }));
        all.add(sides("tt_left").input(input -> input.nulls(5, 25)).topology(builder -> {
            final KTable<String, String> left = builder.table("L");
            final KTable<String, String> right = builder.table("R");
            left.leftJoin(right, Parts::both).toStream().to("out");
        }));
        all.add(sides("tt_outer").input(input -> input.nulls(5, 30).keys(3)).topology(builder -> {
            final KTable<String, String> left = builder.table("L");
            final KTable<String, String> right = builder.table("R");
            left.outerJoin(right, Parts::both, Parts.kv("joined", Parts.STRING)).toStream().to("out");
        }));
        all.add(sides("tt_multi_left_outer").in("M", Input.Kind.NAMED).input(input -> input.nulls(5, 35).keys(2)).topology(builder -> {
            final KTable<String, String> left = builder.table("L");
            final KTable<String, String> right = builder.table("R");
            final KTable<String, String> more = builder.table("M");
            left.leftJoin(right, Parts::both).outerJoin(more, Parts::both).toStream().to("out");
        }));
        all.add(sides("tt_filtered_unmaterialized").topology(builder -> {
            final KTable<String, String> left = builder.table("L");
            final KTable<String, String> right = builder.table("R");
            left.filter((k, v) -> !v.startsWith("x"))
                .mapValues(v -> v.toUpperCase())
                .join(right.filterNot((k, v) -> v.endsWith("0")), Parts::both)
                .filter((k, v) -> !v.endsWith("1"))
                .toStream().to("out");
        }));
        all.add(sides("tt_versioned_out_of_order").param("history_ms", 100).param("segment_ms", 30)
            .input(input -> input.late(40, 60).keys(3))
            .topology((scenario, builder) -> {
                final KTable<String, String> left = builder.table("L", StreamTableJoins.versioned("vl", scenario));
                final KTable<String, String> right = builder.table("R", StreamTableJoins.versioned("vr", scenario));
                left.join(right, Parts::both).toStream().to("out");
            }));
    }

    private static Scenario sides(final String name) {
        return new Scenario(name).in("L", Input.Kind.NAMED).in("R", Input.Kind.NAMED).out()
            .must(Scenario.Seen.TOMBSTONE, Scenario.Seen.DROP)
            .input(input -> input.nulls(5, 15));
    }
}
