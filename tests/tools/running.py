#!/usr/bin/env python3
"""What our command-line tools do while they run: a signal ends them and nothing that was typed is lost, what goes wrong is
told when it is known, topics that are made later are read, and what can be asked at once is asked at once.

Ends with `N passed, N failed, N skipped`.
"""
import fcntl
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import termios
import threading
import time
import urllib.request

from refused import Peer, silent
from run import OURS, Broker

# Seconds that this machine may take for what comes at once.
SOON = 30


def mute():
    """Who takes connections and says nothing: when it is asked something, and its address."""
    asked = threading.Event()

    def serve(peer):
        if peer.recv(1):
            asked.set()
        silent(peer)
    return asked, Peer(serve).address


def wait(condition):
    end = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < end, f"not so within {SOON} s"
        time.sleep(0.05)


def tool(broker, name, *words, **more):
    return subprocess.Popen([OURS, name, "--bootstrap-server", broker.address, *words], text=True, bufsize=1, stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


def done(broker, name, *words, given=""):
    ended = subprocess.run([OURS, name, "--bootstrap-server", broker.address, *words], input=given, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, f"{name} {words}: {ended.stderr}"
    return ended.stdout


def topic(broker, name, *configs):
    done(broker, "kafka-topics", "--create", "--topic", name, *[word for config in configs for word in ("--config", config)])


def lines_until(stream, enough, seconds=SOON):
    """The lines that come until `enough` of them says so."""
    lines, end = "", time.monotonic() + seconds
    while not enough(lines):
        left = end - time.monotonic()
        assert left > 0 and select.select([stream], [], [], left)[0], f"nothing more within {seconds} s behind: {lines!r}"
        part = os.read(stream.fileno(), 4096).decode()
        assert part, f"it ended behind: {lines!r}"
        lines += part
    return lines


def ended(process, status, seconds=SOON):
    """What it said at the end. Its standard input stays open until then."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise AssertionError(f"it still runs {seconds} s later") from None
    out, told = process.communicate()
    assert process.returncode == status, f"status {process.returncode}: {told}"
    return out, told


def ends(broker, name):
    return done(broker, "kafka-get-offsets", "--topic", name).strip()


def hangup(action):
    """What a tool begins with does not hang on how these checks were started, which may be by nohup."""
    return lambda: signal.signal(signal.SIGHUP, action)


def typed_lines_outlive(kind):
    def check(broker):
        name = f"typed-{kind.name}"
        topic(broker, name)
        # A long line fills its batch and goes at once. The one behind it lingers for a minute: only closing sends it.
        producer = tool(broker, "kafka-console-producer", "--topic", name, "--timeout", "60000", preexec_fn=hangup(signal.SIG_DFL))
        producer.stdin.write("x" * 20_000 + "\na line\n")
        producer.stdin.flush()
        wait(lambda: ends(broker, name) == f"{name}:0:1")
        producer.send_signal(kind)
        ended(producer, 128 + kind)
        assert ends(broker, name) == f"{name}:0:2", "the line is gone"
    return check


def typed_lines_outlive_the_terminal(broker):
    """Whoever closes the window takes away what the tool tells its failures to as well."""
    topic(broker, "hung-up")
    ours, its = pty.openpty()

    def own_terminal():
        hangup(signal.SIG_DFL)()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    words = ["--bootstrap-server", broker.address, "--topic", "hung-up", "--timeout", "60000", "--batch-size", "1000"]
    producer = subprocess.Popen([OURS, "kafka-console-producer", *words], stdin=its, stdout=its, stderr=its,
                                start_new_session=True, preexec_fn=own_terminal)
    os.close(its)
    try:
        os.write(ours, b"x" * 2000 + b"\na line\n")
        wait(lambda: ends(broker, "hung-up") == "hung-up:0:1")
    finally:
        os.close(ours)
        try:
            producer.wait(SOON)
        finally:
            producer.kill()
            producer.wait()
    assert ends(broker, "hung-up") == "hung-up:0:2", "the line is gone"


def an_ignored_hangup_ends_nothing(broker):
    """As nohup starts a tool."""
    topic(broker, "nohup")
    producer = tool(broker, "kafka-console-producer", "--topic", "nohup", "--timeout", "0", preexec_fn=hangup(signal.SIG_IGN))
    producer.stdin.write("one\n")
    producer.stdin.flush()
    wait(lambda: ends(broker, "nohup") == "nohup:0:1")
    producer.send_signal(signal.SIGHUP)
    producer.stdin.write("two\n")
    producer.stdin.flush()
    wait(lambda: ends(broker, "nohup") == "nohup:0:2")
    producer.stdin.close()
    producer.stdin = None
    ended(producer, 0)


def lines_that_are_not_sent_are_counted(broker):
    # Who takes connections and says nothing: the first line waits for its topic.
    asked, address = mute()
    command = [OURS, "kafka-console-producer", "--bootstrap-server", address, "--topic", "t"]
    producer = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    # More than wait for the producer at most, and little enough to come in one piece.
    producer.stdin.write("x\n" * 1500)
    producer.stdin.flush()
    asked.wait(SOON)
    producer.send_signal(signal.SIGINT)
    _, told = ended(producer, 130)
    assert "1500 record(s) that were read are not sent to topic t" in told, told


def failures_are_told_one_by_one(broker):
    topic(broker, "small", "max.message.bytes=200")
    producer = tool(broker, "kafka-console-producer", "--topic", "small", "--timeout", "0")
    for count in (1, 2, 3):
        producer.stdin.write("x" * 1000 + "\n")
        producer.stdin.flush()
        # Standard input is still open: whoever types sees it now.
        lines_until(producer.stderr, lambda lines: lines.count("was not written") == 1)
    producer.stdin.close()
    producer.stdin = None
    ended(producer, 0)
    assert ends(broker, "small") == "small:0:0"


def top_ends_by_a_signal(kind):
    def check(broker):
        asked, address = mute()
        view = tool(broker, "top", "--metrics", address)
        asked.wait(SOON)
        view.send_signal(kind)
        ended(view, 128 + kind, 3)
    return check


def top_ends_by_q_while_nobody_answers(_):
    """In a terminal, where it has a screen of its own."""
    asked, address = mute()
    ours, its = pty.openpty()
    view = subprocess.Popen([OURS, "top", "--bootstrap-server", address], stdin=its, stdout=its, stderr=its)
    os.close(its)
    try:
        asked.wait(SOON)
        os.write(ours, b"q")
        assert view.wait(5) == 0, view.returncode
        shown = b""
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:
            # Nobody holds the other end any more.
            pass
        assert b"\x1b[?1049h" in shown and shown.rstrip().endswith(b"\x1b[?1049l"), f"the screen is not given back: {shown}"
    finally:
        view.kill()
        view.wait()
        os.close(ours)


def topics_made_later_are_read(broker):
    group = ("--group", "followers", "--command-property", "metadata.max.age.ms=300")
    consumer = tool(broker, "kafka-console-consumer", "--include", "later-.*", "--from-beginning", "--max-messages", "1", *group)
    lines_until(consumer.stderr, lambda lines: "no topic matches later-.* yet" in lines)
    topic(broker, "later-1")
    done(broker, "kafka-console-producer", "--topic", "later-1", given="a line\n")
    out, _ = ended(consumer, 0)
    assert out == "a line\n", out


def requests(broker, api):
    """How often the broker was asked so, by its metrics page."""
    def address():
        with open(broker.log.name) as log:
            return re.search(r"^metrics +(http://\S+)", log.read(), re.M)
    wait(address)
    with urllib.request.urlopen(address()[1] + "/metrics", timeout=SOON) as page:
        text = page.read().decode()
    return sum(int(count) for count in re.findall(rf'^broker_requests_total{{[^}}]*api="{api}"[^}}]*}} (\d+)', text, re.M))


def asked_once(apis, *words):
    def check(broker):
        before = [requests(broker, api) for api in apis]
        done(broker, *words)
        asked = [requests(broker, api) - count for api, count in zip(apis, before)]
        assert asked == [1] * len(apis), dict(zip(apis, asked))
    return check


def groups_are_asked_about_at_once(broker):
    done(broker, "kafka-topics", "--create", "--topic", "wide", "--partitions", "5")
    for group in "abc":
        done(broker, "kafka-consumer-groups", "--reset-offsets", "--group", group, "--topic", "wide", "--to-earliest", "--execute")
    asked_once(["OffsetFetch", "ListOffsets"], "kafka-consumer-groups", "--describe", "--all-groups")(broker)


def a_plan_is_verified_at_once(broker):
    partitions = [{"topic": "wide", "partition": number, "replicas": [1]} for number in range(5)]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as plan:
        json.dump({"version": 1, "partitions": partitions}, plan)
        plan.flush()
        words = ("--verify", "--preserve-throttles", "--reassignment-json-file", plan.name)
        asked_once(["DescribeTopicPartitions"], "kafka-reassign-partitions", *words)(broker)


CHECKS = {
    "a line that lingers is written when SIGINT ends the console producer": typed_lines_outlive(signal.SIGINT),
    "a line that lingers is written when SIGTERM ends the console producer": typed_lines_outlive(signal.SIGTERM),
    "a line that lingers is written when SIGHUP ends the console producer": typed_lines_outlive(signal.SIGHUP),
    "a line that lingers is written when the terminal is closed": typed_lines_outlive_the_terminal,
    "a hangup that is ignored ends nothing": an_ignored_hangup_ends_nothing,
    "lines that could not be sent are counted": lines_that_are_not_sent_are_counted,
    "a record that is refused is told while one types": failures_are_told_one_by_one,
    "SIGINT ends top while a metrics page is silent": top_ends_by_a_signal(signal.SIGINT),
    "SIGTERM ends top while a metrics page is silent": top_ends_by_a_signal(signal.SIGTERM),
    "q ends top while no broker answers": top_ends_by_q_while_nobody_answers,
    "--include reads a topic that is made later": topics_made_later_are_read,
    "groups are described with one request for all": groups_are_asked_about_at_once,
    "topics are described with one request for their configs": asked_once(
        ["DescribeConfigs"], "kafka-configs", "--describe", "--entity-type", "topics"),
    "hanging transactions are looked for with one request to a leader": asked_once(
        ["DescribeProducers"], "kafka-transactions", "find-hanging", "--topic", "wide"),
    "a plan is verified with one request for its topics": a_plan_is_verified_at_once,
}


def main():
    failed = 0
    with Broker("ours") as broker:
        for name, check in CHECKS.items():
            try:
                check(broker)
            except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
                failed += 1
                print(f"FAILED {name}\n  {error}", flush=True)
    print(f"{len(CHECKS) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
