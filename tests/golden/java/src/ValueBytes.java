import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.kstream.internals.Change;
import org.apache.kafka.streams.kstream.internals.ChangedSerializer;
import org.apache.kafka.streams.processor.internals.ProcessorRecordContext;
import org.apache.kafka.streams.state.AggregationWithHeaders;
import org.apache.kafka.streams.state.ValueAndTimestamp;
import org.apache.kafka.streams.state.ValueTimestampHeaders;
import org.apache.kafka.streams.state.internals.AggregationWithHeadersSerde;
import org.apache.kafka.streams.state.internals.ValueAndTimestampSerde;
import org.apache.kafka.streams.state.internals.ValueTimestampHeadersSerde;

/** Values: plain serdes, with timestamps and headers, changes, suppression buffers, versioned rows. */
final class ValueBytes {
    private ValueBytes() { }

    static void add(final ByteGoldens.Lines lines) throws Exception {
        plain(lines);
        stored(lines);
        changes(lines);
        contexts(lines);
        buffered(lines);
        versioned(lines);
    }

    private static void plain(final ByteGoldens.Lines lines) {
        for (final long value : new long[] {0, 1, -1, Long.MIN_VALUE, Long.MAX_VALUE}) {
            lines.add("long", ByteGoldens.in("value", value), Serdes.Long().serializer().serialize("t", value));
            lines.add("int", ByteGoldens.in("value", (int) value), Serdes.Integer().serializer().serialize("t", (int) value));
            lines.add("short", ByteGoldens.in("value", (short) value), Serdes.Short().serializer().serialize("t", (short) value));
        }
        for (final double value : new double[] {0, -0.5, 1e300, Math.PI}) {
            lines.add("double", ByteGoldens.in("value", value), Serdes.Double().serializer().serialize("t", value));
        }
        for (final float value : new float[] {0, -0.5f, 3.25f}) {
            lines.add("float", ByteGoldens.in("value", value), Serdes.Float().serializer().serialize("t", value));
        }
        final UUID uuid = new UUID(0x0123456789abcdefL, 0x8edcba9876543210L);
        lines.add("uuid", ByteGoldens.in("value", uuid.toString()), Serdes.UUID().serializer().serialize("t", uuid));
        for (final boolean value : new boolean[] {false, true}) {
            lines.add("boolean", ByteGoldens.in("value", value), Serdes.Boolean().serializer().serialize("t", value));
        }
        for (final List<String> list : List.of(List.<String>of(), List.of("a"), Arrays.asList("a", null, "", "bc"))) {
            lines.add("list_string", ByteGoldens.in("value", list), list(Serdes.String()).serialize("t", list));
        }
        for (final List<Integer> list : List.of(List.<Integer>of(), Arrays.asList(1, null, -1))) {
            lines.add("list_int", ByteGoldens.in("value", list), list(Serdes.Integer()).serialize("t", list));
        }
    }

    @SuppressWarnings("unchecked")
    private static <T> Serializer<List<T>> list(final Serde<T> inner) {
        return Serdes.ListSerde(ArrayList.class, inner).serializer();
    }

    private static RecordHeaders headers(final int count) {
        final RecordHeaders headers = new RecordHeaders();
        if (count > 0) {
            headers.add("trace", new byte[] {1, (byte) 0xff});
        }
        if (count > 1) {
            headers.add("note", null);
        }
        return headers;
    }

    private static Map<String, Object> described(final Object value, final long time, final int headerCount) {
        final Map<String, Object> in = ByteGoldens.in("value", value, "ts", time);
        Step.headers(in, headers(headerCount));
        return in;
    }

    private static void stored(final ByteGoldens.Lines lines) {
        for (final String value : ByteGoldens.KEYS) {
            for (final long time : ByteGoldens.TIMES) {
                lines.add("timestamped_value", ByteGoldens.in("value", value, "ts", time),
                    new ValueAndTimestampSerde<>(Parts.STRING).serializer().serialize("t", ValueAndTimestamp.make(value, time)));
                for (int count = 0; count < 3; count++) {
                    lines.add("timestamped_value_with_headers", described(value, time, count),
                        new ValueTimestampHeadersSerde<>(Parts.STRING).serializer().serialize("t", new RecordHeaders(),
                            ValueTimestampHeaders.make(value, time, headers(count))));
                }
            }
            for (int count = 0; count < 3; count++) {
                final Map<String, Object> in = ByteGoldens.in("value", value);
                Step.headers(in, headers(count));
                lines.add("aggregation_with_headers", in,
                    new AggregationWithHeadersSerde<>(Parts.STRING).serializer().serialize("t", new RecordHeaders(),
                        AggregationWithHeaders.make(value, headers(count))));
            }
        }
    }

