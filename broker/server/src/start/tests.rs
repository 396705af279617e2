//! What is refused, what a failed directory takes down, what the controller's listener serves.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use millstream_base_config::BrokerConfig;
use millstream_base_config::parse::Properties;
use millstream_base_env::faulty::{FaultyDisk, Operation};
use millstream_base_env::{Clock, Disk};
use millstream_broker_controller::request::{Mode, NewTopic};
use millstream_protocol::error_code::ErrorCode;
use millstream_protocol::messages::{ApiVersionsRequest, DescribeClusterRequest, MetadataRequest, Request, StrBytes};
use millstream_protocol::{request, response};

use crate::replica::partitions::Absent;

use super::{Failing, RunningBroker, StartError, start, unbuilt, whole};

fn config(settings: &[&str]) -> BrokerConfig {
    let mut properties = Properties::default();
    for setting in settings {
        properties.read_argument(setting).unwrap();
    }
    BrokerConfig::single_node(&mut properties);
    properties.set_default("log.dirs", "/nowhere");
    properties.set_default("listeners", "PLAINTEXT://127.0.0.1:0");
    BrokerConfig::new(&properties).unwrap()
}

async fn started(dirs: &[&Path], more: &[&str]) -> Result<RunningBroker, StartError> {
    let dirs: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    let dirs = format!("log.dirs={}", dirs.join(","));
    start(config(&[&[dirs.as_str()], more].concat()), Disk::Real, Clock::Real).await
}

#[test]
fn what_is_not_there_is_refused_in_one_line() {
    for (settings, named) in [
        (&["listeners=SSL://127.0.0.1:0"][..], "SSL is not there yet"),
        (&["listeners=PLAINTEXT://:0,SASL_PLAINTEXT://:1"], "SASL_PLAINTEXT is not there yet"),
        (
            &[
                "listeners=PLAINTEXT://:0,C://:1",
                "controller.listener.names=C",
                "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,C:SASL_SSL",
            ],
            "listener C: SASL_SSL",
        ),
        (&["authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer"], "authorizer.class.name="),
        (&["process.roles=broker"], "process.roles=broker"),
        (&["process.roles=controller"], "process.roles=controller"),
        (&["node.id=1", "controller.quorum.voters=1@a:9093,2@b:9093"], "names 2@b:9093"),
        (&["controller.quorum.bootstrap.servers=a:9093,b:9093"], "names 2 controllers"),
    ] {
        let line = unbuilt::asked_for(&config(settings)).unwrap_or_default();
        assert!(line.contains(named) && !line.contains('\n'), "{settings:?}: {line}");
    }
    let shipped = [
        "process.roles=broker,controller",
        "node.id=1",
        "controller.quorum.voters=1@localhost:9093",
        "controller.quorum.bootstrap.servers=localhost:9093",
        "listeners=PLAINTEXT://:9092,CONTROLLER://:9093",
        "controller.listener.names=CONTROLLER",
        "authorizer.class.name=",
    ];
    assert_eq!(unbuilt::asked_for(&config(&shipped)), None);
}

/// One topic of three partitions, one directory's worth of which is then lost.
#[tokio::test(flavor = "multi_thread")]
async fn one_failed_directory_leaves_the_others_serving() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let broker = started(&[&first, &second], &[]).await.unwrap();
    let topic = NewTopic::new("orders", 4, 1);
    let made = broker.node().controller.create_topics(vec![topic], Mode::Execute, Duration::from_secs(10)).await;
    assert!(made.unwrap()[0].is_ok());
    let lies_in = |dir: &Path, index: i32| dir.join(format!("orders-{index}")).exists();
    let lost: Vec<i32> = (0..4).filter(|index| lies_in(&second, *index)).collect();
    assert!(!lost.is_empty() && lost.len() < 4, "{lost:?}");
    broker.stop().await.unwrap();

    // A file where the folder was: nothing can be made or read there.
    let aside = folder.path().join("aside");
    Disk::Real.rename(&second, &aside).unwrap();
    std::fs::write(&second, "no folder").unwrap();
    let broker = started(&[&first, &second], &[]).await.unwrap();
    let partitions = &broker.node().partitions;
    for index in 0..4 {
        let is_lost = lost.contains(&index);
        assert_eq!(partitions.partition("orders", index).is_none(), is_lost, "{index}");
        // It is not made anew in the directory that is left.
        assert_eq!(lies_in(&first, index), !is_lost, "{index}");
    }
    assert_eq!(partitions.absent("orders", lost[0]), Absent::NotOpen);
    let offline: Vec<bool> = partitions.dirs().iter().map(|dir| dir.is_offline()).collect();
    assert_eq!(offline, [false, true]);
    broker.stop().await.unwrap();

    std::fs::remove_file(&second).unwrap();
    Disk::Real.rename(&aside, &second).unwrap();
    let broker = started(&[&first, &second], &[]).await.unwrap();
    assert!((0..4).all(|index| broker.node().partitions.partition("orders", index).is_some()));
    broker.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_first_directory_or_any_there_is_no_start() {
    let folder = tempfile::tempdir().unwrap();
    let (bad, good) = (folder.path().join("bad"), folder.path().join("good"));
    std::fs::write(&bad, "no folder").unwrap();
    for (dirs, expected) in [
        (&[bad.as_path(), good.as_path()][..], "the first of log.dirs"),
        (&[bad.as_path()], "no log directory can be used"),
    ] {
        let line = started(dirs, &[]).await.map(drop).unwrap_err().to_string();
        assert!(line.starts_with(expected) && line.contains("bad") && !line.contains('\n'), "{line}");
    }
}

