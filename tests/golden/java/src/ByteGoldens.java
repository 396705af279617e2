import java.io.PrintStream;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The byte goldens: one line for each encoding of one input, `{"name":…,"in":{…},"hex":…}`. */
final class ByteGoldens {
    /** Where the families put their lines. */
    interface Lines {
        void add(String name, Map<String, Object> in, byte[] bytes);
    }

    static final List<String> KEYS = List.of("", "a", "ab", "b", "\u00fc\u20ac");
    static final List<Long> TIMES = List.of(0L, 1L, 255L, 1_700_000_000_123L);

    private ByteGoldens() { }

    static boolean write(final PrintStream out) throws Exception {
        final Lines lines = (name, in, bytes) -> {
            final Map<String, Object> line = new LinkedHashMap<>();
            line.put("name", name);
            line.put("in", in);
            line.put("hex", Wire.hex(bytes));
            out.print(Json.of(line));
            out.print('\n');
        };
        KeyBytes.add(lines);
        ValueBytes.add(lines);
        JoinBytes.add(lines);
        MetadataBytes.add(lines);
        return true;
    }

    /** An input as names and values in turn. */
    static Map<String, Object> in(final Object... pairs) {
        final Map<String, Object> in = new LinkedHashMap<>();
        for (int i = 0; i < pairs.length; i += 2) {
            in.put((String) pairs[i], pairs[i + 1]);
        }
        return in;
    }
}
