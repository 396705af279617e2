use super::*;
use crate::decide::create_topic::tests::lone_node;

fn set(key: &str, value: &str) -> (String, ConfigOp) {
    (key.to_owned(), ConfigOp::Set(Some(value.to_owned())))
}

fn change(image: &Image, resource: ConfigResource, ops: Vec<(String, ConfigOp)>) -> Result<Image, Refusal> {
    let change = ConfigChange { resource, ops };
    let (records, mut answers) = alter(image, &Rules::default(), &[change])?;
    answers.remove(0)?;
    Ok(image.apply(&records).unwrap())
}

fn held(image: &Image) -> Vec<(String, String)> {
    let set = image.configs(ConfigResourceType::Topic, "t1");
    set.map(|set| (**set).clone().into_iter().collect()).unwrap_or_default()
}

#[test]
fn keys_are_set_appended_subtracted_and_deleted() {
    let topic = || ConfigResource::topic("t1");
    let image = change(&lone_node(), topic(), vec![set("retention.ms", "1000")]).unwrap();
    let compact = ("cleanup.policy".to_owned(), ConfigOp::Append(Some("compact".to_owned())));
    let image = change(&image, topic(), vec![compact]).unwrap();
    let expected = [("cleanup.policy", "delete,compact"), ("retention.ms", "1000")];
    assert_eq!(held(&image), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let delete = ("cleanup.policy".to_owned(), ConfigOp::Subtract(Some("delete".to_owned())));
    let image = change(&image, topic(), vec![delete, ("retention.ms".to_owned(), ConfigOp::Delete)]).unwrap();
    assert_eq!(held(&image), [("cleanup.policy".to_owned(), "compact".to_owned())]);
    let image = change(&image, topic(), vec![("cleanup.policy".to_owned(), ConfigOp::Delete)]).unwrap();
    assert!(image.configs(ConfigResourceType::Topic, "t1").is_none());
}

#[test]
fn a_refused_change_gets_apaches_code_and_text() {
    let append = |key: &str| (key.to_owned(), ConfigOp::Append(Some("1".to_owned())));
    let table = [
        (
            ConfigResource::topic("t1"),
            append("retention.ms"),
            ErrorCode::InvalidConfig,
            "Can't APPEND to key retention.ms because its type is not LIST.",
        ),
        (
            ConfigResource::topic("nope"),
            set("retention.ms", "1"),
            ErrorCode::UnknownTopicOrPartition,
            "The topic 'nope' does not exist.",
        ),
        (
            ConfigResource::topic(""),
            set("retention.ms", "1"),
            ErrorCode::InvalidRequest,
            "Default topic resources are not allowed.",
        ),
        (
            ConfigResource::broker("x"),
            set("a", "1"),
            ErrorCode::InvalidRequest,
            "Unable to parse broker name as a base 10 number.",
        ),
        (ConfigResource::broker("-1"), set("a", "1"), ErrorCode::InvalidRequest, "Invalid negative broker ID."),
        (ConfigResource::broker("9"), set("a", "1"), ErrorCode::BrokerIdNotRegistered, "No node with id 9 found."),
    ];
    for (resource, op, code, text) in table {
        let refusal = change(&lone_node(), resource, vec![op]).unwrap_err();
        assert_eq!((refusal.code, refusal.message.as_deref()), (code, Some(text)));
    }
}

#[test]
fn a_replacement_takes_away_what_it_does_not_name() {
    let image = change(&lone_node(), ConfigResource::topic("t1"), vec![set("retention.ms", "1")]).unwrap();
    let configs = [("segment.ms".to_owned(), Some("5".to_owned()))].into();
    let wanted = ConfigReplacement { resource: ConfigResource::topic("t1"), configs };
    let (records, answers) = replace(&image, &Rules::default(), &[wanted]).unwrap();
    assert_eq!(answers, [Ok(())]);
    let image = image.apply(&records).unwrap();
    assert_eq!(held(&image), [("segment.ms".to_owned(), "5".to_owned())]);
}
