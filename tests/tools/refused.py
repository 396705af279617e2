#!/usr/bin/env python3
"""What our command-line tools do with a wrong flag, and with a broker that is away, silent, talks nonsense, hangs up in the
middle of a frame or refuses the password.

    refused.py            wrong flags, and every kind of broker
    refused.py --apache   prints what Apache's tools do when the broker is away: status and seconds

A wrong flag is told in one line on standard error with the nearest right one and ends with 1, or 2 from millstream's own
commands. A broker that does not serve is told with its address, within its time. Ends with `N passed, N failed, N skipped`.
"""
import concurrent.futures
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

from run import APACHE, OURS, free_port

# What each tool is asked, and a flag of its own without its last letters.
ASKED = """
kafka-topics $B --list
kafka-configs $B --describe --topic t
kafka-consumer-groups $B --list
kafka-groups $B --list
kafka-get-offsets $B --topic t
kafka-delete-records $B --offset-json-file $D/delete.json
kafka-log-dirs $B --describe
kafka-cluster cluster-id $B
kafka-broker-api-versions $B
kafka-features $B describe
kafka-metadata-quorum $B describe --status
kafka-leader-election $B --election-type preferred --topic t --partition 0
kafka-reassign-partitions $B --list
kafka-transactions $B list
kafka-acls $B --list
kafka-console-producer $B --topic t --command-property max.block.ms=3000 < $D/line
kafka-console-consumer $B --topic t --partition 0 --offset earliest --max-messages 1 --timeout-ms 5000
kafka-producer-perf-test $B --topic t --num-records 1 --record-size 10 --throughput -1 --command-property max.block.ms=3000
kafka-consumer-perf-test $B --topic t --num-records 1 --timeout 3000
kafka-e2e-latency $B --topic t --num-records 1 --producer-acks all --record-size 10
kafka-verifiable-producer $B --topic t --max-messages 1 --command-config $D/impatient
kafka-verifiable-consumer $B --topic t --group-id g --max-messages 1 --command-config $D/hasty
""".split("\n")[1:-1]
FLAGS = [
    ("kafka-storage info --confg x", "--config"), ("kafka-storage format --cluster-idd x", "--cluster-id"), ("kafka-dump-log --filess x", "--files"),
    ("kafka-server-start x --overide a=b", "--override"), ("kafka-server-stop --proces-role none", "--process-role"),
    ("kafka-features describe --node-idd 1", "--node-id"), ("kafka-metadata-quorum describe --statuss", "--status"),
    ("kafka-transactions list --duration-filtr 1", "--duration-filter"), ("kafka-cluster list-endpoints --include-fenced-broker-s", "--include-fenced-brokers"),
]
OWN = [
    ("up --prt broker=1", "--port"), ("broker --dta x", "--data"), ("top --bootstrap-servr x", "--bootstrap-server"), ("brokr", "broker"),
    ("completions fsh", "fish"), ("man --foldr x", "--help"),
]
# Tools whose flags of the connection stand before what they are to do.
BEFORE_VERB = ["kafka-features", "kafka-metadata-quorum", "kafka-transactions"]
# Tools of which Apache's end with 0 all the same (measured with --apache): they tell what went wrong, or that nothing came.
ENDS_WELL = ["kafka-consumer-groups", "kafka-delete-records", "kafka-console-producer", "kafka-console-consumer",
             "kafka-consumer-perf-test", "kafka-verifiable-producer"]
# Seconds that a tool may take when nobody answers: request.timeout.ms (30 s) and the time that this machine takes.
LIMIT = 45


class Peer:
    """A server that takes connections and does with them what `serve` says."""

    def __init__(self, serve):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(50)
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        threading.Thread(target=self.accept, args=(serve,), daemon=True).start()

    def accept(self, serve):
        while True:
            peer, _ = self.socket.accept()
            threading.Thread(target=self.handle, args=(serve, peer), daemon=True).start()

    @staticmethod
    def handle(serve, peer):
        try:
            serve(peer)
        except OSError:
            pass
        peer.close()


def silent(peer):
    while peer.recv(4096):
        pass


def nonsense(peer):
    peer.recv(4096)
    peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 3)


def cut(peer):
    """Half of a frame that answers the first request."""
    frame = peer.recv(4096)
    peer.sendall(struct.pack(">i", 100) + frame[8:12] + b"\0\0\0")


