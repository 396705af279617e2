import java.util.*;

/** Apache Kafka's own Java client: prints `PASS name` or `FAIL name :: reason` for each check. */
public final class Suite {
    public static void main(String[] names) {
        ProducerChecks.add();
        ConsumerChecks.add();
        TransactionChecks.add();
        AdminChecks.add();
        int failed = Frame.runAll(Set.of(names));
        System.exit(failed == 0 ? 0 : 1);
    }
}
