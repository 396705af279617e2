use bytes::BytesMut;
use proptest::prelude::*;

use super::*;

fn bytes_of(records: &[MetadataRecord]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    encode_all(records, &mut bytes);
    bytes.to_vec()
}

fn replicas() -> impl Strategy<Value = Replicas> {
    prop::collection::vec(any::<i32>(), 0..4).prop_map(Arc::from)
}

fn uuid() -> impl Strategy<Value = Uuid> {
    any::<u128>().prop_map(Uuid::from_u128)
}

fn directories() -> impl Strategy<Value = Arc<[Uuid]>> {
    prop::collection::vec(uuid(), 0..3).prop_map(Arc::from)
}

fn partition() -> impl Strategy<Value = MetadataRecord> {
    let numbers = (any::<i32>(), any::<i32>(), any::<i32>(), any::<i32>());
    (uuid(), numbers, replicas(), directories(), replicas(), replicas(), replicas()).prop_map(
        |(
            topic_id,
            (partition, leader, leader_epoch, partition_epoch),
            replicas,
            directories,
            isr,
            adding,
            removing,
        )| {
            MetadataRecord::Partition(PartitionRecord {
                topic_id,
                partition,
                replicas,
                directories,
                isr,
                leader,
                leader_epoch,
                partition_epoch,
                adding_replicas: adding,
                removing_replicas: removing,
            })
        },
    )
}

fn change() -> impl Strategy<Value = MetadataRecord> {
    let lists = (prop::option::of(replicas()), prop::option::of(replicas()), prop::option::of(directories()));
    (uuid(), any::<i32>(), lists, prop::option::of(any::<i32>()), prop::option::of(replicas())).prop_map(
        |(topic_id, partition, (isr, replicas, directories), leader, adding_replicas)| {
            MetadataRecord::PartitionChange(PartitionChangeRecord {
                topic_id,
                partition,
                isr,
                leader,
                replicas,
                directories,
                adding_replicas,
                removing_replicas: None,
            })
        },
    )
}

fn broker() -> impl Strategy<Value = MetadataRecord> {
    let endpoint = (".{0,8}", ".{0,8}", any::<u16>(), any::<i16>())
        .prop_map(|(listener, host, port, security_protocol)| Endpoint { listener, host, port, security_protocol });
    let ids = (any::<i32>(), any::<i64>(), uuid(), any::<bool>());
    (ids, prop::collection::vec(endpoint, 0..3), prop::option::of(".{0,8}"), prop::collection::vec(uuid(), 0..3))
        .prop_map(|((broker_id, broker_epoch, incarnation, fenced), endpoints, rack, directories)| {
            MetadataRecord::RegisterBroker(RegisterBrokerRecord {
                broker_id,
                broker_epoch,
                incarnation,
                endpoints,
                rack,
                fenced,
                directories,
            })
        })
}

fn record() -> impl Strategy<Value = MetadataRecord> {
    prop_oneof![
        (".{0,20}", uuid())
            .prop_map(|(name, topic_id)| MetadataRecord::Topic(TopicRecord { name: name.into(), topic_id })),
        partition(),
        change(),
        broker(),
        uuid().prop_map(|topic_id| MetadataRecord::RemoveTopic { topic_id }),
        (".{0,9}", ".{0,9}", prop::option::of(".{0,9}")).prop_map(|(resource, key, value)| {
            MetadataRecord::Config(ConfigRecord { kind: ConfigResourceType::Topic, resource, key, value })
        }),
        (".{0,9}", any::<i16>()).prop_map(|(name, level)| MetadataRecord::FeatureLevel { name, level }),
        (any::<i32>(), any::<i64>(), any::<bool>()).prop_map(|(broker_id, broker_epoch, fenced)| {
            MetadataRecord::Fence { broker_id, broker_epoch, fenced }
        }),
        (any::<i32>(), any::<i64>())
            .prop_map(|(broker_id, broker_epoch)| MetadataRecord::UnregisterBroker { broker_id, broker_epoch }),
        any::<i64>().prop_map(|next| MetadataRecord::ProducerIds { next }),
        ".{0,22}".prop_map(|cluster_id| MetadataRecord::Cluster { cluster_id }),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(records in prop::collection::vec(record(), 0..8)) {
        prop_assert_eq!(decode_all(&bytes_of(&records)).unwrap(), records);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_all(&bytes);
    }

    #[test]
    fn a_cut_record_is_refused(record in record(), keep in 0.0f64..1.0) {
        let bytes = bytes_of(&[record]);
        let cut = ((bytes.len() - 1) as f64 * keep) as usize;
        prop_assume!(cut > 0);
        prop_assert!(decode_all(&bytes[..cut]).is_err());
    }
}

#[test]
fn fields_of_a_later_version_are_ignored() {
    let record = MetadataRecord::ProducerIds { next: 3000 };
    let mut bytes = bytes_of(std::slice::from_ref(&record));
    bytes[0] += 2;
    bytes.extend([7, 7]);
    assert_eq!(decode_all(&bytes).unwrap(), [record]);
}

#[test]
fn a_field_that_an_earlier_version_lacked_takes_its_default() {
    let full = PartitionChangeRecord { leader: Some(2), ..PartitionChangeRecord::default() };
    let mut bytes = bytes_of(&[MetadataRecord::PartitionChange(full.clone())]);
    // The last two options, both absent.
    bytes.truncate(bytes.len() - 2);
    bytes[0] -= 2;
    assert_eq!(decode_all(&bytes).unwrap(), [MetadataRecord::PartitionChange(full)]);
}

#[test]
fn an_unknown_type_is_skipped_only_when_it_may_be() {
    assert_eq!(decode_all(&[3, 200, 1, 2]).unwrap(), []);
    assert_eq!(decode_all(&[3, 100, 1, 2]), Err(DecodeError::UnknownType(100)));
}
