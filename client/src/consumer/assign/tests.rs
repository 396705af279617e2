use super::*;

/// Each line of golden/range.txt is what Apache's RangeAssignor answered (`golden/RangeGolden.java`).
#[test]
fn ranges_are_apaches() {
    let mut lines = 0;
    for line in include_str!("../../../golden/range.txt").lines() {
        let mut parts = line.split('|');
        let mut part = || parts.next().expect("three parts").trim();
        let topics = part().split(',').map(|topic| topic.split_once(':').expect("name:count"));
        let topics: BTreeMap<String, usize> =
            topics.map(|(name, count)| (name.to_owned(), count.parse().expect("a count"))).collect();
        let member = |text: &str| {
            let mut fields = text.split('/');
            let mut field = || fields.next().expect("id/instance/topics");
            let (id, instance, topics) = (field().to_owned(), field(), field());
            Member {
                id,
                instance: (!instance.is_empty()).then(|| instance.to_owned()),
                topics: topics.split(',').map(str::to_owned).collect(),
            }
        };
        let members: Vec<Member> = part().split_whitespace().map(member).collect();
        let expected: Vec<String> = part().split_whitespace().map(str::to_owned).collect();
        let list = |places: Vec<TopicPartition>| {
            places.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        };
        let got: Vec<String> =
            range(&topics, &members).into_iter().map(|(id, places)| format!("{id}={}", list(places))).collect();
        assert_eq!(got, expected, "{line}");
        lines += 1;
    }
    assert_eq!(lines, 300);
}
