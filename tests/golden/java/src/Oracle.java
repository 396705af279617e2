import com.github.luben.zstd.ZstdOutputStream;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;

/** Records what Kafka Streams 4.3.1 does: `streams SEED CASES OUT [SCENARIO...]`, the same with `further`, `bytes OUT` or `metrics OUT`. */
public final class Oracle {
    private Oracle() { }

    public static void main(final String[] args) throws Exception {
        final boolean complete;
        if (args.length >= 4 && args[0].equals("streams")) {
            final List<String> only = List.of(args).subList(4, args.length);
            complete = record(args, only, Scenarios.all());
        } else if (args.length >= 4 && args[0].equals("further")) {
            complete = record(args, List.of(args).subList(4, args.length), Scenarios.further());
        } else if (args.length == 2 && args[0].equals("bytes")) {
            complete = write(Path.of(args[1]), ByteGoldens::write);
        } else if (args.length == 2 && args[0].equals("metrics")) {
            complete = write(Path.of(args[1]), MetricNames::write);
        } else {
            System.err.println("usage: streams|further SEED CASES OUT [SCENARIO...] | bytes OUT | metrics OUT");
            System.exit(2);
            return;
        }
        System.exit(complete ? 0 : 1);
    }

    private static boolean record(final String[] args, final List<String> only, final List<Scenario> all) throws Exception {
        final long seed = Long.parseLong(args[1]);
        final int cases = Integer.parseInt(args[2]);
        return write(Path.of(args[3]), out -> streams(seed, cases, only, all, out));
    }

    private interface Content {
        boolean to(PrintStream out) throws Exception;
    }

    /** Writes beside the file and renames, so that a run that fails leaves nothing at its place. */
    private static boolean write(final Path path, final Content content) throws Exception {
        final Path part = path.resolveSibling(path.getFileName() + ".part");
        boolean complete = false;
        try {
            try (PrintStream out = new PrintStream(sink(path, part), false, StandardCharsets.UTF_8)) {
                complete = content.to(out);
                if (out.checkError()) {
                    throw new IOException("cannot write " + part);
                }
            }
            if (complete) {
                Files.move(part, path, StandardCopyOption.REPLACE_EXISTING);
                System.err.println("wrote " + path.toAbsolutePath().normalize());
            }
        } finally {
            Files.deleteIfExists(part);
        }
        return complete;
    }

    private static OutputStream sink(final Path path, final Path part) throws IOException {
        final OutputStream file = new BufferedOutputStream(Files.newOutputStream(part));
        return path.toString().endsWith(".zst") ? new ZstdOutputStream(file, 19) : file;
    }

    /** The cases are dealt to the scenarios in turn. */
    private static boolean streams(final long seed, final int cases, final List<String> only, final List<Scenario> all,
                                   final PrintStream out) throws Exception {
        boolean complete = true;
        for (int index = 0; index < all.size(); index++) {
            final Scenario scenario = all.get(index);
            if (!only.isEmpty() && !only.contains(scenario.name)) {
                continue;
            }
            final int share = cases / all.size() + (index < cases % all.size() ? 1 : 0);
            if (share == 0) {
                continue;
            }
            final Recording recording = new Recording(scenario, index, share);
            recording.make(seed);
            out.print(recording.lines());
            final String missing = recording.missing();
            complete &= missing == null;
            System.err.printf("%-34s %s%s%n", scenario.name, recording.counts(), missing == null ? "" : "  MISSING " + missing);
        }
        if (!complete) {
            System.err.println("a scenario did not show what it is there for: no file is written");
        }
        return complete;
    }
}