/// Sends one request and reads its answer; `None` when the connection is closed instead.
#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_log_lies_where_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second, apart] = ["first", "second", "apart"].map(|name| folder.path().join(name));
    let has_log = |dir: &Path| dir.join("__cluster_metadata-0").exists();
    for metadata in [&second, &apart] {
        let setting = format!("metadata.log.dir={}", metadata.display());
        let dirs = [first.as_path(), second.as_path()];
        let broker = started(&dirs, &[&setting]).await.unwrap();
        let topics = vec![NewTopic::new("t", 2, 1)];
        broker.node().controller.create_topics(topics, Mode::Execute, Duration::from_secs(30)).await.unwrap();
        broker.stop().await.unwrap();
        assert!(has_log(metadata) && !has_log(&first));
        assert!(metadata.join(".kafka_cleanshutdown").exists());
        let broker = started(&dirs, &[&setting]).await.unwrap();
        assert!(broker.node().controller.image().topic("t").is_some());
        assert!(broker.node().partitions.partition("t", 1).is_some());
        broker.stop().await.unwrap();
        for dir in [&first, &second] {
            std::fs::remove_dir_all(dir).unwrap();
        }
    }
}

fn ask<Q: Request>(address: SocketAddr, version: i16, body: &Q) -> Option<Q::Response> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(&request::encode(version, 7, Some("test"), body).unwrap()).unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).ok()?;
    let mut answer = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut answer).unwrap();
    Some(response::decode::<Q>(version, Bytes::from(answer)).unwrap().1)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controllers_listener_serves_what_apaches_does() {
    let folder = tempfile::tempdir().unwrap();
    let listeners =
        ["listeners=CONTROLLER://127.0.0.1:0,PLAINTEXT://127.0.0.1:0", "controller.listener.names=CONTROLLER"];
    let broker = started(&[folder.path()], &listeners).await.unwrap();
    let (names, addresses): (Vec<_>, Vec<_>) = broker.addresses().iter().cloned().unzip();
    assert_eq!(names, ["PLAINTEXT", "CONTROLLER"]);
    let (clients, controllers) = (addresses[0], addresses[1]);
    tokio::task::spawn_blocking(move || {
        let hello = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str("test"))
            .with_client_software_version(StrBytes::from_static_str("1"));
        let served = ask(controllers, 3, &hello).unwrap();
        let keys: Vec<i16> = served.api_keys.iter().map(|api| api.api_key).collect();
        // ApiVersions of an Apache 4.3.1 controller, without Fetch and what nodes of a quorum ask one another.
        for (key, there) in [
            (18, true),
            (19, true),
            (32, true),
            (55, true),
            (60, true),
            (0, false),
            (1, false),
            (3, false),
            (10, false),
        ] {
            assert_eq!(keys.contains(&key), there, "{key}");
        }
        assert_eq!(ask(controllers, 9, &MetadataRequest::default()), None);

        let cluster = |endpoint_type| DescribeClusterRequest::default().with_endpoint_type(endpoint_type);
        let found = ask(controllers, 1, &cluster(2)).unwrap();
        assert_eq!((found.error_code, found.endpoint_type, found.controller_id.0), (0, 2, 1));
        assert_eq!(found.brokers[0].port, i32::from(controllers.port()));
        let refused = ask(controllers, 1, &cluster(1)).unwrap();
        assert_eq!(refused.error_code, ErrorCode::MismatchedEndpointType as i16);
        let message =
            "The request was sent to an endpoint of type CONTROLLER, but we wanted an endpoint of type BROKER";
        assert_eq!(refused.error_message.unwrap().as_str(), message);
        let found = ask(clients, 1, &cluster(1)).unwrap();
        assert_eq!((found.brokers.len(), found.brokers[0].port), (1, i32::from(clients.port())));
    })
    .await
    .unwrap();
    broker.stop().await.unwrap();
}

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_metadata_log_that_fails_ends_the_broker_though_other_directories_are_well() {
    let disk = FaultyDisk::new(5);
    let config = config(&["log.dirs=/a,/b", "metadata.log.dir=/b"]);
    let broker = start(config, Disk::Faulty(disk.clone()), Clock::Real).await.unwrap();
    disk.fail_next(Operation::Write, 5);
    let topics = vec![NewTopic::new("t", 1, 1)];
    let refused = broker.node().controller.create_topics(topics, Mode::Execute, LIMIT).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::KafkaStorageError);
    let line = tokio::time::timeout(LIMIT, broker.failed()).await.unwrap().0;
    assert!(line.starts_with("the metadata log in /b failed (") && line.contains("cannot append to"), "{line}");
    assert!(line.contains("check the disk") && !line.contains('\n'), "{line}");
    assert!(!broker.node().partitions.dirs()[0].is_offline());
    tokio::time::timeout(LIMIT, broker.stop()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_panics_is_told_and_the_first_failure_counts() {
    assert_eq!(whole("well", || {}).await, Ok(()));
    let reason = whole("badly", || panic!("no such partition")).await.unwrap_err();
    assert!(reason.contains("no such partition"), "{reason}");
    let failing = Failing::default();
    let failed = failing.clone();
    let waiting = millstream_base_env::task::spawn("failed", async move { failed.failed().await.0 });
    failing.fail("first".to_owned());
    failing.fail("second".to_owned());
    assert_eq!(waiting.await.unwrap(), "first");
    assert_eq!(failing.failed().await.0, "first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_no_failed_stop() {
    let disk = FaultyDisk::new(5);
    let broker = start(config(&["log.dirs=/a"]), Disk::Faulty(disk.clone()), Clock::Real).await.unwrap();
    let topics = vec![NewTopic::new("t", 3, 1)];
    broker.node().controller.create_topics(topics, Mode::Execute, LIMIT).await.unwrap();
    disk.set_capacity(disk.used());
    tokio::time::timeout(LIMIT, broker.stop()).await.unwrap().unwrap();
    assert!(
        !Disk::Faulty(disk.clone()).exists(Path::new("/a/.kafka_cleanshutdown")),
        "the next start looks through the logs"
    );
    disk.kill();
    disk.set_capacity(u64::MAX);
    let broker = start(config(&["log.dirs=/a"]), Disk::Faulty(disk.clone()), Clock::Real).await.unwrap();
    assert!(broker.node().partitions.partition("t", 2).is_some());
    disk.fail_next(Operation::Write, 5);
    let line = broker.stop().await.unwrap_err();
    assert!(line.contains("/a: ") && line.contains("os error 5"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_used_says_why_and_one_in_use_by_whom() {
    let unusable = started(&[Path::new("/proc/nope")], &[]).await.map(drop).unwrap_err().to_string();
    assert!(unusable.contains("cannot make /proc/nope: No such file or directory"), "{unusable}");
    assert!(!unusable.contains("process that uses it"), "{unusable}");
    let folder = tempfile::tempdir().unwrap();
    let broker = started(&[folder.path()], &[]).await.unwrap();
    let locked = started(&[folder.path()], &[]).await.map(drop).unwrap_err().to_string();
    assert!(locked.contains("in use by another process; stop the process that uses it"), "{locked}");
    broker.stop().await.unwrap();
    std::fs::create_dir(folder.path().join("no partition")).unwrap();
    let foreign = started(&[folder.path()], &[]).await.map(drop).unwrap_err().to_string();
    assert!(foreign.contains("move it away") && !foreign.contains("process"), "{foreign}");
}
