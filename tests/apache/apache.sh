#!/usr/bin/env bash
# Apache Kafka 4.3.1 from Maven Central, as the peer that tests and benchmarks compare with.
#   apache.sh libs                               fetches the jars once, prints their folder
#   apache.sh java CLASS ARG...                  runs a class with the jars on its path (EXTRA_CLASSPATH goes first)
#   apache.sh tool kafka-topics ARG...           runs one of Apache's command-line tools
#   apache.sh class kafka-topics                 prints the class of a tool
#   apache.sh broker DIR PORT CONTROLLER [K=V]...  formats DIR when it is new and becomes a single-node broker on
#                                                127.0.0.1:PORT (what Apache's shipped server.properties sets, plus K=V;
#                                                FORMAT_FLAGS are for kafka-storage format; FORMAT_QUORUM= for a
#                                                broker that joins the controller that K=V name)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
version=4.3.1
cache=${MILLSTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/millstream}/apache-kafka-$version

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

run_java() {
  local path
  path="${EXTRA_CLASSPATH:+$EXTRA_CLASSPATH:}$(libs)/*"
  # shellcheck disable=SC2086
  exec java ${JAVA_OPTS:--Xmx512m} -cp "$path" "$@"
}

class_of() {
  case "$1" in
    kafka-storage) echo kafka.tools.StorageTool ;;
    kafka-server-start) echo kafka.Kafka ;;
    kafka-topics) echo org.apache.kafka.tools.TopicCommand ;;
    kafka-configs) echo kafka.admin.ConfigCommand ;;
    kafka-console-producer) echo org.apache.kafka.tools.ConsoleProducer ;;
    kafka-console-consumer) echo org.apache.kafka.tools.consumer.ConsoleConsumer ;;
    kafka-consumer-groups) echo org.apache.kafka.tools.consumer.group.ConsumerGroupCommand ;;
    kafka-groups) echo org.apache.kafka.tools.GroupsCommand ;;
    kafka-get-offsets) echo org.apache.kafka.tools.GetOffsetShell ;;
    kafka-delete-records) echo org.apache.kafka.tools.DeleteRecordsCommand ;;
    kafka-log-dirs) echo org.apache.kafka.tools.LogDirsCommand ;;
    kafka-dump-log) echo org.apache.kafka.tools.DumpLogSegments ;;
    kafka-features) echo org.apache.kafka.tools.FeatureCommand ;;
    kafka-metadata-quorum) echo org.apache.kafka.tools.MetadataQuorumCommand ;;
    kafka-transactions) echo org.apache.kafka.tools.TransactionsCommand ;;
    kafka-cluster) echo org.apache.kafka.tools.ClusterTool ;;
    kafka-broker-api-versions) echo org.apache.kafka.tools.BrokerApiVersionsCommand ;;
    kafka-leader-election) echo org.apache.kafka.tools.LeaderElectionCommand ;;
    kafka-streams-application-reset) echo org.apache.kafka.tools.StreamsResetter ;;
    kafka-producer-perf-test) echo org.apache.kafka.tools.ProducerPerformance ;;
    kafka-consumer-perf-test) echo org.apache.kafka.tools.ConsumerPerformance ;;
    kafka-e2e-latency) echo org.apache.kafka.tools.EndToEndLatency ;;
    kafka-verifiable-producer) echo org.apache.kafka.tools.VerifiableProducer ;;
    kafka-verifiable-consumer) echo org.apache.kafka.tools.VerifiableConsumer ;;
    kafka-reassign-partitions) echo org.apache.kafka.tools.reassign.ReassignPartitionsCommand ;;
    kafka-acls) echo org.apache.kafka.tools.AclCommand ;;
    *) echo "apache.sh: no class known for the tool $1; add it to class_of" >&2; exit 2 ;;
  esac
}

broker() {
  local dir=$1 port=$2 controller=$3
  shift 3
  mkdir -p "$dir"
  dir=$(cd "$dir" && pwd)
  cat > "$dir/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
log.dirs=$dir/logs
num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
PROPERTIES
  local setting
  for setting in "$@"; do printf '%s\n' "$setting" >> "$dir/server.properties"; done
  local path
  path="$(libs)/*"
  if [ ! -f "$dir/logs/meta.properties" ]; then
    # shellcheck disable=SC2086
    java -Xmx256m -cp "$path" kafka.tools.StorageTool format ${FORMAT_QUORUM---standalone} ${FORMAT_FLAGS:-} \
      -t "${CLUSTER_ID:-MkU3OEVBNTcwNTJENDM2Qg}" -c "$dir/server.properties" > "$dir/format.log" 2>&1 ||
      { cat "$dir/format.log" >&2; exit 1; }
  fi
  # shellcheck disable=SC2086
  exec java ${BROKER_JAVA_OPTS:--Xmx1g -Xms1g -XX:+UseG1GC} -cp "$path" kafka.Kafka "$dir/server.properties"
}

case "${1:-}" in
  libs) libs ;;
  java) shift; run_java "$@" ;;
  tool) shift; class=$(class_of "$1"); shift; run_java "$class" "$@" ;;
  class) class_of "$2" ;;
  broker) shift; broker "$@" ;;
  *) sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
