import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Fills a broker with every kind of log that the tests of broker/log look at, or lists what a consumer sees. */
public class LogFolders {
    static final String[] CODECS = {"none", "gzip", "snappy", "lz4", "zstd"};

    public static void main(String[] args) throws Exception {
        switch (args[0]) {
            case "produce" -> produce(args[1]);
            case "read" -> read(args[1], Path.of(args[2]));
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    static Map<String, Object> client(String bootstrap) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        config.put("key.serializer", StringSerializer.class.getName());
        config.put("value.serializer", StringSerializer.class.getName());
        config.put("key.deserializer", StringDeserializer.class.getName());
        config.put("value.deserializer", StringDeserializer.class.getName());
        return config;
    }

    static void produce(String bootstrap) throws Exception {
        try (Admin admin = Admin.create(client(bootstrap))) {
            List<NewTopic> topics = new ArrayList<>();
            for (String codec : CODECS) topics.add(new NewTopic("codec-" + codec, 1, (short) 1));
            topics.add(new NewTopic("txn", 2, (short) 1));
            topics.add(new NewTopic("compacted", 1, (short) 1).configs(Map.of(
                "cleanup.policy", "compact", "segment.bytes", "1048576", "min.cleanable.dirty.ratio", "0.01")));
            admin.createTopics(topics).all().get();
        }
        for (String codec : CODECS) codec(bootstrap, codec);
        compacted(bootstrap);
        transactions(bootstrap);
        commitOffsets(bootstrap);
    }

    static void codec(String bootstrap, String codec) {
        Map<String, Object> config = client(bootstrap);
        config.put("compression.type", codec);
        config.put("linger.ms", 20);
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(config)) {
            for (int i = 0; i < 2000; i++) {
                ProducerRecord<String, String> record =
                    new ProducerRecord<>("codec-" + codec, "key-" + i % 50, "value-" + i + "-" + "abc".repeat(i % 40));
                record.headers().add("header", ("h" + i).getBytes(StandardCharsets.UTF_8));
                producer.send(record);
                if (i % 97 == 0) producer.flush();
            }
        }
    }

    static void compacted(String bootstrap) {
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(client(bootstrap))) {
            for (int i = 0; i < 6000; i++) {
                String value = i % 31 == 0 ? null : "value-" + i + "-" + "x".repeat(600);
                producer.send(new ProducerRecord<>("compacted", "key-" + i % 200, value));
            }
        }
    }

    static void transactions(String bootstrap) {
        Map<String, Object> config = client(bootstrap);
        List<KafkaProducer<String, String>> producers = new ArrayList<>();
        for (int i = 0; i < 2; i++) {
            config.put("transactional.id", "mover-" + i);
            KafkaProducer<String, String> producer = new KafkaProducer<>(config);
            producer.initTransactions();
            producers.add(producer);
        }
        for (int round = 0; round < 20; round++) {
            for (KafkaProducer<String, String> producer : producers) producer.beginTransaction();
            for (int i = 0; i < 10; i++) {
                int which = i % 2;
                String value = "round-" + round + "-of-" + which + "-" + i;
                producers.get(which).send(new ProducerRecord<>("txn", i % 2, "k" + i, value));
            }
            for (int which = 0; which < 2; which++) {
                if ((round + which) % 3 == 0) producers.get(which).abortTransaction();
                else producers.get(which).commitTransaction();
            }
        }
        for (KafkaProducer<String, String> producer : producers) producer.close();
    }

    static void commitOffsets(String bootstrap) {
        Map<String, Object> config = client(bootstrap);
        config.put("group.id", "readers");
        config.put("auto.offset.reset", "earliest");
        config.put("group.protocol", "classic");
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(config)) {
            consumer.subscribe(List.of("codec-none", "codec-zstd"));
            int seen = 0;
            while (seen < 4000) {
                seen += consumer.poll(Duration.ofSeconds(1)).count();
                consumer.commitSync();
            }
        }
    }

    /** One line per record that a read_committed consumer sees: topic, partition, offset, key, value. */
    static void read(String bootstrap, Path out) throws Exception {
        Map<String, Object> config = client(bootstrap);
        config.put("isolation.level", "read_committed");
        try (Admin admin = Admin.create(config);
             KafkaConsumer<String, String> consumer = new KafkaConsumer<>(config);
             PrintWriter writer = new PrintWriter(Files.newBufferedWriter(out))) {
            for (String topic : new TreeSet<>(admin.listTopics().names().get())) {
                consumer.partitionsFor(topic).stream().map(info -> info.partition()).sorted().forEach(partition -> {
                    TopicPartition where = new TopicPartition(topic, partition);
                    consumer.assign(List.of(where));
                    consumer.seekToBeginning(List.of(where));
                    long end = consumer.endOffsets(List.of(where)).get(where);
                    while (consumer.position(where) < end) {
                        for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(500))) {
                            writer.println(topic + " " + partition + " " + record.offset() + " " + record.key() + " "
                                + record.value());
                        }
                    }
                });
            }
        }
    }
}
