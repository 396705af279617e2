//! What the calls of the DSL refuse, and what they carry along.

use crate::prelude::*;
use crate::{OffsetReset, Settings, TopologyError};

/// A type that Kafka has no serde for.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct Click {
    page: String,
}

fn clicks(builder: &StreamsBuilder) -> KStream<String, Click> {
    builder.stream::<String, String>("pages").map_values(|page| Click { page })
}

#[test]
fn a_sink_without_a_serde_is_refused_by_name() {
    let builder = StreamsBuilder::new();
    clicks(&builder).to("out");
    let refused = builder.build().map(drop).expect_err("nothing writes a Click");
    assert!(matches!(&refused, TopologyError::NoSerde(_)), "{refused}");
    let text = refused.to_string();
    assert!(
        text.starts_with("KSTREAM-SINK-0000000002 has no serde for ") && text.contains("Click"),
        "{text}"
    );
}

#[test]
fn a_serde_for_a_type_serves_every_node() {
    let builder = StreamsBuilder::new();
    builder.default_serde::<Click>(Json::new());
    clicks(&builder).group_by_key().reduce(|_, last| last, "last").to_stream().to("out");
    let topology = builder.build().expect("the topology is sound");
    let mut driver = TopologyTestDriver::new(&topology, Settings::new("g"), 0).expect("it can be linked");
    let (ann, page) = ("ann".to_owned(), "home".to_owned());
    driver.pipe_pair("pages", (&StringSerde, Some(&ann)), (&StringSerde, Some(&page)), 0).expect("a record");
    let out = driver.read::<String, String>("out", &StringSerde, &StringSerde).expect("texts");
    assert_eq!(out, [(Some(ann), Some(r#"{"page":"home"}"#.to_owned()))]);
}

#[test]
fn windowed_keys_carry_their_serde() {
    let builder = StreamsBuilder::new();
    let windows = TimeWindows::of_size_no_grace(std::time::Duration::from_secs(1));
    let counts = builder.stream::<String, String>("in").group_by_key().windowed_by(windows).count(());
    counts.to_stream().to("out");
    assert!(builder.build().is_ok());
}

#[test]
fn a_source_says_where_its_topics_are_read_from_first() {
    let builder = StreamsBuilder::new();
    builder.stream::<String, String>("all").to("out");
    let late = Consumed::with(StringSerde, StringSerde).offset_reset(OffsetReset::Latest);
    builder.stream_with::<String, String>("late", late).to("out");
    let topology = builder.build().expect("the topology is sound");
    assert_eq!(topology.offset_reset("late"), Some(OffsetReset::Latest));
    assert_eq!(topology.offset_reset("all"), None, "the consumer's settings decide");
}
