use millstream_protocol::api_key::ApiKey;
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::create_topics_response::CreatableTopicResult;
use millstream_protocol::messages::describe_configs_request::DescribeConfigsResource;
use millstream_protocol::messages::describe_configs_response::DescribeConfigsResult;
use millstream_protocol::messages::describe_groups_response::DescribedGroup;
use millstream_protocol::messages::describe_topic_partitions_response::{Cursor, DescribeTopicPartitionsResponseTopic};
use millstream_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use millstream_protocol::messages::leave_group_response::MemberResponse;
use millstream_protocol::messages::list_config_resources_response::ConfigResource;
use millstream_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use millstream_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use millstream_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use millstream_protocol::messages::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse, CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest,
    CreateTopicsResponse, DeleteRecordsRequest, DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse,
    DescribeConfigsRequest, DescribeConfigsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, ElectLeadersRequest, ElectLeadersResponse,
    GroupId, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse, LeaveGroupRequest, LeaveGroupResponse,
    ListConfigResourcesRequest, ListConfigResourcesResponse, ListOffsetsRequest, ListOffsetsResponse, MetadataRequest,
    OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest,
    OffsetFetchResponse, StrBytes,
};

use super::*;
use crate::config::Isolation;
use crate::metadata::topic_name;
use crate::scripted::{Act, Asked, Scripted, coordinates, described};

fn admin(broker: &Scripted) -> Admin {
    Admin::new(Cluster::new(&broker.address)).with_timeout(Duration::from_secs(20))
}

fn topic(name: &str) -> NewTopic {
    NewTopic { name: name.to_owned(), ..NewTopic::default() }
}

#[tokio::test]
async fn no_call_takes_longer_than_it_may() {
    let broker = Scripted::start(|_| Act::Silence);
    let admin = admin(&broker).with_timeout(Duration::from_millis(100));
    let places = [TopicPartition::new("t", 0)];
    let calls = async {
        assert!(admin.create_topic(&topic("t")).await.is_err());
        assert!(admin.list_topics().await.is_err());
        assert!(admin.list_offsets(&places, OffsetSpec::Latest).await.is_err());
        assert!(admin.describe_configs(ResourceKind::Broker, "1").await.is_err());
        assert!(admin.describe_group("g").await.is_err());
    };
    tokio::time::timeout(Duration::from_secs(10), calls).await.expect("each within its time");
}

#[tokio::test]
async fn what_became_of_each_topic_stands_beside_it_and_a_controller_that_moved_is_asked_again() {
    let mut asked_before = false;
    let broker = Scripted::start(move |asked| {
        let request: CreateTopicsRequest = asked.read();
        assert!(request.validate_only);
        let moved = !std::mem::replace(&mut asked_before, true);
        let code = |name: &str| match name {
            _ if moved => ErrorCode::NotController,
            "old" => ErrorCode::TopicAlreadyExists,
            _ => ErrorCode::None,
        };
        let result =
            |name: &str| CreatableTopicResult::default().with_name(topic_name(name)).with_error_code(code(name).code());
        let results = request.topics.iter().map(|topic| result(&topic.name.0)).collect();
        asked.answer::<CreateTopicsRequest>(&CreateTopicsResponse::default().with_topics(results))
    });
    let results = admin(&broker).create_topics(&[topic("new"), topic("old")], Creation::Tried).await.unwrap();
    assert!(results["new"].is_ok());
    assert_eq!(results["old"].as_ref().unwrap_err().code(), Some(ErrorCode::TopicAlreadyExists));
    assert_eq!(broker.count(ApiKey::CreateTopics), 2);
    let said = format!("{} says of topic old: {}", broker.address, ErrorCode::TopicAlreadyExists.message());
    assert_eq!(results["old"].as_ref().unwrap_err().to_string(), said);
}

