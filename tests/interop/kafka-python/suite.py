"""kafka-python: a client written in Python alone, with its own codecs, group protocol and transactions."""

import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from checks import BOOTSTRAP, check, equal, fresh, main, until

from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition, errors
from kafka.admin import (
    ConfigResource,
    ConfigResourceType,
    KafkaAdminClient,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)

ADMIN = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)


def topic(partitions=1, config=None):
    name = fresh("kpy")
    ADMIN.create_topics(
        [NewTopic(name=name, num_partitions=partitions, replication_factor=1, topic_configs=config or {})]
    )
    return name


def producer(**config):
    return KafkaProducer(bootstrap_servers=BOOTSTRAP, **config)


def produce(name, values, key=None, partition=None, **config):
    handle = producer(**config)
    futures = [handle.send(name, value=v, key=key, partition=partition) for v in values]
    handle.flush(30)
    delivered = [f.get(20) for f in futures]
    handle.close()
    return delivered


def consumer(*topics, group=None, **config):
    settings = {
        "bootstrap_servers": BOOTSTRAP,
        "group_id": group,
        "auto_offset_reset": "earliest",
        "enable_auto_commit": False,
        **config,
    }
    return KafkaConsumer(*topics, **settings)


def read(handle, count, seconds=30):
    records = []

    def step():
        for batch in handle.poll(timeout_ms=200).values():
            records.extend(batch)
        return len(records) >= count

    until(step, seconds, f"{count} records")
    return records


def read_all(name, count, **config):
    handle = consumer(**config)
    handle.assign([TopicPartition(name, 0)])
    handle.seek_to_beginning()
    try:
        return read(handle, count)
    finally:
        handle.close()


def roundtrip(codec):
    name = topic()
    values = [f"{codec} {i} ".encode() * 20 for i in range(300)]
    produce(name, values, compression_type=codec, linger_ms=20)
    equal([r.value for r in read_all(name, 300)], values)


@check
def codec_none():
    roundtrip(None)


@check
def codec_gzip():
    roundtrip("gzip")


@check
def codec_snappy():
    roundtrip("snappy")


@check
def codec_lz4():
    roundtrip("lz4")


@check
def codec_zstd():
    roundtrip("zstd")


@check
def acks_zero_one_all():
    name = topic()
    for acks in (0, 1, "all"):
        produce(name, [str(acks).encode()], acks=acks, enable_idempotence=False)
    equal([r.value for r in read_all(name, 3)], [b"0", b"1", b"all"])


@check
def headers_round_trip():
    name = topic()
    headers = [("a", b"1"), ("a", b"2"), ("empty", b"")]
    handle = producer()
    handle.send(name, b"v", headers=headers).get(20)
    handle.close()
    equal([tuple(h) for h in read_all(name, 1)[0].headers], headers)


@check
def null_key_and_null_value():
    name = topic()
    produce(name, [None, b""], key=b"k")  # this client refuses a record with neither
    produce(name, [b"v"], key=None)
    got = [(r.key, r.value) for r in read_all(name, 3)]
    equal(got, [(b"k", None), (b"k", b""), (None, b"v")])


@check
def create_time_is_kept():
    name = topic()
    handle = producer()
    handle.send(name, b"v", timestamp_ms=1_600_000_000_123).get(20)
    handle.close()
    record = read_all(name, 1)[0]
    equal((record.timestamp_type, record.timestamp), (0, 1_600_000_000_123))


@check
def log_append_time_is_answered_and_stored():
    name = topic(config={"message.timestamp.type": "LogAppendTime"})
    handle = producer()
    sent = handle.send(name, b"v", timestamp_ms=1_600_000_000_123).get(20)
    handle.close()
    record = read_all(name, 1)[0]
    equal((record.timestamp_type, record.timestamp), (1, sent.timestamp))


@check
def keys_choose_partitions_as_java_does():
    # Java's DefaultPartitioner on 8 partitions: (murmur2(key) & 0x7fffffff) % 8; the client computes it.
    name = topic(8)
    first = produce(name, [b"1"] * 5, key=b"user-42")
    again = produce(name, [b"2"] * 5, key=b"user-42")
    equal(len({m.partition for m in first + again}), 1)


@check
def idempotent_producer_keeps_order():
    name = topic()
    delivered = produce(name, [str(i).encode() for i in range(1000)], enable_idempotence=True, linger_ms=1)
    equal([m.offset for m in delivered], list(range(1000)))


