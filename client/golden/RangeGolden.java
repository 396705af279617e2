// Writes golden/range.txt: what Apache's RangeAssignor answers to 300 groups made from a seed.
//   java -cp "$(tests/apache/apache.sh libs)/*" client/golden/RangeGolden.java > client/golden/range.txt
// A line: topics with their counts; members as id/instance/topics; the assignment of each member, sorted.

import java.nio.ByteBuffer;
import java.util.*;
import java.util.stream.*;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Subscription;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.common.TopicPartition;

public class RangeGolden {
    public static void main(String[] args) {
        Random random = new Random(431);
        for (int line = 0; line < 300; line++) {
            Map<String, Integer> topics = new TreeMap<>();
            for (int i = random.nextInt(4); i >= 0; i--) topics.put("t" + i, random.nextInt(12));
            Map<String, Subscription> members = new TreeMap<>();
            StringBuilder text = new StringBuilder();
            for (int i = random.nextInt(6); i >= 0; i--) {
                String id = "m-" + Integer.toHexString(random.nextInt(1 << 16));
                String instance = random.nextInt(3) == 0 ? "i" + random.nextInt(20) : "";
                List<String> own = topics.keySet().stream().filter(t -> random.nextInt(4) != 0).collect(Collectors.toList());
                if (random.nextInt(10) == 0) own.add("absent");
                Subscription subscription = new Subscription(own, (ByteBuffer) null, List.of(), -1, Optional.empty());
                String taken = instance;
                boolean twice = members.values().stream().anyMatch(s -> s.groupInstanceId().equals(Optional.of(taken)));
                if (!instance.isEmpty() && !twice) subscription.setGroupInstanceId(Optional.of(instance));
                else instance = "";
                if (members.put(id, subscription) == null)
                    text.append(' ').append(id).append('/').append(instance).append('/').append(String.join(",", own));
            }
            Map<String, List<TopicPartition>> got = new TreeMap<>(new RangeAssignor().assign(topics, members));
            System.out.print(topics.entrySet().stream().map(e -> e.getKey() + ":" + e.getValue()).collect(Collectors.joining(",")));
            System.out.print(" |" + text + " |");
            got.forEach((id, list) -> System.out.print(" " + id + "=" + list.stream()
                .sorted(Comparator.comparing(TopicPartition::topic).thenComparing(TopicPartition::partition))
                .map(TopicPartition::toString).collect(Collectors.joining(","))));
            System.out.println();
        }
    }
}
