//! The orders in which Java's collections hand out what was put in: `describe` shows them.
//! Called by `topology::describe`. Never used on the path of a record.
//! Not done: the order inside one bucket that holds eight names or more (Java turns it into a tree; the tables here are too small for it).

use std::cmp::Ordering;

/// `String.hashCode`.
fn hash_code(text: &str) -> u32 {
    text.encode_utf16().fold(0u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

/// The bucket of a name in a `java.util.HashMap` of `capacity` buckets.
fn bucket(name: &str, capacity: usize) -> usize {
    let hash = hash_code(name);
    (hash ^ (hash >> 16)) as usize & (capacity - 1)
}

/// Names in the order of a `HashSet` they were added to one by one: the table doubles when it is fuller than three quarters.
pub(super) fn added<T, F: Fn(&T) -> &str>(mut items: Vec<T>, name: F) -> Vec<T> {
    let mut capacity = 16;
    while items.len() * 4 > capacity * 3 {
        capacity *= 2;
    }
    items.sort_by_key(|item| bucket(name(item), capacity));
    items
}

/// Names in the order of a `new HashSet<>(collection)`, which sizes its table before it adds.
pub(super) fn copied(mut names: Vec<String>) -> Vec<String> {
    // HashSet(Collection): max((int) (size / .75f) + 1, 16), up to a power of two.
    let capacity = (names.len() * 4 / 3 + 1).max(16).next_power_of_two();
    names.sort_by_key(|name| bucket(name, capacity));
    names
}

const NIL: usize = usize::MAX;

/// The red-black tree of `java.util.TreeMap`. `describe` needs the tree itself, not only a sorted list: the sizes that it
/// sorts by still change while nodes are put in, so where one lands depends on the rotations done before.
pub(super) struct JavaTree {
    cells: Vec<Cell>,
    root: usize,
}

struct Cell {
    item: usize,
    left: usize,
    right: usize,
    parent: usize,
    red: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Side {
    fn other(self) -> Side {
        match self {
            Side::Left => Side::Right,
            Side::Right => Side::Left,
        }
    }
}

impl JavaTree {
    pub(super) fn new() -> JavaTree {
        JavaTree { cells: Vec::new(), root: NIL }
    }

    /// Adds `item` where `compare(item, other)` leads today; an equal one stays alone.
    pub(super) fn insert(&mut self, item: usize, compare: impl Fn(usize, usize) -> Ordering) {
        let (mut parent, mut at, mut side) = (NIL, self.root, Side::Left);
        while at != NIL {
            parent = at;
            side = match compare(item, self.cells[at].item) {
                Ordering::Less => Side::Left,
                Ordering::Greater => Side::Right,
                Ordering::Equal => return,
            };
            at = self.child(at, side);
        }
        let cell = self.cells.len();
        self.cells.push(Cell { item, left: NIL, right: NIL, parent, red: true });
        match parent {
            NIL => self.root = cell,
            _ => self.set_child(parent, side, cell),
        }
        self.balance(cell);
    }

    /// The items from the first to the last.
    pub(super) fn items(&self) -> Vec<usize> {
        let (mut items, mut above, mut at) = (Vec::new(), Vec::new(), self.root);
        while at != NIL || !above.is_empty() {
            while at != NIL {
                above.push(at);
                at = self.cells[at].left;
            }
            if let Some(cell) = above.pop() {
                items.push(self.cells[cell].item);
                at = self.cells[cell].right;
            }
        }
        items
    }

    fn child(&self, cell: usize, side: Side) -> usize {
        match side {
            Side::Left => self.cells[cell].left,
            Side::Right => self.cells[cell].right,
        }
    }

    fn set_child(&mut self, cell: usize, side: Side, child: usize) {
        match side {
            Side::Left => self.cells[cell].left = child,
            Side::Right => self.cells[cell].right = child,
        }
    }

    fn parent(&self, cell: usize) -> usize {
        if cell == NIL { NIL } else { self.cells[cell].parent }
    }

    fn red(&self, cell: usize) -> bool {
        cell != NIL && self.cells[cell].red
    }

    fn paint(&mut self, cell: usize, red: bool) {
        if cell != NIL {
            self.cells[cell].red = red;
        }
    }

    /// `TreeMap.fixAfterInsertion`.
    fn balance(&mut self, inserted: usize) {
        let mut at = inserted;
        while at != self.root && self.red(self.parent(at)) {
            let grand = self.parent(self.parent(at));
            let side =
                if grand != NIL && self.child(grand, Side::Left) == self.parent(at) { Side::Left } else { Side::Right };
            let uncle = if grand == NIL { NIL } else { self.child(grand, side.other()) };
            if self.red(uncle) {
                self.paint(self.parent(at), false);
                self.paint(uncle, false);
                self.paint(grand, true);
                at = grand;
                continue;
            }
            if at == self.child(self.parent(at), side.other()) {
                at = self.parent(at);
                self.rotate(at, side);
            }
            let (parent, grand) = (self.parent(at), self.parent(self.parent(at)));
            self.paint(parent, false);
            self.paint(grand, true);
            if grand != NIL {
                self.rotate(grand, side.other());
            }
        }
        let root = self.root;
        self.paint(root, false);
    }

    /// Turns `cell` down to `side`; its child on the other side takes its place.
    fn rotate(&mut self, cell: usize, side: Side) {
        let up = self.child(cell, side.other());
        let inner = self.child(up, side);
        self.set_child(cell, side.other(), inner);
        if inner != NIL {
            self.cells[inner].parent = cell;
        }
        let parent = self.cells[cell].parent;
        self.cells[up].parent = parent;
        if parent == NIL {
            self.root = up;
        } else if self.child(parent, Side::Left) == cell {
            self.set_child(parent, Side::Left, up);
        } else {
            self.set_child(parent, Side::Right, up);
        }
        self.set_child(up, side, cell);
        self.cells[cell].parent = up;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_hash_set_hands_out_by_bucket() {
        // Java: "in1".hashCode() is 104364, "in2".hashCode() 104365; with h >>> 16 mixed in they fall into buckets 13 and 12.
        assert_eq!(hash_code("in1"), 104_364);
        assert_eq!(copied(names(&["in1", "in2"])), names(&["in2", "in1"]));
        assert_eq!(added(names(&["in1", "in2"]), String::as_str), names(&["in2", "in1"]));
    }

    #[test]
    fn a_tree_with_a_steady_order_sorts() {
        for seed in 1..50usize {
            let mut tree = JavaTree::new();
            let items: Vec<usize> = (0..40).map(|at| (at * 37 * seed + seed) % 101).collect();
            items.iter().for_each(|item| tree.insert(*item, |left, right| left.cmp(&right)));
            let mut sorted = items;
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(tree.items(), sorted, "seed {seed}");
        }
    }
}
