//! Which brokers get the replicas of each partition of a topic, spread over racks, then over brokers (Java:
//! `StripedReplicaPlacer`).
//!
//! Called by `place_replicas.rs` for new partitions, and by kafka-reassign-partitions for the plan that it proposes. Pure:
//! who calls it says where the turns begin. Racks come in turn, and so do the brokers of a rack; each partition begins one
//! rack and one broker further on. Fenced brokers are taken when a rack has no other left, and never lead.

use std::collections::BTreeMap;

/// A broker that may hold replicas.
#[derive(Clone, Copy, Debug)]
pub struct UsableBroker<'a> {
    /// `node.id`
    pub id: i32,
    /// `broker.rack`; brokers without one count as of one rack.
    pub rack: Option<&'a str>,
    /// Whether it may not lead.
    pub fenced: bool,
}

/// Where turns begin.
pub enum Turns<'a> {
    /// In order, behind this number of partitions that were placed before as they would be now: those that are placed
    /// later go on where earlier ones ended.
    From(usize),
    /// At random, as Apache has it, and mixed anew when every broker has led once; it draws a number below the one given.
    Random(&'a mut dyn FnMut(usize) -> usize),
}

impl Turns<'_> {
    /// Partitions whose turns are over.
    fn behind(&self) -> usize {
        match self {
            Turns::From(first) => *first,
            Turns::Random(_) => 0,
        }
    }

    fn start(&mut self, count: usize) -> usize {
        match self {
            Turns::From(_) => 0,
            Turns::Random(draw) => draw(count),
        }
    }

    /// Java: `Collections.shuffle`.
    fn mix<T>(&mut self, items: &mut [T]) {
        if let Turns::Random(draw) = self {
            for last in (1..items.len()).rev() {
                items.swap(last, draw(last + 1));
            }
        }
    }
}

/// Why replicas cannot be placed, in the words of Apache's broker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// No replicas are asked for.
    #[error("Invalid replication factor {0}: the replication factor must be positive.")]
    NotPositive(i16),
    /// Nobody could lead.
    #[error("All brokers are currently fenced, or have all their log directories cordoned.")]
    AllFenced,
    /// There are fewer brokers than replicas.
    #[error(
        "The target replication factor of {factor} cannot be reached because only {registered} broker(s) are registered \
         or some brokers have all their log directories cordoned."
    )]
    TooFew {
        /// Replicas that are asked for.
        factor: i16,
        /// Brokers that there are.
        registered: usize,
    },
}

/// Places `partitions` partitions of `factor` replicas each; the first of a partition's replicas leads.
///
/// # Errors
/// When there are too few brokers.
pub fn place<'a>(
    brokers: impl IntoIterator<Item = UsableBroker<'a>>,
    partitions: usize,
    factor: i16,
    turns: Turns<'_>,
) -> Result<Vec<Vec<i32>>, PlaceError> {
    let mut racks = Racks::new(brokers, turns);
    let replicas = match usize::try_from(factor) {
        Ok(replicas) if replicas > 0 => replicas,
        _ => return Err(PlaceError::NotPositive(factor)),
    };
    if racks.unfenced == 0 {
        return Err(PlaceError::AllFenced);
    }
    if replicas > racks.brokers {
        return Err(PlaceError::TooFew { factor, registered: racks.brokers });
    }
    for _ in 0..racks.turns.behind() {
        racks.place(replicas);
    }
    Ok((0..partitions).map(|_| racks.place(replicas)).collect())
}

/// Brokers that are taken in turn, each once in a round.
#[derive(Default)]
struct InTurn {
    brokers: Vec<i32>,
    offset: usize,
    taken: usize,
    round: usize,
}

impl InTurn {
    fn begin(&mut self, turns: &mut Turns<'_>) {
        if !self.brokers.is_empty() {
            self.brokers.sort_unstable();
            self.offset = turns.start(self.brokers.len());
        }
    }

    /// The next one of a round; a new round begins one broker further on.
    fn next(&mut self, round: usize) -> Option<i32> {
        let count = self.brokers.len();
        if count > 0 && self.round != round {
            (self.round, self.taken, self.offset) = (round, 0, (self.offset + 1) % count);
        }
        if self.taken == count {
            return None;
        }
        self.taken += 1;
        Some(self.brokers[(self.taken - 1 + self.offset) % count])
    }
}

#[derive(Default)]
struct Rack {
    fenced: InTurn,
    unfenced: InTurn,
}

struct Racks<'a> {
    racks: Vec<Rack>,
    /// The order in which racks have their turns.
    order: Vec<usize>,
    offset: usize,
    round: usize,
    /// Partitions that were placed since the racks were mixed last.
    since_mixed: usize,
    brokers: usize,
    unfenced: usize,
    turns: Turns<'a>,
}

