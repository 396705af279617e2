#!/usr/bin/env bash
# Writes messages.txt.zst anew: seeded random messages of every key and version, as kafka-clients writes them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
raw=$(mktemp)
trap 'rm -f "$raw"' EXIT
MILLSTREAM_GOLDEN_CANDIDATES=$raw cargo test -q -p millstream-protocol golden::candidates
../../tests/apache/apache.sh java "$PWD/Golden.java" < "$raw" | zstd -19 -q -f -o messages.txt.zst
