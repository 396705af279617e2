import java.util.*;
import org.apache.kafka.clients.admin.AdminClientConfig;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.coordinator.group.GroupConfig;
import org.apache.kafka.server.config.DynamicBrokerConfig;
import org.apache.kafka.server.config.QuotaConfig;
import org.apache.kafka.server.config.ServerTopicConfigSynonyms;
import org.apache.kafka.server.metrics.ClientMetricsConfigs;
import org.apache.kafka.storage.internals.log.LogConfig;

/**
 * Prints every configuration key of Apache Kafka as tab-separated rows: scope, name, type, default, validator,
 * importance, internal, and for broker keys how they may be changed, for topic and group keys their broker synonyms.
 *   tests/apache/apache.sh java base/config/golden/DumpConfigs.java > base/config/golden/keys.tsv
 */
public final class DumpConfigs {
    public static void main(String[] args) throws Exception {
        dump("broker", kafka.server.KafkaConfig.configDef());
        var topic = new ConfigDef(LogConfig.configDefCopy());
        dump("topic", topic);
        dump("producer", field(ProducerConfig.class));
        dump("consumer", field(ConsumerConfig.class));
        dump("admin", field(AdminClientConfig.class));
        dump("group", GroupConfig.CONFIG_DEF);
        dump("client-metrics", ClientMetricsConfigs.configDef());
        dump("quota", QuotaConfig.brokerQuotaConfigs());
    }

    private static ConfigDef field(Class<?> kind) throws Exception {
        var field = kind.getDeclaredField("CONFIG");
        field.setAccessible(true);
        return (ConfigDef) field.get(null);
    }

    private static void dump(String scope, ConfigDef def) throws Exception {
        for (var key : def.configKeys().values()) {
            String value = key.defaultValue == ConfigDef.NO_DEFAULT_VALUE ? "<none>" : key.defaultValue == null ? "<null>" : ConfigDef.convertToString(key.defaultValue, key.type);
            String validator = key.validator == null ? "" : key.validator.toString().replace('\n', ' ');
            String extra = "";
            if (scope.equals("broker")) extra = mode(key.name);
            if (scope.equals("topic")) {
                var synonyms = ServerTopicConfigSynonyms.TOPIC_CONFIG_SYNONYMS.containsKey(key.name) || ServerTopicConfigSynonyms.ALL_TOPIC_CONFIG_SYNONYMS.containsKey(key.name)
                        ? ServerTopicConfigSynonyms.ALL_TOPIC_CONFIG_SYNONYMS.get(key.name) : List.<org.apache.kafka.server.config.ConfigSynonym>of();
                List<String> names = new ArrayList<>();
                for (var synonym : synonyms) names.add(synonym.name() + "/" + synonym.converter().apply("2"));
                extra = String.join(",", names);
            }
            if (scope.equals("group")) extra = GroupConfig.brokerSynonym(key.name).map(name -> name + "/2").orElse("");
            System.out.println(String.join("\t", scope, key.name, key.type.name(), value, validator, key.importance.name(), Boolean.toString(key.internalConfig), extra));
        }
    }

    private static String mode(String name) throws Exception {
        if (!DynamicBrokerConfig.ALL_DYNAMIC_CONFIGS.contains(name)) return "read-only";
        var field = DynamicBrokerConfig.class.getDeclaredField("PER_BROKER_CONFIGS");
        field.setAccessible(true);
        return ((Set<?>) field.get(null)).contains(name) ? "per-broker" : "cluster-wide";
    }
}