@check
def group_reads_and_commits():
    name, group = topic(), fresh("group")
    produce(name, [str(i).encode() for i in range(10)])
    first = consumer(name, group=group)
    read(first, 10)
    part = TopicPartition(name, 0)
    first.commit({part: OffsetAndMetadata(4, "here", -1)})
    first.close()
    second = consumer(name, group=group)
    equal([r.offset for r in read(second, 6)], [4, 5, 6, 7, 8, 9])
    equal(second.committed(part), 4)
    equal(second.committed(part, metadata=True).metadata, "here")
    second.close()


@check
def auto_commit_on_close():
    name, group = topic(), fresh("group")
    produce(name, [b"a", b"b"])
    first = consumer(name, group=group, enable_auto_commit=True, auto_commit_interval_ms=100000)
    read(first, 2)
    first.close()
    second = consumer(group=group)
    equal(second.committed(TopicPartition(name, 0)), 2)
    second.close()


@check
def two_members_rebalance():
    name, group = topic(4), fresh("group")
    members = [consumer(name, group=group, client_id=f"m{n}") for n in range(2)]
    stop = threading.Event()
    assigned = [set(), set()]

    # A consumer belongs to one thread: it alone looks at the assignment.
    def work(number):
        while not stop.is_set():
            # Rebalances are over by then: kafka-python 3.0.12 loses its assignment when the time of a poll runs out
            # between the answers of JoinGroup and SyncGroup, and says that it needs not join again.
            members[number].poll(timeout_ms=7000)
            assigned[number] = members[number].assignment()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    try:
        until(lambda: all(len(own) == 2 for own in assigned), 30, "two partitions each")
        equal(len(assigned[0] | assigned[1]), 4)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        for member in members:
            member.close()


@check
def seek_position_and_offsets():
    name = topic()
    produce(name, [str(i).encode() for i in range(20)])
    part = TopicPartition(name, 0)
    handle = consumer()
    handle.assign([part])
    handle.seek(part, 15)
    equal([r.offset for r in read(handle, 5)], [15, 16, 17, 18, 19])
    equal(handle.position(part), 20)
    equal((handle.beginning_offsets([part])[part], handle.end_offsets([part])[part]), (0, 20))
    handle.close()


@check
def offsets_for_times():
    name = topic()
    handle = producer()
    for i in range(10):
        handle.send(name, b"v", timestamp_ms=1_600_000_000_000 + i * 1000)
    handle.flush()
    handle.close()
    part = TopicPartition(name, 0)
    ask = consumer()
    found = ask.offsets_for_times({part: 1_600_000_003_500})[part]
    equal((found.offset, found.timestamp), (4, 1_600_000_004_000))
    equal(ask.offsets_for_times({part: 1_700_000_000_000})[part], None)
    ask.close()


@check
def list_offsets_by_admin():
    name = topic()
    handle = producer()
    for at in (1000, 9000, 5000):
        handle.send(name, b"v", timestamp_ms=1_600_000_000_000 + at).get(20)
    handle.close()
    part = TopicPartition(name, 0)
    for spec, offset in ((OffsetSpec.EARLIEST, 0), (OffsetSpec.LATEST, 3), (OffsetSpec.MAX_TIMESTAMP, 1)):
        equal(ADMIN.list_partition_offsets({part: spec})[part].offset, offset, str(spec))


@check
def transaction_commits_and_aborts():
    name = topic()
    handle = producer(transactional_id=fresh("txn"))
    handle.init_transactions()
    handle.begin_transaction()
    handle.send(name, b"gone")
    handle.flush()
    handle.abort_transaction()
    handle.begin_transaction()
    handle.send(name, b"kept")
    handle.commit_transaction()
    handle.close()
    equal([r.value for r in read_all(name, 1, isolation_level="read_committed")], [b"kept"])
    equal([r.value for r in read_all(name, 2, isolation_level="read_uncommitted")], [b"gone", b"kept"])


@check
def offsets_in_a_transaction():
    name, group = topic(), fresh("group")
    produce(name, [b"1", b"2"])
    reader = consumer(name, group=group)
    read(reader, 2)
    part = TopicPartition(name, 0)
    handle = producer(transactional_id=fresh("txn"))
    handle.init_transactions()
    handle.begin_transaction()
    handle.send_offsets_to_transaction({part: OffsetAndMetadata(1, "", -1)}, reader.group_metadata())
    handle.commit_transaction()
    equal(reader.committed(part), 1)
    handle.begin_transaction()
    handle.send_offsets_to_transaction({part: OffsetAndMetadata(2, "", -1)}, reader.group_metadata())
    handle.abort_transaction()
    equal(reader.committed(part), 1)
    handle.close()
    reader.close()


