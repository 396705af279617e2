//! A binary heap that takes equal elements in the order in which java.util.PriorityQueue does.
//! Used for the partitions of a task and for timers: both may be equal, and which goes first shows in the output.

/// The smallest element first, by a number.
#[derive(Debug)]
pub(crate) struct Heap<T> {
    items: Vec<(i64, T)>,
}

impl<T> Heap<T> {
    pub(crate) fn new() -> Heap<T> {
        Heap { items: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn peek(&self) -> Option<&(i64, T)> {
        self.items.first()
    }

    pub(crate) fn push(&mut self, order: i64, item: T) {
        self.items.push((order, item));
        let mut at = self.items.len() - 1;
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.items[at].0 >= self.items[parent].0 {
                break;
            }
            self.items.swap(at, parent);
            at = parent;
        }
    }

    pub(crate) fn pop(&mut self) -> Option<(i64, T)> {
        if self.items.is_empty() {
            return None;
        }
        // The last element is put in the root's place and sinks; of equal children the left one rises.
        let first = self.items.swap_remove(0);
        let (mut at, len) = (0, self.items.len());
        while 2 * at + 1 < len {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let child = if right < len && self.items[left].0 > self.items[right].0 { right } else { left };
            if self.items[at].0 <= self.items[child].0 {
                break;
            }
            self.items.swap(at, child);
            at = child;
        }
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_elements_leave_in_javas_order() {
        // What java.util.PriorityQueue gives for the same offers: ten elements, all of one priority.
        let mut heap = Heap::new();
        (0..10).for_each(|item| heap.push(1, item));
        let order: Vec<i32> = std::iter::from_fn(|| heap.pop()).map(|(_, item)| item).collect();
        assert_eq!(order, [0, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
    }

    #[test]
    fn the_smallest_leaves_first() {
        let mut heap = Heap::new();
        [5, 3, 9, 1, 7].into_iter().for_each(|item| heap.push(item, ()));
        let order: Vec<i64> = std::iter::from_fn(|| heap.pop()).map(|(order, ())| order).collect();
        assert_eq!(order, [1, 3, 5, 7, 9]);
    }
}
