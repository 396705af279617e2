import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.kstream.internals.foreignkeyjoin.CombinedKeySchema;
import org.apache.kafka.streams.kstream.internals.foreignkeyjoin.SubscriptionResponseWrapper;
import org.apache.kafka.streams.kstream.internals.foreignkeyjoin.SubscriptionResponseWrapperSerde;
import org.apache.kafka.streams.kstream.internals.foreignkeyjoin.SubscriptionWrapper;
import org.apache.kafka.streams.kstream.internals.foreignkeyjoin.SubscriptionWrapperSerde;
import org.apache.kafka.streams.state.internals.LeftOrRightValue;
import org.apache.kafka.streams.state.internals.LeftOrRightValueSerde;
import org.apache.kafka.streams.state.internals.Murmur3;
import org.apache.kafka.streams.state.internals.TimestampedKeyAndJoinSide;
import org.apache.kafka.streams.state.internals.TimestampedKeyAndJoinSideSerde;

/** Keys and values of joins: the outer store of a stream-stream join, all of a foreign-key join. */
final class JoinBytes {
    private JoinBytes() { }

    static void add(final ByteGoldens.Lines lines) {
        for (final String key : ByteGoldens.KEYS) {
            for (final long time : ByteGoldens.TIMES) {
                side(lines, key, time, "left", TimestampedKeyAndJoinSide.makeLeft(key, time));
                side(lines, key, time, "right", TimestampedKeyAndJoinSide.makeRight(key, time));
            }
            value(lines, key, "left", LeftOrRightValue.makeLeftValue(key));
            value(lines, key, "right", LeftOrRightValue.makeRightValue(key));
        }
        combined(lines);
        subscriptions(lines);
        responses(lines);
    }

    private static void side(final ByteGoldens.Lines lines, final String key, final long time, final String side,
                             final TimestampedKeyAndJoinSide<String> made) {
        lines.add("join_side_key", ByteGoldens.in("key", key, "ts", time, "side", side),
            new TimestampedKeyAndJoinSideSerde<>(Parts.STRING).serializer().serialize("t", new RecordHeaders(), made));
    }

    private static void value(final ByteGoldens.Lines lines, final String value, final String side,
                              final LeftOrRightValue<String, String> made) {
        lines.add("join_side_value", ByteGoldens.in("value", value, "side", side),
            new LeftOrRightValueSerde<>(Parts.STRING, Parts.STRING).serializer().serialize("t", new RecordHeaders(), made));
    }

    private static void combined(final ByteGoldens.Lines lines) {
        final CombinedKeySchema<String, String> schema = new CombinedKeySchema<>(() -> "f", Parts.STRING, () -> "p", Parts.STRING);
        for (final String foreign : ByteGoldens.KEYS) {
            for (final String primary : ByteGoldens.KEYS) {
                lines.add("foreign_combined_key", ByteGoldens.in("foreign", foreign, "primary", primary),
                    ((Bytes) Inside.call(CombinedKeySchema.class, schema, "toBytes", foreign, primary, new RecordHeaders())).get());
            }
            lines.add("foreign_prefix", ByteGoldens.in("foreign", foreign),
                ((Bytes) Inside.call(CombinedKeySchema.class, schema, "prefixBytes", foreign, new RecordHeaders())).get());
        }
    }

    private static void subscriptions(final ByteGoldens.Lines lines) {
        final var serializer = new SubscriptionWrapperSerde<>(() -> "p", Parts.STRING).serializer();
        for (final String value : new String[] {null, "left value"}) {
            final long[] hash = value == null ? null : Murmur3.hash128(Wire.encode(value));
            for (final SubscriptionWrapper.Instruction instruction : SubscriptionWrapper.Instruction.values()) {
                for (final byte version : new byte[] {0, 1}) {
                    lines.add("foreign_subscription",
                        ByteGoldens.in("version", version, "instruction", instruction.name(), "left_value", value,
                            "primary_key", "ab", "primary_partition", version == 0 ? null : 5),
                        serializer.serialize("t", new RecordHeaders(),
                            new SubscriptionWrapper<>(hash, instruction, "ab", version, version == 0 ? null : 5)));
                }
            }
        }
    }

    private static void responses(final ByteGoldens.Lines lines) {
        try (var serializer = new SubscriptionResponseWrapperSerde<>(Parts.STRING).serializer()) {
            for (final String value : new String[] {null, "left value"}) {
                final long[] hash = value == null ? null : Murmur3.hash128(Wire.encode(value));
                for (final String foreign : new String[] {null, "", "foreign"}) {
                    lines.add("foreign_response", ByteGoldens.in("left_value", value, "foreign_value", foreign),
                        serializer.serialize("t", new RecordHeaders(), new SubscriptionResponseWrapper<>(hash, foreign, 5)));
                }
            }
        }
    }
}