/// Of the groups g0, g1 and so on, of which the last is dead; the first answer says that all of them moved.
fn groups(asked: &Asked, moved: bool) -> Act {
    let code = |name: &str| match name {
        _ if moved => ErrorCode::NotCoordinator,
        "g2" => ErrorCode::GroupIdNotFound,
        _ => ErrorCode::None,
    };
    match asked.key() {
        ApiKey::FindCoordinator => coordinates(asked),
        ApiKey::DescribeGroups => {
            let group = |id: GroupId| DescribedGroup::default().with_error_code(code(&id.0).code()).with_group_id(id);
            let groups = asked.read::<DescribeGroupsRequest>().groups.into_iter().map(group).collect();
            asked.answer::<DescribeGroupsRequest>(&DescribeGroupsResponse::default().with_groups(groups))
        }
        _ => {
            let group = |own: OffsetFetchRequestGroup| {
                OffsetFetchResponseGroup::default()
                    .with_error_code(code(&own.group_id.0).code())
                    .with_group_id(own.group_id)
            };
            let groups = asked.read::<OffsetFetchRequest>().groups.into_iter().map(group).collect();
            asked.answer::<OffsetFetchRequest>(&OffsetFetchResponse::default().with_groups(groups))
        }
    }
}

#[tokio::test]
async fn groups_of_one_coordinator_go_in_one_request_and_are_asked_again_where_they_moved() {
    let mut moved = true;
    let broker = Scripted::start(move |asked| {
        groups(asked, asked.key() == ApiKey::DescribeGroups && std::mem::take(&mut moved))
    });
    let (admin, ids) = (admin(&broker), ["g0", "g1", "g2"].map(str::to_owned));
    let described = admin.describe_groups(&ids).await.unwrap();
    assert!(described["g0"].is_ok() && described["g1"].is_ok());
    let error = described["g2"].as_ref().unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{} says of group g2: {}", broker.address, ErrorCode::GroupIdNotFound.message())
    );
    let requests = [ApiKey::FindCoordinator, ApiKey::DescribeGroups].map(|key| broker.count(key));
    assert_eq!(requests, [2, 2], "found anew, all three at a time");
    let committed = admin.committed_offsets_of(&ids).await.unwrap();
    assert!(committed["g0"].is_ok() && committed["g2"].is_err());
    assert_eq!(
        [ApiKey::FindCoordinator, ApiKey::OffsetFetch].map(|key| broker.count(key)),
        [2, 1],
        "they are known by now"
    );
}

#[tokio::test]
async fn configs_of_each_resource_are_told() {
    let broker = Scripted::start(|asked| {
        let result = |own: DescribeConfigsResource| {
            let code = if &*own.resource_name == "a" { ErrorCode::None } else { ErrorCode::UnknownTopicOrPartition };
            let result = DescribeConfigsResult::default().with_resource_type(own.resource_type);
            result.with_resource_name(own.resource_name).with_error_code(code.code())
        };
        let results = asked.read::<DescribeConfigsRequest>().resources.into_iter().map(result).collect();
        asked.answer::<DescribeConfigsRequest>(&DescribeConfigsResponse::default().with_results(results))
    });
    let [a, b] = ["a", "b"].map(|name| (ResourceKind::Topic, name.to_owned()));
    let described = admin(&broker).describe_each_config(&[a.clone(), b.clone()]).await.unwrap();
    assert!(described[&a].as_ref().is_ok_and(Vec::is_empty));
    assert!(described[&b].as_ref().unwrap_err().to_string().contains("says of topic b"));
    assert_eq!(broker.count(ApiKey::DescribeConfigs), 1);
}

#[tokio::test]
async fn a_broker_that_never_comes_to_the_end_of_a_description_is_given_up() {
    let broker = Scripted::start(|asked| {
        let topic = DescribeTopicPartitionsResponseTopic::default().with_name(Some(topic_name("t")));
        let same = Cursor::default().with_topic_name(topic_name("t")).with_partition_index(1);
        let reply = DescribeTopicPartitionsResponse::default().with_topics(vec![topic]).with_next_cursor(Some(same));
        asked.answer::<DescribeTopicPartitionsRequest>(&reply)
    });
    assert!(matches!(admin(&broker).describe_topics(&["t".to_owned()], 1).await, Err(ClientError::State(_))));
    assert_eq!(broker.count(ApiKey::DescribeTopicPartitions), 2);
}

/// Partition 0 says at first that its leader moved; 2 is not allowed; 1 has no leader.
fn offsets(asked: &Asked, first: bool) -> Act {
    let partition = |index: i32| {
        let code = match index {
            0 if first => ErrorCode::NotLeaderOrFollower,
            2 => ErrorCode::TopicAuthorizationFailed,
            _ => ErrorCode::None,
        };
        ListOffsetsPartitionResponse::default().with_partition_index(index).with_error_code(code.code()).with_offset(7)
    };
    let topic = |topic: &millstream_protocol::messages::list_offsets_request::ListOffsetsTopic| {
        let partitions = topic.partitions.iter().map(|asked| partition(asked.partition_index)).collect();
        ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions)
    };
    let topics = asked.read::<ListOffsetsRequest>().topics.iter().map(topic).collect();
    asked.answer::<ListOffsetsRequest>(&ListOffsetsResponse::default().with_topics(topics))
}

