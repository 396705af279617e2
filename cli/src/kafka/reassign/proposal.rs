//! What `--generate` proposes (Java: `ReassignPartitionsCommand.calculateAssignment`): each topic anew over the brokers that
//! are named, as a broker would place a new topic.

use std::collections::BTreeMap;

use client::TopicPartition;
use client::admin::ClusterNode;
use millstream_broker_controller::decide::striped_placer::{PlaceError, Turns, UsableBroker, place};

/// Whether racks are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Racks {
    /// Replicas are spread over them.
    Regarded,
    /// `--disable-rack-aware`
    Ignored,
}

/// The brokers that replicas may go to.
///
/// # Errors
/// When only some of them have a rack, as then nobody knows which are far from each other.
pub fn usable<'a>(
    nodes: impl IntoIterator<Item = &'a ClusterNode>,
    racks: Racks,
) -> Result<Vec<UsableBroker<'a>>, String> {
    let rack = |node: &'a ClusterNode| node.rack.as_deref().filter(|_| racks == Racks::Regarded);
    let usable: Vec<_> =
        nodes.into_iter().map(|node| UsableBroker { id: node.id, rack: rack(node), fenced: false }).collect();
    let without = usable.iter().filter(|broker| broker.rack.is_none()).count();
    if racks == Racks::Regarded && without != 0 && without != usable.len() {
        return Err("Not all brokers have rack information. Add --disable-rack-aware in command line to make replica assignment without rack information.".to_owned());
    }
    Ok(usable)
}

/// Where the partitions are to go; `draw` gives a random number below the one given. Every partition of a topic gets as
/// many replicas as its first has.
///
/// # Errors
/// When there are too few brokers.
pub fn proposed(
    current: &BTreeMap<TopicPartition, Vec<i32>>,
    usable: &[UsableBroker<'_>],
    mut draw: impl FnMut(usize) -> usize,
) -> Result<BTreeMap<TopicPartition, Vec<i32>>, PlaceError> {
    let mut topics: BTreeMap<&str, Vec<(&TopicPartition, &Vec<i32>)>> = BTreeMap::new();
    for (at, replicas) in current {
        topics.entry(&at.topic).or_default().push((at, replicas));
    }
    let mut proposed = BTreeMap::new();
    for partitions in topics.values() {
        let factor = partitions.first().map_or(0, |(_, replicas)| i16::try_from(replicas.len()).unwrap_or(i16::MAX));
        let placed = place(usable.iter().copied(), partitions.len(), factor, Turns::Random(&mut draw))?;
        proposed.extend(partitions.iter().map(|(at, _)| (*at).clone()).zip(placed));
    }
    Ok(proposed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(racks: &[Option<&str>]) -> Vec<ClusterNode> {
        let node = |(id, rack): (usize, &Option<&str>)| ClusterNode {
            id: id as i32,
            host: "h".to_owned(),
            port: 9092,
            rack: rack.map(str::to_owned),
            fenced: false,
        };
        racks.iter().enumerate().map(node).collect()
    }

    fn topic(partitions: i32, replicas: &[i32]) -> BTreeMap<TopicPartition, Vec<i32>> {
        (0..partitions).map(|number| (TopicPartition::new("t", number), replicas.to_vec())).collect()
    }

    #[test]
    fn no_partition_has_both_replicas_in_one_rack() {
        let nodes = nodes(&[Some("a"), Some("a"), Some("b"), Some("b")]);
        let usable = usable(&nodes, Racks::Regarded).unwrap();
        for start in 0..7 {
            let proposed = proposed(&topic(12, &[0, 1]), &usable, |below| start % below).unwrap();
            assert_eq!(proposed.len(), 12);
            for (at, replicas) in proposed {
                assert_ne!(replicas[0] / 2, replicas[1] / 2, "{at}: {replicas:?}");
            }
        }
    }

    #[test]
    fn racks_can_be_ignored() {
        let nodes = nodes(&[Some("a"), Some("a"), None, Some("b")]);
        let usable = usable(&nodes, Racks::Ignored).unwrap();
        let proposed = proposed(&topic(4, &[0, 1]), &usable, |_| 0).unwrap();
        let proposed: Vec<Vec<i32>> = proposed.into_values().collect();
        assert_eq!(proposed, [[0, 1], [1, 2], [2, 3], [3, 0]]);
    }

    #[test]
    fn brokers_of_which_some_have_a_rack_are_refused() {
        let refused = usable(&nodes(&[Some("a"), None]), Racks::Regarded).unwrap_err();
        assert!(refused.starts_with("Not all brokers have rack information. Add --disable-rack-aware"), "{refused}");
        assert!(usable(&nodes(&[None, None]), Racks::Regarded).is_ok());
    }

    #[test]
    fn the_start_is_drawn() {
        let nodes = nodes(&[None, None, None]);
        let usable = usable(&nodes, Racks::Regarded).unwrap();
        let first = |start: usize| {
            proposed(&topic(1, &[0]), &usable, |below| start % below).unwrap()[&TopicPartition::new("t", 0)][0]
        };
        assert_eq!([first(0), first(1), first(2)], [0, 1, 2]);
    }

    #[test]
    fn a_topic_with_more_replicas_than_brokers_cannot_be_placed() {
        let nodes = nodes(&[None, None]);
        let usable = usable(&nodes, Racks::Regarded).unwrap();
        let error = proposed(&topic(1, &[0, 1, 2]), &usable, |_| 0).unwrap_err();
        assert_eq!(error, PlaceError::TooFew { factor: 3, registered: 2 });
    }
}
