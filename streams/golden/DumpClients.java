import java.util.*;
import org.apache.kafka.streams.StreamsConfig;

/**
 * Prints what Kafka Streams gives its clients where it differs from their own defaults, for a few settings, or why it
 * refuses them:
 *   EXTRA_CLASSPATH="$HOME/.cache/millstream/kafka-streams-4.3.1/libs/*" \
 *     tests/apache/apache.sh java streams/golden/DumpClients.java > streams/golden/clients.tsv
 */
public final class DumpClients {
    public static void main(String[] args) {
        String[][] cases = {
            {},
            {"processing.guarantee=exactly_once_v2"},
            {"consumer.max.poll.records=7", "main.consumer.max.poll.records=8", "restore.consumer.fetch.max.wait.ms=9", "global.consumer.max.poll.records=10", "producer.linger.ms=3", "admin.retries=4", "max.poll.records=6", "linger.ms=5"},
            {"enable.auto.commit=true", "consumer.enable.auto.commit=true", "consumer.auto.offset.reset=latest", "consumer.allow.auto.create.topics=true", "consumer.isolation.level=read_committed", "consumer.group.instance.id=i", "consumer.group.protocol=consumer"},
            {"processing.guarantee=exactly_once_v2", "consumer.isolation.level=read_uncommitted", "producer.enable.idempotence=false", "producer.transactional.id=x", "producer.transaction.timeout.ms=20000", "producer.delivery.timeout.ms=1000", "producer.max.in.flight.requests.per.connection=3", "commit.interval.ms=15000"},
            {"processing.guarantee=exactly_once_v2", "producer.max.in.flight.requests.per.connection=6"},
            {"processing.guarantee=exactly_once_v2", "commit.interval.ms=15000"},
            {"topology.optimization=all,none"}, {"topology.optimization=merge.repartition.topics, reuse.ktable.source.topics"}, {"topology.optimization=x"},
            {"processing.guarantee=exactly_once"}, {"num.stream.threads=x"}, {"max.warmup.replicas=0"}, {"probing.rebalance.interval.ms=1"},
            {"topic.segment.bytes=10", "producer.batch.size=20"},
        };
        for (String[] one : cases) {
            Properties props = new Properties();
            props.put("application.id", "app");
            props.put("bootstrap.servers", "h:1");
            for (String pair : one) props.put(pair.substring(0, pair.indexOf('=')), pair.substring(pair.indexOf('=') + 1));
            String name = String.join(";", one);
            try {
                StreamsConfig config = new StreamsConfig(props);
                show(name, "main", config.getMainConsumerConfigs("app", "c", 1));
                show(name, "restore", config.getRestoreConsumerConfigs("c"));
                show(name, "global", config.getGlobalConsumerConfigs("c"));
                show(name, "producer", config.getProducerConfigs("c"));
                show(name, "admin", config.getAdminConfigs("c"));
            } catch (RuntimeException refused) {
                System.out.println(name + "\terror\t" + refused.getMessage().replace('\n', ' '));
            }
        }
    }

    private static void show(String name, String client, Map<String, Object> all) {
        var known = new TreeSet<String>(client.equals("producer") ? org.apache.kafka.clients.producer.ProducerConfig.configNames()
            : client.equals("admin") ? org.apache.kafka.clients.admin.AdminClientConfig.configNames() : org.apache.kafka.clients.consumer.ConsumerConfig.configNames());
        List<String> pairs = new ArrayList<>();
        for (String key : known) if (all.containsKey(key) && all.get(key) != null) pairs.add(key + "=" + all.get(key));
        System.out.println(name + "\t" + client + "\t" + String.join(" ", pairs));
    }
}