#[tokio::test]
async fn offsets_of_each_partition_are_told_and_a_leader_that_moved_is_asked_again() {
    let mut first = true;
    let broker = Scripted::start(move |asked| match asked.key() {
        ApiKey::Metadata => {
            let mut reply = described(&[(1, asked.port)], &[("t", &[1, -1, 1]), ("gone", &[])]);
            reply.topics[1].error_code = ErrorCode::UnknownTopicOrPartition.code();
            asked.answer::<MetadataRequest>(&reply)
        }
        _ => offsets(asked, std::mem::take(&mut first)),
    });
    let at = |index| TopicPartition::new("t", index);
    let gone = TopicPartition::new("gone", 0);
    let wanted = (0..3).map(at).chain([gone.clone()]).map(|at| (at, OffsetSpec::Latest)).collect();
    let found = admin(&broker).list_each_offset(&wanted, Isolation::ReadCommitted).await.unwrap();
    assert_eq!(found[&at(0)].as_ref().ok(), Some(&7));
    assert!(matches!(found[&at(1)], Err(ClientError::NoLeader { .. })));
    let error = found[&at(2)].as_ref().unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::TopicAuthorizationFailed));
    assert!(error.to_string().starts_with(&format!("{} says of t-2: ", broker.address)), "{error}");
    let error = found[&gone].as_ref().unwrap_err();
    assert!(error.to_string().starts_with(&format!("{} says of gone-0: ", broker.address)), "{error}");
}

#[tokio::test]
async fn members_are_removed_and_resources_listed() {
    let broker = Scripted::start(|asked| match asked.key() {
        ApiKey::FindCoordinator => coordinates(asked),
        ApiKey::LeaveGroup => {
            let members = asked.read::<LeaveGroupRequest>().members.into_iter().map(|member| {
                assert_eq!(member.reason.as_deref(), Some("member was removed by an admin"));
                let known = member.group_instance_id.as_deref() == Some("a");
                let code = if known { ErrorCode::None } else { ErrorCode::UnknownMemberId };
                MemberResponse::default().with_group_instance_id(member.group_instance_id).with_error_code(code.code())
            });
            asked.answer::<LeaveGroupRequest>(&LeaveGroupResponse::default().with_members(members.collect()))
        }
        _ => {
            assert_eq!(asked.read::<ListConfigResourcesRequest>().resource_types, [32]);
            let group =
                ConfigResource::default().with_resource_type(32).with_resource_name(StrBytes::from_static_str("g"));
            let reply = ListConfigResourcesResponse::default().with_config_resources(vec![group]);
            asked.answer::<ListConfigResourcesRequest>(&reply)
        }
    });
    let admin = admin(&broker);
    let removed = admin.remove_members("g", Some(&["a".to_owned(), "b".to_owned()]), "").await.unwrap();
    assert_eq!(removed.iter().map(|(_, result)| result.is_ok()).collect::<Vec<_>>(), [true, false]);
    assert_eq!(removed[0].0.instance_id.as_deref(), Some("a"));
    assert_eq!(
        admin.list_config_resources(&[ResourceKind::Group]).await.unwrap(),
        [(ResourceKind::Group, "g".to_owned())]
    );
}

#[tokio::test]
async fn items_are_added_to_a_list_and_taken_out_and_nothing_is_done_for_a_trial() {
    let broker = Scripted::start(|asked| {
        let request: IncrementalAlterConfigsRequest = asked.read();
        assert!(request.validate_only);
        let configs = &request.resources[0].configs;
        let changes: Vec<_> = configs.iter().map(|own| (own.config_operation, own.value.as_deref())).collect();
        assert_eq!(changes, [(2, Some("a")), (3, Some("b")), (1, Some("")), (0, Some("c"))]);
        let own = &request.resources[0];
        let told = AlterConfigsResourceResponse::default().with_resource_type(own.resource_type);
        let told = told.with_resource_name(own.resource_name.clone());
        asked.answer::<IncrementalAlterConfigsRequest>(
            &IncrementalAlterConfigsResponse::default().with_responses(vec![told]),
        )
    });
    let change = |change| ("cleanup.policy".to_owned(), change);
    let (append, subtract) = (ConfigChange::Append("a".to_owned()), ConfigChange::Subtract("b".to_owned()));
    let changes = [append, subtract, ConfigChange::Delete, ConfigChange::Set("c".to_owned())].map(change);
    admin(&broker).change_configs(ResourceKind::Topic, "t", &changes, Creation::Tried).await.unwrap();
}

