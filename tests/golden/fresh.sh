#!/usr/bin/env bash
# Kafka Streams on input of a new seed, and the same input through ours. Needs javac, java 17 and mvn.
#   fresh.sh [SEED] [CASES]     the seed of the day, 160 cases: one of each scenario under each cache size
# The seed is printed: the same one gives the same input again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
seed=${1:-$(date +%Y%m%d)} cases=${2:-160}
for tool in javac java mvn; do
  if ! command -v $tool > /dev/null; then
    echo "skipped: fresh seeds of Kafka Streams: no $tool on the path"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
  fi
done
file=$(mktemp --suffix .jsonl)
trap 'rm -f "$file" "$file.log"' EXIT
echo "seed $seed, $cases cases"
make --no-print-directory -C tests/golden/java streams SEED="$seed" CASES="$cases" OUT="$file" 2> "$file.log" \
  || { cat "$file.log" >&2; exit 1; }
cargo run --quiet --release --locked -p millstream-golden -- streams --skip-missing "$file"
