import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.utils.Utils;
import org.apache.kafka.streams.processor.internals.ProcessorMetadata;
import org.apache.kafka.streams.processor.internals.TopicPartitionMetadata;
import org.apache.kafka.streams.state.internals.Murmur3;
import org.apache.kafka.streams.state.internals.OffsetCheckpoint;

/** Hashes, checkpoint files and the metadata of committed offsets. */
final class MetadataBytes {
    private MetadataBytes() { }

    static void add(final ByteGoldens.Lines lines) throws IOException {
        for (final String value : List.of("", "a", "ab", "abc", "abcd", "abcdefgh", "abcdefghijklmnop", "abcdefghijklmnopq")) {
            final byte[] bytes = Wire.encode(value);
            lines.add("murmur2", ByteGoldens.in("value", value), ByteBuffer.allocate(4).putInt(Utils.murmur2(bytes)).array());
            final long[] hash = Murmur3.hash128(bytes);
            lines.add("murmur3_128", ByteGoldens.in("value", value),
                ByteBuffer.allocate(16).putLong(hash[0]).putLong(hash[1]).array());
        }
        for (final long time : new long[] {-1, 0, 1_700_000_000_123L}) {
            metadata(lines, time, Map.of());
            metadata(lines, time, Map.of("KSTREAM-AGGREGATE-0000000001", 990L));
        }
        checkpoint(lines, Map.of());
        final Map<TopicPartition, Long> offsets = new LinkedHashMap<>();
        offsets.put(new TopicPartition("g-counts-changelog", 0), 12L);
        offsets.put(new TopicPartition("g-counts-changelog", 11), -4L);
        offsets.put(new TopicPartition("in", 3), 9_000_000_000L);
        checkpoint(lines, offsets);
    }

    /** The text that is the metadata of a committed offset. */
    private static void metadata(final ByteGoldens.Lines lines, final long time, final Map<String, Long> processors) {
        lines.add("topic_partition_metadata", ByteGoldens.in("partition_time", time, "processors", processors),
            new TopicPartitionMetadata(time, new ProcessorMetadata(processors)).encode().getBytes(UTF_8));
    }

    /** The text of a checkpoint file with these entries in this order. */
    private static void checkpoint(final ByteGoldens.Lines lines, final Map<TopicPartition, Long> offsets) throws IOException {
        final Path folder = Files.createTempDirectory("golden");
        final Path file = folder.resolve(".checkpoint");
        final List<Object> in = new ArrayList<>();
        offsets.forEach((partition, offset) ->
            in.add(ByteGoldens.in("topic", partition.topic(), "partition", partition.partition(), "offset", offset)));
        new OffsetCheckpoint(file.toFile()).write(offsets);
        lines.add("checkpoint_file", ByteGoldens.in("offsets", in), Files.exists(file) ? Files.readAllBytes(file) : null);
        Files.deleteIfExists(file);
        Files.delete(folder);
    }
}