/// Answers everything with nothing.
fn nothing(asked: &Asked) -> Act {
    match asked.key() {
        ApiKey::Metadata => asked.answer::<MetadataRequest>(&described(&[(1, asked.port)], &[("t", &[1])])),
        ApiKey::FindCoordinator => coordinates(asked),
        ApiKey::CreateTopics => asked.answer::<CreateTopicsRequest>(&CreateTopicsResponse::default()),
        ApiKey::DeleteTopics => asked.answer::<DeleteTopicsRequest>(&DeleteTopicsResponse::default()),
        ApiKey::CreatePartitions => asked.answer::<CreatePartitionsRequest>(&CreatePartitionsResponse::default()),
        ApiKey::DescribeTopicPartitions => {
            asked.answer::<DescribeTopicPartitionsRequest>(&DescribeTopicPartitionsResponse::default())
        }
        ApiKey::DescribeConfigs => asked.answer::<DescribeConfigsRequest>(&DescribeConfigsResponse::default()),
        ApiKey::IncrementalAlterConfigs => {
            asked.answer::<IncrementalAlterConfigsRequest>(&IncrementalAlterConfigsResponse::default())
        }
        ApiKey::OffsetCommit => asked.answer::<OffsetCommitRequest>(&OffsetCommitResponse::default()),
        ApiKey::OffsetDelete => asked.answer::<OffsetDeleteRequest>(&OffsetDeleteResponse::default()),
        ApiKey::LeaveGroup => asked.answer::<LeaveGroupRequest>(&LeaveGroupResponse::default()),
        ApiKey::AlterClientQuotas => asked.answer::<AlterClientQuotasRequest>(&AlterClientQuotasResponse::default()),
        ApiKey::ElectLeaders => asked.answer::<ElectLeadersRequest>(&ElectLeadersResponse::default()),
        ApiKey::AlterPartitionReassignments => {
            asked.answer::<AlterPartitionReassignmentsRequest>(&AlterPartitionReassignmentsResponse::default())
        }
        ApiKey::DeleteRecords => asked.answer::<DeleteRecordsRequest>(&DeleteRecordsResponse::default()),
        _ => Act::Silence,
    }
}

#[tokio::test]
async fn what_an_answer_does_not_speak_of_was_not_done() {
    let broker = Scripted::start(nothing);
    let (admin, t, at) = (admin(&broker), "t".to_owned(), TopicPartition::new("t", 0));
    let silent = |error: ClientError| assert!(error.to_string().contains("does not speak of it"), "{error}");
    silent(admin.create_topic(&topic("t")).await.unwrap_err());
    silent(admin.delete_topics(std::slice::from_ref(&t)).await.unwrap_err());
    let id = uuid::Uuid::from_u128(7);
    silent(admin.delete_topic_ids(&[id]).await.unwrap().remove(&id).unwrap().unwrap_err());
    silent(admin.create_partitions(&BTreeMap::from([(t.clone(), (2, None))])).await.unwrap_err());
    silent(admin.describe_topics(std::slice::from_ref(&t), 1).await.unwrap_err());
    silent(admin.describe_configs(ResourceKind::Topic, "t").await.unwrap_err());
    silent(admin.alter_configs(ResourceKind::Topic, "t", &[("a".to_owned(), None)]).await.unwrap_err());
    silent(admin.alter_committed_offsets("g", &BTreeMap::from([(at.clone(), 7)])).await.unwrap_err());
    let places = std::collections::BTreeSet::from([at.clone()]);
    silent(admin.delete_committed_offsets("g", &places).await.unwrap().remove(&at).unwrap().unwrap_err());
    silent(admin.remove_members("g", Some(&["a".to_owned()]), "").await.unwrap().remove(0).1.unwrap_err());
    let entity = QuotaEntity::from([("user".to_owned(), None)]);
    let quotas = BTreeMap::from([(entity.clone(), vec![("a".to_owned(), None)])]);
    silent(admin.alter_client_quotas(&quotas, Change::Made).await.unwrap().remove(&entity).unwrap().unwrap_err());
    silent(
        admin.elect_leaders(ElectionType::Preferred, Some(&places)).await.unwrap().remove(&at).unwrap().unwrap_err(),
    );
    let moves = BTreeMap::from([(at.clone(), None)]);
    let moved = admin.alter_partition_reassignments(&moves, ReplicationFactor::MayChange).await;
    silent(moved.unwrap().remove(&at).unwrap().unwrap_err());
    silent(admin.delete_records(&BTreeMap::from([(at.clone(), 7)])).await.unwrap().remove(&at).unwrap().unwrap_err());
}

