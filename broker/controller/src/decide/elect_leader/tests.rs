use super::*;
use crate::decide::create_topic::tests::lone_node;

#[test]
fn a_partition_that_has_its_leader_needs_no_election() {
    let partitions = [("t1".to_owned(), 0), ("t1".to_owned(), 99), ("nope".to_owned(), 0)];
    let (records, answers) = elect_leaders(&lone_node(), ElectionType::Preferred, &partitions).unwrap();
    assert!(records.is_empty());
    let texts: Vec<_> = answers.into_iter().map(|answer| answer.unwrap_err().message.unwrap()).collect();
    let expected =
        ["Leader election not needed for topic partition.", "No such partition as t1-99", "No such topic as nope"];
    assert_eq!(texts, expected);
}

#[test]
fn a_partition_without_leader_takes_a_live_replica() {
    let image = lone_node();
    let leaderless = MetadataRecord::PartitionChange(PartitionChangeRecord {
        topic_id: image.topic("t1").unwrap().id,
        partition: 1,
        leader: Some(-1),
        isr: Some([].into()),
        ..PartitionChangeRecord::default()
    });
    let image = image.apply(&[leaderless]).unwrap();
    let wanted = [("t1".to_owned(), 1)];
    let (_, answers) = elect_leaders(&image, ElectionType::Preferred, &wanted).unwrap();
    assert_eq!(answers[0].as_ref().unwrap_err().code, ErrorCode::PreferredLeaderNotAvailable);
    let (records, answers) = elect_leaders(&image, ElectionType::Unclean, &wanted).unwrap();
    assert_eq!(answers, [Ok(())]);
    let image = image.apply(&records).unwrap();
    let partition = image.partition("t1", 1).unwrap();
    assert_eq!((partition.leader, &*partition.isr, partition.leader_epoch), (1, &[1][..], 2));
}
