import static org.apache.kafka.streams.StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG;

import java.util.Arrays;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;

/** A named topology with its parameters, its topics, its input and what its runs must have shown. */
final class Scenario {
    /** What the cases of a scenario must have shown at least once. */
    enum Seen {
        /** A null value on an output topic. */
        TOMBSTONE,
        /** A record dropped for its null key or value. */
        DROP,
        /** A record dropped although its key and value were there: it was late, had no valid time or did not decode. */
        LATE,
        /** A case that ended with an exception. */
        ERROR
    }

    static final String OUTER_JOIN_INTERVAL = "__emit.interval.ms.kstreams.outer.join.spurious.results.fix__";
    static final String EMIT_INTERVAL = "__emit.interval.ms.kstreams.windowed.aggregation__";
    private static final List<String> CACHES = List.of("0", "10485760");

    final String name;
    final Map<String, Object> params = new LinkedHashMap<>();
    final Map<String, List<String>> topics = new LinkedHashMap<>();
    final Set<Seen> must = EnumSet.noneOf(Seen.class);
    Input input = new Input();
    private final Map<String, String> config = new LinkedHashMap<>();
    private Consumer<StreamsBuilder> topology;
    private Consumer<Topology> then = topology -> { };

    Scenario(final String name) {
        this.name = name;
        config.put(OUTER_JOIN_INTERVAL, "0");
        config.put(EMIT_INTERVAL, "0");
    }

    Scenario param(final String key, final Object value) {
        params.put(key, value);
        return this;
    }

    long at(final String key) {
        return ((Number) params.get(key)).longValue();
    }

    Scenario set(final String key, final String value) {
        config.put(key, value);
        return this;
    }

    /** A topic that is read, with String keys and values of this kind. */
    Scenario in(final String topic, final Input.Kind values) {
        return in(topic, Input.Kind.KEY, values);
    }

    Scenario in(final String topic, final Input.Kind keys, final Input.Kind values) {
        input.feed(topic, keys, values);
        return topic(topic, "string", values == Input.Kind.NUMBER ? "long" : "string");
    }

    /** A topic that is written, with the names of its serdes. */
    Scenario topic(final String topic, final String key, final String value) {
        topics.put(topic, List.of(key, value));
        return this;
    }

    Scenario out() {
        return topic("out", "string", "string");
    }

    Scenario input(final Consumer<Input> tune) {
        tune.accept(input);
        return this;
    }

    Scenario must(final Seen... seen) {
        must.addAll(Arrays.asList(seen));
        return this;
    }

    Scenario topology(final Consumer<StreamsBuilder> build) {
        topology = build;
        return this;
    }

    Scenario topology(final BiConsumer<Scenario, StreamsBuilder> build) {
        topology = builder -> build.accept(this, builder);
        return this;
    }

    /** What is added to the topology after it was built. */
    Scenario then(final Consumer<Topology> add) {
        then = add;
        return this;
    }

    int variants() {
        return CACHES.size();
    }

    Map<String, String> config(final int variant) {
        final Map<String, String> all = new LinkedHashMap<>();
        all.put(STATESTORE_CACHE_MAX_BYTES_CONFIG, CACHES.get(variant));
        all.putAll(config);
        return all;
    }

    Topology build(final Properties properties) {
        final StreamsBuilder builder = new StreamsBuilder();
        topology.accept(builder);
        final Topology built = builder.build(properties);
        then.accept(built);
        return built;
    }
}
