import java.util.List;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.KStream;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.Repartitioned;
import org.apache.kafka.streams.processor.UsePartitionTimeOnInvalidTimestamp;

/** Scenarios 74 to 77: handlers that continue, dead-letter queues, times that are not valid. */
final class Failures {
    private static final String ERRORS = "org.apache.kafka.streams.errors.";

    private Failures() { }

    static void add(final List<Scenario> all) {
        all.add(new Scenario("continue_on_processing_error")
            .set("processing.exception.handler", ERRORS + "LogAndContinueProcessingExceptionHandler")
            .in("in", Input.Kind.NAMED).topic("out-count", "string", "long").topic("out", "string", "string")
            .must(Scenario.Seen.LATE)
            .topology(builder -> {
                final KStream<String, String> stream = builder.stream("in");
                stream.groupByKey()
                    .count(Parts.kv("counts", Parts.LONG))
                    .toStream()
                    .mapValues(count -> count % 3 == 0 ? fail(count) : count)
                    .to("out-count", Produced.with(Parts.STRING, Parts.LONG));
                stream.mapValues(v -> Parts.starts(v, "x") ? fail(v) : v + "!").to("out");
            }));
        all.add(new Scenario("dlq_deserialization")
            .set("deserialization.exception.handler", ERRORS + "LogAndContinueExceptionHandler")
            .set("errors.dead.letter.queue.topic.name", "dlq")
            .in("in", Input.Kind.NUMBER).topic("out", "string", "long").topic("dlq", "bytes", "bytes")
            .must(Scenario.Seen.LATE).input(input -> input.garbage(15))
            .topology(builder -> builder.stream("in", Consumed.with(Parts.STRING, Parts.LONG))
                .mapValues(v -> v == null ? null : Long.valueOf(v + 1))
                .to("out", Produced.with(Parts.STRING, Parts.LONG))));
        all.add(new Scenario("dlq_processing_after_repartition")
            .set("processing.exception.handler", ERRORS + "LogAndContinueProcessingExceptionHandler")
            .set("errors.dead.letter.queue.topic.name", "dlq")
            .in("in", Input.Kind.NAMED).out().topic("dlq", "bytes", "bytes")
            .must(Scenario.Seen.LATE)
            .topology(builder -> builder.<String, String>stream("in")
                .selectKey((k, v) -> Parts.first(v))
                .repartition(Repartitioned.with(Parts.STRING, Parts.STRING).withName("rp"))
                .mapValues(v -> Parts.starts(v, "x") ? fail(v) : v + "!")
                .to("out")));
        all.add(new Scenario("log_and_skip_timestamp")
            .set("default.timestamp.extractor", "org.apache.kafka.streams.processor.LogAndSkipOnInvalidTimestamp")
            .in("in1", Input.Kind.NAMED).in("in2", Input.Kind.NAMED).out()
            .must(Scenario.Seen.LATE).input(input -> input.negative(12))
            .topology(builder -> builder.<String, String>stream("in1")
                .merge(builder.stream("in2", Consumed.with(Parts.STRING, Parts.STRING)
                    .withTimestampExtractor(new UsePartitionTimeOnInvalidTimestamp())))
                .to("out")));
    }

    private static <T> T fail(final T value) {
        throw new IllegalStateException("cannot map " + value);
    }
}