#[tokio::test]
async fn a_lookup_that_fails_later_loses_no_answer_and_what_was_not_asked_is_not_taken() {
    let mut lookups = 0;
    let broker = Scripted::start(move |asked| match asked.key() {
        ApiKey::FindCoordinator => {
            lookups += 1;
            // The second is answered by nonsense, which ends the connection.
            if lookups == 2 {
                Act::Answer(bytes::Bytes::from_static(&[0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff]))
            } else {
                coordinates(asked)
            }
        }
        _ => {
            let group = |id: &str, code: ErrorCode| {
                DescribedGroup::default()
                    .with_group_id(GroupId(StrBytes::from_string(id.to_owned())))
                    .with_error_code(code.code())
            };
            let asked_about = asked.read::<DescribeGroupsRequest>().groups;
            let code =
                |id: &str| if id == "moved" && lookups == 1 { ErrorCode::NotCoordinator } else { ErrorCode::None };
            let mut groups: Vec<_> = asked_about.iter().map(|id| group(&id.0, code(&id.0))).collect();
            groups.push(group("nobody's", ErrorCode::None));
            asked.answer::<DescribeGroupsRequest>(&DescribeGroupsResponse::default().with_groups(groups))
        }
    });
    let ids = ["moved", "stayed"].map(str::to_owned);
    let described = admin(&broker).describe_groups(&ids).await.expect("what is known is kept");
    assert!(described["stayed"].is_ok() && described["moved"].is_ok(), "{described:?}");
    assert_eq!(described.len(), 2, "nobody asked about the third");
}

#[tokio::test]
async fn a_leader_that_is_gone_is_asked_about_once_more() {
    let mut asked_before = 0;
    let broker = Scripted::start(move |asked| match asked.key() {
        ApiKey::Metadata => {
            asked_before += 1;
            // A broker that lags behind names a leader that it does not know.
            let leader = if asked_before == 1 { 9 } else { 1 };
            asked.answer::<MetadataRequest>(&described(&[(1, asked.port)], &[("t", &[leader, -1, 9])]))
        }
        _ => offsets(asked, false),
    });
    let wanted = (0..3).map(|index| (TopicPartition::new("t", index), OffsetSpec::Latest)).collect();
    let found = admin(&broker).list_each_offset(&wanted, Isolation::ReadCommitted).await.unwrap();
    assert_eq!(found[&TopicPartition::new("t", 0)].as_ref().ok(), Some(&7));
    for index in [1, 2] {
        assert!(matches!(found[&TopicPartition::new("t", index)], Err(ClientError::NoLeader { .. })), "{found:?}");
    }
    assert_eq!(broker.count(ApiKey::Metadata), 2);
}

#[tokio::test]
async fn a_topic_that_is_not_there_hides_no_other() {
    let broker = Scripted::start(|asked| {
        let topic = |name: &str, code: ErrorCode| {
            let topic = DescribeTopicPartitionsResponseTopic::default().with_name(Some(topic_name(name)));
            topic.with_error_code(code.code())
        };
        let topics = vec![topic("a", ErrorCode::UnknownTopicOrPartition), topic("b", ErrorCode::None)];
        asked.answer::<DescribeTopicPartitionsRequest>(&DescribeTopicPartitionsResponse::default().with_topics(topics))
    });
    let names = ["a".to_owned(), "b".to_owned()];
    let described = admin(&broker).describe_each_topic(&names, 1).await.unwrap();
    assert!(described["a"].is_err() && described["b"].is_ok());
    assert!(admin(&broker).describe_topics(&names, 1).await.is_err());
}
