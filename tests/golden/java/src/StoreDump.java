import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.processor.StateStore;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.internals.InMemoryTimeOrderedKeyValueChangeBuffer;
import org.apache.kafka.streams.state.internals.RocksDBStore;
import org.apache.kafka.streams.state.internals.RocksDBTimeOrderedKeyValueBuffer;
import org.apache.kafka.streams.state.internals.RocksDBVersionedStore;
import org.apache.kafka.streams.state.internals.SegmentedBytesStore;
import org.apache.kafka.streams.state.internals.WrappedStateStore;

/** The rows of the innermost store of each state store, as bytes in the store's own order. */
final class StoreDump {
    private StoreDump() { }

    static Map<String, Object> of(final Map<String, StateStore> stores) {
        final Map<String, Object> dump = new TreeMap<>();
        for (final Map.Entry<String, StateStore> entry : stores.entrySet()) {
            dump.put(entry.getKey(), rows(innermost(entry.getValue())));
        }
        return dump;
    }

    private static StateStore innermost(final StateStore store) {
        if (store instanceof WrappedStateStore<?, ?, ?> wrapper) {
            return innermost(wrapper.wrapped());
        }
        return switch (store.getClass().getSimpleName()) {
            case "PlainToHeadersWindowStoreAdapter", "PlainToHeadersStoreAdapter", "TimestampedToHeadersStoreAdapter",
                "TimestampedToHeadersWindowStoreAdapter", "SessionToHeadersStoreAdapter" ->
                innermost((StateStore) Inside.field(store, "store"));
            case "VersionedKeyValueToBytesStoreAdapter" -> innermost((StateStore) Inside.field(store, "inner"));
            default -> store;
        };
    }

    @SuppressWarnings("unchecked")
    private static List<List<String>> rows(final StateStore store) {
        final List<List<String>> rows = new ArrayList<>();
        if (store instanceof SegmentedBytesStore segmented) {
            add(rows, segmented.all());
        } else if (store instanceof InMemoryTimeOrderedKeyValueChangeBuffer<?, ?, ?>) {
            suppressed(rows, (Map<Object, Object>) Inside.field(store, "sortedMap"));
        } else if (store instanceof RocksDBTimeOrderedKeyValueBuffer<?, ?>) {
            add(rows, ((SegmentedBytesStore) Inside.field(store, "store")).all());
        } else if (store instanceof RocksDBVersionedStore) {
            // All logical segments share one RocksDB; a row's key there begins with the 8 bytes of the segment's number.
            final Object segments = Inside.field(store, "segmentStores");
            add(rows, (KeyValueIterator<Bytes, byte[]>)
                Inside.call(RocksDBStore.class, Inside.field(segments, "physicalStore"), "all", new HashSet<>()));
        } else {
            add(rows, ((KeyValueStore<Bytes, byte[]>) store).all());
        }
        return rows;
    }

    private static void add(final List<List<String>> rows, final KeyValueIterator<Bytes, byte[]> all) {
        try (all) {
            all.forEachRemaining(row -> rows.add(List.of(Wire.hex(row.key.get()), Wire.hex(row.value))));
        }
    }

    /** A suppression buffer in the order it would emit; each row is what its changelog record holds. */
    private static void suppressed(final List<List<String>> rows, final Map<Object, Object> sorted) {
        sorted.forEach((key, value) -> {
            final long time = (Long) Inside.field(key, "time");
            final ByteBuffer bytes = (ByteBuffer) Inside.call(value.getClass(), value, "serialize", Long.BYTES);
            bytes.putLong(time);
            rows.add(List.of(Wire.hex(((Bytes) Inside.field(key, "key")).get()), Wire.hex(bytes.array())));
        });
    }
}