@check
def zombie_is_fenced():
    name, ident = topic(), fresh("txn")
    old = producer(transactional_id=ident)
    old.init_transactions()
    old.begin_transaction()
    old.send(name, b"old")
    old.flush()
    new = producer(transactional_id=ident)
    new.init_transactions()
    try:
        old.commit_transaction()
    except errors.KafkaError:
        pass
    else:
        raise AssertionError("the old producer could commit")
    new.begin_transaction()
    new.send(name, b"new")
    new.commit_transaction()
    equal([r.value for r in read_all(name, 1, isolation_level="read_committed")], [b"new"])


@check
def create_describe_delete_topic():
    name = topic(3, {"retention.ms": "1234567"})
    resource = ConfigResource(ConfigResourceType.TOPIC, name)
    text = str(ADMIN.describe_configs([resource]))
    equal("1234567" in text, True, "retention.ms in the configuration")
    described = ADMIN.describe_topics([name])[0]
    equal(len(described["partitions"]), 3)
    ADMIN.delete_topics([name])
    until(lambda: name not in ADMIN.list_topics(), 20, "topic gone")


@check
def topic_that_exists_is_refused():
    name = topic()
    try:
        ADMIN.create_topics([NewTopic(name=name, num_partitions=1, replication_factor=1)])
    except errors.TopicAlreadyExistsError:
        return
    raise AssertionError("created twice")


@check
def invalid_topic_name_is_refused():
    try:
        ADMIN.create_topics([NewTopic(name="no/slash", num_partitions=1, replication_factor=1)])
    except errors.InvalidTopicError:
        return
    raise AssertionError("created")


@check
def replication_factor_over_the_brokers_is_refused():
    try:
        ADMIN.create_topics([NewTopic(name=fresh("kpy"), num_partitions=1, replication_factor=3)])
    except errors.InvalidReplicationFactorError:
        return
    raise AssertionError("created")


@check
def alter_configs_takes_effect():
    name = topic()
    ADMIN.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs={"max.message.bytes": "2048"})])
    try:
        produce(name, [os.urandom(5000)])
    except errors.MessageSizeTooLargeError:
        return
    raise AssertionError("an oversized record was taken")


@check
def create_partitions_grows():
    name = topic(1)
    ADMIN.create_partitions({name: NewPartitions(4)})
    until(lambda: len(ADMIN.describe_topics([name])[0]["partitions"]) == 4, 20, "4 partitions")


@check
def delete_records_moves_the_start():
    name = topic()
    produce(name, [str(i).encode() for i in range(10)])
    part = TopicPartition(name, 0)
    ADMIN.delete_records({part: 6})
    ask = consumer()
    equal((ask.beginning_offsets([part])[part], ask.end_offsets([part])[part]), (6, 10))
    ask.close()


@check
def groups_are_listed_described_altered_deleted():
    name, group = topic(), fresh("group")
    produce(name, [b"a", b"b"])
    handle = consumer(name, group=group)
    read(handle, 2)
    handle.commit()
    equal("STABLE" in str(ADMIN.describe_groups([group])).upper(), True, "stable")
    handle.close()
    part = TopicPartition(name, 0)
    until(lambda: "EMPTY" in str(ADMIN.describe_groups([group])).upper(), 20, "empty")
    ADMIN.alter_group_offsets(group, {part: OffsetAndMetadata(1, "", -1)})
    equal("offset=1" in str(ADMIN.list_group_offsets(group)), True, "altered offset")
    equal(group in str(ADMIN.list_groups()), True, "listed")
    ADMIN.delete_groups([group])
    equal(group in str(ADMIN.list_groups()), False, "listed after delete")


@check
def cluster_quorum_features_and_dirs():
    equal(len(ADMIN.describe_cluster()["brokers"]), 1)
    equal("topics" in str(ADMIN.describe_log_dirs()), True, "log dirs")
    equal("metadata.version" in str(ADMIN.describe_features()), True, "features")
    equal("leader_id" in str(ADMIN.describe_metadata_quorum()), True, "quorum")


@check
def producers_and_transactions_are_described():
    name, ident = topic(), fresh("txn")
    handle = producer(transactional_id=ident)
    handle.init_transactions()
    handle.begin_transaction()
    handle.send(name, b"open")
    handle.flush()
    equal(ident in str(ADMIN.list_transactions()), True, "listed")
    equal(name in str(ADMIN.describe_transactions([ident])), True, "its partition")
    equal("producer_id" in str(ADMIN.describe_producers([TopicPartition(name, 0)])), True, "producers")
    handle.commit_transaction()
    handle.close()


@check
def auto_created_topic():
    name = fresh("auto")
    produce(name, [b"first"])
    equal(read_all(name, 1)[0].value, b"first")


@check
def compacted_topic_refuses_a_record_without_key():
    name = topic(config={"cleanup.policy": "compact"})
    try:
        produce(name, [b"no key"])
    except errors.KafkaError:
        return
    raise AssertionError("taken")


if __name__ == "__main__":
    main()
