// Writes golden/assign.txt: what Apache's assignors answer to groups made from a seed, each group in several rounds
// in which members come, go, lag behind and change their topics.
//   java -cp "$(tests/apache/apache.sh libs)/*" client/golden/AssignGolden.java > client/golden/assign.txt
// A line: assignor|topics|members|assignment of each member, sorted.
//   topics: name=racks;racks with one entry for each partition, racks of its replicas joined by +, - for none
//   members: id/instance/rack/topics/owned/generation/user data in hex

import java.nio.ByteBuffer;
import java.util.*;
import java.util.stream.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.*;
import org.apache.kafka.common.*;

public class AssignGolden {
    static class Member {
        String id, instance = "", rack = "";
        List<String> topics = new ArrayList<>();
        List<TopicPartition> owned = new ArrayList<>();
        int generation = -1;
        byte[] data;
    }

    static Random random;

    public static void main(String[] args) {
        String[] names = {"range", "roundrobin", "sticky", "cooperative-sticky"};
        int[] groups = {60, 30, 90, 90};
        for (int which = 0; which < names.length; which++)
            for (int group = 0; group < groups[which]; group++) {
                random = new Random(4310000 + which * 1000 + group);
                group(names[which], group);
            }
    }

    static ConsumerPartitionAssignor assignor(String name) {
        switch (name) {
            case "range": return new RangeAssignor();
            case "roundrobin": return new RoundRobinAssignor();
            case "sticky": return new StickyAssignor();
            default: return new CooperativeStickyAssignor();
        }
    }

    static void group(String name, int number) {
        boolean racks = number % 3 == 1, alike = number % 2 == 0;
        Map<String, List<List<String>>> topics = new TreeMap<>();
        int count = 1 + random.nextInt(4);
        int same = random.nextBoolean() ? 1 + random.nextInt(8) : 0;
        for (int t = 0; t < count; t++) {
            List<List<String>> partitions = new ArrayList<>();
            for (int p = same > 0 ? same : 1 + random.nextInt(number % 10 == 9 ? 40 : 9); p > 0; p--) {
                TreeSet<String> own = new TreeSet<>();
                if (racks) for (int r = random.nextInt(3); r >= 0; r--) own.add("r" + random.nextInt(3));
                partitions.add(new ArrayList<>(own));
            }
            topics.put("t" + t, partitions);
        }
        List<Member> members = new ArrayList<>();
        for (int m = 1 + random.nextInt(number % 10 == 9 ? 20 : 6); m > 0; m--) members.add(member(topics, racks, alike));
        for (int round = 1; round <= 4; round++) {
            Map<String, List<TopicPartition>> got;
            try {
                got = assign(name, topics, members);
            } catch (RuntimeException e) {
                return; // Java gives up on some claims with an exception; there is nothing to compare.
            }
            for (Member member : members) {
                int odd = random.nextInt(20);
                if (odd == 0) continue; // It missed this round and claims what it had.
                member.owned = new ArrayList<>(got.get(member.id));
                if (odd == 1) for (String t : member.topics) // It claims too much.
                    if (topics.containsKey(t)) member.owned.add(new TopicPartition(t, random.nextInt(topics.get(t).size())));
                member.owned = new ArrayList<>(new LinkedHashSet<>(member.owned));
                member.generation = odd == 2 ? -1 : round;
                member.data = data(name, member, odd);
            }
            if (random.nextBoolean()) members.add(member(topics, racks, alike));
            if (members.size() > 1 && random.nextBoolean()) members.remove(random.nextInt(members.size()));
            if (!alike && random.nextInt(3) == 0) subscribe(members.get(random.nextInt(members.size())), topics, alike);
            Collections.shuffle(members, random);
        }
    }

