#!/usr/bin/env python3
"""How long each of our command-line tools takes on a local broker, and how much memory, beside Apache's.

    speed.py [ROUNDS [ROUNDS]]   prints a table: the median of the rounds (9) of ours, and of Apache's (1; 0 for none)

Our broker answers both. A tool takes from its start to its end; memory is the most that was resident at any time.
"""
import os
import statistics
import subprocess
import sys
import tempfile

from run import APACHE, OURS, Broker

# What each tool is asked; $B is --bootstrap-server and its address, $D a folder.
ASKED = """
kafka-topics $B --list
kafka-topics $B --describe --topic speed
kafka-configs $B --describe --topic speed
kafka-consumer-groups $B --list
kafka-consumer-groups $B --describe --group readers
kafka-groups $B --list
kafka-get-offsets $B --topic speed
kafka-delete-records $B --offset-json-file $D/delete.json
kafka-log-dirs $B --describe --topic-list speed
kafka-cluster cluster-id $B
kafka-broker-api-versions $B
kafka-features $B describe
kafka-metadata-quorum $B describe --status
kafka-leader-election $B --election-type preferred --topic speed --partition 0
kafka-reassign-partitions $B --list
kafka-transactions $B list
kafka-acls $B --list
kafka-console-producer $B --topic speed < $D/line
kafka-console-consumer $B --topic speed --partition 0 --offset earliest --max-messages 1
kafka-producer-perf-test $B --topic speed --num-records 1 --record-size 10 --throughput -1
kafka-consumer-perf-test $B --topic speed --num-records 1
kafka-e2e-latency $B --topic speed --num-records 1 --producer-acks all --record-size 10
kafka-verifiable-producer $B --topic speed --max-messages 1
kafka-verifiable-consumer $B --topic speed --group-id sure --max-messages 1
kafka-dump-log --files $D/00000000000000000000.log
kafka-storage random-uuid
""".split("\n")[1:-1]


# Runs a command and writes milliseconds, milliseconds of CPU and resident MB to the descriptor that comes first. A process
# counts what was resident before it became the tool, so what starts it has to be small.
STARTER = """
import os, sys, time
began = time.perf_counter()
child = os.fork()
if child == 0:
    os.execv(sys.argv[2], sys.argv[2:])
_, _, usage = os.wait4(child, 0)
took = (time.perf_counter() - began) * 1000
os.write(int(sys.argv[1]), b"%f %f %f" % (took, (usage.ru_utime + usage.ru_stime) * 1000, usage.ru_maxrss / 1024))
"""


def measured(words, given):
    """(milliseconds, milliseconds of CPU, resident MB) of a run."""
    reader, writer = os.pipe()
    with open(given) as stdin:
        subprocess.run([sys.executable, "-I", "-S", "-c", STARTER, str(writer), *words], stdin=stdin, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, pass_fds=[writer], check=True)
    os.close(writer)
    with os.fdopen(reader) as told:
        return tuple(float(number) for number in told.read().split())


def median(command, given, rounds):
    runs = [measured(command, given) for _ in range(rounds)]
    return [statistics.median(run[0] for run in runs), statistics.median(run[1] for run in runs), max(run[2] for run in runs)]


def main(rounds, apache_rounds):
    # The program itself: what starts it belongs to the shell.
    program = os.environ.get("MILLSTREAM", os.path.join(os.path.dirname(OURS), "../target/release/millstream"))
    slow = 0
    with Broker("ours") as broker, tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/line", "w") as file:
            file.write("a line\n")
        with open(f"{folder}/delete.json", "w") as file:
            file.write('{"partitions":[{"topic":"speed","partition":0,"offset":0}]}')
        segment = os.path.join(os.path.dirname(os.path.abspath(__file__)), "segments/plain/00000000000000000000.log")
        os.symlink(segment, f"{folder}/00000000000000000000.log")
        server = ["--bootstrap-server", broker.address]
        subprocess.run([program, "kafka-topics", *server, "--create", "--topic", "speed"], check=True, stdout=subprocess.DEVNULL)
        for line in ("kafka-producer-perf-test --topic speed --num-records 1000 --record-size 10 --throughput -1",
                     "kafka-consumer-perf-test --topic speed --num-records 1 --group readers"):
            subprocess.run([program, *line.split(), *server], check=True, stdout=subprocess.DEVNULL)
        print("| | ms | CPU ms | MB | Apache's ms | CPU ms | MB |\n|---|---|---|---|---|---|---|")
        for line in ASKED:
            words, given = line.split(), os.devnull
            if "<" in words:
                words, given = words[:-2], words[-1].replace("$D", folder)
            if "$B" in words:
                at = words.index("$B")
                words[at:at + 1] = server
            words = [word.replace("$D", folder) for word in words]
            ours = median([program, *words], given, rounds)
            theirs = median([APACHE, "tool", *words], given, apache_rounds) if apache_rounds else []
            slow += ours[0] > 30 or ours[2] > 15
            name = line.replace(" $B", "").replace("$D/", "").split(" < ")[0]
            print(f"| `{name}` |" + "".join(f" {value:.1f} |" for value in ours) + "".join(f" {value:.0f} |" for value in theirs), flush=True)
    print(f"{slow} take more than 30 ms or 15 MB")
    return 1 if slow else 0


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    sys.exit(main(given[0] if given else 9, given[1] if len(given) > 1 else 1))
