import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.common.config.ConfigResource;

/** Makes topics with configurations on a broker, changes some, and prints what the broker has then. */
public class Topics {
    public static void main(String[] args) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", args[0]))) {
            create(admin, "compacted", 3, Map.of("cleanup.policy", "compact", "segment.ms", "60000"));
            create(admin, "kept", 1, Map.of("retention.ms", "-1", "max.message.bytes", "123456"));
            create(admin, "plain", 2, Map.of());
            create(admin, "again", 1, Map.of("cleanup.policy", "compact"));
            admin.deleteTopics(List.of("again")).all().get();
            for (int number = 0; number < 20; number++) {
                create(admin, "many-" + number, 1, Map.of("min.insync.replicas", "1", "retention.bytes", "" + (1000 + number)));
            }
            create(admin, "again", 1, Map.of("retention.ms", "4000000"));
            alter(admin, ConfigResource.Type.TOPIC, "compacted", "segment.ms", null);
            alter(admin, ConfigResource.Type.TOPIC, "compacted", "min.cleanable.dirty.ratio", "0.2");
            alter(admin, ConfigResource.Type.TOPIC, "plain", "compression.type", "zstd");
            alter(admin, ConfigResource.Type.BROKER, "", "log.cleaner.threads", "2");
            alter(admin, ConfigResource.Type.BROKER, "1", "log.cleaner.io.buffer.size", "600000");
            print(admin);
        }
    }

    static void create(Admin admin, String name, int partitions, Map<String, String> configs) throws Exception {
        // A deletion that is under way is awaited.
        for (int attempt = 0; ; attempt++) {
            try {
                admin.createTopics(List.of(new NewTopic(name, partitions, (short) 1).configs(configs))).all().get();
                return;
            } catch (java.util.concurrent.ExecutionException error) {
                if (attempt == 50) {
                    throw error;
                }
                Thread.sleep(100);
            }
        }
    }

    static void alter(Admin admin, ConfigResource.Type type, String name, String key, String value) throws Exception {
        AlterConfigOp.OpType kind = value == null ? AlterConfigOp.OpType.DELETE : AlterConfigOp.OpType.SET;
        Collection<AlterConfigOp> ops = List.of(new AlterConfigOp(new ConfigEntry(key, value), kind));
        admin.incrementalAlterConfigs(Map.of(new ConfigResource(type, name), ops)).all().get();
    }

    /** One line for each topic, and for each of its own configurations. */
    static void print(Admin admin) throws Exception {
        List<ConfigResource> resources = new ArrayList<>();
        for (String topic : admin.listTopics().names().get()) {
            resources.add(new ConfigResource(ConfigResource.Type.TOPIC, topic));
            System.out.println("id " + topic + " " + admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).topicId());
        }
        resources.add(new ConfigResource(ConfigResource.Type.BROKER, ""));
        resources.add(new ConfigResource(ConfigResource.Type.BROKER, "1"));
        for (Map.Entry<ConfigResource, Config> described : admin.describeConfigs(resources).all().get().entrySet()) {
            ConfigResource resource = described.getKey();
            for (ConfigEntry entry : described.getValue().entries()) {
                boolean own = switch (entry.source()) {
                    case DYNAMIC_TOPIC_CONFIG -> true;
                    case DYNAMIC_BROKER_CONFIG -> resource.type() == ConfigResource.Type.BROKER;
                    case DYNAMIC_DEFAULT_BROKER_CONFIG -> resource.isDefault();
                    default -> false;
                };
                if (own) {
                    String of = resource.type() == ConfigResource.Type.TOPIC ? "topic" : "broker";
                    System.out.println(of + " '" + resource.name() + "' " + entry.name() + "=" + entry.value());
                }
            }
        }
    }
}
