"""librdkafka, through confluent-kafka: what a C, Python, .NET or Go (cgo) user of it relies on."""

import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from checks import BOOTSTRAP, check, equal, fresh, main, until

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
    ConsumerGroupTopicPartitions,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)


# One for the whole run: a client that is collected while its answer is awaited ends the wait with an error.
ADMIN = AdminClient({"bootstrap.servers": BOOTSTRAP})


def admin():
    return ADMIN


def topic(partitions=1, config=None):
    name = fresh("rdk")
    admin().create_topics([NewTopic(name, partitions, 1, config=config or {})])[name].result(20)
    return name


def producer(**config):
    return Producer({"bootstrap.servers": BOOTSTRAP, **{k.replace("_", "."): v for k, v in config.items()}})


def produce(name, values, key=None, partition=None, **config):
    """Produces values, waits for all, returns the delivered messages in order."""
    delivered, errors = [], []

    def done(error, message):
        (errors if error else delivered).append(error or message)

    handle = producer(**config)
    for value in values:
        extra = {} if partition is None else {"partition": partition}
        handle.produce(name, value=value, key=key, on_delivery=done, **extra)
    equal(handle.flush(20), 0, "left in the queue")
    if errors:
        raise KafkaException(errors[0])
    return delivered


def consumer(group=None, **config):
    settings = {
        "bootstrap.servers": BOOTSTRAP,
        "group.id": group or fresh("group"),
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        **{k.replace("_", "."): v for k, v in config.items()},
    }
    return Consumer(settings)


def read(handle, count, seconds=20):
    messages = []

    def step():
        for message in handle.consume(100, 0.2):
            if message.error():
                raise KafkaException(message.error())
            messages.append(message)
        return len(messages) >= count

    until(step, seconds, f"{count} records")
    return messages


def read_all(name, count, **config):
    handle = consumer(**config)
    handle.assign([TopicPartition(name, 0, OFFSET_BEGINNING)])
    try:
        return read(handle, count)
    finally:
        handle.close()


def roundtrip(codec):
    name = topic()
    values = [f"{codec} {i} ".encode() * 20 for i in range(500)]
    produce(name, values, compression_type=codec, linger_ms=20)
    equal([m.value() for m in read_all(name, 500)], values)


@check
def codec_none():
    roundtrip("none")


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
    for acks in ("0", "1", "all"):
        produce(name, [acks.encode()], acks=acks)
    equal([m.value() for m in read_all(name, 3)], [b"0", b"1", b"all"])


@check
def headers_round_trip_with_null_and_repeats():
    name = topic()
    headers = [("a", b"1"), ("a", b"2"), ("none", None), ("empty", b"")]
    handle = producer()
    handle.produce(name, b"v", headers=headers)
    handle.flush(20)
    equal(read_all(name, 1)[0].headers(), headers)


@check
def null_key_null_value_and_empty_value():
    name = topic()
    produce(name, [None, b""])
    got = read_all(name, 2)
    equal([(m.key(), m.value()) for m in got], [(None, None), (None, b"")])


@check
def create_time_is_kept():
    name = topic()
    handle = producer()
    handle.produce(name, b"v", timestamp=1_600_000_000_123)
    handle.flush(20)
    equal(read_all(name, 1)[0].timestamp(), (1, 1_600_000_000_123))


@check
def log_append_time_is_set_by_the_broker():
    name = topic(config={"message.timestamp.type": "LogAppendTime"})
    handle = producer()
    handle.produce(name, b"v", timestamp=1_600_000_000_123)
    handle.flush(20)
    kind, at = read_all(name, 1)[0].timestamp()
    equal(kind, 2, "timestamp type")
    if at < 1_700_000_000_000:
        raise AssertionError(f"not the time of the append: {at}")


@check
def offsets_are_dense_and_ordered():
    name = topic()
    delivered = produce(name, [str(i).encode() for i in range(1000)], linger_ms=5)
    equal([m.offset() for m in delivered], list(range(1000)))


@check
def idempotent_producer():
    name = topic()
    delivered = produce(name, [str(i).encode() for i in range(2000)], enable_idempotence=True, linger_ms=1)
    equal(sorted(m.offset() for m in delivered), list(range(2000)))
    equal([m.value() for m in read_all(name, 2000)], [str(i).encode() for i in range(2000)])


