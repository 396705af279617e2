import java.util.ArrayList;
import java.util.List;

/** The 80 scenarios, in their order, and those of the second recording. */
final class Scenarios {
    private Scenarios() { }

    static List<Scenario> all() {
        final List<Scenario> all = new ArrayList<>();
        Stateless.add(all);
        Aggregates.add(all);
        TimeWindowed.add(all);
        SlidingWindowed.add(all);
        SessionWindowed.add(all);
        EmitFinal.add(all);
        Suppression.add(all);
        StreamJoins.add(all);
        StreamTableJoins.add(all);
        TableJoins.add(all);
        ForeignKeyJoins.add(all);
        Processors.add(all);
        Failures.add(all);
        Runtime.add(all);
        return all;
    }

    static List<Scenario> further() {
        final List<Scenario> further = new ArrayList<>();
        Further.add(further);
        return further;
    }
}