    private static void changes(final ByteGoldens.Lines lines) {
        try (ChangedSerializer<String> serializer = new ChangedSerializer<>(new StringSerializer())) {
            final String[] values = {null, "", "a", "a rather longer value of more than sixty-four bytes, so that its length takes two bytes"};
            for (final String fresh : values) {
                for (final String old : values) {
                    if (fresh != null || old != null) {
                        lines.add("change", ByteGoldens.in("new", fresh, "old", old),
                            serializer.serialize("t", new RecordHeaders(), new Change<>(fresh, old)));
                    }
                }
            }
        }
    }

    private static ProcessorRecordContext context(final int headerCount) {
        return new ProcessorRecordContext(1000, 42, 3, "topic", headers(headerCount));
    }

    private static Map<String, Object> contextIn(final int headerCount) {
        final Map<String, Object> in = ByteGoldens.in("ts", 1000, "offset", 42, "topic", "topic", "partition", 3);
        Step.headers(in, headers(headerCount));
        return in;
    }

    private static void contexts(final ByteGoldens.Lines lines) {
        for (int count = 0; count < 3; count++) {
            lines.add("record_context", contextIn(count), context(count).serialize());
        }
    }

    /** What a suppression buffer writes to its changelog: the value and, at its end, the time it waits for. */
    private static void buffered(final ByteGoldens.Lines lines) throws Exception {
        final var make = Class.forName("org.apache.kafka.streams.state.internals.BufferValue")
            .getDeclaredConstructor(byte[].class, byte[].class, byte[].class, ProcessorRecordContext.class);
        make.setAccessible(true);
        for (final String[] part : new String[][] {
            {null, null, "n"}, {"p", "p", "n"}, {"p", "o", "n"}, {null, "o", null}, {"p", null, "n"}, {"", "", ""}}) {
            final Map<String, Object> in = ByteGoldens.in("prior", part[0], "old", part[1], "new", part[2],
                "context", contextIn(1), "time", 5000);
            final Object value = make.newInstance(Wire.encode(part[0]), Wire.encode(part[1]), Wire.encode(part[2]), context(1));
            final ByteBuffer bytes = (ByteBuffer) Inside.call(value.getClass(), value, "serialize", Long.BYTES);
            bytes.putLong(5000);
            lines.add("suppress_buffer_value", in, bytes.array());
        }
    }

    /** Rows of a versioned store's segment: made from one record, then each later one inserted as the latest. */
    private static void versioned(final ByteGoldens.Lines lines) throws Exception {
        final Class<?> formatter = Class.forName("org.apache.kafka.streams.state.internals.RocksDBVersionedStoreSegmentValueFormatter");
        final Object[][][] histories = {
            {{"a", 10L, 20L}},
            {{null, 10L, 20L}},
            {{"a", 10L, 20L}, {"bb", 20L, 30L}},
            {{"a", 10L, 20L}, {null, 20L, 30L}, {"ccc", 30L, 45L}},
            {{null, 5L, 5L}, {"a", 5L, 9L}},
        };
        for (final Object[][] history : histories) {
            final List<Object> in = new ArrayList<>();
            Object row = null;
            for (final Object[] version : history) {
                in.add(ByteGoldens.in("value", version[0], "from", version[1], "to", version[2]));
                final byte[] value = Wire.encode(version[0]);
                if (row == null) {
                    row = Inside.call(formatter, null, "newSegmentValueWithRecord", value, version[1], version[2]);
                } else {
                    Inside.call(row.getClass(), row, "insertAsLatest", version[1], version[2], value);
                }
            }
            lines.add("versioned_segment_row", ByteGoldens.in("versions", in),
                (byte[]) Inside.call(row.getClass(), row, "serialize"));
        }
    }
}
