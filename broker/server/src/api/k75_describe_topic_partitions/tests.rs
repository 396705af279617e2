use millstream_protocol::messages::describe_topic_partitions_request::{Cursor as From, TopicRequest};

use super::*;
use crate::api::k03_metadata::tests::image;

fn request(names: &[&str], limit: i32, cursor: Option<(&str, i32)>) -> DescribeTopicPartitionsRequest {
    let topics = names.iter().map(|name| TopicRequest::default().with_name(topic_name(name)));
    let cursor = cursor
        .map(|(topic, partition)| From::default().with_topic_name(topic_name(topic)).with_partition_index(partition));
    DescribeTopicPartitionsRequest::default()
        .with_topics(topics.collect())
        .with_response_partition_limit(limit)
        .with_cursor(cursor)
}

/// Topics with their partitions, and the cursor.
fn page(request: &DescribeTopicPartitionsRequest) -> (Vec<(String, Vec<i32>)>, Option<(String, i32)>) {
    let response = answer(&image(), "PLAINTEXT", 2000, request);
    let topics = response.topics.iter().map(|topic| {
        let name = topic.name.as_ref().map(|name| name.to_string()).unwrap_or_default();
        (name, topic.partitions.iter().map(|partition| partition.partition_index).collect())
    });
    let cursor = response.next_cursor.as_ref().map(|cursor| (cursor.topic_name.to_string(), cursor.partition_index));
    (topics.collect(), cursor)
}

#[test]
fn pages_follow_one_another_until_everything_was_shown() {
    let (topics, cursor) = page(&request(&[], 2, None));
    assert_eq!(topics, [("one".to_owned(), vec![0, 1])]);
    assert_eq!(cursor, Some(("one".to_owned(), 2)));
    let (topics, cursor) = page(&request(&[], 2, Some(("one", 2))));
    assert_eq!(topics, [("one".to_owned(), vec![2]), ("two".to_owned(), vec![0])]);
    assert_eq!(cursor, Some(("two".to_owned(), 1)));
    let (topics, cursor) = page(&request(&[], 2, Some(("two", 1))));
    assert_eq!((topics, cursor), (vec![("two".to_owned(), vec![1, 2])], None));
}

#[test]
fn a_page_that_ends_with_a_topic_points_at_the_next() {
    let (topics, cursor) = page(&request(&[], 3, None));
    assert_eq!(topics, [("one".to_owned(), vec![0, 1, 2])]);
    assert_eq!(cursor, Some(("two".to_owned(), 0)));
}

#[test]
fn named_topics_are_answered_even_when_they_do_not_exist() {
    let response = answer(&image(), "PLAINTEXT", 2000, &request(&["one", "nope", "bad name"], 10, None));
    let errors: Vec<i16> = response.topics.iter().map(|topic| topic.error_code).collect();
    assert_eq!(errors, [17, 3, 0]);
    assert_eq!(response.topics[2].topic_authorized_operations, 3576);
}

#[test]
fn a_cursor_outside_the_request_is_refused() {
    for cursor in [("two", 0), ("one", -1)] {
        let response = answer(&image(), "PLAINTEXT", 2000, &request(&["one"], 10, Some(cursor)));
        assert_eq!(response.topics[0].error_code, ErrorCode::InvalidRequest as i16);
    }
}