    static byte[] data(String name, Member member, int odd) {
        if (name.equals("sticky")) {
            StickyAssignor assignor = new StickyAssignor();
            assignor.onAssignment(new Assignment(member.owned), new ConsumerGroupMetadata("g", member.generation, member.id, Optional.empty()));
            ByteBuffer buffer = assignor.subscriptionUserData(new HashSet<>(member.topics));
            byte[] data = new byte[buffer.remaining()];
            buffer.get(data);
            if (odd == 3) return Arrays.copyOf(data, data.length - 4); // Version 0.
            if (odd == 4) return Arrays.copyOf(data, data.length / 2); // Damaged.
            return odd == 5 ? null : data;
        }
        if (!name.equals("cooperative-sticky") || odd == 5) return null;
        return odd == 4 ? new byte[2] : ByteBuffer.allocate(4).putInt(member.generation).array();
    }

    static Member member(Map<String, List<List<String>>> topics, boolean racks, boolean alike) {
        Member member = new Member();
        member.id = "consumer-" + new UUID(random.nextLong(), random.nextLong()).toString().substring(0, 13);
        if (random.nextInt(4) == 0) member.instance = "i" + random.nextInt(1000);
        if (racks && random.nextInt(5) != 0) member.rack = "r" + random.nextInt(4);
        subscribe(member, topics, alike);
        return member;
    }

    static void subscribe(Member member, Map<String, List<List<String>>> topics, boolean alike) {
        member.topics = topics.keySet().stream().filter(t -> alike || random.nextInt(4) != 0).collect(Collectors.toList());
        if (!alike && random.nextInt(10) == 0) member.topics.add("absent");
    }

    static Map<String, List<TopicPartition>> assign(String name, Map<String, List<List<String>>> topics, List<Member> members) {
        Map<String, Node> nodes = new HashMap<>();
        List<PartitionInfo> infos = new ArrayList<>();
        topics.forEach((topic, partitions) -> {
            for (int p = 0; p < partitions.size(); p++) {
                Node[] replicas = partitions.get(p).stream()
                    .map(r -> nodes.computeIfAbsent(r, x -> new Node(nodes.size() + 1, "h", 1, r))).toArray(Node[]::new);
                infos.add(new PartitionInfo(topic, p, replicas.length == 0 ? Node.noNode() : replicas[0], replicas, replicas));
            }
        });
        Cluster cluster = new Cluster("c", nodes.values(), infos, Set.of(), Set.of());
        Map<String, Subscription> subscriptions = new HashMap<>();
        for (Member m : members) {
            Subscription subscription = new Subscription(m.topics, m.data == null ? null : ByteBuffer.wrap(m.data), m.owned,
                m.generation, m.rack.isEmpty() ? Optional.empty() : Optional.of(m.rack));
            if (!m.instance.isEmpty()) subscription.setGroupInstanceId(Optional.of(m.instance));
            subscriptions.put(m.id, subscription);
        }
        String said = members.stream().map(m -> String.join("/", m.id, m.instance, m.rack, String.join(",", m.topics),
            list(m.owned), "" + m.generation, m.data == null ? "null" : HexFormat.of().formatHex(m.data))).collect(Collectors.joining(" "));
        Map<String, Assignment> answer = assignor(name).assign(cluster, new GroupSubscription(subscriptions)).groupAssignment();
        Map<String, List<TopicPartition>> got = new TreeMap<>();
        answer.forEach((id, assignment) -> got.put(id, assignment.partitions()));
        System.out.println(name + "|" + topics.entrySet().stream().map(e -> e.getKey() + "=" + e.getValue().stream()
            .map(r -> r.isEmpty() ? "-" : String.join("+", r)).collect(Collectors.joining(";"))).collect(Collectors.joining(","))
            + "|" + said + "|" + got.entrySet().stream().map(e -> e.getKey() + "=" + list(e.getValue())).collect(Collectors.joining(" ")));
        return got;
    }

    static String list(List<TopicPartition> places) {
        return places.stream().sorted(Comparator.comparing(TopicPartition::topic).thenComparing(TopicPartition::partition))
            .map(TopicPartition::toString).collect(Collectors.joining(","));
    }
}
