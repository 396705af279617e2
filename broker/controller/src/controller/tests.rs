use std::path::Path;

use millstream_base_env::clock::Moment;
use millstream_base_env::faulty::{FaultyDisk, Operation};

use super::*;
use crate::TopicChange;
use crate::format::{self, ClusterId, Existing};
use crate::image::{ConfigResource, ConfigResourceType};
use crate::request::ConfigOp;

/// A node's folders and what it starts with.
struct Node {
    folder: tempfile::TempDir,
    disk: Disk,
}

impl Node {
    fn new() -> Self {
        Node { folder: tempfile::tempdir().unwrap(), disk: Disk::Real }
    }

    fn log_dir(&self) -> PathBuf {
        self.folder.path().join("logs")
    }

    /// The next start recovers the log.
    fn forget_clean_shutdown(&self) {
        let marker = self.log_dir().join(".kafka_cleanshutdown");
        if marker.exists() {
            std::fs::remove_file(marker).unwrap();
        }
    }

    /// On a disk in memory, which fails on order.
    fn on(disk: &Arc<FaultyDisk>) -> Self {
        Node { disk: Disk::Faulty(disk.clone()), ..Node::new() }
    }

    async fn start(&self) -> Result<(Controller, Arc<LogDir>), StartError> {
        let path = self.log_dir();
        let disk = self.disk.clone();
        let log_dir = LogDir::open(disk.clone(), Clock::Real, &path)?;
        let dirs = vec![log_dir.clone()];
        let formatted = format::format(&dirs, 1, ClusterId::OfTheFolders, Existing::Kept).unwrap();
        let options = ControllerOptions {
            disk,
            clock: Clock::Real,
            node_id: 1,
            cluster_id: formatted.cluster_id,
            metadata_dir: log_dir.clone(),
            log_dirs: dirs,
            directory_ids: formatted.directory_ids,
            endpoints: Vec::new(),
            rack: None,
            topic_defaults: TopicDefaults { partitions: 1, replication_factor: 1 },
            file: BTreeMap::new(),
        };
        Ok((Controller::start(options).await?, log_dir))
    }
}

const LIMIT: Duration = Duration::from_secs(30);

async fn create(controller: &Controller, name: &str, partitions: i32) -> Result<CreatedTopic, Refusal> {
    let topics = vec![NewTopic::new(name, partitions, 1)];
    controller.create_topics(topics, Mode::Execute, LIMIT).await?.remove(0)
}

async fn stop(controller: Controller, log_dir: Arc<LogDir>) {
    controller.stop().await;
    log_dir.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_created_is_there_after_a_restart() {
    let node = Node::new();
    let (controller, log_dir) = node.start().await.unwrap();
    let created = create(&controller, "orders", 3).await.unwrap();
    let block = controller.allocate_producer_ids().await.unwrap();
    assert_eq!((block.first, block.count), (0, 1000));
    let before = controller.image();
    let topic = before.topic("orders").unwrap();
    assert_eq!((topic.id, topic.partitions.len()), (created.id, 3));
    assert_eq!((topic.partitions[2].leader, topic.partitions[2].leader_epoch), (1, 0));
    stop(controller, log_dir).await;

    let (controller, log_dir) = node.start().await.unwrap();
    let after = controller.image();
    assert_eq!(after.topic("orders"), before.topic("orders"));
    assert_eq!(after.cluster_id(), before.cluster_id());
    assert!(after.brokers()[&1].epoch > before.brokers()[&1].epoch);
    assert_eq!(controller.allocate_producer_ids().await.unwrap().first, 1000);
    assert_eq!(after.features()["metadata.version"], 30);
    assert_eq!(after.features()["transaction.version"], 2);
    stop(controller, log_dir).await;
}

/// A copy of the folder at any instant is what `kill -9` leaves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_comes_back_with_what_it_acknowledged() {
    let node = Node::new();
    let (controller, log_dir) = node.start().await.unwrap();
    create(&controller, "acknowledged", 2).await.unwrap();
    let killed = Node::new();
    copy(&node.log_dir(), &killed.log_dir());
    let image = controller.image();
    stop(controller, log_dir).await;

    let (controller, log_dir) = killed.start().await.unwrap();
    assert_eq!(controller.image().topic("acknowledged"), image.topic("acknowledged"));
    create(&controller, "next", 1).await.unwrap();
    stop(controller, log_dir).await;
}

