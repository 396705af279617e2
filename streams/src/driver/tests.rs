//! The driver over several partitions.

// Bad input and who decides about it.
mod bad_input;

use super::*;
use crate::dsl::options::Grouped;
use crate::serde::StringSerde;
use crate::{KeyValue, StreamsBuilder};

/// Counts words in four partitions: each word is counted in one of them, whatever partition its line came from.
#[test]
fn a_word_is_counted_in_one_partition() {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("lines")
        .flat_map_values(|line| line.split(' ').map(str::to_owned).collect::<Vec<String>>())
        .group_by_with(|_, word| word.clone(), Grouped::with(StringSerde, StringSerde))
        .count("counts")
        .to_stream()
        .to("out");
    let topology = builder.build().expect("the topology is sound");
    let driver = TopologyTestDriver::partitioned(&topology, StreamsConfig::new("g", "h:1"), 4);
    let mut driver = driver.expect("it can be linked");
    for (partition, line) in ["a b c", "b c d", "c d a", "a"].into_iter().enumerate() {
        let record = Incoming { value: Some(Bytes::from(line)), ..Incoming::default() };
        driver.pipe_to("lines", partition as u32, record).expect("a line");
    }
    let outputs = driver.take_outputs();
    let partitions = |word: &str| {
        let of_word = outputs.iter().filter(|output| output.topic == "g-counts-repartition");
        let of_word = of_word.filter(|output| output.key.as_deref() == Some(word.as_bytes()));
        of_word.map(|output| output.partition).collect::<std::collections::BTreeSet<u32>>()
    };
    assert!(["a", "b", "c", "d"].iter().all(|word| partitions(word).len() == 1));
    let all: std::collections::BTreeSet<u32> = outputs.iter().map(|output| output.partition).collect();
    assert!(all.len() > 1, "words lie in several partitions: {all:?}");
    driver.outputs = outputs;
    let counts = driver.output::<String, i64>("out").read(&mut driver);
    let last = |word: &str| counts.iter().rfind(|(key, _)| key.as_deref() == Some(word)).and_then(|(_, n)| *n);
    assert_eq!(["a", "b", "c", "d"].map(last), [Some(3), Some(2), Some(3), Some(2)]);
    assert_eq!(driver.rows("counts").expect("rows").map(|rows| rows.len()), Some(4));
    let store = driver.store::<KeyValue<String, i64>>("counts").expect("a store of counts");
    assert_eq!((store.get("a").expect("a row"), store.all().expect("rows").len()), (Some(3), 4));
    assert!(
        driver.store::<KeyValue<i64, i64>>("counts").is_err() && driver.store::<KeyValue<String, i64>>("x").is_err()
    );
}