@check
def group_reads_and_commits():
    name, group = topic(), fresh("group")
    produce(name, [str(i).encode() for i in range(10)])
    first = consumer(group)
    first.subscribe([name])
    got = read(first, 10)
    first.commit(offsets=[TopicPartition(name, 0, 5, metadata="half")], asynchronous=False)
    first.close()
    second = consumer(group)
    second.subscribe([name])
    equal([m.offset() for m in read(second, 5)], [5, 6, 7, 8, 9])
    committed = second.committed([TopicPartition(name, 0)], timeout=10)[0]
    equal((committed.offset, committed.metadata), (5, "half"))
    second.close()
    equal(len(got), 10)


@check
def two_members_share_partitions_and_one_takes_over():
    name, group = topic(4), fresh("group")
    first, second = consumer(group, session_timeout_ms=6000), consumer(group, session_timeout_ms=6000)
    first.subscribe([name])
    second.subscribe([name])

    def shared():
        first.poll(0.1)
        second.poll(0.1)
        return len(first.assignment()) == 2 and len(second.assignment()) == 2

    until(shared, 30, "two partitions each")
    owned = {p.partition for p in first.assignment()} | {p.partition for p in second.assignment()}
    equal(owned, {0, 1, 2, 3})
    second.close()

    def alone():
        first.poll(0.1)
        return len(first.assignment()) == 4

    until(alone, 30, "all partitions")
    first.close()


@check
def cooperative_sticky_rebalance():
    name, group = topic(4), fresh("group")
    kind = {"partition_assignment_strategy": "cooperative-sticky"}
    first, second = consumer(group, **kind), consumer(group, **kind)
    first.subscribe([name])
    until(lambda: first.poll(0.1) or len(first.assignment()) == 4, 30, "all partitions")
    second.subscribe([name])

    def shared():
        first.poll(0.1)
        second.poll(0.1)
        return len(first.assignment()) == 2 and len(second.assignment()) == 2

    until(shared, 30, "two partitions each")
    first.close()
    second.close()


@check
def static_member_returns_without_a_rebalance():
    name, group = topic(2), fresh("group")
    rebalances = []
    stay = consumer(group, group_instance_id="stay", session_timeout_ms=30000)
    go = consumer(group, group_instance_id="go", session_timeout_ms=30000)
    stay.subscribe([name], on_assign=lambda c, p: rebalances.append(len(p)))
    go.subscribe([name])

    def shared():
        stay.poll(0.1)
        go.poll(0.1)
        return len(stay.assignment()) == 1 and len(go.assignment()) == 1

    until(shared, 40, "one partition each")
    before = len(rebalances)
    go.close()
    again = consumer(group, group_instance_id="go", session_timeout_ms=30000)
    again.subscribe([name])

    def back():
        stay.poll(0.1)
        again.poll(0.1)
        return len(again.assignment()) == 1

    until(back, 40, "the same partition again")
    equal(len(rebalances), before, "rebalances of the member that stayed")
    again.close()
    stay.close()


@check
def second_static_member_fences_the_first():
    name, group = topic(1), fresh("group")
    first = consumer(group, group_instance_id="one", session_timeout_ms=10000, heartbeat_interval_ms=500)
    first.subscribe([name])
    until(lambda: first.poll(0.1) or first.assignment(), 30, "assignment")
    second = consumer(group, group_instance_id="one", session_timeout_ms=10000)
    second.subscribe([name])

    def fenced():
        second.poll(0.1)
        message = first.poll(0.1)
        return message is not None and message.error() and message.error().code() in (
            KafkaError._FATAL,
            KafkaError.FENCED_INSTANCE_ID,
        )

    until(fenced, 30, "the first is fenced")
    second.close()


@check
def seek_and_watermarks():
    name = topic()
    produce(name, [str(i).encode() for i in range(20)])
    handle = consumer()
    handle.assign([TopicPartition(name, 0, 0)])
    read(handle, 1)
    handle.seek(TopicPartition(name, 0, 15))

    def at_fifteen():
        message = handle.poll(0.2)
        return message is not None and not message.error() and message.offset() == 15

    until(at_fifteen, 20, "offset 15")
    equal(handle.get_watermark_offsets(TopicPartition(name, 0), timeout=10), (0, 20))
    handle.close()


