import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

import org.apache.kafka.common.utils.Exit;

/**
 * Runs Apache's command-line tools one after the other in one virtual machine, which costs a twentieth of a machine for
 * each. Started by run.py, which writes a line per tool to standard input: class, file for its standard input and
 * arguments, with the unit separator between. The argument names a file to answer to: status and number of bytes on a
 * line, then the bytes that the tool wrote to standard output.
 *
 * A tool that exits is left where it stands, as it expects not to go on: it runs in a thread that never returns.
 */
public class ToolServer {
    public static void main(String[] arguments) throws Exception {
        OutputStream answers = new FileOutputStream(arguments[0]);
        BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = requests.readLine(); line != null; line = requests.readLine()) {
            String[] words = line.split("\u001f", -1);
            ByteArrayOutputStream written = new ByteArrayOutputStream();
            int status = run(words[0], words[1], Arrays.copyOfRange(words, 2, words.length), written);
            answers.write((status + " " + written.size() + "\n").getBytes(StandardCharsets.UTF_8));
            written.writeTo(answers);
            answers.flush();
        }
    }

    private static int run(String name, String input, String[] words, OutputStream written) throws Exception {
        System.setIn(new FileInputStream(input));
        System.setOut(new PrintStream(written, true, StandardCharsets.UTF_8));
        CompletableFuture<Integer> status = new CompletableFuture<>();
        List<Runnable> hooks = new ArrayList<>();
        Exit.setExitProcedure((code, message) -> leave(status, code));
        Exit.setHaltProcedure((code, message) -> leave(status, code));
        Exit.setShutdownHookAdder((hook, work) -> hooks.add(work));
        Thread tool = new Thread(() -> {
            try {
                Class.forName(name).getMethod("main", String[].class).invoke(null, (Object) words);
                status.complete(0);
            } catch (Throwable error) {
                error.printStackTrace();
                status.complete(1);
            }
        });
        tool.setDaemon(true);
        tool.start();
        int code = status.get(110, TimeUnit.SECONDS);
        for (Runnable hook : hooks) {
            Thread closing = new Thread(hook);
            closing.setDaemon(true);
            closing.start();
            closing.join(30_000);
        }
        System.out.flush();
        return code;
    }

    private static void leave(CompletableFuture<Integer> status, int code) {
        status.complete(code);
        while (true) {
            try {
                Thread.sleep(Long.MAX_VALUE);
            } catch (InterruptedException goOn) {
                // Nobody may go on behind an exit.
            }
        }
    }
}