/// An entry that was synced but not applied when the node died: it is in the log, so it counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_was_synced_but_not_applied_is_applied_at_start() {
    let node = Node::new();
    let (controller, log_dir) = node.start().await.unwrap();
    create(&controller, "one", 1).await.unwrap();
    let before = controller.image();
    stop(controller, log_dir).await;

    let records =
        vec![MetadataRecord::Topic(crate::record::TopicRecord { name: "two".into(), topic_id: Uuid::from_u128(2) })];
    let mut bytes = BytesMut::new();
    record::encode_all(&records, &mut bytes);
    let entry = crate::raft_types::RaftEntry {
        log_id: crate::raft_types::log_id(before.epoch() as u64, 1, before.offset() as u64 + 1),
        payload: openraft::EntryPayload::Normal(crate::raft_types::Change(bytes.to_vec())),
    };
    let mut batch = Vec::new();
    crate::batch::write(before.offset() + 1, before.epoch(), 0, &crate::raft_types::encode_entry(&entry), &mut batch);
    let log = node.log_dir().join("__cluster_metadata-0/00000000000000000000.log");
    let mut content = std::fs::read(&log).unwrap();
    content.extend_from_slice(&batch);
    std::fs::write(&log, content).unwrap();
    node.forget_clean_shutdown();

    let (controller, log_dir) = node.start().await.unwrap();
    assert!(controller.image().topic("two").is_some());
    assert!(controller.image().topic("one").is_some());
    stop(controller, log_dir).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_tail_is_cut_and_the_node_goes_on() {
    let node = Node::new();
    let (controller, log_dir) = node.start().await.unwrap();
    create(&controller, "kept", 1).await.unwrap();
    stop(controller, log_dir).await;
    let log = node.log_dir().join("__cluster_metadata-0/00000000000000000000.log");
    let mut content = std::fs::read(&log).unwrap();
    let torn = content[..40].to_vec();
    content.extend_from_slice(&torn);
    std::fs::write(&log, content).unwrap();
    node.forget_clean_shutdown();

    let (controller, log_dir) = node.start().await.unwrap();
    assert!(controller.image().topic("kept").is_some());
    create(&controller, "after", 1).await.unwrap();
    stop(controller, log_dir).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_or_missing_state_file_is_refused() {
    let node = Node::new();
    let (controller, log_dir) = node.start().await.unwrap();
    create(&controller, "one", 1).await.unwrap();
    stop(controller, log_dir).await;
    let state = node.log_dir().join("__cluster_metadata-0/raft-state");
    let mut content = std::fs::read(&state).unwrap();
    let last = content.len() - 3;
    content[last] ^= 1;
    std::fs::write(&state, content).unwrap();
    let error = node.start().await.err().unwrap().to_string();
    assert!(error.contains("raft-state is damaged: its checksum does not match its content"), "{error}");

    std::fs::remove_file(&state).unwrap();
    let error = node.start().await.err().unwrap().to_string();
    assert!(error.contains("it is missing, but the metadata log beside it is not empty"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_clusters_metadata_is_refused() {
    let node = Node::new();
    let (controller, log_dir) = node.start().await.unwrap();
    stop(controller, log_dir).await;
    let meta = node.log_dir().join("meta.properties");
    let text = std::fs::read_to_string(&meta).unwrap();
    let changed: Vec<&str> = text
        .lines()
        .map(|line| if line.starts_with("cluster.id") { "cluster.id=MkU3OEVBNTcwNTJENDM2Qg" } else { line })
        .collect();
    std::fs::write(&meta, changed.join("\n")).unwrap();
    let error = node.start().await.err().unwrap().to_string();
    assert!(error.contains("but meta.properties names cluster MkU3OEVBNTcwNTJENDM2Qg"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_answers_after_the_subscriber_acted() {
    let node = Node::new();
    let (controller, log_dir) = node.start().await.unwrap();
    let mut subscription = controller.subscribe();
    let first = subscription.next().await.unwrap();
    assert!(first.topics.is_empty());
    let acted = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let seen = acted.clone();
    let subscriber = task::spawn("subscriber", async move {
        let mut names = Vec::new();
        while let Some(delta) = subscription.next().await {
            tokio::task::yield_now().await;
            for change in delta.topics {
                names.push(match change {
                    TopicChange::Created(topic) => format!("+{}", topic.name),
                    TopicChange::Changed { after, .. } => format!("~{}", after.name),
                    TopicChange::Deleted(topic) => format!("-{}", topic.name),
                });
                seen.store(true, std::sync::atomic::Ordering::Release);
            }
        }
        names
    });
    let created = create(&controller, "one", 1).await.unwrap();
    assert!(acted.load(std::sync::atomic::Ordering::Acquire));
    let more = NewPartitions { topic: "one".to_owned(), count: 4, assignments: None };
    controller.create_partitions(vec![more], Mode::Execute, LIMIT).await.unwrap().remove(0).unwrap();
    controller.delete_topics(vec![created.id], LIMIT).await.unwrap().remove(0).unwrap();
    stop(controller, log_dir).await;
    assert_eq!(subscriber.await.unwrap(), ["+one", "~one", "-one"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_partitions_are_one_entry() {
    let node = Node::new();
    let (controller, log_dir) = node.start().await.unwrap();
    let before = controller.image().offset();
    let started = Moment::now();
    create(&controller, "wide", 5_000).await.unwrap();
    println!("5,000 partitions in {:?}", started.elapsed());
    assert_eq!(controller.image().offset(), before + 1);
    assert_eq!(controller.image().topic("wide").unwrap().partitions.len(), 5_000);
    stop(controller, log_dir).await;
    let started = Moment::now();
    let (controller, log_dir) = node.start().await.unwrap();
    println!("start in {:?}", started.elapsed());
    assert_eq!(controller.image().topic("wide").unwrap().partitions.len(), 5_000);
    stop(controller, log_dir).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_and_the_rest_of_the_log_make_the_same_image() {
    let node = Node::new();
    let (controller, log_dir) = node.start().await.unwrap();
    create(&controller, "early", 2).await.unwrap();
    let resource = ConfigResource::topic("early");
    let set = ConfigChange { resource, ops: vec![("retention.ms".to_owned(), ConfigOp::Set(Some("1000".to_owned())))] };
    controller.incremental_alter_configs(vec![set], Mode::Execute).await.unwrap().remove(0).unwrap();
    let raft = &controller.shared.quorum.raft;
    raft.trigger().snapshot().await.unwrap();
    let taken = controller.image().offset() as u64;
    let snapshot = |metrics: &openraft::RaftMetrics<u64, openraft::EmptyNode>| {
        metrics.snapshot.is_some_and(|log_id| log_id.index >= taken)
            && metrics.purged.is_some_and(|log_id| log_id.index >= taken)
    };
    raft.wait(Some(LIMIT)).metrics(snapshot, "snapshot taken, log purged").await.unwrap();
    create(&controller, "late", 1).await.unwrap();
    let before = controller.image();
    stop(controller, log_dir).await;

    let (controller, log_dir) = node.start().await.unwrap();
    let after = controller.image();
    assert_eq!(after.topic("early"), before.topic("early"));
    assert_eq!(after.topic("late"), before.topic("late"));
    assert_eq!(after.configs(ConfigResourceType::Topic, "early").unwrap()["retention.ms"], "1000");
    create(&controller, "later", 1).await.unwrap();
    stop(controller, log_dir).await;
    let (controller, log_dir) = node.start().await.unwrap();
    assert_eq!(controller.image().topic_count(), 3);
    stop(controller, log_dir).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_carried_out_although_its_caller_went_away() {
    let node = Node::new();
    let (controller, log_dir) = node.start().await.unwrap();
    for round in 0..20 {
        let name = format!("left-{round}");
        let left = create(&controller, &name, 1);
        // Polled once: the decision is on its way, the answer nobody waits for.
        tokio::select! {
            biased;
            _ = left => {}
            () = std::future::ready(()) => {}
        }
        // The next change sees it, or sees that it never began; it is never decided on an older image.
        let again = create(&controller, &name, 1).await;
        assert!(again.is_ok() || again.unwrap_err().code == ErrorCode::TopicAlreadyExists);
    }
    assert_eq!(controller.image().topic_count(), 20);
    stop(controller, log_dir).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_of_apache_become_topics() {
    let node = Node::new();
    let id = Uuid::from_u128(0x1234);
    for (name, epochs) in [("orders-0", "0\n1\n3 17\n"), ("orders-2", "0\n0\n"), ("__consumer_offsets-0", "0\n0\n")] {
        let folder = node.log_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let id = if name.starts_with("orders") { id } else { Uuid::from_u128(7) };
        let text = crate::uuid_text::format(id);
        std::fs::write(folder.join("partition.metadata"), format!("version: 0\ntopic_id: {text}")).unwrap();
        std::fs::write(folder.join("leader-epoch-checkpoint"), epochs).unwrap();
    }
    let apache = node.log_dir().join("__cluster_metadata-0");
    std::fs::create_dir_all(&apache).unwrap();
    std::fs::write(apache.join("quorum-state"), "{}").unwrap();
    std::fs::write(apache.join("00000000000000000000.log"), "not ours").unwrap();

    let (controller, log_dir) = node.start().await.unwrap();
    let image = controller.image();
    let topic = image.topic("orders").unwrap();
    assert_eq!((topic.id, topic.partitions.len()), (id, 3));
    assert_eq!(topic.partitions.iter().map(|partition| partition.leader_epoch).collect::<Vec<_>>(), [4, 0, 0]);
    let offsets = image.configs(ConfigResourceType::Topic, "__consumer_offsets").unwrap();
    assert_eq!(offsets["cleanup.policy"], "compact");
    assert!(image.next_producer_id() > 0);
    assert_eq!(std::fs::read(apache.join("apache-kafka/00000000000000000000.log")).unwrap(), b"not ours");
    stop(controller, log_dir).await;
    let (controller, log_dir) = node.start().await.unwrap();
    assert_eq!(controller.image().topic("orders").unwrap().id, id);
    stop(controller, log_dir).await;
}

/// Apache's broker on a data folder; what is left of it is killed.
struct Apache(std::process::Child);

impl Drop for Apache {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn apache_sh() -> std::process::Command {
    std::process::Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/apache/apache.sh"))
}

/// Says that this test is skipped, and why, past the capture of a test that passes: tests/run.sh counts the line.
fn say_skipped(why: &str) {
    let name = std::thread::current().name().unwrap_or_default().to_owned();
    let line = format!("skipped: {name}: {why}\n");
    std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).expect("a standard error");
}

fn has_java() -> bool {
    let found = std::process::Command::new("java").arg("-version").output().is_ok_and(|ran| ran.status.success());
    let must_run = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(found || !must_run, "this test needs java on the path");
    if !found {
        say_skipped("no java on the path");
    }
    found
}

/// Runs a real broker on `dir` while topics are made there; answers what it has to say about them.
fn topics_of_apache(dir: &Path) -> Vec<String> {
    let sockets = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let [port, controller] = sockets.map(|socket| socket.local_addr().unwrap().port().to_string());
    let log = std::fs::File::options().create(true).append(true).open(dir.join("broker.log")).unwrap();
    let mut apache = Apache(
        apache_sh()
            .args(["broker", dir.to_str().unwrap(), &port, &controller])
            // Several snapshots while the topics are made, and a log behind the last.
            .arg("metadata.log.max.record.bytes.between.snapshots=1500")
            .env("BROKER_JAVA_OPTS", "-Xmx512m -XX:+UseSerialGC")
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap(),
    );
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/java/Topics.java");
    let bootstrap = format!("127.0.0.1:{port}");
    let ran = apache_sh().args(["java", source.to_str().unwrap(), &bootstrap]).output().unwrap();
    let said = std::fs::read_to_string(dir.join("broker.log")).unwrap_or_default();
    assert!(ran.status.success(), "{}\n{said}", String::from_utf8_lossy(&ran.stderr));
    let pid = apache.0.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    apache.0.wait().unwrap();
    String::from_utf8_lossy(&ran.stdout).lines().map(str::to_owned).collect()
}

/// The same lines, of an image.
fn topics_of(image: &Image) -> Vec<String> {
    let mut lines = Vec::new();
    for topic in image.topics() {
        lines.push(format!("id {} {}", topic.name, crate::uuid_text::format(topic.id)));
        for (key, value) in image.configs(ConfigResourceType::Topic, &topic.name).into_iter().flat_map(|set| set.iter())
        {
            lines.push(format!("topic '{}' {key}={value}", topic.name));
        }
    }
    for name in ["", "1"] {
        for (key, value) in image.configs(ConfigResourceType::Broker, name).into_iter().flat_map(|set| set.iter()) {
            lines.push(format!("broker '{name}' {key}={value}"));
        }
    }
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configurations_of_a_real_apache_broker_are_kept() {
    if !has_java() {
        return;
    }
    let node = Node::new();
    let dir = node.folder.path().to_owned();
    let mut expected = tokio::task::spawn_blocking(move || topics_of_apache(&dir)).await.unwrap();
    expected.sort();
    assert!(expected.contains(&"topic 'compacted' cleanup.policy=compact".to_owned()), "{expected:?}");
    let metadata = node.log_dir().join("__cluster_metadata-0");
    let is_snapshot = |path: &Path| path.extension().is_some_and(|extension| extension == "checkpoint");
    let files =
        |of: &Path| -> Vec<PathBuf> { std::fs::read_dir(of).unwrap().map(|entry| entry.unwrap().path()).collect() };
    assert!(files(&metadata).iter().filter(|path| is_snapshot(path)).count() > 1, "no snapshot was made");
    let copied = tempfile::tempdir().unwrap();
    copy(&metadata, copied.path());

    let (controller, log_dir) = node.start().await.unwrap();
    let image = controller.image();
    let mut found = topics_of(&image);
    found.sort();
    assert_eq!(found, expected);
    let partitions = |name: &str| image.topic(name).unwrap().partitions.len();
    assert_eq!((partitions("compacted"), partitions("plain")), (3, 2));
    stop(controller, log_dir).await;

    // The log alone, but for what formatting wrote, says the same as its newest snapshot and what follows.
    let with = crate::apache_metadata::ApacheMetadata::read(&Disk::Real, copied.path()).unwrap().unwrap();
    let is_of_format =
        |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&"0".repeat(20)));
    for path in files(copied.path()).iter().filter(|path| is_snapshot(path) && !is_of_format(path)) {
        std::fs::remove_file(path).unwrap();
    }
    let without = crate::apache_metadata::ApacheMetadata::read(&Disk::Real, copied.path()).unwrap().unwrap();
    assert_eq!(format!("{with:?}"), format!("{without:?}"));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_holds_changes_up_until_there_is_room() {
    let disk = FaultyDisk::new(3);
    let (controller, log_dir) = Node::on(&disk).start().await.unwrap();
    create(&controller, "before", 1).await.unwrap();
    disk.set_capacity(disk.used());
    let topics = vec![NewTopic::new("during", 1, 1)];
    let refused = controller.create_topics(topics, Mode::Execute, Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::RequestTimedOut);
    assert!(controller.image().topic("during").is_none());
    disk.set_capacity(u64::MAX);
    create(&controller, "after", 1).await.unwrap();
    assert!(controller.image().topic("during").is_some(), "what was decided is carried out, in its turn");
    // A node that is told to stop does not wait for room.
    disk.set_capacity(disk.used());
    let topics = vec![NewTopic::new("never", 1, 1)];
    controller.create_topics(topics, Mode::Execute, Duration::from_millis(10)).await.unwrap_err();
    tokio::time::timeout(LIMIT, controller.stop()).await.unwrap();
    assert!(!log_dir.is_offline(), "a full disk passes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metadata_log_that_fails_is_told() {
    let disk = FaultyDisk::new(3);
    let (controller, log_dir) = Node::on(&disk).start().await.unwrap();
    let failed = controller.clone();
    let failed = task::spawn("failed", async move { failed.failed().await });
    disk.fail_next(Operation::Write, 5);
    create(&controller, "t", 1).await.unwrap_err();
    let reason = tokio::time::timeout(LIMIT, failed).await.unwrap().unwrap();
    assert!(reason.contains("cannot append to"), "{reason}");
    assert!(log_dir.is_offline());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_stopped_has_not_failed() {
    let node = Node::new();
    let (controller, log_dir) = node.start().await.unwrap();
    let failed = controller.clone();
    stop(controller, log_dir).await;
    assert!(tokio::time::timeout(Duration::from_millis(50), failed.failed()).await.is_err());
}