@check
def offsets_for_times():
    name = topic()
    handle = producer()
    for i in range(10):
        handle.produce(name, b"v", timestamp=1_600_000_000_000 + i * 1000)
    handle.flush(20)
    ask = consumer()
    found = ask.offsets_for_times([TopicPartition(name, 0, 1_600_000_003_500)], timeout=10)[0]
    equal(found.offset, 4)
    later = ask.offsets_for_times([TopicPartition(name, 0, 1_700_000_000_000)], timeout=10)[0]
    equal(later.offset, -1)
    ask.close()


@check
def list_offsets_by_admin():
    name = topic()
    produce(name, [b"a", b"b", b"c"])
    part = TopicPartition(name, 0)
    for spec, expected in ((OffsetSpec.earliest(), 0), (OffsetSpec.latest(), 3)):
        result = list(admin().list_offsets({part: spec}).values())[0].result(20)
        equal(result.offset, expected)


@check
def out_of_range_resets_by_policy():
    name = topic()
    produce(name, [b"a", b"b"])
    handle = consumer(auto_offset_reset="earliest")
    handle.assign([TopicPartition(name, 0, 1000)])
    equal(read(handle, 2)[0].offset(), 0)
    handle.close()


@check
def transaction_commits_and_aborts():
    name = topic()
    handle = producer(transactional_id=fresh("txn"))
    handle.init_transactions(30)
    handle.begin_transaction()
    handle.produce(name, b"gone")
    handle.flush(20)  # an abort drops what is not sent yet
    handle.abort_transaction(30)
    handle.begin_transaction()
    handle.produce(name, b"kept")
    handle.commit_transaction(30)
    equal([m.value() for m in read_all(name, 1, isolation_level="read_committed")], [b"kept"])
    equal([m.value() for m in read_all(name, 2, isolation_level="read_uncommitted")], [b"gone", b"kept"])


@check
def open_transaction_is_not_read():
    name = topic()
    handle = producer(transactional_id=fresh("txn"))
    handle.init_transactions(30)
    handle.begin_transaction()
    handle.produce(name, b"open")
    handle.flush(20)
    reader = consumer(isolation_level="read_committed")
    reader.assign([TopicPartition(name, 0, OFFSET_BEGINNING)])
    got = [m for m in reader.consume(1, 1.5)]
    equal(got, [])
    handle.commit_transaction(30)
    equal(read(reader, 1)[0].value(), b"open")
    reader.close()


@check
def offsets_in_a_transaction():
    source, group = topic(), fresh("group")
    produce(source, [b"1", b"2", b"3"])
    reader = consumer(group)
    reader.subscribe([source])
    read(reader, 3)
    handle = producer(transactional_id=fresh("txn"))
    handle.init_transactions(30)
    handle.begin_transaction()
    handle.send_offsets_to_transaction([TopicPartition(source, 0, 2)], reader.consumer_group_metadata(), 30)
    handle.commit_transaction(30)
    equal(reader.committed([TopicPartition(source, 0)], timeout=20)[0].offset, 2)
    handle.begin_transaction()
    handle.send_offsets_to_transaction([TopicPartition(source, 0, 3)], reader.consumer_group_metadata(), 30)
    handle.abort_transaction(30)
    equal(reader.committed([TopicPartition(source, 0)], timeout=20)[0].offset, 2)
    reader.close()


@check
def zombie_transaction_is_fenced():
    name, ident = topic(), fresh("txn")
    old, new = producer(transactional_id=ident), producer(transactional_id=ident)
    old.init_transactions(30)
    old.begin_transaction()
    old.produce(name, b"old")
    old.flush(20)
    new.init_transactions(30)
    try:
        old.commit_transaction(30)
    except KafkaException as error:
        if not error.args[0].fatal():
            raise
    else:
        raise AssertionError("the old producer could commit")
    new.begin_transaction()
    new.produce(name, b"new")
    new.commit_transaction(30)
    equal([m.value() for m in read_all(name, 1, isolation_level="read_committed")], [b"new"])


@check
def create_describe_delete_topic():
    name = topic(3, {"retention.ms": "1234567", "cleanup.policy": "compact"})
    resource = ConfigResource(ResourceType.TOPIC, name)
    entries = list(admin().describe_configs([resource]).values())[0].result(20)
    equal((entries["retention.ms"].value, entries["cleanup.policy"].value), ("1234567", "compact"))
    equal(len(admin().list_topics(name, timeout=20).topics[name].partitions), 3)
    admin().delete_topics([name])[name].result(20)
    until(lambda: name not in admin().list_topics(timeout=20).topics, 20, "topic gone")


