import java.time.Duration;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.kstream.WindowedSerdes;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.SessionStore;
import org.apache.kafka.streams.state.WindowStore;

/** The functions and serdes that the topologies are written with; ../README.md defines each in words. */
final class Parts {
    static final Serde<String> STRING = Serdes.String();
    static final Serde<Long> LONG = Serdes.Long();
    private static final int KEPT = 20;

    private Parts() { }

    static Duration ms(final long millis) {
        return Duration.ofMillis(millis);
    }

    /** `a + sep + b`, of which the last 20 characters are kept, so that what many records add to stays short. */
    static String cat(final String a, final String sep, final String b) {
        final String whole = a + sep + b;
        return whole.substring(Math.max(0, whole.length() - KEPT));
    }

    static String both(final String left, final String right) {
        return left + "+" + right;
    }

    static String first(final String value) {
        return value == null ? null : value.substring(0, 1);
    }

    static boolean starts(final String value, final String prefix) {
        return value != null && value.startsWith(prefix);
    }

    static <V> Materialized<String, V, KeyValueStore<Bytes, byte[]>> kv(final String name, final Serde<V> values) {
        return Materialized.<String, V, KeyValueStore<Bytes, byte[]>>as(name).withKeySerde(STRING).withValueSerde(values);
    }

    static <V> Materialized<String, V, WindowStore<Bytes, byte[]>> window(final String name, final Serde<V> values) {
        return Materialized.<String, V, WindowStore<Bytes, byte[]>>as(name).withKeySerde(STRING).withValueSerde(values);
    }

    static <V> Materialized<String, V, SessionStore<Bytes, byte[]>> session(final String name, final Serde<V> values) {
        return Materialized.<String, V, SessionStore<Bytes, byte[]>>as(name).withKeySerde(STRING).withValueSerde(values);
    }

    static <V> Produced<Windowed<String>, V> timed(final long size, final Serde<V> values) {
        return Produced.with(WindowedSerdes.timeWindowedSerdeFrom(String.class, size), values);
    }

    static <V> Produced<Windowed<String>, V> sessions(final Serde<V> values) {
        return Produced.with(WindowedSerdes.sessionWindowedSerdeFrom(String.class), values);
    }

    static String timedName(final long size) {
        return "time-windowed(string," + size + ")";
    }
}
