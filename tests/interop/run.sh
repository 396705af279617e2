#!/usr/bin/env bash
# Runs the suites of real clients against Millstream and compares with their allow lists.
#   run.sh [SUITE...]                         starts target/release/millstream on a free port (SUITE: java librdkafka kafka-python franz-go node group)
#   BOOTSTRAP=HOST:PORT run.sh [SUITE...]     against a broker that runs already
#   run.sh --apache [SUITE...]                against Apache Kafka 4.3.1: what a suite expects must be what Apache does
# A check in SUITE/tests.allow must pass. One that is not there must be named in gaps.md. UPDATE=1 adds what passes.
# Ends with `N passed, N failed, N skipped`; a suite whose toolchain is missing is skipped, with CI=true it fails.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${MILLSTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/millstream}/interop
work=$(mktemp -d)
broker_pid=
passed=0 failed=0 skipped=0

finish() {
  [ -n "$broker_pid" ] && kill "$broker_pid" 2>/dev/null && wait "$broker_pid" 2>/dev/null
  rm -rf "$work"
}
trap finish EXIT

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

await_port() {
  local end=$((SECONDS + 60))
  until (exec 3<>"/dev/tcp/${1%:*}/${1##*:}") 2>/dev/null; do
    if [ $SECONDS -ge $end ] || ! kill -0 "$broker_pid" 2>/dev/null; then
      echo "run.sh: no broker answers on $1; its output:" >&2
      tail -n 20 "$work/broker.log" >&2
      exit 1
    fi
    sleep 0.1
  done
}

start_millstream() {
  local binary=$root/target/release/millstream port
  [ -x "$binary" ] || { echo "run.sh: $binary is not built; run make first" >&2; exit 1; }
  port=$(free_port)
  "$binary" broker --data "$work/data" --port "broker=$port" --port metrics=0 > "$work/broker.log" 2>&1 &
  broker_pid=$!
  BOOTSTRAP=127.0.0.1:$port
  await_port "$BOOTSTRAP"
}

start_apache() {
  local port
  port=$(free_port)
  "$root/tests/apache/apache.sh" libs > /dev/null
  "$root/tests/apache/apache.sh" broker "$work/data" "$port" "$(free_port)" > "$work/broker.log" 2>&1 &
  broker_pid=$!
  BOOTSTRAP=127.0.0.1:$port
  await_port "$BOOTSTRAP"
}

python_venv() { # folder
  venv=$cache/venv-$1
  local stamp
  stamp=$(sha256sum "$here/$1/requirements.txt" | cut -c1-16)
  if [ ! -f "$venv/$stamp" ]; then
    rm -rf "$venv"
    python3 -m venv "$venv" && "$venv/bin/pip" -q install -r "$here/$1/requirements.txt" >&2 && touch "$venv/$stamp" || return 97
  fi
}

python_suite() { # folder
  local venv
  python_venv "$1" || return
  "$venv/bin/python" "$here/$1/suite.py"
}

suite_librdkafka() { command -v python3 > /dev/null || return 98; python_suite librdkafka; }
suite_kafka-python() { command -v python3 > /dev/null || return 98; python_suite kafka-python; }

