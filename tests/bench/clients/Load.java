// The load of client/examples/load.rs by Java's clients: Load HOST:PORT push|send|consume TOPIC RECORDS SIZE [KEY=VALUE]...
// `push` keeps no future, `send` waits for each, ten thousand at a time. Run by clients.sh.

import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;

public final class Load {
  private static final int VALUES = 2048, WORDS = 64, WORD = 8, WAITING = 10_000;
  private static int seed = 1;

  public static void main(String[] args) throws Exception {
    String mode = args[1], topic = args[2];
    int records = Integer.parseInt(args[3]), size = Integer.parseInt(args[4]);
    long from = System.nanoTime();
    Properties settings = new Properties();
    settings.put("bootstrap.servers", args[0]);
    for (String side : List.of("key", "value")) {
      settings.put(side + ".serializer", "org.apache.kafka.common.serialization.ByteArraySerializer");
      settings.put(side + ".deserializer", "org.apache.kafka.common.serialization.ByteArrayDeserializer");
    }
    for (int at = 5; at < args.length; at++) {
      String[] pair = args[at].split("=", 2);
      settings.put(pair[0], pair[1]);
    }
    if (mode.equals("consume")) consume(settings, topic, records);
    else produce(settings, topic, records, size, mode.equals("send"));
    double elapsed = (System.nanoTime() - from) / 1e9;
    var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    double cpu = system.getProcessCpuTime() / 1e9 / (records / 1e6);
    String peak = Files.readAllLines(Path.of("/proc/self/status")).stream().filter(line -> line.startsWith("VmHWM")).findFirst().get();
    double megabytes = Long.parseLong(peak.replaceAll("[^0-9]", "")) * 1024 / 1e6;
    System.out.printf("%s %d records: %.3f s, CPU %.3f s per million, peak %.1f MB%n", mode, records, elapsed, cpu, megabytes);
  }

  private static int next(int below) {
    seed = seed * 1103515245 + 12345;
    return (seed >>> 16) % below;
  }

  private static byte[][] values(int size) {
    byte[][] words = new byte[WORDS][WORD], all = new byte[VALUES][size];
    for (byte[] word : words) for (int at = 0; at < WORD; at++) word[at] = (byte) ('a' + next(26));
    for (byte[] value : all)
      for (int at = 0; at < size; at += WORD) System.arraycopy(words[next(WORDS)], 0, value, at, Math.min(WORD, size - at));
    return all;
  }

  private static void produce(Properties settings, String topic, int records, int size, boolean futures) throws Exception {
    byte[][] all = values(size);
    try (var producer = new KafkaProducer<byte[], byte[]>(settings)) {
      var waiting = new ArrayDeque<Future<RecordMetadata>>();
      for (int index = 0; index < records; index++) {
        if (waiting.size() == WAITING) waiting.poll().get();
        Future<RecordMetadata> sent = producer.send(new ProducerRecord<>(topic, all[index % VALUES]));
        if (futures) waiting.add(sent);
      }
      for (Future<RecordMetadata> sent : waiting) sent.get();
      producer.flush();
    }
  }

  private static void consume(Properties settings, String topic, int records) {
    try (var consumer = new KafkaConsumer<byte[], byte[]>(settings)) {
      var places = consumer.partitionsFor(topic).stream().map(part -> new TopicPartition(topic, part.partition())).toList();
      consumer.assign(places);
      consumer.seekToBeginning(places);
      long read = 0, bytes = 0;
      while (read < records) {
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
          read++;
          bytes += record.value().length;
        }
      }
    }
  }
}
