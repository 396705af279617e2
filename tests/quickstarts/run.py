#!/usr/bin/env python3
"""Follows the quickstarts word by word, in empty folders, each against a fresh broker.

    run.py [--bootstrap HOST:PORT] [FILE.md[:SECTION]...]   (no file: README.md and examples/*/README.md)

In README.md each `###` part of "Five minutes" is one quickstart; elsewhere the file is one. A block after a line
"`name`:" is written to the file of that name; a `sh` block is run; a `text` block is what standard output has to be.
The broker's address is the one word that changes: 127.0.0.1:9092 becomes that of the broker under test.
A part is skipped only where a command that it needs is missing. Ends with `N passed, N failed, N skipped`.
"""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import json

ROOT = pathlib.Path(__file__).resolve().parents[2]
ADDRESS = "127.0.0.1:9092"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
# What a part asks for; a command that the machine lacks is a missing toolchain, not a defect.
NEEDS = {"Apache": ["java", "mvn"], "kcat": ["kcat"], "Python": ["python3"], "Node": ["npm"], "Go": ["go"], "Java": ["javac", "mvn"]}


def parts(path):
    """(title, text) of each quickstart of a file."""
    text = path.read_text()
    if path != ROOT / "README.md":
        return [(str(path.parent.relative_to(ROOT)), text)]
    section = re.search(r"^## Five minutes\n(.*?)(?=^## )", text, re.M | re.S).group(1)
    found = re.split(r"^### (.*)\n", section, flags=re.M)[1:]
    return list(zip(found[::2], found[1::2]))


def steps(text):
    """The blocks of a quickstart in order: ("file", name, body), ("sh", body), ("text", body)."""
    for block in FENCE.finditer(text):
        kind, body = block.groups()
        named = re.search(r"`([\w.]+)`:\n\n$", text[: block.start()])
        if named:
            yield "file", named.group(1), body
        elif kind in ("sh", "text"):
            yield kind, None, body


def run(text, bootstrap):
    """None, or what was not as written."""
    with tempfile.TemporaryDirectory() as empty:
        folder = ROOT if "In the clone" in text else empty
        printed, ran = "", False
        for kind, name, body in steps(text):
            body = body.replace(ADDRESS, bootstrap)
            if kind == "file":
                pathlib.Path(folder, name).write_text(body)
            elif kind == "sh":
                done = subprocess.run(["bash", "-euo", "pipefail", "-c", body], cwd=folder, capture_output=True, text=True, timeout=300)
                if done.returncode != 0:
                    logs = "".join(log.read_text() for log in sorted(pathlib.Path(folder).glob("*.log")))
                    return f"exit status {done.returncode}\n{done.stdout}{done.stderr}{logs}"
                printed, ran = done.stdout, True
            elif printed.strip() != body.strip():
                return f"printed\n{printed}\ninstead of\n{body}"
        return None if ran else "no command in it"


class Broker:
    """target/release/millstream on free ports, with its data in a folder of its own."""

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        ready = pathlib.Path(self.folder.name, "ready.json")
        log = open(os.path.join(self.folder.name, "broker.log"), "w")
        command = [ROOT / "bin/millstream", "up", "--data", os.path.join(self.folder.name, "data"), "--ready-file", ready,
                   "--port", "broker=0", "--port", "metrics=0"]
        self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        end = time.monotonic() + 60
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit("the broker does not start:\n" + pathlib.Path(log.name).read_text())
            time.sleep(0.02)
        return json.loads(ready.read_text())["broker"]

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self.folder.cleanup()


def main(arguments):
    bootstrap = None
    if arguments[:1] == ["--bootstrap"]:
        bootstrap, arguments = arguments[1], arguments[2:]
    wanted = [argument.partition(":") for argument in arguments]
    files = [(ROOT / name, section) for name, _, section in wanted] or [
        (path, "") for path in [ROOT / "README.md", *sorted(ROOT.glob("examples/*/README.md"))]]
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    follow(files, bootstrap, counts)
    print(", ".join(f"{count} {what}" for what, count in counts.items()))
    return 1 if counts["failed"] else 0


def follow(files, bootstrap, counts):
    for path, section in files:
        for title, text in parts(path):
            if section not in title:
                continue
            words = re.findall(r"\w+", title)
            missing = [tool for word in words for tool in NEEDS.get(word, []) if not shutil.which(tool)]
            if missing:
                outcome, why = ("failed" if os.environ.get("CI") == "true" else "skipped"), f"not installed: {', '.join(missing)}"
            else:
                with Broker() if bootstrap is None else contextlib.nullcontext(bootstrap) as address:
                    why = run(text, address)
                outcome = "failed" if why else "passed"
            counts[outcome] += 1
            print(f"{outcome.upper()} {path.relative_to(ROOT)} :: {title}" + (f" :: {why}" if why else ""), flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
