import java.util.List;
import java.util.function.Function;
import org.apache.kafka.streams.kstream.KTable;

/** Scenarios 68 to 70: table-table joins on a foreign key. */
final class ForeignKeyJoins {
    private static final Function<String, String> NAMED = Parts::first;
    private static final Function<String, String> NAMED_BUT_X = value -> value.startsWith("x") ? null : Parts.first(value);

    private ForeignKeyJoins() { }

    static void add(final List<Scenario> all) {
        all.add(sides("fk_inner").topology(builder -> {
            final KTable<String, String> left = builder.table("L");
            final KTable<String, String> right = builder.table("R");
            left.join(right, NAMED, Parts::both, Parts.kv("joined", Parts.STRING)).toStream().to("out");
        }));
        all.add(sides("fk_left").topology(builder -> {
            final KTable<String, String> left = builder.table("L");
            final KTable<String, String> right = builder.table("R");
            left.leftJoin(right, NAMED, Parts::both, Parts.kv("joined", Parts.STRING)).toStream().to("out");
        }));
        all.add(new Scenario("fk_self_and_null_fk").in("in", Input.Kind.NAMED)
            .topic("out-inner", "string", "string").topic("out-left", "string", "string")
            .must(Scenario.Seen.TOMBSTONE, Scenario.Seen.DROP)
            .input(input -> input.nulls(5, 15).keys(5))
            .topology(builder -> {
                final KTable<String, String> table = builder.table("in");
                table.join(table, NAMED_BUT_X, Parts::both, Parts.kv("inner", Parts.STRING)).toStream().to("out-inner");
                table.leftJoin(table, NAMED_BUT_X, Parts::both, Parts.kv("left", Parts.STRING)).toStream().to("out-left");
            }));
    }

    private static Scenario sides(final String name) {
        return new Scenario(name).in("L", Input.Kind.NAMED).in("R", Input.Kind.LETTER, Input.Kind.NAMED).out()
            .must(Scenario.Seen.TOMBSTONE, Scenario.Seen.DROP)
            .input(input -> input.nulls(5, 15));
    }
}