def refusing(peer):
    """Serves SASL and lets nobody in."""
    def answer(correlation, body):
        peer.sendall(struct.pack(">ii", 4 + len(body), correlation) + body)
    while True:
        head = peer.recv(4, socket.MSG_WAITALL)
        if len(head) < 4:
            return
        frame = peer.recv(struct.unpack(">i", head)[0], socket.MSG_WAITALL)
        key, version, correlation = struct.unpack(">hhi", frame[:8])
        if key == 18:
            # Compact, as from version 3 on: SaslHandshake, ApiVersions, SaslAuthenticate.
            apis = b"".join(struct.pack(">hhhb", *api, 0) for api in ((17, 1, 1), (18, 0, 3), (36, 0, 0)))
            answer(correlation, struct.pack(">hb", 0, 4) + apis + struct.pack(">ib", 0, 0))
        elif key == 17:
            answer(correlation, struct.pack(">hih", 0, 1, 5) + b"PLAIN")
        else:
            text = b"Authentication failed: Invalid username or password"
            answer(correlation, struct.pack(">hh", 58, len(text)) + text + struct.pack(">i", 0))


def words_of(line, address, folder):
    words, given = line.split(), os.devnull
    if "<" in words:
        words, given = words[:-2], words[-1].replace("$D", folder)
    at = words.index("$B")
    words[at:at + 1] = ["--bootstrap-server", address]
    return [word.replace("$D", folder) for word in words], given


def run(command, given=os.devnull, limit=120):
    began = time.monotonic()
    with open(given) as stdin:
        try:
            done = subprocess.run(command, stdin=stdin, capture_output=True, text=True, timeout=limit)
            return done.returncode, done.stdout, done.stderr, time.monotonic() - began
        except subprocess.TimeoutExpired:
            return None, "", "", time.monotonic() - began


def wrong_flags():
    """(line, what is wrong) of each."""
    first = [(line.split(" < ")[0].replace("$B", "--bootstrap-servr x"), "--bootstrap-server") for line in ASKED]
    for line, right in first + FLAGS:
        status, _, told, _ = run([OURS, *line.split()])
        yield line, None if status == 1 and told.count("\n") == 1 and right in told else f"status {status}: {told}"
    for line, right in OWN:
        status, _, told, _ = run([OURS, *line.split()])
        yield line, None if status == 2 and told.count("\n") == 1 and right in told else f"status {status}: {told}"


def brokers(folder):
    """[(kind, line, words, standard input, address, what has to be told)]"""
    away = f"127.0.0.1:{free_port()}"
    kinds = [("away", away, "refused"), ("silent", Peer(silent).address, ""), ("nonsense", Peer(nonsense).address, ""),
             ("cut", Peer(cut).address, ""), ("password", Peer(refusing).address, "refused to authenticate")]
    for kind, address, cause in kinds:
        for line in ASKED:
            words, given = words_of(line, address, folder)
            if kind == "password":
                config = ["--command-config", f"{folder}/password"]
                if "--command-config" in words:
                    words[words.index("--command-config") + 1] = config[1]
                elif words[0] in BEFORE_VERB:
                    words[1:1] = config
                else:
                    words += config
            yield kind, line, words, given, address, cause


def judged(case):
    kind, line, words, given, address, cause = case
    status, _, told, took = run([OURS, *words], given, LIMIT + 60)
    fine = status is not None and (status != 0 or words[0] in ENDS_WELL) and took < LIMIT and address in told + _ and cause in told + _
    return f"{kind}: {line}", None if fine else f"status {status} after {took:.1f} s: {(told + _)[:400]}"


def apache(folder):
    away = f"127.0.0.1:{free_port()}"
    def one(line):
        words, given = words_of(line, away, folder)
        status, out, told, took = run([APACHE, "tool", *words], given, 200)
        mine = run([OURS, *words], given, 200)
        last = ((told + out).strip().splitlines() or [""])[0][:90]
        return f"{line.split()[0]:28} Apache {status} {took:6.1f} s   ours {mine[0]} {mine[3]:6.1f} s   {last}"
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for text in pool.map(one, ASKED):
            print(text, flush=True)


def main(arguments):
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("line", "a line\n"), ("delete.json", '{"partitions":[{"topic":"t","partition":0,"offset":0}]}'),
                           ("impatient", "max.block.ms=3000\n"), ("hasty", "default.api.timeout.ms=3000\n"),
                           ("password", "security.protocol=SASL_PLAINTEXT\ndefault.api.timeout.ms=3000\nsasl.mechanism=PLAIN\nmax.block.ms=3000\nsasl.jaas.config="
                            'org.apache.kafka.common.security.plain.PlainLoginModule required username="u" password="p";\n')):
            with open(f"{folder}/{name}", "w") as file:
                file.write(text)
        if arguments == ["--apache"]:
            apache(folder)
            return 0
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            results = list(wrong_flags()) + list(pool.map(judged, brokers(folder)))
    for line, wrong in results:
        passed, failed = passed + (wrong is None), failed + (wrong is not None)
        if wrong is not None:
            print(f"FAILED {line}\n  {wrong.rstrip()}", flush=True)
    print(f"{passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
