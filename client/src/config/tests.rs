use super::*;

#[test]
fn durations_are_read_as_java_does() {
    let read = |text: &str| by_duration(text).map(|duration| duration.as_millis()).ok();
    assert_eq!(read("by_duration:P1DT2H3M4.5S"), Some(93_784_500));
    assert_eq!(read("by_duration:PT0S"), Some(0));
    assert_eq!(read("BY_DURATION:p2d"), Some(172_800_000));
    for bad in [
        "by_duration:P",
        "by_duration:PT",
        "by_duration:P1H",
        "by_duration:PT-1S",
        "by_duration:PT1X",
        "by_duration:PT1e99S",
    ] {
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
fn a_member_beats_before_its_session_is_over() {
    let check = |config: ConsumerConfig| config.check().map_err(|error| error.to_string());
    let default = || ConsumerConfig { group: Some("g".to_owned()), ..ConsumerConfig::default() };
    assert_eq!(check(default()), Ok(()));
    let late = ConsumerConfig { session_timeout: Duration::from_secs(3), ..default() };
    assert!(check(late.clone()).unwrap_err().contains("session.timeout.ms"));
    assert_eq!(check(ConsumerConfig { group: None, ..late }), Ok(()), "who is no member does not beat");
    assert!(check(ConsumerConfig { heartbeat_interval: Duration::ZERO, ..default() }).is_err());
    assert!(check(ConsumerConfig { poll_records_max: 0, ..default() }).is_err());
    let settings = [("group.id", "g"), ("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "6000")];
    assert!(ConsumerConfig::from_properties(settings).unwrap_err().to_string().contains("heartbeat.interval.ms"));
}

#[test]
fn whom_brokers_are_signed_by_is_nothing_to_a_server_of_tokens() {
    let with = |jaas: &str| {
        let settings = [
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "OAUTHBEARER"),
            ("sasl.oauthbearer.token.endpoint.url", "https://login.example/token"),
            ("sasl.jaas.config", jaas),
            ("ssl.truststore.location", "/nowhere/brokers.p12"),
            ("ssl.keystore.location", "/nowhere/own.p12"),
        ];
        ProducerConfig::from_properties(settings).map(drop)
    };
    let own = "M required clientId=a clientSecret=b";
    assert!(with(&format!("{own};")).is_ok(), "the web's");
    let error = with(&format!("{own} ssl.truststore.location=\"/nowhere/tokens.p12\";")).unwrap_err().to_string();
    assert!(error.contains("token.endpoint.url") && error.contains("/nowhere/tokens.p12"), "{error}");
}

#[test]
fn idempotence_gives_way_unless_it_was_asked_for() {
    let (config, _) = ProducerConfig::from_properties([("acks", "1")]).unwrap();
    assert_eq!(config.idempotence, Idempotence::Off);
    assert!(ProducerConfig::from_properties([("acks", "1"), ("enable.idempotence", "true")]).is_err());
    assert!(ProducerConfig::from_properties([("max.in.flight.requests.per.connection", "6")]).is_err());
}
