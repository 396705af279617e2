#!/usr/bin/env bash
# Every test: the Rust ones, then the suites of real clients. Ends with one line `N passed, N failed, N skipped`.
# A suite whose toolchain is missing is named as skipped; with CI=true that is a failure. --soak runs the long forms.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# MILLSTREAM_SEEDS is for the checks on the faulty disk.
[ "${1:-}" = --soak ] && export MILLSTREAM_SOAK=1 MILLSTREAM_SEEDS="${MILLSTREAM_SEEDS:-200}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0 failed=0 skipped=0

# Adds the counts of the last run to the sum. $1: what ran, $2: its exit status.
add() {
  local counts
  # A test that finds that it cannot run says so past libtest, which counts it as passed.
  counts=$(awk '
    /skipped: [^ ]+: no [^ ]+ on the path/ { p -= 1; s += 1 }
    /^test result:/ { for (i = 1; i <= NF; i++) { if ($i == "passed;") p += $(i-1); if ($i == "failed;") f += $(i-1); if ($i == "ignored;") s += $(i-1) } }
    /^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ { p += $1; f += $3; s += $5 }
    END { print p + 0, f + 0, s + 0 }' "$log")
  read -r p f s <<< "$counts"
  # A run that broke before it counted anything has failed all the same.
  [ "$2" != 0 ] && [ "$f" = 0 ] && f=1
  [ "$f" = 0 ] || echo "FAILED: $1"
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

run() {
  local name=$1
  shift
  echo "== $name"
  "$@" 2>&1 | tee "$log"
  add "$name" "${PIPESTATUS[0]}"
}

run "build" cargo build --release --locked -p millstream-cli
if cargo clippy --version > /dev/null 2>&1; then
  run "clippy" cargo clippy --quiet --release --locked --workspace --all-targets -- -D warnings
elif [ "${CI:-}" = true ]; then
  echo "FAILED: clippy is not installed (rustup component add clippy)"
  failed=$((failed + 1))
else
  echo "== clippy: skipped, it is not installed (rustup component add clippy)"
  skipped=$((skipped + 1))
fi
run "cargo test" cargo test --release --locked --workspace --no-fail-fast
# Built with the tests; the suite of one group would build it anew, with its dependencies.
[ -x target/release/examples/member ] && export MEMBER_RUST=$PWD/target/release/examples/member
run "fresh seeds of Kafka Streams" tests/golden/fresh.sh
# Of the workspace, so that what was built is used.
run "applications on Apache's broker" env BROKER=apache cargo test --release --locked --workspace --test live
# The RocksDB that applications are built with takes long to compile, so that is of the long forms.
if [ -n "${MILLSTREAM_SOAK:-}" ]; then
  run "stores on disk" cargo test --release --locked -p millstream-streams --features rocksdb
else
  run "stores on disk" tests/golden/on_disk.sh
fi
[ -z "${MILLSTREAM_SOAK:-}" ] || run "tables like Java's" cargo test --release --locked -p millstream-streams --test live -- --ignored differential::
run "interop" tests/interop/run.sh
run "tools" tests/tools/run.py ${MILLSTREAM_SOAK:+--live}
run "tools while they run" tests/tools/running.py
[ -z "${MILLSTREAM_SOAK:-}" ] || run "tools that are refused" tests/tools/refused.py
run "quickstarts" tests/quickstarts/run.py
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
