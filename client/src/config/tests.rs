use super::*;

#[test]
fn durations_are_read_as_java_does() {
    let read = |text: &str| by_duration(text).map(|duration| duration.as_millis()).ok();
    assert_eq!(read("by_duration:P1DT2H3M4.5S"), Some(93_784_500));
    assert_eq!(read("by_duration:PT0S"), Some(0));
    assert_eq!(read("BY_DURATION:p2d"), Some(172_800_000));
    for bad in ["by_duration:P", "by_duration:PT", "by_duration:P1H", "by_duration:PT-1S", "by_duration:PT1X", "by_duration:PT1e99S"] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

#[test]
fn an_address_is_a_host_and_a_port() {
    let check = |servers: &str| ProducerConfig::from_properties([("bootstrap.servers", servers)]).map(drop);
    assert!(check("localhost:9092,[::1]:9092,PLAINTEXT://h:1").is_ok());
    for (servers, said) in [
        ("localhost", "Invalid url in bootstrap.servers: localhost"),
        ("h:1,localhost:", "Invalid url in bootstrap.servers: localhost:"),
        ("h:70000", "Invalid port in bootstrap.servers: h:70000"),
    ] {
        assert_eq!(check(servers).unwrap_err().to_string(), said);
    }
}

const NONE: [(&str, &str); 0] = [];

#[test]
fn nothing_set_gives_the_defaults_of_the_structs() {
    let (producer, unknown) = ProducerConfig::from_properties(NONE).unwrap();
    assert_eq!(format!("{producer:?}"), format!("{:?}", ProducerConfig::default()));
    assert!(unknown.is_empty());
    let (consumer, _) = ConsumerConfig::from_properties([("group.id", "g")]).unwrap();
    let expected = ConsumerConfig { group: Some("g".to_owned()), ..ConsumerConfig::default() };
    assert_eq!(format!("{consumer:?}"), format!("{expected:?}"));
}

#[test]
fn unknown_keys_come_back_and_illegal_values_do_not_pass() {
    let (config, unknown) = ProducerConfig::from_properties([("linger.ms", "7"), ("lingr.ms", "9")]).unwrap();
    assert_eq!((config.linger, unknown), (Duration::from_millis(7), vec!["lingr.ms".to_owned()]));
    let error = ProducerConfig::from_properties([("acks", "2")]).unwrap_err();
    assert!(error.to_string().starts_with("Invalid value 2 for configuration acks"), "{error}");
}

#[test]
fn what_contradicts_itself_is_refused_also_from_code() {
    let check = |config: ProducerConfig| config.check().map_err(|error| error.to_string());
    let default = ProducerConfig::default;
    assert_eq!(check(default()), Ok(()));
    assert!(check(ProducerConfig { acks: Acks::Leader, ..default() }).unwrap_err().contains("acks"));
    assert!(check(ProducerConfig { in_flight_max: 10, ..default() }).unwrap_err().contains("at most 5"));
    let off = ProducerConfig { idempotence: Idempotence::Off, ..default() };
    assert_eq!(check(ProducerConfig { acks: Acks::None, in_flight_max: 10, ..off.clone() }), Ok(()));
    let transactional = ProducerConfig { transactional_id: Some("t".to_owned()), ..off };
    assert!(check(transactional).unwrap_err().contains("transactional.id"));
    assert!(ProducerConfig::from_properties([("transactional.id", "t"), ("acks", "1")]).is_err());
}

#[test]
fn idempotence_gives_way_unless_it_was_asked_for() {
    let (config, _) = ProducerConfig::from_properties([("acks", "1")]).unwrap();
    assert_eq!(config.idempotence, Idempotence::Off);
    assert!(ProducerConfig::from_properties([("acks", "1"), ("enable.idempotence", "true")]).is_err());
    assert!(ProducerConfig::from_properties([("max.in.flight.requests.per.connection", "6")]).is_err());
}
