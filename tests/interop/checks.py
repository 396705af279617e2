"""The frame of the Python suites: runs named checks one by one and prints `PASS name` or `FAIL name :: reason`.

A check is a function that raises when what the broker did is not what Apache Kafka does.
"""

import os
import sys
import time
import traceback
import uuid

BOOTSTRAP = os.environ.get("BOOTSTRAP", "127.0.0.1:9092")
RUN = uuid.uuid4().hex[:8]
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def fresh(name):
    """A name that no other check and no earlier run has used."""
    return f"{name}-{RUN}-{uuid.uuid4().hex[:6]}"


def equal(actual, expected, what="value"):
    if actual != expected:
        raise AssertionError(f"{what}: got {actual!r}, expected {expected!r}")


def until(condition, seconds=20, what="condition"):
    """Waits for a condition and returns its first true value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not reached in {seconds} s")
        time.sleep(0.05)


def main():
    wanted = sys.argv[1:]
    failed = 0
    for function in CHECKS:
        name = function.__name__
        if wanted and name not in wanted:
            continue
        try:
            function()
            print(f"PASS {name}", flush=True)
        except Exception as error:  # every failure of a check is a result, not an end of the run
            failed += 1
            if os.environ.get("TRACE"):
                traceback.print_exc()
            reason = f"{type(error).__name__}: {error}".replace("\n", " ")[:300]
            print(f"FAIL {name} :: {reason}", flush=True)
    sys.exit(1 if failed else 0)
