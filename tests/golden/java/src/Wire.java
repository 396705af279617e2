import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The serdes a recorded file names: string, long, bytes, time-windowed(string,SIZE), session-windowed(string).
 * A value of another serde, or one that does not decode, is written as hex.
 */
final class Wire {
    private Wire() { }

    static String hex(final byte[] bytes) {
        return bytes == null ? null : HexFormat.of().formatHex(bytes);
    }

    static byte[] encode(final Object value) {
        if (value == null) {
            return null;
        }
        if (value instanceof byte[] raw) {
            return raw;
        }
        if (value instanceof Long number) {
            return ByteBuffer.allocate(8).putLong(number).array();
        }
        return ((String) value).getBytes(StandardCharsets.UTF_8);
    }

    /** Puts the field `name` as JSON if `serde` is textual or numeric, else `name` + "x" as hex. */
    static void put(final Map<String, Object> into, final String name, final String serde, final byte[] bytes) {
        if (serde.equals("bytes")) {
            into.put(name + "x", hex(bytes));
        } else if (bytes == null) {
            into.put(name, null);
        } else if (serde.equals("string")) {
            into.put(name, new String(bytes, StandardCharsets.UTF_8));
        } else if (serde.equals("long") && bytes.length == 8) {
            into.put(name, ByteBuffer.wrap(bytes).getLong());
        } else if (serde.startsWith("time-windowed(string,")) {
            final long size = Long.parseLong(serde.substring(serde.indexOf(',') + 1, serde.length() - 1));
            final long start = ByteBuffer.wrap(bytes).getLong(bytes.length - 8);
            into.put(name, windowed(bytes, bytes.length - 8, start, start + size));
        } else if (serde.equals("session-windowed(string)")) {
            final ByteBuffer buffer = ByteBuffer.wrap(bytes);
            final long end = buffer.getLong(bytes.length - 16);
            into.put(name, windowed(bytes, bytes.length - 16, buffer.getLong(bytes.length - 8), end));
        } else {
            into.put(name + "x", hex(bytes));
        }
    }

    private static Map<String, Object> windowed(final byte[] bytes, final int keyLength, final long start, final long end) {
        final Map<String, Object> key = new LinkedHashMap<>();
        key.put("k", new String(bytes, 0, keyLength, StandardCharsets.UTF_8));
        key.put("start", start);
        key.put("end", end);
        return key;
    }
}
