#!/usr/bin/env bash
# The tests of streams with its stores in RocksDB: the library that Kafka Streams' own jars carry, so that none has to be
# compiled, which takes half an hour of one core. Needs mvn, python3 and libclang.
#   on_disk.sh [ARGUMENT...]     arguments of `cargo test -p millstream-streams`
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
skip() {
  echo "skipped: stores on disk: no $1 on the path"
  echo "0 passed, 0 failed, 1 skipped"
  exit 0
}
for tool in mvn python3; do
  command -v $tool > /dev/null || skip $tool
done
[ -n "${LIBCLANG_PATH:-}" ] || compgen -G "/usr/lib/llvm-*/lib/libclang-[0-9]*.so*" > /dev/null || skip libclang
libs=$(tests/golden/java/oracle.sh libs)
rocksdb=${libs%/*}/rocksdb
if [ ! -e "$rocksdb/librocksdb.so" ]; then
  fresh=$(mktemp -d "$rocksdb.XXXXXX")
  python3 -m zipfile -e "$libs"/rocksdbjni-*.jar "$fresh"
  mkdir -p "$rocksdb"
  # Under the name that the linker looks for.
  mv "$fresh/librocksdbjni-linux$([ "$(uname -m)" = aarch64 ] && echo -aarch64 || echo 64).so" "$rocksdb/librocksdb.so"
  rm -rf "$fresh"
fi
# The folder of everything else stays as it is: what was linked to another library would be built anew each time.
target=${CARGO_TARGET_DIR:-$PWD/target}
export MILLSTREAM_BINARY=${MILLSTREAM_BINARY:-$target/release/millstream}
export CARGO_TARGET_DIR=$target/on-disk ROCKSDB_LIB_DIR=$rocksdb LD_LIBRARY_PATH=$rocksdb${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
exec cargo test --release --locked -p millstream-streams --features rocksdb "$@"
