//! The states of a transaction and the two protocol generations. Called by everything under `txn`; holds
//! no data of a transaction.

use crate::step::TransactionResult;

/// State of a transaction (TransactionState.java); the number is what the log stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i8)]
pub enum TxnState {
    /// Initialized, nothing added since.
    Empty = 0,
    /// At least one partition added.
    Ongoing = 1,
    /// The commit is decided and durable; markers are being written.
    PrepareCommit = 2,
    /// The abort is decided and durable; markers are being written.
    PrepareAbort = 3,
    /// All commit markers are written.
    CompleteCommit = 4,
    /// All abort markers are written.
    CompleteAbort = 5,
    /// The transactional id has expired; its tombstone is being written.
    Dead = 6,
    /// The producer is being fenced; only ever a pending state.
    PrepareEpochFence = 7,
}

impl TxnState {
    /// All states, in the order of their numbers.
    pub const ALL: [TxnState; 8] = [
        TxnState::Empty,
        TxnState::Ongoing,
        TxnState::PrepareCommit,
        TxnState::PrepareAbort,
        TxnState::CompleteCommit,
        TxnState::CompleteAbort,
        TxnState::Dead,
        TxnState::PrepareEpochFence,
    ];

    /// The number in the log's value.
    pub fn id(self) -> i8 {
        self as i8
    }

    /// The state of a number, or `None` for a number that no version of Kafka wrote.
    pub fn from_id(id: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.id() == id)
    }

    /// The name that DescribeTransactions and ListTransactions show.
    pub fn name(self) -> &'static str {
        match self {
            TxnState::Empty => "Empty",
            TxnState::Ongoing => "Ongoing",
            TxnState::PrepareCommit => "PrepareCommit",
            TxnState::PrepareAbort => "PrepareAbort",
            TxnState::CompleteCommit => "CompleteCommit",
            TxnState::CompleteAbort => "CompleteAbort",
            TxnState::Dead => "Dead",
            TxnState::PrepareEpochFence => "PrepareEpochFence",
        }
    }

    /// The state of a name, spelled exactly as [`TxnState::name`] spells it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether this state may follow `previous` (TransactionState.VALID_PREVIOUS_STATES). Empty and complete
    /// transactions may be aborted since KIP-890: a client that is not sure aborts.
    pub fn may_follow(self, previous: TxnState) -> bool {
        use TxnState::*;
        match self {
            Empty => matches!(previous, Empty | CompleteCommit | CompleteAbort),
            Ongoing => matches!(previous, Ongoing | Empty | CompleteCommit | CompleteAbort),
            PrepareCommit => previous == Ongoing,
            PrepareAbort => {
                matches!(previous, Ongoing | PrepareEpochFence | Empty | CompleteCommit | CompleteAbort)
            }
            CompleteCommit => previous == PrepareCommit,
            CompleteAbort => previous == PrepareAbort,
            Dead => matches!(previous, Empty | CompleteCommit | CompleteAbort),
            PrepareEpochFence => previous == Ongoing,
        }
    }

    /// The state in which a decision is durable.
    pub fn prepare(result: TransactionResult) -> Self {
        match result {
            TransactionResult::Commit => TxnState::PrepareCommit,
            TransactionResult::Abort => TxnState::PrepareAbort,
        }
    }

    /// The state in which a decision is carried out.
    pub fn complete(result: TransactionResult) -> Self {
        match result {
            TransactionResult::Commit => TxnState::CompleteCommit,
            TransactionResult::Abort => TxnState::CompleteAbort,
        }
    }

    /// The decision that waits for its markers, or `None` in the other states.
    pub fn decision(self) -> Option<TransactionResult> {
        match self {
            TxnState::PrepareCommit => Some(TransactionResult::Commit),
            TxnState::PrepareAbort => Some(TransactionResult::Abort),
            _ => None,
        }
    }

    /// Whether an idle transactional id in this state may be forgotten.
    pub fn may_expire(self) -> bool {
        matches!(self, TxnState::Empty | TxnState::CompleteCommit | TxnState::CompleteAbort)
    }
}

/// Level of the feature `transaction.version`, of the cluster or of the client that sent a request
/// (TransactionVersion.java).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionVersion {
    /// The protocol of KIP-98.
    #[default]
    Tv0,
    /// Tv0 with tagged fields in the log's values.
    Tv1,
    /// KIP-890: the epoch is bumped by every EndTxn, partitions are added implicitly.
    Tv2,
}

impl TransactionVersion {
    /// The version of a feature level; levels that are not known yet count as the newest known.
    pub fn from_level(level: i16) -> Self {
        match level {
            i16::MIN..=0 => TransactionVersion::Tv0,
            1 => TransactionVersion::Tv1,
            2.. => TransactionVersion::Tv2,
        }
    }

    /// The feature level.
    pub fn level(self) -> i16 {
        match self {
            TransactionVersion::Tv0 => 0,
            TransactionVersion::Tv1 => 1,
            TransactionVersion::Tv2 => 2,
        }
    }

    /// Whether ending a transaction bumps the producer's epoch.
    pub fn bumps_epoch(self) -> bool {
        self == TransactionVersion::Tv2
    }

    /// Version of the log's values that a cluster at this level writes.
    pub fn value_version(self) -> i16 {
        match self {
            TransactionVersion::Tv0 => 0,
            TransactionVersion::Tv1 | TransactionVersion::Tv2 => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_lead_back_to_their_state() {
        for state in TxnState::ALL {
            assert_eq!(TxnState::from_id(state.id()), Some(state));
            assert_eq!(TxnState::from_name(state.name()), Some(state));
        }
        assert_eq!(TxnState::from_id(8), None);
        assert_eq!(TxnState::from_id(-1), None);
        assert_eq!(TxnState::from_name("ongoing"), None);
    }

    #[test]
    fn predecessors_are_those_of_apache() {
        use TxnState::*;
        let table: [(TxnState, &[TxnState]); 8] = [
            (Empty, &[Empty, CompleteCommit, CompleteAbort]),
            (Ongoing, &[Empty, Ongoing, CompleteCommit, CompleteAbort]),
            (PrepareCommit, &[Ongoing]),
            (PrepareAbort, &[Empty, Ongoing, CompleteCommit, CompleteAbort, PrepareEpochFence]),
            (CompleteCommit, &[PrepareCommit]),
            (CompleteAbort, &[PrepareAbort]),
            (Dead, &[Empty, CompleteCommit, CompleteAbort]),
            (PrepareEpochFence, &[Ongoing]),
        ];
        for (next, allowed) in table {
            let found: Vec<_> = TxnState::ALL.into_iter().filter(|previous| next.may_follow(*previous)).collect();
            assert_eq!(found, allowed, "{next:?}");
        }
    }
}