@check
def topic_that_exists_is_refused():
    name = topic()
    try:
        admin().create_topics([NewTopic(name, 1, 1)])[name].result(20)
    except KafkaException as error:
        equal(error.args[0].code(), KafkaError.TOPIC_ALREADY_EXISTS)
    else:
        raise AssertionError("created twice")


@check
def incremental_alter_configs():
    name = topic()
    resource = ConfigResource(
        ResourceType.TOPIC,
        name,
        incremental_configs=[
            ConfigEntry("max.message.bytes", "2048", incremental_operation=AlterConfigOpType.SET)
        ],
    )
    list(admin().incremental_alter_configs([resource]).values())[0].result(20)
    try:
        produce(name, [os.urandom(5000)], message_max_bytes=1000000)
    except KafkaException as error:
        equal(error.args[0].code(), KafkaError.MSG_SIZE_TOO_LARGE)
    else:
        raise AssertionError("an oversized record was taken")


@check
def create_partitions_grows():
    name = topic(1)
    admin().create_partitions([NewPartitions(name, 4)])[name].result(20)
    until(lambda: len(admin().list_topics(name, timeout=20).topics[name].partitions) == 4, 20, "4 partitions")


@check
def delete_records_moves_the_start():
    name = topic()
    produce(name, [str(i).encode() for i in range(10)])
    list(admin().delete_records([TopicPartition(name, 0, 6)]).values())[0].result(20)
    ask = consumer()
    equal(ask.get_watermark_offsets(TopicPartition(name, 0), timeout=10), (6, 10))
    ask.close()


@check
def group_admin_lists_describes_alters_deletes():
    name, group = topic(), fresh("group")
    produce(name, [b"a", b"b", b"c"])
    handle = consumer(group)
    handle.subscribe([name])
    read(handle, 3)
    handle.commit(asynchronous=False)
    described = admin().describe_consumer_groups([group])[group].result(20)
    equal(described.state.name, "STABLE")
    equal(len(described.members), 1)
    listed = {g.group_id for g in admin().list_consumer_groups().result(20).valid}
    equal(group in listed, True, "listed")
    handle.close()
    until(lambda: admin().describe_consumer_groups([group])[group].result(20).state.name == "EMPTY", 20, "empty")
    target = ConsumerGroupTopicPartitions(group, [TopicPartition(name, 0, 1)])
    list(admin().alter_consumer_group_offsets([target]).values())[0].result(20)
    ask = ConsumerGroupTopicPartitions(group, [TopicPartition(name, 0)])
    found = list(admin().list_consumer_group_offsets([ask]).values())[0].result(20)
    equal(found.topic_partitions[0].offset, 1)
    admin().delete_consumer_groups([group])[group].result(20)


@check
def describe_cluster_and_topics():
    cluster = admin().describe_cluster().result(20)
    equal(len(cluster.nodes), 1)
    equal(bool(cluster.cluster_id), True, "cluster id")


@check
def unknown_partition_is_an_error():
    name = topic(1)
    try:
        produce(name, [b"v"], partition=7, message_timeout_ms=5000)
    except KafkaException as error:
        equal(error.args[0].code(), KafkaError._UNKNOWN_PARTITION)
    else:
        raise AssertionError("a partition that does not exist took a record")


@check
def auto_created_topic():
    name = fresh("auto")
    produce(name, [b"first"])
    equal(read_all(name, 1)[0].value(), b"first")


@check
def large_records():
    name = topic(config={"max.message.bytes": "5000000"})
    value = os.urandom(3_000_000)
    produce(name, [value], message_max_bytes=5000000)
    equal(read_all(name, 1, fetch_message_max_bytes=100_000)[0].value() == value, True, "same bytes")


@check
def concurrent_producers_lose_nothing():
    name = topic(3)
    failures = []

    def work(number):
        try:
            produce(name, [f"{number}-{i}".encode() for i in range(2000)], key=str(number).encode(), linger_ms=2)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(failures, [])
    handle = consumer()
    handle.subscribe([name])
    got = read(handle, 10000, 60)
    handle.close()
    equal(len({m.value() for m in got}), 10000)
    by_key = {}
    for message in got:
        by_key.setdefault(message.key(), []).append(int(message.value().split(b"-")[1]))
    for numbers in by_key.values():
        equal(numbers, sorted(numbers), "order of one key")


if __name__ == "__main__":
    main()
