import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.util.*;
import java.util.regex.Pattern;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.config.ConfigException;
import org.apache.kafka.common.config.types.Password;
import org.apache.kafka.coordinator.group.GroupConfig;
import org.apache.kafka.server.config.QuotaConfig;
import org.apache.kafka.storage.internals.log.LogConfig;

/**
 * Prints what Apache Kafka makes of sample values of every broker, topic, group and quota key, as tab-separated rows:
 * scope, name, sample, and "ok" with the value as Java prints it or "no" with the message. The samples of a key are a
 * few of every kind, the bounds of its validator and their neighbours, and the words that its validator names.
 *   tests/apache/apache.sh java base/config/golden/DumpValues.java
 */
public final class DumpValues {
    private static final String[] ANY = {
        "", "  ", "abc", "a,b", "a, b ,a", ",", "a,", "true", "False", " true ", "yes", "-3", "-2", "-1", "0", "1", "2", " 7 ", "+5", "007", "0x10",
        "1.5", "0.5", "-0.5", "1e3", "1E-9", "NaN", "Infinity", "1f", "32767", "32768", "2147483647", "2147483648", "-2147483649",
        "9223372036854775807", "9223372036854775808", "0:1,2:3", "*", "*,0:1", "0:", ":1", "0:1:2", "-1:2", "by_duration:P1D", "by_duration:PT3H20S",
        "BY_DURATION:p1d", "by_duration:-PT1S", "by_duration:x", "latest", "EARLIEST", "none",
        "1@a:9093", "x@a:1", "1@a", "1@a:b,2@b:1", "1@a:1@", "@a:1", "a:99999999999", "[::1]:9092", "a:1,b",
    };
    private static final Pattern NUMBER = Pattern.compile("-?\\d+(\\.\\d+)?");
    private static final Pattern WORD = Pattern.compile("[A-Za-z_]\\w*");

    private static final Method PARSE;

    static {
        try {
            PARSE = ConfigDef.class.getDeclaredMethod("parseValue", ConfigDef.ConfigKey.class, Object.class, boolean.class);
            PARSE.setAccessible(true);
        } catch (NoSuchMethodException missing) {
            throw new AssertionError(missing);
        }
    }

    public static void main(String[] args) throws Exception {
        dump("broker", kafka.server.KafkaConfig.configDef());
        dump("topic", new ConfigDef(LogConfig.configDefCopy()));
        dump("group", GroupConfig.CONFIG_DEF);
        dump("quota", QuotaConfig.brokerQuotaConfigs());
    }

    private static void dump(String scope, ConfigDef def) throws Exception {
        var out = new StringBuilder();
        for (var key : def.configKeys().values()) {
            // Java looks for the class that is named.
            if (key.type == ConfigDef.Type.CLASS) continue;
            for (String sample : samples(key)) {
                out.append(scope).append('\t').append(key.name).append('\t').append(sample).append('\t');
                out.append(answer(def, key, sample).replace('\n', ' ').replace('\t', ' ')).append('\n');
            }
        }
        System.out.print(out);
    }

    private static Set<String> samples(ConfigDef.ConfigKey key) {
        var samples = new LinkedHashSet<>(Arrays.asList(ANY));
        String text = key.validator == null ? "" : key.validator.toString();
        for (var found = NUMBER.matcher(text); found.find(); ) {
            double bound = Double.parseDouble(found.group());
            if (key.type == ConfigDef.Type.DOUBLE) {
                samples.addAll(List.of("" + bound, "" + (bound - 0.125), "" + (bound + 0.125)));
            } else {
                for (long near = (long) bound - 1; near <= (long) bound + 1; near++) samples.add("" + near);
            }
        }
        var words = new ArrayList<String>();
        for (var found = WORD.matcher(text); found.find(); ) words.add(found.group());
        for (String word : words) samples.addAll(List.of(word, word.toLowerCase(Locale.ROOT), word.toUpperCase(Locale.ROOT)));
        samples.add(String.join(",", words));
        return samples;
    }

    private static String answer(ConfigDef def, ConfigDef.ConfigKey key, String sample) throws Exception {
        try {
            Object value = PARSE.invoke(def, key, sample, true);
            return "ok " + (value instanceof Password hidden ? hidden.value() : ConfigDef.convertToString(value, key.type));
        } catch (InvocationTargetException thrown) {
            return "no " + (thrown.getCause() instanceof ConfigException refused ? refused.getMessage() : thrown.getCause().toString());
        }
    }
}