suite_java() {
  command -v javac > /dev/null && command -v mvn > /dev/null || return 98
  local libs classes
  libs=$("$root/tests/apache/apache.sh" libs) || return 97
  classes=$work/classes
  mkdir -p "$classes"
  javac -Xlint:-options -d "$classes" -cp "$libs/*" "$here"/java/src/*.java || return 97
  java -Xmx512m -cp "$classes:$libs/*" Suite
}

# One group of members in Java, Python and Rust; MEMBER_RUST names the example `member` of the client if it is built.
suite_group() {
  command -v javac > /dev/null && command -v mvn > /dev/null && command -v python3 > /dev/null || return 98
  local libs classes=$work/member venv
  libs=$("$root/tests/apache/apache.sh" libs) || return 97
  mkdir -p "$classes"
  javac -Xlint:-options -d "$classes" -cp "$libs/*" "$here/group/Member.java" || return 97
  python_venv librdkafka || return
  if [ -z "${MEMBER_RUST:-}" ]; then
    command -v cargo > /dev/null || return 98
    (cd "$root" && cargo build -q --release -p millstream-client --example member) || return 97
    MEMBER_RUST=$root/target/release/examples/member
  fi
  MEMBER_CLASSES="$classes:$libs/*" MEMBER_RUST=$MEMBER_RUST "$venv/bin/python" "$here/group/suite.py"
}

suite_franz-go() {
  command -v go > /dev/null || return 98
  (cd "$here/franz-go" && go build -o "$work/franz-go" .) || return 97
  "$work/franz-go"
}

suite_node() {
  command -v node > /dev/null && command -v npm > /dev/null || return 98
  local folder=$cache/node stamp
  stamp=$(cat "$here/node/package.json" "$here/node/package-lock.json" | sha256sum | cut -c1-16)
  if [ ! -f "$folder/$stamp" ]; then
    rm -rf "$folder"
    mkdir -p "$folder"
    cp "$here/node/package.json" "$here/node/package-lock.json" "$folder/"
    (cd "$folder" && npm ci --silent) >&2 && touch "$folder/$stamp" || return 97
  fi
  cp "$here/node/suite.mjs" "$folder/"
  node "$folder/suite.mjs"
}

# Compares what a suite printed with its allow list and with gaps.md.
judge() { # suite, exit status
  local suite=$1 status=$2 allow=$here/$1/tests.allow name reason
  touch "$allow"
  if [ "$status" = 98 ]; then
    if [ "${CI:-}" = true ]; then
      echo "FAIL $suite :: its toolchain is missing"; failed=$((failed + 1))
    else
      echo "SKIP $suite :: its toolchain is missing"; skipped=$((skipped + 1))
    fi
    return
  fi
  if [ "$status" != 0 ] && [ "$status" != 1 ]; then
    echo "FAIL $suite :: ended with status $status"
    failed=$((failed + 1))
  fi
  while read -r name; do
    grep -q "^PASS $name\$" "$work/$suite.out" && continue
    reason=$(grep "^FAIL $name ::" "$work/$suite.out" || echo "FAIL $name :: did not run")
    echo "FAIL $suite/${reason#FAIL }"
    failed=$((failed + 1))
  done < "$allow"
  while read -r name; do
    passed=$((passed + 1))
    grep -qx "$name" "$allow" && continue
    if [ "${UPDATE:-}" = 1 ]; then
      echo "$name" >> "$allow"
    else
      echo "FAIL $suite/$name :: passes but is not in tests.allow; UPDATE=1 adds it"
      failed=$((failed + 1))
    fi
  done < <(sed -n 's/^PASS //p' "$work/$suite.out")
  while read -r name; do
    grep -qx "$name" "$allow" && continue
    if grep -q "\`$suite/$name\`" "$here/gaps.md"; then
      echo "GAP  $suite/$name"; skipped=$((skipped + 1))
    else
      grep "^FAIL $name ::" "$work/$suite.out" | sed "s|^FAIL |FAIL $suite/|"
      failed=$((failed + 1))
    fi
  done < <(sed -n 's/^FAIL \([^ ]*\) ::.*/\1/p' "$work/$suite.out")
  sort -o "$allow" "$allow"
}

against=millstream
[ "${1:-}" = --apache ] && { against=apache; shift; }
[ $# -gt 0 ] || set -- java librdkafka kafka-python franz-go node group
if [ -z "${BOOTSTRAP:-}" ]; then "start_$against"; fi
export BOOTSTRAP
mkdir -p "$cache"
for suite in "$@"; do
  declare -F "suite_$suite" > /dev/null || { echo "run.sh: there is no suite $suite" >&2; exit 2; }
  "suite_$suite" > "$work/$suite.out" 2> "$work/$suite.err"
  status=$?
  [ "$status" = 97 ] && tail -n 20 "$work/$suite.err" >&2
  judge "$suite" "$status"
  [ -n "${KEEP:-}" ] && mkdir -p "$KEEP" && cp "$work/$suite.out" "$work/$suite.err" "$KEEP/"
done
if [ "$failed" -gt 0 ] && [ -n "$broker_pid" ]; then
  echo "--- the broker's last lines" && tail -n 20 "$work/broker.log"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