impl<'a> Racks<'a> {
    fn new<'b>(brokers: impl IntoIterator<Item = UsableBroker<'b>>, mut turns: Turns<'a>) -> Self {
        // By name, brokers without a rack first (Java: OptionalStringComparator).
        let mut named: BTreeMap<Option<&str>, Rack> = BTreeMap::new();
        for UsableBroker { id, rack, fenced } in brokers {
            let rack = named.entry(rack).or_default();
            (if fenced { &mut rack.fenced } else { &mut rack.unfenced }).brokers.push(id);
        }
        let mut racks: Vec<Rack> = named.into_values().collect();
        for rack in &mut racks {
            rack.fenced.begin(&mut turns);
            rack.unfenced.begin(&mut turns);
        }
        let unfenced = racks.iter().map(|rack| rack.unfenced.brokers.len()).sum();
        let fenced: usize = racks.iter().map(|rack| rack.fenced.brokers.len()).sum();
        Racks {
            order: (0..racks.len()).collect(),
            offset: if racks.is_empty() { 0 } else { turns.start(racks.len()) },
            racks,
            round: 0,
            since_mixed: 0,
            brokers: unfenced + fenced,
            unfenced,
            turns,
        }
    }

    /// The brokers of the next partition. There have to be as many, and one of them that is not fenced: then each loop
    /// ends, as a round hands out every broker once.
    fn place(&mut self, factor: usize) -> Vec<i32> {
        if self.since_mixed == self.unfenced && self.unfenced > 1 {
            self.mix();
        }
        let count = self.order.len();
        let mut replicas = Vec::with_capacity(factor);
        let mut at = self.offset % count;
        // The leader's rack sits out its first turn among the followers.
        let mut led = loop {
            if let Some(leader) = self.racks[self.order[at]].unfenced.next(self.round) {
                replicas.push(leader);
                break Some(at);
            }
            at = (at + 1) % count;
        };
        at = self.offset % count;
        while replicas.len() < factor {
            if led == Some(at) {
                led = None;
            } else {
                let rack = &mut self.racks[self.order[at]];
                replicas.extend(rack.unfenced.next(self.round).or_else(|| rack.fenced.next(self.round)));
            }
            at = (at + 1) % count;
        }
        self.round += 1;
        self.since_mixed += 1;
        self.offset = (self.offset + 1) % count;
        replicas
    }

    /// So that the same brokers do not meet again and again.
    fn mix(&mut self) {
        self.since_mixed = 0;
        if matches!(self.turns, Turns::From(_)) {
            // Where the turns of racks keep step with those of their brokers, always the same ones would lead.
            for rack in self.racks.iter_mut().filter(|_| self.order.len() > 1) {
                [&mut rack.fenced, &mut rack.unfenced]
                    .into_iter()
                    .filter(|own| !own.brokers.is_empty())
                    .for_each(|own| own.brokers.rotate_left(1));
            }
            return;
        }
        self.turns.mix(&mut self.order);
        for rack in &mut self.racks {
            self.turns.mix(&mut rack.fenced.brokers);
            self.turns.mix(&mut rack.unfenced.brokers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Java: `MockRandom` and `Random.nextInt(bound)`.
    struct MockRandom(i64);

    impl MockRandom {
        fn next(&mut self) -> i32 {
            self.0 = self.0.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(3_037_000_493);
            (self.0 as u64 >> 33) as i32
        }

        fn below(&mut self, bound: usize) -> usize {
            let bound = bound as i32;
            let mut drawn = self.next();
            if bound & (bound - 1) == 0 {
                return ((i64::from(bound) * i64::from(drawn)) >> 31) as usize;
            }
            while drawn.wrapping_sub(drawn % bound).wrapping_add(bound - 1) < 0 {
                drawn = self.next();
            }
            (drawn % bound) as usize
        }
    }

    fn broker(id: i32, rack: Option<&str>, fenced: bool) -> UsableBroker<'_> {
        UsableBroker { id, rack, fenced }
    }

    fn drawn(brokers: &[UsableBroker<'_>], partitions: usize, factor: i16) -> Vec<Vec<i32>> {
        let mut random = MockRandom(17);
        place(brokers.iter().copied(), partitions, factor, Turns::Random(&mut |bound| random.below(bound))).unwrap()
    }

    // What Apache's StripedReplicaPlacerTest expects of the same brokers and the same random numbers.

    #[test]
    fn without_racks_brokers_come_in_turn_and_are_mixed_when_all_have_led() {
        let brokers = [3, 0, 4, 2].map(|id| broker(id, None, false));
        let with_fenced: Vec<_> = brokers.into_iter().chain([broker(1, None, true)]).collect();
        assert_eq!(drawn(&with_fenced, 5, 4), [[3, 4, 0, 2], [4, 0, 2, 3], [0, 2, 3, 4], [2, 3, 4, 0], [0, 4, 3, 2]]);
        let brokers = [0, 3, 2, 1].map(|id| broker(id, None, false));
        assert_eq!(drawn(&brokers, 5, 3), [[2, 3, 0], [3, 0, 1], [0, 1, 2], [1, 2, 3], [1, 0, 2]]);
    }

    #[test]
    fn pairs_of_brokers_come_about_as_often() {
        let brokers = [0, 1, 2, 3].map(|id| broker(id, None, false));
        let mut counts: BTreeMap<Vec<i32>, usize> = BTreeMap::new();
        drawn(&brokers, 200, 2).into_iter().for_each(|replicas| *counts.entry(replicas).or_default() += 1);
        let counts: Vec<usize> = counts.into_values().collect();
        assert_eq!(counts, [14, 22, 14, 17, 17, 16, 13, 17, 20, 20, 19, 11]);
    }

    #[test]
    fn racks_come_in_turn_and_a_fenced_broker_never_leads() {
        let brokers =
            [(11, "1", false), (10, "1", false), (30, "3", false), (31, "3", false), (21, "2", false), (20, "2", true)];
        let brokers = brokers.map(|(id, rack, fenced)| broker(id, Some(rack), fenced));
        assert_eq!(drawn(&brokers, 3, 4), [[11, 21, 31, 10], [21, 30, 10, 20], [31, 11, 21, 30]]);
        let brokers = [
            (11, "1", false),
            (10, "1", false),
            (30, "3", true),
            (31, "3", true),
            (20, "2", true),
            (21, "2", true),
            (41, "4", false),
            (40, "4", true),
        ];
        let brokers = brokers.map(|(id, rack, fenced)| broker(id, Some(rack), fenced));
        assert_eq!(drawn(&brokers, 3, 4), [[41, 11, 21, 30], [10, 20, 31, 41], [41, 21, 30, 11]]);
    }

    #[test]
    fn a_fenced_broker_is_taken_when_no_other_is_left() {
        let brokers = [broker(3, None, false), broker(1, None, true), broker(2, None, false)];
        assert_eq!(drawn(&brokers, 4, 3), [[3, 2, 1], [2, 3, 1], [3, 2, 1], [2, 3, 1]]);
        assert_eq!(drawn(&[broker(0, None, false), broker(1, None, true)], 3, 1), [[0], [0], [0]]);
    }

    #[test]
    fn what_cannot_be_placed_is_told_in_apaches_words() {
        let wrong = |brokers: &[UsableBroker<'_>], factor| {
            place(brokers.iter().copied(), 1, factor, Turns::From(0)).unwrap_err().to_string()
        };
        let two = [broker(11, Some("1"), false), broker(10, Some("1"), false)];
        assert_eq!(wrong(&two, 0), "Invalid replication factor 0: the replication factor must be positive.");
        assert!(wrong(&two, 3).starts_with(
            "The target replication factor of 3 cannot be reached because only 2 broker(s) are registered or some"
        ));
        assert!(wrong(&[broker(1, None, true)], 1).starts_with("All brokers are currently fenced"));
        assert!(wrong(&[], 1).starts_with("All brokers are currently fenced"));
    }

    #[test]
    fn no_two_replicas_share_a_rack_wherever_turns_begin() {
        let brokers = [(0, "a"), (1, "a"), (2, "b"), (3, "b")].map(|(id, rack)| broker(id, Some(rack), false));
        for first in 0..9 {
            for replicas in place(brokers, 20, 2, Turns::From(first)).unwrap() {
                assert_ne!(replicas[0] / 2, replicas[1] / 2, "{replicas:?}");
            }
        }
    }

    #[test]
    fn partitions_that_are_placed_later_go_on_in_turn() {
        let brokers = [0, 1, 2].map(|id| broker(id, None, false));
        let at_once = place(brokers, 7, 2, Turns::From(0)).unwrap();
        assert_eq!(at_once[..4], [[0, 1], [1, 2], [2, 0], [0, 1]]);
        assert_eq!(place(brokers, 4, 2, Turns::From(3)).unwrap(), at_once[3..]);
        let brokers =
            [(0, "a"), (1, "a"), (2, "b"), (3, "b"), (4, "b")].map(|(id, rack)| broker(id, Some(rack), id == 4));
        for factor in 1..=3 {
            let at_once = place(brokers, 12, factor, Turns::From(0)).unwrap();
            let one_by_one: Vec<_> =
                (0..12).flat_map(|first| place(brokers, 1, factor, Turns::From(first)).unwrap()).collect();
            assert_eq!(one_by_one, at_once);
            assert!((0..4).all(|leader| at_once.iter().any(|replicas| replicas[0] == leader)), "all of them lead");
        }
    }
}
