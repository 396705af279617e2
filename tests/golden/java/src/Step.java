import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;

/** One input record (topic set) or one advance of the wall clock (topic null). A key or value is a String, a Long, raw bytes or null. */
record Step(String topic, Object key, Object value, long timestamp, Headers headers, long clock) {
    static Step clock(final long millis) {
        return new Step(null, null, null, 0, null, millis);
    }

    boolean hasNull() {
        return topic != null && (key == null || value == null);
    }

    Map<String, Object> json() {
        final Map<String, Object> json = new LinkedHashMap<>();
        if (topic == null) {
            json.put("clock", clock);
            return json;
        }
        json.put("pipe", topic);
        field(json, "k", key);
        field(json, "v", value);
        json.put("ts", timestamp);
        headers(json, headers);
        return json;
    }

    private static void field(final Map<String, Object> json, final String name, final Object value) {
        if (value instanceof byte[] raw) {
            json.put(name + "x", Wire.hex(raw));
        } else {
            json.put(name, value);
        }
    }

    /** The stack trace in a dead-letter record is Java's own: its value is written as "*". */
    static void headers(final Map<String, Object> json, final Headers headers) {
        final List<List<String>> list = new ArrayList<>();
        for (final Header header : headers) {
            final List<String> pair = new ArrayList<>();
            pair.add(header.key());
            pair.add(header.key().equals("__streams.errors.stacktrace") ? "*" : Wire.hex(header.value()));
            list.add(pair);
        }
        if (!list.isEmpty()) {
            json.put("h", list);
        }
    }
}
