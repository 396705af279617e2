import java.util.List;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.kstream.GlobalKTable;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.ValueJoiner;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** Scenarios 58 to 61: a stream with a table or a global table. */
final class StreamTableJoins {
    private static final ValueJoiner<String, String, String> BOTH = Parts::both;

    private StreamTableJoins() { }

    static Materialized<String, String, KeyValueStore<Bytes, byte[]>>
        versioned(final String name, final Scenario scenario) {
        return Materialized.<String, String>as(Stores.persistentVersionedKeyValueStore(name,
            Parts.ms(scenario.at("history_ms")), Parts.ms(scenario.at("segment_ms"))))
            .withKeySerde(Parts.STRING).withValueSerde(Parts.STRING);
    }

    static void add(final List<Scenario> all) {
        all.add(sides("st_inner").must(Scenario.Seen.DROP)
            .topology(builder -> {
                final KTable<String, String> table = builder.table("R");
                builder.<String, String>stream("L").join(table, BOTH).to("out");
            }));
        all.add(sides("st_left_null_key").must(Scenario.Seen.DROP).input(input -> input.nulls(20, 10))
            .topology(builder -> {
                final KTable<String, String> table = builder.table("R");
                builder.<String, String>stream("L").leftJoin(table, BOTH).to("out");
            }));
        all.add(sides("st_versioned_grace").param("history_ms", 200).param("segment_ms", 60).param("grace_ms", 10)
            .must(Scenario.Seen.DROP)
            .input(input -> input.keys(3).late(35, 40))
            .topology((scenario, builder) -> {
                final KTable<String, String> table = builder.table("R", versioned("v", scenario));
                builder.<String, String>stream("L").join(table, BOTH,
                    Joined.with(Parts.STRING, Parts.STRING, Parts.STRING).withGracePeriod(Parts.ms(scenario.at("grace_ms"))))
                    .to("out");
            }));
        all.add(new Scenario("sg_inner_left").in("L", Input.Kind.NAMED).in("R", Input.Kind.LETTER, Input.Kind.NAMED)
            .topic("out-inner", "string", "string").topic("out-left", "string", "string")
            .must(Scenario.Seen.DROP)
            .topology(builder -> {
                final GlobalKTable<String, String> table = builder.globalTable("R", Parts.kv("g", Parts.STRING));
                final KStream<String, String> stream = builder.stream("L");
                stream.join(table, (k, v) -> Parts.starts(v, "x") ? null : Parts.first(v), BOTH).to("out-inner");
                stream.leftJoin(table, (k, v) -> Parts.starts(v, "x") ? null : Parts.first(v), BOTH).to("out-left");
            }));
    }

    private static Scenario sides(final String name) {
        return new Scenario(name).in("L", Input.Kind.NAMED).in("R", Input.Kind.NAMED).out();
    }
}
