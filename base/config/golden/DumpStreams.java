import java.util.*;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.streams.StreamsConfig;

/**
 * Prints every configuration key of Kafka Streams as tab-separated rows in the form of DumpConfigs, whose jars lack it:
 *   EXTRA_CLASSPATH="$HOME/.cache/millstream/kafka-streams-4.3.1/libs/*" \
 *     tests/apache/apache.sh java base/config/golden/DumpStreams.java >> base/config/golden/keys.tsv
 */
public final class DumpStreams {
    public static void main(String[] args) throws Exception {
        var field = StreamsConfig.class.getDeclaredField("CONFIG");
        field.setAccessible(true);
        for (var key : ((ConfigDef) field.get(null)).configKeys().values()) {
            String value = key.defaultValue == ConfigDef.NO_DEFAULT_VALUE ? "<none>" : key.defaultValue == null ? "<null>" : ConfigDef.convertToString(key.defaultValue, key.type);
            String validator = key.validator == null ? "" : key.validator.toString().replace('\n', ' ');
            System.out.println(String.join("\t", "streams", key.name, key.type.name(), value, validator, key.importance.name(), Boolean.toString(key.internalConfig), ""));
        }
    }
}
