"""One group of members in Java, Python (librdkafka) and Rust (this project's client): after each change every partition
has one owner, and at no time two."""

import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from checks import BOOTSTRAP, check, equal, fresh, main, until

from confluent_kafka.admin import AdminClient, NewTopic

HERE = os.path.dirname(os.path.abspath(__file__))
PARTITIONS = 12
KINDS = {
    "java": ["java", "-Xmx256m", "-cp", os.environ["MEMBER_CLASSES"], "Member"],
    "python": [sys.executable, os.path.join(HERE, "member.py")],
    "rust": [os.environ["MEMBER_RUST"]],
}


class Group:
    def __init__(self, assignor):
        self.assignor = assignor
        self.topic, self.group = fresh("shared"), fresh("group")
        self.file = os.path.join(tempfile.mkdtemp(), "owners")
        open(self.file, "w").close()
        self.members = {}
        admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
        admin.create_topics([NewTopic(self.topic, PARTITIONS, 1)])[self.topic].result(20)

    def join(self, kind, name):
        args = KINDS[kind] + [BOOTSTRAP, self.group, self.topic, self.assignor, self.file, name]
        with open(f"{self.file}.{name}", "w") as said:
            self.members[name] = subprocess.Popen(args, stdin=subprocess.PIPE, stderr=said)

    def leave(self, name):
        member = self.members.pop(name)
        member.stdin.close()
        status = member.wait(30)
        with open(f"{self.file}.{name}") as said:
            equal(status, 0, f"exit status of {name}, which said: {said.read()[-500:]!r}")

    def owners(self):
        """Who owns what by what was written down; fails where a partition had two owners."""
        owners = {}
        with open(self.file) as lines:
            for line in lines:
                name, what, *partitions = line.split()
                for partition in partitions:
                    if what == "assigned":
                        if partition in owners:
                            raise AssertionError(f"{partition} is owned by {owners[partition]} and {name}")
                        owners[partition] = name
                    else:
                        equal(owners.pop(partition, None), name, f"owner of {partition}, which is {what}")
        return owners

    def settles(self):
        """Waits until all partitions are owned, by all members, as evenly as it goes."""

        def even():
            owners = list(self.owners().values())
            counts = [owners.count(name) for name in self.members]
            return sum(counts) == len(owners) == PARTITIONS and max(counts) - min(counts) <= 1

        until(even, 60, f"one owner for each partition among {list(self.members)}")

    def end(self):
        for name in list(self.members):
            self.leave(name)
        equal(self.owners(), {}, "owners after the end")


def rebalances(assignor):
    for first in KINDS:
        # Whoever comes first leads the group and decides for all.
        group = Group(assignor)
        try:
            group.join(first, first)
            group.settles()
            for kind in KINDS:
                if kind != first:
                    group.join(kind, kind)
                    group.settles()
            group.join("rust", "rust-2")
            group.settles()
            group.leave(first)
            group.settles()
            group.join(first, f"{first}-again")
            group.settles()
            group.end()
        finally:
            for member in group.members.values():
                member.kill()


@check
def shared_group_range():
    rebalances("range")


@check
def shared_group_cooperative_sticky():
    rebalances("cooperative-sticky")


if __name__ == "__main__":
    main()
