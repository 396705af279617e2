import java.util.Set;

/** What the cases of a scenario showed. */
final class Counts {
    int attempts;
    long cases;
    long outputs;
    long tombstones;
    long drops;
    long late;
    long errors;

    void add(final Counts other) {
        cases++;
        outputs += other.outputs;
        tombstones += other.tombstones;
        drops += other.drops;
        late += other.late;
        errors += other.errors;
    }

    /** What was to be seen and was not, or null. */
    String missing(final Set<Scenario.Seen> must) {
        if (outputs == 0) {
            return "OUTPUT";
        }
        for (final Scenario.Seen seen : must) {
            final long count = switch (seen) {
                case TOMBSTONE -> tombstones;
                case DROP -> drops;
                case LATE -> late;
                case ERROR -> errors;
            };
            if (count == 0) {
                return seen.name();
            }
        }
        return null;
    }

    @Override
    public String toString() {
        return String.format("%2d tries %5d cases %7d outputs %6d tombstones %6d null-drops %6d late-drops %4d errors",
            attempts, cases, outputs, tombstones, drops, late, errors);
    }
}
