import java.io.PrintStream;

final class ByteGoldens {
    static boolean write(final PrintStream out) { return true; }
}
