import static java.nio.charset.StandardCharsets.UTF_8;

import java.util.List;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.processor.api.ContextualFixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;

/** Scenarios 78 to 80: choice among inputs, headers across a repartition, the optimised topology. */
final class Runtime {
    private Runtime() { }

    static void add(final List<Scenario> all) {
        all.add(new Scenario("max_task_idle_two_inputs").set("max.task.idle.ms", "1000")
            .in("L", Input.Kind.NAMED).in("R", Input.Kind.NAMED).out().must(Scenario.Seen.TOMBSTONE)
            .input(input -> input.clock(15, 900).late(35, 20))
            .topology(builder -> builder.<String, String>stream("L").merge(builder.stream("R")).to("out")));
        all.add(new Scenario("headers_through_repartition").in("in", Input.Kind.NAMED).out()
            .topic("out-agg", "string", "string")
            .input(input -> input.headers(50))
            .topology(builder -> {
                final KStream<String, String> stream = builder.<String, String>stream("in")
                    .selectKey((k, v) -> Parts.first(v))
                    .repartition(Repartitioned.with(Parts.STRING, Parts.STRING).withName("rp"));
                stream.processValues(Mark::new).to("out");
                stream.groupByKey()
                    .reduce((a, v) -> Parts.cat(a, "+", v), Parts.kv("agg", Parts.STRING))
                    .toStream().to("out-agg");
            }));
        all.add(new Scenario("optimized_source_reuse_describe").set("topology.optimization", "all")
            .in("in1", Input.Kind.NAMED).in("in2", Input.Kind.NAMED)
            .topic("out-table", "string", "string").topic("out-count", "string", "long").topic("out-reduce", "string", "string")
            .must(Scenario.Seen.TOMBSTONE, Scenario.Seen.DROP)
            .topology(builder -> {
                builder.<String, String>table("in1", Parts.kv("t", Parts.STRING)).toStream().to("out-table");
                final KStream<String, String> stream = builder.<String, String>stream("in2").selectKey((k, v) -> Parts.first(v));
                stream.groupByKey(Grouped.with(Parts.STRING, Parts.STRING))
                    .count(Parts.kv("counts", Parts.LONG))
                    .toStream().to("out-count", Produced.with(Parts.STRING, Parts.LONG));
                stream.groupByKey(Grouped.with(Parts.STRING, Parts.STRING))
                    .reduce((a, v) -> Parts.cat(a, "+", v), Parts.kv("agg", Parts.STRING))
                    .toStream().to("out-reduce");
            }));
    }

    /** Adds one header to each record. */
    private static final class Mark extends ContextualFixedKeyProcessor<String, String, String> {
        @Override
        public void process(final FixedKeyRecord<String, String> record) {
            record.headers().add("mark", record.value().substring(1).getBytes(UTF_8));
            context().forward(record);
        }
    }
}
