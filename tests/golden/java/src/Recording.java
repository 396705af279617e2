import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * The lines of one scenario: a header for each cache size, its cases after it. When the cases did not show all that the
 * scenario is there for, other input is taken, up to a bound; which input that is depends on the seed alone.
 */
final class Recording {
    private static final int STEPS = 60;
    private static final int ATTEMPTS = 30;

    private final Scenario scenario;
    private final int index;
    private final int share;
    private StringBuilder lines;
    private Counts counts;

    Recording(final Scenario scenario, final int index, final int share) {
        this.scenario = scenario;
        this.index = index;
        this.share = share;
    }

    StringBuilder lines() {
        return lines;
    }

    Counts counts() {
        return counts;
    }

    String missing() {
        return counts.missing(scenario.must);
    }

    void make(final long seed) throws IOException {
        int attempt = 0;
        do {
            lines = new StringBuilder();
            counts = new Counts();
            counts.attempts = attempt + 1;
            for (int variant = 0; variant < scenario.variants(); variant++) {
                make(variant, numbers(seed, variant), seed * 1_000_000 + attempt * 10_000L);
            }
            attempt++;
        } while (missing() != null && attempt < ATTEMPTS);
    }

    /** The cases that a variant gets: variants take turns, and an even share gives both the same inputs. */
    private List<Integer> numbers(final long seed, final int variant) {
        final List<Integer> numbers = new ArrayList<>();
        final int turn = (int) Math.floorMod(seed + index, (long) scenario.variants());
        for (int i = 0; i < share; i++) {
            if ((i + turn) % scenario.variants() == variant) {
                numbers.add(i / scenario.variants());
            }
        }
        return numbers;
    }

    private void make(final int variant, final List<Integer> numbers, final long base) throws IOException {
        final Map<String, String> config = scenario.config(variant);
        for (final int number : numbers) {
            final long seed = base + number;
            try (Replay replay = new Replay(scenario, config)) {
                if (number == numbers.get(0)) {
                    lines.append(Json.of(replay.header(config))).append('\n');
                }
                replay.run(scenario.input.steps(seed * 31 + scenario.name.hashCode(), STEPS));
                lines.append(Json.of(replay.json(seed))).append('\n');
                counts.add(replay.counts);
            } catch (final RuntimeException e) {
                throw new IllegalStateException(scenario.name + " seed " + seed, e);
            }
        }
    }
}
