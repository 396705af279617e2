use proptest::prelude::*;

use super::*;

/// A log of plausible changes: topics come, grow, change and go; configurations, features and ids move.
fn log(steps: &[(u8, u8, u8)]) -> Vec<Vec<MetadataRecord>> {
    let mut image = Image::default();
    let mut log = Vec::new();
    for (number, (what, which, value)) in steps.iter().enumerate() {
        let name = format!("topic-{}", which % 6);
        let records = match (what % 6, image.topic(&name)) {
            (0 | 1, None) => created(&name, number, i32::from(value % 4)),
            (0, Some(topic)) => vec![partition(topic.id, topic.partitions.len() as i32)],
            (1, Some(topic)) if !topic.partitions.is_empty() => {
                vec![MetadataRecord::PartitionChange(PartitionChangeRecord {
                    topic_id: topic.id,
                    partition: i32::from(*value) % topic.partitions.len() as i32,
                    leader: Some(i32::from(*value)),
                    isr: Some([i32::from(*value)].into()),
                    ..PartitionChangeRecord::default()
                })]
            }
            (2, Some(topic)) => vec![MetadataRecord::RemoveTopic { topic_id: topic.id }],
            (3, Some(_)) => vec![MetadataRecord::Config(ConfigRecord {
                kind: ConfigResourceType::Topic,
                resource: name,
                key: format!("key-{}", value % 3),
                value: (value % 4 != 0).then(|| value.to_string()),
            })],
            (4, _) => vec![MetadataRecord::ProducerIds { next: number as i64 * 1000 }],
            _ => vec![MetadataRecord::FeatureLevel {
                name: format!("feature-{}", which % 3),
                level: i16::from(value % 3),
            }],
        };
        image = image.apply(&records).unwrap();
        log.push(records);
    }
    log
}

fn created(name: &str, number: usize, partitions: i32) -> Vec<MetadataRecord> {
    let topic_id = Uuid::from_u128(number as u128 + 1);
    let mut records = vec![MetadataRecord::Topic(TopicRecord { name: name.into(), topic_id })];
    records.extend((0..partitions).map(|index| partition(topic_id, index)));
    records
}

fn partition(topic_id: Uuid, partition: i32) -> MetadataRecord {
    MetadataRecord::Partition(PartitionRecord {
        topic_id,
        partition,
        replicas: [1].into(),
        directories: [Uuid::from_u128(9)].into(),
        isr: [1].into(),
        leader: 1,
        leader_epoch: 0,
        partition_epoch: 0,
        adding_replicas: [].into(),
        removing_replicas: [].into(),
    })
}

fn replay(image: &Image, log: &[Vec<MetadataRecord>]) -> Image {
    log.iter().fold(image.clone(), |image, records| image.apply(records).unwrap())
}

proptest! {
    #[test]
    fn a_snapshot_and_the_tail_make_the_image(
        steps in prop::collection::vec(any::<(u8, u8, u8)>(), 0..60),
        at in 0.0f64..=1.0,
    ) {
        let log = log(&steps);
        let whole = replay(&Image::default(), &log);
        let at = (log.len() as f64 * at) as usize;
        let snapshot = replay(&Image::default(), &log[..at]).records();
        let restored = Image::default().apply(&snapshot).unwrap();
        prop_assert_eq!(replay(&restored, &log[at..]), whole);
    }

    #[test]
    fn an_older_image_never_changes(steps in prop::collection::vec(any::<(u8, u8, u8)>(), 1..40)) {
        let log = log(&steps);
        let (last, before) = log.split_last().unwrap();
        let image = replay(&Image::default(), before);
        let kept = image.clone();
        let records = image.records();
        image.apply(last).unwrap();
        prop_assert_eq!(&image, &kept);
        prop_assert_eq!(image.records().len(), records.len());
    }

    #[test]
    fn a_delta_turns_the_one_image_into_the_other(
        steps in prop::collection::vec(any::<(u8, u8, u8)>(), 1..60),
        at in 0.0f64..1.0,
    ) {
        let log = log(&steps);
        let at = (log.len() as f64 * at) as usize;
        let before = replay(&Image::default(), &log[..at]);
        let after = Arc::new(replay(&before, &log[at..]));
        let mut topics: BTreeMap<String, Arc<Topic>> =
            before.topics().map(|topic| (topic.name.to_string(), topic.clone())).collect();
        for change in crate::Delta::between(&before, &after).topics {
            match change {
                crate::TopicChange::Deleted(topic) => prop_assert!(topics.remove(&*topic.name).is_some()),
                crate::TopicChange::Created(topic) => {
                    prop_assert!(topics.insert(topic.name.to_string(), topic).is_none());
                }
                crate::TopicChange::Changed { after, .. } => {
                    prop_assert!(topics.insert(after.name.to_string(), after).is_some());
                }
            }
        }
        let expected: BTreeMap<String, Arc<Topic>> =
            after.topics().map(|topic| (topic.name.to_string(), topic.clone())).collect();
        prop_assert_eq!(topics, expected);
    }
}

#[test]
fn a_change_shares_every_other_topic_with_the_image_before() {
    let records: Vec<MetadataRecord> =
        (0..5_000).flat_map(|number| created(&format!("t{number}"), number, 1)).collect();
    let before = Image::default().apply(&records).unwrap();
    let id = before.topic("t17").unwrap().id;
    let after = before.apply(&[partition(id, 1)]).unwrap();
    let same = |name: &str| Arc::ptr_eq(before.topic(name).unwrap(), after.topic(name).unwrap());
    let shared = (0..5_000).filter(|number| same(&format!("t{number}"))).count();
    assert_eq!(shared, 4_999);
    assert_eq!(crate::Delta::between(&before, &Arc::new(after)).topics.len(), 1);
}

#[test]
fn equal_replica_lists_share_one_allocation() {
    let image = Image::default().apply(&created("t", 0, 5_000)).unwrap();
    let partitions = &image.topic("t").unwrap().partitions;
    assert!(partitions.iter().all(|partition| Arc::ptr_eq(&partition.replicas, &partitions[0].replicas)));
    assert!(partitions.iter().all(|partition| Arc::ptr_eq(&partition.isr, &partition.replicas)));
    assert!(partitions.iter().all(|partition| Arc::ptr_eq(&partition.directories, &partitions[0].directories)));
    assert!(size_of::<PartitionInfo>() <= 104, "{} bytes", size_of::<PartitionInfo>());
}

#[test]
fn records_that_do_not_follow_are_refused() {
    let image = Image::default().apply(&created("t", 0, 1)).unwrap();
    let id = image.topic("t").unwrap().id;
    let unknown = Uuid::from_u128(77);
    assert_eq!(image.apply(&created("t", 1, 0)).err(), Some(ApplyError::TopicExists("t".to_owned())));
    assert_eq!(image.apply(&[partition(unknown, 0)]).err(), Some(ApplyError::UnknownTopic(unknown)));
    let gap = ApplyError::UnknownPartition { topic: "t".to_owned(), partition: 2, count: 1 };
    assert_eq!(image.apply(&[partition(id, 2)]).err(), Some(gap));
}
