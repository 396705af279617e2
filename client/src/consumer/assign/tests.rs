use super::*;

fn places(text: &str) -> Vec<TopicPartition> {
    let place = |text: &str| {
        let (topic, partition) = text.rsplit_once('-').expect("topic-partition");
        TopicPartition::new(topic, partition.parse().expect("a number"))
    };
    text.split(',').filter(|part| !part.is_empty()).map(place).collect()
}

fn bytes(hex: &str) -> Bytes {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).expect("hex")).collect()
}

fn member(text: &str) -> Member {
    let fields: Vec<&str> = text.split('/').collect();
    let [id, instance, rack, topics, owned, generation, data] = fields[..] else { panic!("{text}") };
    Member {
        id: id.to_owned(),
        instance: (!instance.is_empty()).then(|| instance.to_owned()),
        topics: topics.split(',').filter(|topic| !topic.is_empty()).map(str::to_owned).collect(),
        owned: places(owned),
        generation: Some(generation.parse().expect("a number")).filter(|generation| *generation >= 0),
        rack: rack.to_owned(),
        user_data: (data != "null").then(|| bytes(data)),
    }
}

fn topic(text: &str) -> (String, Vec<Vec<String>>) {
    let (name, partitions) = text.split_once('=').expect("name=racks");
    let racks = |text: &str| text.split('+').filter(|rack| *rack != "-").map(str::to_owned).collect();
    (name.to_owned(), partitions.split(';').map(racks).collect())
}

/// Each line of golden/assign.txt is what Apache's assignor answered (`golden/AssignGolden.java`).
#[test]
fn assignments_are_apaches() {
    let (mut lines, mut wrong) = (BTreeMap::<&str, usize>::new(), Vec::new());
    for line in include_str!("../../../golden/assign.txt").lines() {
        let parts: Vec<&str> = line.split('|').collect();
        let [name, topics, members, expected] = parts[..] else { panic!("{line}") };
        let topics: Topics = topics.split(',').map(topic).collect();
        let members: Vec<Member> = members.split(' ').map(member).collect();
        let assignor = Assignor::named(name).expect("an assignor");
        let got = assign(assignor, &topics, &members, &mut -1);
        let list = |places: &[TopicPartition]| places.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let got: Vec<String> = got.iter().map(|(id, places)| format!("{id}={}", list(places))).collect();
        if got.join(" ") != expected {
            wrong.push(format!("{line}\n  got {}", got.join(" ")));
        }
        *lines.entry(name).or_default() += 1;
    }
    assert!(wrong.is_empty(), "{} of {lines:?} differ, the first:\n{}", wrong.len(), wrong[0]);
    assert_eq!(lines.into_values().collect::<Vec<_>>(), [360, 240, 120, 359]);
}

/// Members with what they were given, as they say it when they join again.
fn again(members: &[Member], assignment: &Assignment, assignor: Assignor, generation: i32) -> Vec<Member> {
    let next = |member: &Member| {
        let owned = assignment[&member.id].clone();
        let user_data = user_data(assignor, Some(&owned), generation);
        Member { owned, user_data, generation: Some(generation), ..member.clone() }
    };
    members.iter().map(next).collect()
}

#[test]
fn a_sticky_group_keeps_what_it_has_when_one_joins_and_moves_no_more_than_it_must() {
    let topics = Topics::from([("t".to_owned(), vec![Vec::new(); 9])]);
    let new = |id: &str| Member { id: id.to_owned(), topics: vec!["t".to_owned()], ..Member::default() };
    let members = [new("a"), new("b")];
    for assignor in [Assignor::Sticky, Assignor::CooperativeSticky] {
        let first = assign(assignor, &topics, &members, &mut -1);
        let mut joined = again(&members, &first, assignor, 1);
        joined.push(new("c"));
        let second = assign(assignor, &topics, &joined, &mut -1);
        for member in ["a", "b"] {
            assert!(second[member].iter().all(|place| first[member].contains(place)), "{assignor:?} {second:?}");
            assert_eq!(second[member].len(), 3);
        }
        // The newcomer of a cooperative group waits until the others have given back.
        assert_eq!(second["c"].len(), if assignor == Assignor::Sticky { 3 } else { 0 });
        let third = assign(assignor, &topics, &again(&joined, &second, assignor, 2), &mut -1);
        assert_eq!(
            (third["a"].clone(), third["b"].clone(), third["c"].len()),
            (second["a"].clone(), second["b"].clone(), 3)
        );
    }
}
