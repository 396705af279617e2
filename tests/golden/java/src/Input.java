import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.apache.kafka.common.header.internals.RecordHeaders;

/**
 * Random input: a walk of timestamps with disorder and jumps, nulls, headers, advances of the wall clock.
 * Chances are in percent. The same seed gives the same steps.
 */
final class Input {
    /** What the keys or values of a topic look like. */
    enum Kind { KEY, LETTER, NAMED, NUMBER, WORDS, PAIR }

    private record Feed(String topic, Kind key, Kind value) { }

    private static final String[] KEYS = {"a", "ab", "b", "c", "d"};
    private static final String[] LETTERS = {"a", "b", "c", "d", "x"};
    private static final String[] WORDS = {"all", "Streams", "lead", "to", "kafka", "KAFKA", "of", "2", "x_y", "..", ", "};

    private final List<Feed> feeds = new ArrayList<>();
    private int keys = 4;
    private int nullKey = 5;
    private int nullValue = 8;
    private int headers = 15;
    private int late = 25;
    private int lateSpan = 15;
    private int veryLateFrom = 15;
    private int veryLateTo = 45;
    private int step = 4;
    private int jump = 8;
    private int jumpFrom = 15;
    private int jumpTo = 60;
    private int leap;
    private int leapFrom;
    private int leapTo;
    private int clock;
    private int clockTo;
    private int negative;
    private int garbage;

    Input feed(final String topic, final Kind key, final Kind value) {
        feeds.add(new Feed(topic, key, value));
        return this;
    }

    /** How many of the five keys are in use. */
    Input keys(final int count) {
        keys = count;
        return this;
    }

    Input nulls(final int keyChance, final int valueChance) {
        nullKey = keyChance;
        nullValue = valueChance;
        return this;
    }

    Input headers(final int chance) {
        headers = chance;
        return this;
    }

    /** Time goes on by 0 to `millis` a step. */
    Input step(final int millis) {
        step = millis;
        return this;
    }

    /** A record that is up to `span` ms behind the walk. */
    Input late(final int chance, final int span) {
        late = chance;
        lateSpan = span;
        return veryLate(span, 3 * span);
    }

    /** How far behind the two planted late records are. */
    Input veryLate(final int from, final int to) {
        veryLateFrom = from;
        veryLateTo = to;
        return this;
    }

    Input jump(final int chance, final int from, final int to) {
        jump = chance;
        jumpFrom = from;
        jumpTo = to;
        return this;
    }

    /** A jump of another order: over segments and retentions. */
    Input leap(final int chance, final int from, final int to) {
        leap = chance;
        leapFrom = from;
        leapTo = to;
        return this;
    }

    Input clock(final int chance, final int to) {
        clock = chance;
        clockTo = to;
        return this;
    }

    /** Records with timestamp -1. */
    Input negative(final int chance) {
        negative = chance;
        return this;
    }

    /** Values of three random bytes. */
    Input garbage(final int chance) {
        garbage = chance;
        return this;
    }

    List<Step> steps(final long seed, final int count) {
        final Random random = new Random(mixed(seed));
        final Set<Integer> nullKeys = planted(random, count, nullKey);
        final Set<Integer> nullValues = planted(random, count, nullValue);
        final Set<Integer> veryLate = planted(random, count, late);
        final int leapAt = count / 4 + random.nextInt(count / 4);
        final List<Step> steps = new ArrayList<>();
        long time = random.nextInt(10);
        while (steps.size() < count) {
            if (chance(random, clock)) {
                steps.add(Step.clock(1 + random.nextInt(clockTo)));
                continue;
            }
            final Feed feed = feeds.get(random.nextInt(feeds.size()));
            long timestamp;
            if (veryLate.contains(steps.size())) {
                timestamp = Math.max(0, time - veryLateFrom - random.nextInt(veryLateTo - veryLateFrom));
            } else if (chance(random, late) && !(leap > 0 && steps.size() == leapAt)) {
                timestamp = Math.max(0, time - 1 - random.nextInt(lateSpan));
            } else {
                if (chance(random, leap) || leap > 0 && steps.size() == leapAt) {
                    time += leapFrom + random.nextInt(leapTo - leapFrom);
                } else if (chance(random, jump)) {
                    time += jumpFrom + random.nextInt(jumpTo - jumpFrom);
                } else {
                    time += random.nextInt(step + 1);
                }
                timestamp = time;
            }
            if (chance(random, negative)) {
                timestamp = -1;
            }
            final boolean noKey = chance(random, nullKey) || nullKeys.contains(steps.size());
            final boolean noValue = chance(random, nullValue) || nullValues.contains(steps.size());
            final Object key = noKey ? null : make(random, feed.key);
            final Object value = noValue ? null : value(random, feed.value);
            steps.add(new Step(feed.topic, key, value, timestamp, headers(random), 0));
        }
        return steps;
    }

    /** Two steps in the second half, so that what is rare is there in each case; none if its chance is 0. A leap is in the second quarter. */
    private static Set<Integer> planted(final Random random, final int count, final int percent) {
        final Set<Integer> at = new HashSet<>();
        while (percent > 0 && at.size() < 2) {
            at.add(count / 2 + random.nextInt(count - count / 2));
        }
        return at;
    }

    /** The finaliser of SplitMix64: neighbouring seeds of java.util.Random begin alike. */
    private static long mixed(final long seed) {
        long z = seed + 0x9e3779b97f4a7c15L;
        z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        return z ^ (z >>> 31);
    }

    private Object value(final Random random, final Kind kind) {
        if (chance(random, garbage)) {
            final byte[] bytes = new byte[3];
            random.nextBytes(bytes);
            return bytes;
        }
        return make(random, kind);
    }

    private Object make(final Random random, final Kind kind) {
        return switch (kind) {
            case KEY -> KEYS[random.nextInt(keys)];
            case LETTER -> LETTERS[random.nextInt(LETTERS.length)];
            case NAMED -> LETTERS[random.nextInt(LETTERS.length)] + random.nextInt(10);
            case NUMBER -> (long) random.nextInt(30) - 5;
            case PAIR -> LETTERS[random.nextInt(LETTERS.length)] + " " + KEYS[random.nextInt(keys)];
            case WORDS -> words(random);
        };
    }

    private static String words(final Random random) {
        final StringBuilder line = new StringBuilder();
        final int count = random.nextInt(5);
        for (int i = 0; i < count; i++) {
            line.append(WORDS[random.nextInt(WORDS.length)]).append(i + 1 < count ? " " : "");
        }
        return line.toString();
    }

    private RecordHeaders headers(final Random random) {
        final RecordHeaders made = new RecordHeaders();
        if (chance(random, headers)) {
            final byte[] bytes = new byte[random.nextInt(4)];
            random.nextBytes(bytes);
            made.add("trace", bytes);
            if (chance(random, 30)) {
                made.add(random.nextBoolean() ? "trace" : "note", random.nextInt(4) == 0 ? null : new byte[] {7});
            }
        }
        return made;
    }

    private static boolean chance(final Random random, final int percent) {
        return percent > 0 && random.nextInt(100) < percent;
    }
}
