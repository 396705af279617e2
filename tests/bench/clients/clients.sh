#!/usr/bin/env bash
# What clients cost: CPU-seconds of the process per million records, and its peak of resident memory. Ours
# (client/examples/load.rs), Java's and librdkafka's in turn, ROUNDS times (5), against one broker; medians.
#   clients.sh [RECORDS]           against target/release/millstream, RECORDS of 100 bytes (2000000)
#   BROKER=apache clients.sh       against Apache Kafka 4.3.1
#   LOAD=PATH MILLSTREAM=PATH      other binaries than those under target/release
# librdkafka comes with the Python wheel of tests/interop, its header with the package librdkafka-dev.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
cache=${MILLSTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/millstream}
records=${1:-2000000}
rounds=${ROUNDS:-5}
load=${LOAD:-$root/target/release/examples/load}
work=$(mktemp -d)
broker=
finish() {
  [ -n "$broker" ] && kill "$broker" 2>/dev/null && wait "$broker" 2>/dev/null
  rm -rf "$work"
}
trap finish EXIT

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
libs=$("$root/tests/apache/apache.sh" libs)
if [ "${BROKER:-millstream}" = apache ]; then
  "$root/tests/apache/apache.sh" broker "$work/data" "$port" "$(free_port)" > "$work/broker.log" 2>&1 &
else
  "${MILLSTREAM:-$root/target/release/millstream}" broker --data "$work/data" --port "broker=$port" --port metrics=0 > "$work/broker.log" 2>&1 &
fi
broker=$!
for _ in $(seq 600); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done

javac -cp "$libs/*" -d "$work" "$here/Load.java"
library=$(find "$cache/interop/venv-librdkafka" -name 'librdkafka-*.so.1' 2>/dev/null | head -n 1)
gcc -O2 -Wall -o "$work/librdkafka" "$here/librdkafka.c" ${library:+"$library" "-Wl,-rpath,$(dirname "$library")"} ${library:--lrdkafka}

topic() { "$root/tests/apache/apache.sh" tool kafka-topics --bootstrap-server "127.0.0.1:$port" "$@" > /dev/null; }

# client, mode, topic, records, size, settings
measure() {
  local client=$1
  shift
  case $client in
    ours) "$load" "127.0.0.1:$port" "$@" ;;
    java) java -Xmx512m -cp "$work:$libs/*" Load "127.0.0.1:$port" "$@" 2>/dev/null ;;
    librdkafka)
      local last=() each
      for each in "$@"; do [[ $each == batch.size=* || $each == auto.offset.reset=* || $each == enable.auto.commit=* ]] || last+=("$each"); done
      "$work/librdkafka" "127.0.0.1:$port" "${last[@]}"
      ;;
  esac
}

median() { sort -g | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

# A name, then what measure takes after the client.
compare() {
  local name=$1 client round
  shift
  for ((round = 0; round < rounds; round++)); do
    for client in ours java librdkafka; do
      measure "$client" "$@" | sed -n 's/.*: \(.*\) s, CPU \(.*\) s per million, peak \(.*\) MB/\2 \3 \1/p' >> "$work/$client.$name"
    done
  done
  for client in ours java librdkafka; do
    printf '%-22s %-11s CPU %6.3f s per million, peak %6.1f MB, %6.2f s\n' "$name" "$client" \
      "$(cut -d' ' -f1 "$work/$client.$name" | median)" "$(cut -d' ' -f2 "$work/$client.$name" | median)" "$(cut -d' ' -f3 "$work/$client.$name" | median)"
  done
}

producing=(acks=all linger.ms=5 enable.idempotence=true)
consuming=(auto.offset.reset=earliest enable.auto.commit=false)
large=$((records / 4))
for each in plain lz4 zstd; do topic --create --topic "$each" --partitions "${PARTITIONS:-1}" --replication-factor 1; done
compare send-100 send plain "$records" 100 "${producing[@]}"
compare push-100 push plain "$records" 100 "${producing[@]}"
compare consume-100 consume plain "$records" 100 "${consuming[@]}"
for codec in lz4 zstd; do
  compare "send-1024-$codec" send "$codec" "$large" 1024 "${producing[@]}" "compression.type=$codec"
  compare "push-1024-$codec" push "$codec" "$large" 1024 "${producing[@]}" "compression.type=$codec"
  compare "consume-1024-$codec" consume "$codec" "$large" 1024 "${consuming[@]}"
done
