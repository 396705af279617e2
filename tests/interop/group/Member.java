// A member of a group that writes down what it owns, as client/examples/member.rs does:
//   Member HOST:PORT GROUP TOPIC range|cooperative-sticky FILE NAME

import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import java.util.stream.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.TopicPartition;

public class Member {
    static Path file;
    static String name;

    static void note(String what, Collection<TopicPartition> partitions) {
        String numbers = partitions.stream().map(p -> "" + p.partition()).sorted().collect(Collectors.joining(" "));
        try {
            Files.write(file, (name + " " + what + " " + numbers + "\n").getBytes(), StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (java.io.IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    public static void main(String[] args) throws Exception {
        file = Path.of(args[4]);
        name = args[5];
        Properties settings = new Properties();
        settings.put("bootstrap.servers", args[0]);
        settings.put("group.id", args[1]);
        settings.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer."
            + (args[3].equals("range") ? "RangeAssignor" : "CooperativeStickyAssignor"));
        settings.put("heartbeat.interval.ms", "300");
        settings.put("session.timeout.ms", "10000");
        settings.put("auto.offset.reset", "earliest");
        settings.put("key.deserializer", "org.apache.kafka.common.serialization.ByteArrayDeserializer");
        settings.put("value.deserializer", "org.apache.kafka.common.serialization.ByteArrayDeserializer");
        Thread end = new Thread(() -> {
            try { System.in.readAllBytes(); } catch (java.io.IOException e) { /* Then it has ended too. */ }
        });
        end.setDaemon(true);
        end.start();
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings)) {
            consumer.subscribe(List.of(args[2]), new ConsumerRebalanceListener() {
                public void onPartitionsAssigned(Collection<TopicPartition> partitions) { note("assigned", partitions); }
                public void onPartitionsRevoked(Collection<TopicPartition> partitions) { note("revoked", partitions); }
                public void onPartitionsLost(Collection<TopicPartition> partitions) { note("lost", partitions); }
            });
            while (end.isAlive()) consumer.poll(Duration.ofMillis(100));
        }
    }
}
