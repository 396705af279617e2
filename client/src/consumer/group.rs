//! Membership in a classic group: what each answer of the coordinator means (Java: `AbstractCoordinator`).
//!
//! Pure; `coordinator.rs` sends the requests and does what it is told here.

use millstream_protocol::error_code::ErrorCode;

/// Where a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// In no generation.
    Unjoined,
    /// JoinGroup is under way.
    Preparing,
    /// It knows its generation and waits for its assignment.
    Completing,
    /// It has an assignment.
    Stable,
}

/// A generation of a group and the member's id in it; requests carry it, answers are judged by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    /// -1 for none.
    pub number: i32,
    /// Empty for none.
    pub member: String,
}

impl Generation {
    /// Of a consumer that is no member.
    pub fn none() -> Self {
        Generation { number: -1, member: String::new() }
    }
}

/// What to do after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Go on.
    Proceed,
    /// Join (again) at once.
    Rejoin,
    /// The same again after a while.
    Later,
    /// The same again after a while, of a coordinator that is to be found anew.
    FindCoordinator,
    /// Give up.
    Fail(ErrorCode),
}

/// A member's state.
#[derive(Debug)]
pub(crate) struct Membership {
    pub phase: Phase,
    pub generation: Generation,
    /// The next poll joins.
    pub rejoin: bool,
    /// The assignment was taken away rather than given back.
    pub thrown_out: bool,
}

impl Membership {
    pub fn new() -> Self {
        Membership { phase: Phase::Unjoined, generation: Generation::none(), rejoin: true, thrown_out: false }
    }

    /// JoinGroup is about to be sent.
    pub fn start_join(&mut self) -> Generation {
        self.phase = Phase::Preparing;
        self.thrown_out = false;
        self.generation.clone()
    }

    /// Whether heartbeats are due.
    pub fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Completing | Phase::Stable)
    }

    /// The group is no longer what it was for this member.
    fn reset(&mut self, keep: Keep) {
        self.phase = Phase::Unjoined;
        self.rejoin = true;
        self.thrown_out = true;
        self.generation.number = -1;
        if keep == Keep::Nothing {
            self.generation.member.clear();
        }
    }

    /// The generation that a commit of a member carries; what is in between is not committed (Java:
    /// `generationIfStable`).
    ///
    /// # Errors
    /// The code that says why there is none.
    pub fn to_commit(&self) -> Result<Generation, ErrorCode> {
        match self.phase {
            Phase::Stable => Ok(self.generation.clone()),
            Phase::Preparing | Phase::Completing => Err(ErrorCode::RebalanceInProgress),
            // Its partitions may have another owner, who has committed and gone.
            Phase::Unjoined => Err(ErrorCode::UnknownMemberId),
        }
    }

    /// Whether offsets may go into a transaction: brokers take those of the generation that ends until the next one has
    /// begun (Java: `ClassicGroup.validateOffsetCommit`), which a member hears of with the answer to its JoinGroup.
    ///
    /// # Errors
    /// The code that says why not.
    pub fn check_transaction(&self) -> Result<(), ErrorCode> {
        match self.phase {
            Phase::Preparing if self.generation.number >= 0 => Ok(()),
            _ => self.to_commit().map(drop),
        }
    }

    /// Leaves of its own accord (`max.poll.interval.ms` has passed, or the consumer closes). A static member that may come
    /// back keeps its id: with it the coordinator can tell it from another one that took its place meanwhile, which it
    /// would throw out without.
    pub fn left(&mut self, keep: Keep) {
        self.reset(keep);
    }

    /// What an answer to JoinGroup means; `member` and `generation` are those it carries.
    pub fn joined(&mut self, code: ErrorCode, sent: &Generation, member: &str, generation: i32) -> Next {
        match code {
            ErrorCode::None => {
                self.phase = Phase::Completing;
                self.generation = Generation { number: generation, member: member.to_owned() };
                Next::Proceed
            }
            // KIP-394: the id to join with.
            ErrorCode::MemberIdRequired => {
                self.generation = Generation { number: -1, member: member.to_owned() };
                Next::Rejoin
            }
            ErrorCode::UnknownMemberId => {
                if self.generation == *sent {
                    self.reset(Keep::Nothing);
                }
                Next::Rejoin
            }
            ErrorCode::RebalanceInProgress => Next::Rejoin,
            ErrorCode::CoordinatorLoadInProgress => Next::Later,
            ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator => Next::FindCoordinator,
            other => self.failed(other),
        }
    }

    /// What an answer to SyncGroup means.
    pub fn synced(&mut self, code: ErrorCode, sent: &Generation) -> Next {
        match code {
            ErrorCode::None if self.phase == Phase::Completing && self.generation == *sent => {
                self.phase = Phase::Stable;
                self.rejoin = false;
                // What was taken away is back, or was told as revoked.
                self.thrown_out = false;
                Next::Proceed
            }
            // A heartbeat found the generation gone while the answer was on its way.
            ErrorCode::None | ErrorCode::RebalanceInProgress => Next::Rejoin,
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
                self.fenced(code, sent);
                Next::Rejoin
            }
            ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator => Next::FindCoordinator,
            ErrorCode::CoordinatorLoadInProgress => Next::Later,
            other => self.failed(other),
        }
    }

    /// What an answer to a heartbeat means.
    pub fn beaten(&mut self, code: ErrorCode, sent: &Generation) -> Next {
        match code {
            ErrorCode::None => Next::Proceed,
            ErrorCode::RebalanceInProgress => {
                if self.phase == Phase::Stable {
                    self.rejoin = true;
                }
                Next::Proceed
            }
            ErrorCode::IllegalGeneration | ErrorCode::UnknownMemberId => {
                self.fenced(code, sent);
                Next::Proceed
            }
            ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator => Next::FindCoordinator,
            ErrorCode::FencedInstanceId if self.generation != *sent => Next::Proceed,
            other => self.failed(other),
        }
    }

    /// What the code of a partition in an answer to OffsetCommit means.
    pub fn committed(&mut self, code: ErrorCode, sent: &Generation) -> Next {
        match code {
            ErrorCode::None => Next::Proceed,
            ErrorCode::CoordinatorLoadInProgress | ErrorCode::UnknownTopicOrPartition => Next::Later,
            ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator | ErrorCode::RequestTimedOut => {
                Next::FindCoordinator
            }
            ErrorCode::RebalanceInProgress => {
                self.rejoin = true;
                Next::Fail(code)
            }
            ErrorCode::UnknownMemberId | ErrorCode::IllegalGeneration => {
                self.fenced(code, sent);
                Next::Fail(code)
            }
            other => Next::Fail(other),
        }
    }

    fn fenced(&mut self, code: ErrorCode, sent: &Generation) {
        if self.generation == *sent {
            self.reset(if code == ErrorCode::IllegalGeneration { Keep::Member } else { Keep::Nothing });
        }
    }

    fn failed(&mut self, code: ErrorCode) -> Next {
        if code.is_retriable() {
            return Next::Later;
        }
        self.phase = Phase::Unjoined;
        self.thrown_out = true;
        // Who replaced this member by its instance id would be thrown out in its turn.
        self.rejoin = code != ErrorCode::FencedInstanceId;
        Next::Fail(code)
    }
}

