//! The sticky assignment when all members read the same topics (Java: `ConstrainedAssignmentBuilder`): everyone gets
//! the least or one more, keeps what is within that, and the rest goes around.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::sticky::{Group, Held, Place};

struct Builder<'a> {
    group: &'a Group<'a>,
    held: Held,
    /// Had by a member that may not keep it.
    loose: HashMap<Place, usize>,
    /// Members with less than the least.
    under: Vec<usize>,
    /// Members with the least that may get one more.
    exact: VecDeque<usize>,
    least: usize,
    most: usize,
    /// How many may have the most, and do.
    over_expected: usize,
    over: usize,
    given: Vec<Vec<Place>>,
    moving: BTreeMap<Place, usize>,
}

/// Partitions by member, and those that change hands with their new owner.
pub(super) fn assign(group: &Group, held: Held) -> (Vec<Vec<Place>>, BTreeMap<Place, usize>) {
    let (places, members) = (group.places(), group.members.len());
    let mut builder = Builder {
        group,
        held,
        loose: HashMap::new(),
        under: Vec::new(),
        exact: VecDeque::new(),
        least: places / members,
        most: places.div_ceil(members),
        over_expected: places % members,
        over: 0,
        given: vec![Vec::new(); members],
        moving: BTreeMap::new(),
    };
    builder.keep();
    let mut taken = vec![false; places];
    builder.given.iter().flatten().for_each(|place| taken[*place] = true);
    let mut left: Vec<Place> = (0..places).filter(|place| !taken[*place]).collect();
    builder.under.sort_unstable();
    builder.exact.make_contiguous().sort_unstable();
    group.sort_by_near(&mut left);
    if group.has_racks() {
        left = builder.give_near(left);
    }
    builder.give_around(&left);
    (builder.given, builder.moving)
}

impl Builder<'_> {
    /// Members keep what they had, up to their share.
    fn keep(&mut self) {
        for member in self.group.walk.iter().copied() {
            let mut owned = std::mem::take(&mut self.held.owned[member]);
            for place in &owned {
                if self.group.is_far(member, *place) {
                    self.loose.insert(*place, member);
                }
            }
            owned.retain(|place| !self.group.is_far(member, *place));
            owned.sort_unstable_by_key(|place| (self.group.number(*place), *place));
            owned.retain(|place| !self.held.contested.contains(place));
            if owned.len() < self.least {
                self.given[member] = owned;
                self.under.push(member);
                continue;
            }
            let may_have_most = owned.len() >= self.most && self.over < self.over_expected;
            let share = if may_have_most { self.most } else { self.least };
            self.loose.extend(owned.drain(share..).map(|place| (place, member)));
            self.given[member] = owned;
            if may_have_most {
                self.now_over();
            } else if self.over < self.over_expected {
                self.exact.push_back(member);
            }
        }
    }

    fn now_over(&mut self) {
        self.over += 1;
        if self.over == self.over_expected {
            self.exact.clear();
        }
    }

    /// Gives out what has a replica near a member that has room; what is left over comes back.
    fn give_near(&mut self, left: Vec<Place>) -> Vec<Place> {
        let mut next = 0;
        let mut rest = Vec::new();
        for place in left {
            if let Some(mut index) = self.group.next_near(place, &self.under, next) {
                let member = self.under[index];
                let count = self.given[member].len() + 1;
                if count >= self.least {
                    self.under.remove(index);
                    if count < self.most && self.over < self.over_expected {
                        self.exact.push_back(member);
                    }
                } else {
                    index += 1;
                }
                next = if self.under.is_empty() { 0 } else { index % self.under.len() };
                self.give(place, member);
                continue;
            }
            let Some(index) = self.group.next_near(place, self.exact.make_contiguous(), 0) else {
                rest.push(place);
                continue;
            };
            let member = self.exact[index];
            if self.given[member].len() + 1 == self.most {
                self.exact.remove(index);
                self.now_over();
            }
            self.give(place, member);
        }
        rest
    }

    /// One after the other to those below the least, then to those that may have one more.
    fn give_around(&mut self, left: &[Place]) {
        let mut next = 0;
        for place in left {
            if next >= self.under.len() {
                next = 0;
            }
            if let Some(member) = self.under.get(next).copied() {
                self.give(*place, member);
                if self.given[member].len() == self.least {
                    self.under.remove(next);
                    self.exact.push_back(member);
                } else {
                    next += 1;
                }
            } else if let Some(member) = self.exact.pop_front() {
                self.give(*place, member);
            } else {
                // Java throws here; the shares add up to all partitions, so that it does not come to it.
                return;
            }
        }
    }

    fn give(&mut self, place: Place, member: usize) {
        self.given[member].push(place);
        let is_loose = self.loose.get(&place).is_some_and(|before| *before != member);
        if is_loose || self.held.contested.contains(&place) {
            self.moving.insert(place, member);
        }
    }
}
