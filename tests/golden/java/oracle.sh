#!/usr/bin/env bash
# Kafka Streams 4.3.1 from Maven Central, as the oracle of the streams crate.
#   oracle.sh libs                                     fetches the jars once, prints their folder
#   oracle.sh streams SEED CASES OUT [SCENARIO...]     recorded scenarios (all, or those named); OUT may end in .zst
#   oracle.sh further SEED CASES OUT [SCENARIO...]     the same of what came to the DSL after the 80
#   oracle.sh bytes OUT                                byte goldens
#   oracle.sh metrics OUT                              names of metrics
# The form of these files is in ../README.md.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${MILLSTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/millstream}/kafka-streams-4.3.1

libs() {
  if [ ! -d "$cache/libs" ]; then
    mkdir -p "$cache"
    local fresh
    fresh=$(mktemp -d "$cache/libs.XXXXXX")
    mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$fresh" >&2
    mv -T "$fresh" "$cache/libs" 2>/dev/null || rm -rf "$fresh"
  fi
  printf '%s\n' "$cache/libs"
}

# The classes of these sources, in a folder named after their content.
classes() {
  local jars stamp folder
  jars=$(libs)
  stamp=$(cat "$here"/src/*.java | sha256sum | cut -c1-16)
  folder=$cache/classes-$stamp
  if [ ! -d "$folder" ]; then
    local fresh
    fresh=$(mktemp -d "$cache/classes.XXXXXX")
    javac -Xlint:all,-options,-classfile,-serial,-processing -d "$fresh" -cp "$jars/*" "$here"/src/*.java >&2
    mv -T "$fresh" "$folder" 2>/dev/null || rm -rf "$fresh"
  fi
  printf '%s\n' "$folder"
}

run() {
  local built
  built=$(classes)
  # shellcheck disable=SC2086
  exec java ${JAVA_OPTS:--Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1} -cp "$built:$cache/libs/*" Oracle "$@"
}

case "${1:-}" in
  libs) libs ;;
  streams|further|bytes|metrics) run "$@" ;;
  *) sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