/// What is left of a member that is in no generation any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Its id.
    Member,
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stable() -> Membership {
        let mut member = Membership::new();
        let sent = member.start_join();
        assert_eq!(member.joined(ErrorCode::MemberIdRequired, &sent, "m-1", -1), Next::Rejoin);
        let sent = member.start_join();
        assert_eq!(sent, Generation { number: -1, member: "m-1".to_owned() });
        assert_eq!(member.joined(ErrorCode::None, &sent, "m-1", 3), Next::Proceed);
        assert!(member.is_live() && member.rejoin);
        let sent = member.generation.clone();
        assert_eq!(member.synced(ErrorCode::None, &sent), Next::Proceed);
        assert_eq!((member.phase, member.rejoin), (Phase::Stable, false));
        member
    }

    #[test]
    fn a_member_joins_with_the_id_it_was_given() {
        stable();
    }

    #[test]
    fn a_rebalance_is_joined_with_the_same_id() {
        let mut member = stable();
        let sent = member.generation.clone();
        assert_eq!(member.beaten(ErrorCode::RebalanceInProgress, &sent), Next::Proceed);
        assert!(member.rejoin && !member.thrown_out);
        assert_eq!(member.start_join().member, "m-1");
        assert_eq!(member.beaten(ErrorCode::RebalanceInProgress, &sent), Next::Proceed);
        assert_eq!(member.phase, Phase::Preparing);
    }

    #[test]
    fn who_is_unknown_starts_anew_and_who_is_late_keeps_the_id() {
        let mut member = stable();
        let sent = member.generation.clone();
        member.beaten(ErrorCode::IllegalGeneration, &sent);
        assert!(member.rejoin && member.thrown_out);
        assert_eq!(member.generation, Generation { number: -1, member: "m-1".to_owned() });
        let mut member = stable();
        assert_eq!(member.committed(ErrorCode::UnknownMemberId, &sent), Next::Fail(ErrorCode::UnknownMemberId));
        assert_eq!(member.generation, Generation::none());
    }

    #[test]
    fn only_a_member_with_an_assignment_commits() {
        let mut member = stable();
        assert_eq!(member.to_commit().map(|generation| generation.number), Ok(3));
        member.rejoin = true;
        assert!(member.to_commit().is_ok(), "before the rebalance");
        let sent = member.start_join();
        assert_eq!(member.to_commit(), Err(ErrorCode::RebalanceInProgress));
        assert_eq!(member.check_transaction(), Ok(()), "the generation goes on until all have joined");
        member.joined(ErrorCode::None, &sent, "m-1", 4);
        assert_eq!(member.to_commit(), Err(ErrorCode::RebalanceInProgress));
        assert_eq!(member.check_transaction(), Err(ErrorCode::RebalanceInProgress), "it is over");
        member.left(Keep::Nothing);
        assert_eq!(member.to_commit(), Err(ErrorCode::UnknownMemberId));
        assert_eq!(member.check_transaction(), Err(ErrorCode::UnknownMemberId));
        member.start_join();
        assert_eq!(member.check_transaction(), Err(ErrorCode::RebalanceInProgress), "it was in none");
    }

    #[test]
    fn what_was_taken_away_during_a_join_is_not_taken_away_after_it() {
        let mut member = stable();
        let old = member.generation.clone();
        let sent = member.start_join();
        member.committed(ErrorCode::IllegalGeneration, &old);
        member.joined(ErrorCode::None, &sent, "m-1", 4);
        let sent = member.generation.clone();
        assert_eq!(member.synced(ErrorCode::None, &sent), Next::Proceed);
        assert!(!member.thrown_out && !member.rejoin);
    }

    #[test]
    fn a_static_member_does_not_take_back_the_place_that_another_one_took() {
        let mut member = stable();
        member.left(Keep::Member);
        let sent = member.start_join();
        assert_eq!(sent, Generation { number: -1, member: "m-1".to_owned() });
        let replaced = ErrorCode::FencedInstanceId;
        assert_eq!(member.joined(replaced, &sent, "m-1", -1), Next::Fail(replaced));
        assert!(!member.rejoin);
        // It was away for longer than its session, and nobody has come.
        let sent = member.start_join();
        assert_eq!(member.joined(ErrorCode::UnknownMemberId, &sent, "", -1), Next::Rejoin);
        assert_eq!(member.start_join(), Generation::none());
    }

    #[test]
    fn an_answer_to_an_older_generation_changes_nothing() {
        let mut member = stable();
        let old = Generation { number: 2, member: "m-1".to_owned() };
        assert_eq!(member.beaten(ErrorCode::UnknownMemberId, &old), Next::Proceed);
        assert_eq!(member.beaten(ErrorCode::FencedInstanceId, &old), Next::Proceed);
        assert_eq!((member.phase, member.rejoin), (Phase::Stable, false));
    }

    #[test]
    fn a_generation_that_ended_during_sync_is_joined_again() {
        let mut member = stable();
        let sent = member.start_join();
        member.joined(ErrorCode::None, &sent, "m-1", 4);
        let sent = member.generation.clone();
        member.beaten(ErrorCode::UnknownMemberId, &sent);
        assert_eq!(member.synced(ErrorCode::None, &sent), Next::Rejoin);
        assert_eq!(member.phase, Phase::Unjoined);
    }

    #[test]
    fn coordinators_move_and_some_errors_end_it() {
        let mut member = stable();
        let sent = member.generation.clone();
        assert_eq!(member.beaten(ErrorCode::NotCoordinator, &sent), Next::FindCoordinator);
        assert_eq!(member.phase, Phase::Stable);
        let sent = member.start_join();
        assert_eq!(member.joined(ErrorCode::CoordinatorLoadInProgress, &sent, "", -1), Next::Later);
        let fatal = ErrorCode::InconsistentGroupProtocol;
        assert_eq!(member.joined(fatal, &sent, "", -1), Next::Fail(fatal));
        let mut member = stable();
        let sent = member.generation.clone();
        assert_eq!(member.beaten(ErrorCode::FencedInstanceId, &sent), Next::Fail(ErrorCode::FencedInstanceId));
        assert!(member.thrown_out && !member.rejoin, "it does not fight with who replaced it");
        let mut member = stable();
        let sent = member.generation.clone();
        member.beaten(ErrorCode::GroupAuthorizationFailed, &sent);
        assert!(member.thrown_out && member.rejoin, "it may be let in again");
    }
}
