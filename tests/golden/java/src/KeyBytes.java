import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.kstream.SessionWindowedSerializer;
import org.apache.kafka.streams.kstream.TimeWindowedSerializer;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.kstream.internals.SessionWindow;
import org.apache.kafka.streams.kstream.internals.TimeWindow;
import org.apache.kafka.streams.state.internals.PrefixedSessionKeySchemas;
import org.apache.kafka.streams.state.internals.PrefixedWindowKeySchemas;
import org.apache.kafka.streams.state.internals.SessionKeySchema;
import org.apache.kafka.streams.state.internals.WindowKeySchema;

/** Keys of windows and sessions: in topics and in the stores. */
final class KeyBytes {
    private static final int SIZE = 10;

    private KeyBytes() { }

    static void add(final ByteGoldens.Lines lines) {
        for (final String key : ByteGoldens.KEYS) {
            for (final long start : ByteGoldens.TIMES) {
                windows(lines, key, start);
                sessions(lines, key, start, start);
                sessions(lines, key, start, start + SIZE);
            }
        }
    }

    private static void windows(final ByteGoldens.Lines lines, final String key, final long start) {
        try (TimeWindowedSerializer<String> serializer = new TimeWindowedSerializer<>(new StringSerializer())) {
            lines.add("time_windowed_key", ByteGoldens.in("key", key, "start", start, "end", start + SIZE),
                serializer.serialize("t", new Windowed<>(key, new TimeWindow(start, start + SIZE))));
        }
        final Bytes bytes = Bytes.wrap(Wire.encode(key));
        for (final int sequence : new int[] {0, 7}) {
            final var in = ByteGoldens.in("key", key, "start", start, "seq", sequence);
            lines.add("window_store_key", in, WindowKeySchema.toStoreKeyBinary(bytes, start, sequence).get());
            lines.add("window_store_key_time_first", in,
                PrefixedWindowKeySchemas.TimeFirstWindowKeySchema.toStoreKeyBinary(bytes, start, sequence).get());
            lines.add("window_store_key_index", in,
                PrefixedWindowKeySchemas.KeyFirstWindowKeySchema.toStoreKeyBinary(bytes, start, sequence).get());
        }
    }

    private static void sessions(final ByteGoldens.Lines lines, final String key, final long start, final long end) {
        final var in = ByteGoldens.in("key", key, "start", start, "end", end);
        try (SessionWindowedSerializer<String> serializer = new SessionWindowedSerializer<>(new StringSerializer())) {
            lines.add("session_windowed_key", in, serializer.serialize("t", new Windowed<>(key, new SessionWindow(start, end))));
        }
        final Bytes bytes = Bytes.wrap(Wire.encode(key));
        lines.add("session_store_key", in, SessionKeySchema.toBinary(bytes, start, end).get());
        lines.add("session_store_key_time_first", in,
            PrefixedSessionKeySchemas.TimeFirstSessionKeySchema.toBinary(bytes, start, end).get());
        lines.add("session_store_key_index", in,
            PrefixedSessionKeySchemas.KeyFirstSessionKeySchema.toBinary(bytes, start, end).get());
    }
}
