use millstream_broker_controller::Endpoint;
use millstream_broker_controller::record::{MetadataRecord, PartitionRecord, RegisterBrokerRecord, TopicRecord};
use millstream_protocol::messages::metadata_request::MetadataRequestTopic;

use super::*;

/// Broker 1 with topics `one` (led by it) and `two` (led by a broker that is gone).
pub(crate) fn image() -> Image {
    let mut records = vec![
        MetadataRecord::Cluster { cluster_id: "cluster".to_owned() },
        MetadataRecord::RegisterBroker(RegisterBrokerRecord {
            broker_id: 1,
            broker_epoch: 5,
            incarnation: Uuid::nil(),
            endpoints: vec![Endpoint {
                listener: "PLAINTEXT".to_owned(),
                host: "here".to_owned(),
                port: 9092,
                security_protocol: 0,
            }],
            rack: Some("r".to_owned()),
            fenced: false,
            directories: vec![Uuid::from_u128(7)],
        }),
    ];
    for (number, (name, leader)) in [("one", 1), ("two", 9)].into_iter().enumerate() {
        let topic_id = Uuid::from_u128(number as u128 + 1);
        records.push(MetadataRecord::Topic(TopicRecord { name: name.into(), topic_id }));
        for partition in 0..3 {
            records.push(MetadataRecord::Partition(PartitionRecord {
                topic_id,
                partition,
                replicas: [leader].into(),
                directories: [Uuid::from_u128(7)].into(),
                isr: [leader].into(),
                leader,
                leader_epoch: 4,
                partition_epoch: 0,
                adding_replicas: [].into(),
                removing_replicas: [].into(),
            }));
        }
    }
    Image::default().apply(&records).unwrap()
}

fn named(names: &[&str]) -> MetadataRequest {
    let topic = |name: &&str| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
    MetadataRequest::default().with_topics(Some(names.iter().map(topic).collect())).with_allow_auto_topic_creation(true)
}

fn ask(version: i16, request: &MetadataRequest) -> (MetadataResponse, Vec<String>) {
    answer(&image(), "PLAINTEXT", AutoCreate::Enabled, version, request)
}

fn names(response: &MetadataResponse) -> Vec<&str> {
    let mut names: Vec<&str> = response.topics.iter().filter_map(|topic| Some(topic.name.as_ref()?.as_str())).collect();
    names.sort_unstable();
    names
}

#[test]
fn null_is_all_topics_and_empty_is_none_except_in_v0() {
    let all = MetadataRequest::default().with_topics(None);
    assert_eq!(names(&ask(1, &all).0), ["one", "two"]);
    assert!(names(&ask(1, &named(&[])).0).is_empty());
    assert_eq!(names(&ask(0, &named(&[])).0), ["one", "two"]);
}

#[test]
fn a_missing_topic_is_made_and_unknown_until_then() {
    let (response, missing) = ask(12, &named(&["new", "bad name", "one", "new"]));
    assert_eq!(missing, ["new"]);
    let error = |name: &str| {
        response.topics.iter().find(|topic| topic.name.as_ref().unwrap().as_str() == name).unwrap().error_code
    };
    assert_eq!(error("new"), ErrorCode::UnknownTopicOrPartition as i16);
    assert_eq!(error("bad name"), ErrorCode::InvalidTopicException as i16);
    assert_eq!((error("one"), response.topics.len()), (0, 3));
    let refused = named(&["new"]).with_allow_auto_topic_creation(false);
    assert!(ask(12, &refused).1.is_empty());
    assert!(answer(&image(), "PLAINTEXT", AutoCreate::Disabled, 12, &named(&["new"])).1.is_empty());
}

#[test]
fn topics_are_found_by_id_from_v12_on() {
    let by_id = |id| {
        let topic = MetadataRequestTopic::default().with_name(None).with_topic_id(Uuid::from_u128(id));
        MetadataRequest::default().with_topics(Some(vec![topic]))
    };
    let (response, _) = ask(12, &by_id(1));
    assert_eq!(names(&response), ["one"]);
    let (response, _) = ask(12, &by_id(77));
    assert_eq!(response.topics[0].error_code, ErrorCode::UnknownTopicId as i16);
    assert_eq!((response.topics[0].name.as_ref(), response.topics[0].topic_id), (None, Uuid::from_u128(77)));
    let (response, _) = ask(11, &by_id(1));
    assert_eq!(response.topics[0].error_code, ErrorCode::InvalidRequest as i16);
    assert_eq!(response.topics[0].name.as_ref().map(|name| name.as_str()), Some(""));
}

#[test]
fn a_leader_that_is_gone_is_said_as_the_version_says_it() {
    let (response, _) = ask(12, &named(&["two"]));
    let partition = &response.topics[0].partitions[0];
    assert_eq!(partition.error_code, ErrorCode::LeaderNotAvailable as i16);
    assert_eq!((partition.leader_id.0, partition.leader_epoch), (-1, 4));
    assert_eq!(
        (&partition.replica_nodes[..], &partition.offline_replicas[..]),
        (&[BrokerId(9)][..], &[BrokerId(9)][..])
    );
    let (response, _) = ask(0, &named(&["two"]));
    assert!(response.topics[0].partitions[0].replica_nodes.is_empty());
    let elsewhere = answer(&image(), "OTHER", AutoCreate::Enabled, 12, &named(&["one"])).0;
    assert_eq!(elsewhere.topics[0].partitions[0].error_code, ErrorCode::ListenerNotFound as i16);
    let elsewhere = answer(&image(), "OTHER", AutoCreate::Enabled, 5, &named(&["one"])).0;
    assert_eq!(elsewhere.topics[0].partitions[0].error_code, ErrorCode::LeaderNotAvailable as i16);
    assert!(elsewhere.brokers.is_empty());
}

#[test]
fn operations_are_answered_where_they_were_asked_for() {
    let request =
        named(&["one"]).with_include_topic_authorized_operations(true).with_include_cluster_authorized_operations(true);
    let (response, _) = ask(10, &request);
    assert_eq!(response.topics[0].topic_authorized_operations, 3576);
    assert_eq!(response.cluster_authorized_operations, 8096);
    let (response, _) = ask(11, &request);
    assert_eq!(response.cluster_authorized_operations, i32::MIN);
    let (response, _) = ask(10, &named(&["one"]));
    assert_eq!(response.topics[0].topic_authorized_operations, i32::MIN);
}
