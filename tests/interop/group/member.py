"""A member of a group that writes down what it owns, as client/examples/member.rs does:
   member.py HOST:PORT GROUP TOPIC range|cooperative-sticky FILE NAME"""

import os
import sys
import threading

from confluent_kafka import Consumer

address, group, topic, assignor, path, name = sys.argv[1:]
file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def note(what):
    def write(consumer, partitions):
        numbers = " ".join(str(p.partition) for p in partitions)
        os.write(file, f"{name} {what} {numbers}\n".encode())
        if assignor == "range":
            consumer.assign(partitions) if what == "assigned" else consumer.unassign()
        elif what == "assigned":
            consumer.incremental_assign(partitions)
        elif what == "revoked":
            consumer.incremental_unassign(partitions)

    return write


consumer = Consumer({
    "bootstrap.servers": address,
    "group.id": group,
    "partition.assignment.strategy": assignor,
    "heartbeat.interval.ms": 300,
    "session.timeout.ms": 10000,
    "auto.offset.reset": "earliest",
})
consumer.subscribe([topic], on_assign=note("assigned"), on_revoke=note("revoked"), on_lost=note("lost"))
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
while not ended.is_set():
    consumer.poll(0.1)
consumer.close()
